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
    const known = ["test", "add", "remove", "replace", "copy", "move"].includes(op);
    if (!known || (op === "test" && !isDeepStrictEqual(read(root, path), value))) throw failure.unprocessable();
    const moved = op === "copy" ? structuredClone(read(root, from)) : op === "move" ? take(root, from) : value;
    if (op === "remove" || op === "replace") take(root, path);
    if (op !== "remove" && op !== "test") put(root, path, moved);
  }
  return root[""];
}

/** Where a path ends: `holder` is an object or a list, e.g. "/metadata/labels/a~1b" gives the labels and "a/b". */
function locate(root: Raw, path: string): { readonly holder: Raw; readonly key: string } {
  const parts = path.split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  const key = parts.pop() ?? "";
  const inside = (at: unknown): at is Raw => isRaw(at) || Array.isArray(at); // "0" indexes a list as well
  const holder = parts.reduce<unknown>((at, part) => (inside(at) ? at[part] : undefined), root);
  if (!inside(holder)) throw failure.unprocessable();
  return { holder, key };
}

function read(root: Raw, path: string): unknown {
  const { holder, key } = locate(root, path);
  if (holder[key] === undefined) throw failure.unprocessable();
  return holder[key];
}

function take(root: Raw, path: string): unknown {
  const old = read(root, path);
  const { holder, key } = locate(root, path);
  if (Array.isArray(holder)) holder.splice(Number(key), 1);
  else delete holder[key];
  return old;
}

function put(root: Raw, path: string, value: unknown): void {
  const { holder, key } = locate(root, path);
  const index = Array.isArray(holder) && key === "-" ? holder.length : Number(key);
  if (!Array.isArray(holder)) holder[key] = value;
  else if (Number.isInteger(index) && index >= 0 && index <= holder.length) holder.splice(index, 0, value);
  else throw failure.unprocessable();
}
