import { isDeepStrictEqual } from "node:util";
import { isRaw, type Raw } from "./objects.ts";
import { failure } from "./status.ts";

/** How a strategic merge finds the item of a list; lists that are not named here are replaced. Source: patchMergeKey in k8s.io/api. */
const MERGE_KEYS: Record<string, readonly string[]> = {
  name: ["containers", "initContainers", "ephemeralContainers", "volumes", "env", "imagePullSecrets", "secrets"],
  type: ["conditions", "addresses"],
  ip: ["podIPs", "hostIPs", "hostAliases"],
  mountPath: ["volumeMounts"],
  uid: ["ownerReferences"],
  key: ["taints"],
};
function mergeKey(list: string, parent: string): string | undefined {
  if (list === "ports") return parent === "spec" ? "port" : parent.endsWith("ontainers") ? "containerPort" : undefined;
  return Object.keys(MERGE_KEYS).find((key) => MERGE_KEYS[key]?.includes(list));
}

/** RFC 7396. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRaw(patch)) return patch;
  const result: Raw = isRaw(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** Kubernetes' strategic merge: lists of objects by key, finalizers as a set, the directives `$patch`, `$retainKeys`, `$deleteFromPrimitiveList`. */
export function strategicMerge(target: unknown, patch: unknown, field = ""): unknown {
  if (!isRaw(patch)) return patch;
  const result: Raw = isRaw(target) && patch["$patch"] !== "replace" && patch["$patch"] !== "delete" ? { ...target } : {};
  const retained = patch["$retainKeys"];
  if (Array.isArray(retained)) for (const key of Object.keys(result)) if (!retained.includes(key)) delete result[key];
  for (const [key, value] of Object.entries(patch)) {
    const [directive, list = ""] = key.split("/", 2);
    if (directive === "$deleteFromPrimitiveList") {
      const old = result[list];
      if (Array.isArray(old) && Array.isArray(value)) result[list] = old.filter((item) => !value.includes(item));
    } else if (key.startsWith("$")) continue;
    else if (value === null) delete result[key];
    else if (Array.isArray(value)) result[key] = mergeList(result[key], value, key, field);
    else result[key] = strategicMerge(result[key], value, key);
  }
  return result;
}

function mergeList(target: unknown, patch: readonly unknown[], list: string, parent: string): unknown[] {
  const old: unknown[] = Array.isArray(target) ? target : [];
  if (list === "finalizers") return [...new Set([...old, ...patch])];
  const key = mergeKey(list, parent);
  const replaces = patch.some((item) => isRaw(item) && item["$patch"] === "replace" && Object.keys(item).length === 1);
  if (key === undefined || replaces) return patch.filter((item) => !isRaw(item) || item["$patch"] === undefined);
  const result = [...old];
  for (const item of patch) {
    if (!isRaw(item))
      throw failure.badRequest(`cannot merge ${JSON.stringify(item)} into the list ${list}: an object with the key ${key} is needed`);
    if (item[key] === undefined) throw failure.badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
    const at = result.findIndex((one) => isRaw(one) && one[key] === item[key]);
    if (item["$patch"] === "delete") {
      if (at >= 0) result.splice(at, 1);
    } else if (at < 0) result.push(strategicMerge({}, item, list));
    else result[at] = strategicMerge(result[at], item, list);
  }
  return result;
}

type Operation = { readonly op?: string; readonly path?: string; readonly from?: string; readonly value?: unknown };

/** RFC 6902. Any operation that does not apply is 422 without a cause, as on the real server. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  const why = "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp";
  if (!Array.isArray(patch)) throw failure.badRequest(why);
  const root = { "": structuredClone(target) };
  for (const { op = "", path = "", from = "", value } of patch as Operation[]) {
    const place = locate(root, path);
    if (op === "test") {
      if (!isDeepStrictEqual(place.read(), value)) throw failure.unprocessable();
    } else if (op === "add") place.add(value);
    else if (op === "remove") place.remove();
    else if (op === "replace") place.replace(value);
    else if (op === "copy") place.add(structuredClone(locate(root, from).present()));
    else if (op === "move") {
      const moved = locate(root, from).remove();
      locate(root, path).add(moved);
    } else throw failure.unprocessable();
  }
  return root[""];
}

function locate(root: Raw, path: string) {
  const parts = path.split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const key = parts.pop() ?? "";
  let parent: unknown = root;
  for (const part of parts) parent = isRaw(parent) || Array.isArray(parent) ? (parent as Raw)[part] : undefined; // "0" indexes a list as well
  if (!isRaw(parent) && !Array.isArray(parent)) throw failure.unprocessable();
  const [list, holder] = [Array.isArray(parent) ? (parent as unknown[]) : undefined, parent as Raw];
  const present = (): unknown => {
    if (holder[key] === undefined) throw failure.unprocessable();
    return holder[key];
  };
  return {
    read: (): unknown => holder[key],
    present,
    remove(): unknown {
      const old = present();
      if (list) list.splice(Number(key), 1);
      else delete holder[key];
      return old;
    },
    replace(value: unknown): void {
      present();
      holder[key] = value;
    },
    add(value: unknown): void {
      const index = list && (key === "-" ? list.length : Number(key));
      if (list === undefined || index === undefined) holder[key] = value;
      else if (Number.isInteger(index) && index >= 0 && index <= list.length) list.splice(index, 0, value);
      else throw failure.unprocessable();
    },
  };
}
