import { isDeepStrictEqual } from "node:util";
import { isRaw, type Raw } from "./objects.ts";
import { failure } from "./status.ts";

/** How a strategic merge finds the item of a list; lists that are not named here are replaced. Source: patchMergeKey in k8s.io/api. */
const MERGE_KEYS: Record<string, string> = {
  conditions: "type",
  containers: "name",
  initContainers: "name",
  ephemeralContainers: "name",
  volumes: "name",
  env: "name",
  imagePullSecrets: "name",
  secrets: "name",
  volumeMounts: "mountPath",
  ownerReferences: "uid",
  podIPs: "ip",
  hostIPs: "ip",
  addresses: "type",
  taints: "key",
  hostAliases: "ip",
  topologySpreadConstraints: "topologyKey",
};
const mergeKey = (list: string, parent: string): string | undefined => {
  if (list === "ports") return parent === "spec" ? "port" : /ontainers$/.test(parent) ? "containerPort" : undefined;
  return MERGE_KEYS[list];
};

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

type Operation = { op?: string; path?: string; from?: string; value?: unknown };

/** RFC 6902. Any operation that does not apply is 422 without a cause, as on the real server. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch))
    throw failure.badRequest("error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp");
  const root = { "": structuredClone(target) };
  for (const operation of patch as Operation[]) applyOperation(root, operation);
  return root[""];
}

const pointer = (path: string): string[] => path.split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));

function locate(root: Raw, path: string | undefined): { parent: Raw | unknown[]; key: string } {
  const parts = pointer(path ?? "");
  const key = parts.pop() ?? "";
  let parent: unknown = root;
  for (const part of parts) parent = Array.isArray(parent) ? parent[Number(part)] : isRaw(parent) ? parent[part] : undefined;
  if (!isRaw(parent) && !Array.isArray(parent)) throw failure.unprocessable();
  return { parent, key };
}

function read(root: Raw, path: string | undefined): unknown {
  const { parent, key } = locate(root, path);
  const value = Array.isArray(parent) ? parent[Number(key)] : parent[key];
  if (value === undefined) throw failure.unprocessable();
  return value;
}

function remove(root: Raw, path: string | undefined): void {
  read(root, path);
  const { parent, key } = locate(root, path);
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
}

function add(root: Raw, path: string | undefined, value: unknown): void {
  const { parent, key } = locate(root, path);
  if (!Array.isArray(parent)) {
    parent[key] = value;
    return;
  }
  const index = key === "-" ? parent.length : Number(key);
  if (!Number.isInteger(index) || index < 0 || index > parent.length) throw failure.unprocessable();
  parent.splice(index, 0, value);
}

function applyOperation(root: Raw, { op, path, from, value }: Operation): void {
  if (op === "add") add(root, path, value);
  else if (op === "remove") remove(root, path);
  else if (op === "replace") {
    read(root, path);
    const { parent, key } = locate(root, path);
    if (Array.isArray(parent)) parent[Number(key)] = value;
    else parent[key] = value;
  } else if (op === "test") {
    const { parent, key } = locate(root, path);
    if (!isDeepStrictEqual(Array.isArray(parent) ? parent[Number(key)] : parent[key], value)) throw failure.unprocessable();
  } else if (op === "move" || op === "copy") {
    const moved = structuredClone(read(root, from));
    if (op === "move") remove(root, from);
    add(root, path, moved);
  } else throw failure.unprocessable();
}
