import { INJECT_LABEL } from "../../../common/names.ts";

/** One operation of a JSON patch (RFC 6902); no other kinds are needed. */
export type Operation =
  | { readonly op: "add"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string };

type Json = Readonly<Record<string, unknown>>;

/** Written by the kubelet on the image that it makes of a static Pod: admission cannot change what runs. */
const MIRROR = "kubernetes.io/config.mirror";

/**
 * Whether a Pod that is created gets our gate, from the object in the review. `selected`: an object with direct access selects its labels;
 * `namespaceOptedIn`: its Namespace asks for it whatever selects the Pod. A Pod on the node's network is no backend of its own.
 */
export function wantsGate(
  pod: unknown,
  { selected, namespaceOptedIn }: { readonly selected: boolean; readonly namespaceOptedIn: boolean },
): boolean {
  const { metadata, spec } = partsOf(pod);
  const wish = objectOf(metadata["labels"])[INJECT_LABEL];
  if (spec["hostNetwork"] === true || objectOf(metadata["annotations"])[MIRROR] !== undefined || wish === "disabled") return false;
  return wish === "enabled" || namespaceOptedIn || selected;
}

/** Labels of a Pod as it is in a review; those that are no text are left out. */
export const labelsOf = (pod: unknown): Readonly<Record<string, string>> => {
  const labels = objectOf(partsOf(pod).metadata["labels"]);
  if (isTexts(labels)) return labels;
  return Object.fromEntries(Object.entries(labels).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])));
};
function isTexts(labels: Json): labels is Readonly<Record<string, string>> {
  for (const name in labels) if (typeof labels[name] !== "string") return false;
  return true;
}

/**
 * Pure: the least patch that gives the Pod our gate, e.g. [{ op: "add", path: "/spec/readinessGates", value: [{ conditionType }] }]; empty
 * where it has it, so a second pass over the result changes nothing.
 */
function patchFor(pod: unknown, gateType: string): readonly Operation[] {
  const gates = partsOf(pod).spec["readinessGates"];
  const gate = { conditionType: gateType };
  if (!Array.isArray(gates)) return [{ op: "add", path: "/spec/readinessGates", value: [gate] }];
  return hasGate(pod, gateType) ? [] : [{ op: "add", path: "/spec/readinessGates/-", value: gate }];
}

/**
 * Pure: the Pod with the operations carried out, as the API server would; what they leave alone is shared with the Pod given. Throws RangeError
 * for a path that leads nowhere: the API server answers 500 to the user for such a patch, in spite of `failurePolicy: Ignore`.
 */
export function patched(pod: unknown, operations: readonly Operation[]): unknown {
  const root: Record<string, unknown> = { pod };
  const own = new Set<object>([root]);
  for (const operation of operations) carryOut(root, own, operation);
  return root["pod"];
}

/** Copies only what lies on the way, and that once (`own`): a Pod has kilobytes, and may have thousands of containers with an operation each. */
function carryOut(root: Record<string, unknown>, own: Set<object>, operation: Operation): void {
  const keys = operation.path.split("/");
  keys[0] = "pod"; // where the path begins
  const last = unescaped(keys.pop() ?? "");
  let at: Record<string, unknown> | unknown[] = root;
  for (const escaped of keys) {
    const key = unescaped(escaped);
    const next: unknown = Array.isArray(at) ? (/^\d+$/.test(key) ? at[Number(key)] : undefined) : at[key];
    if (!isRecord(next)) throw nowhere(operation);
    const copy: Record<string, unknown> | unknown[] = own.has(next) ? next : Array.isArray(next) ? [...next] : { ...next };
    own.add(copy);
    if (Array.isArray(at)) at[Number(key)] = copy;
    else at[key] = copy;
    at = copy;
  }
  if (operation.op === "add") {
    if (!Array.isArray(at)) at[last] = operation.value;
    else if (last === "-") at.push(operation.value);
    else throw nowhere(operation);
  } else if (!Array.isArray(at) && last in at) delete at[last];
  else throw nowhere(operation);
}

const nowhere = ({ path }: Operation): RangeError => new RangeError(`the Pod has no ${path}`);

/**
 * Pure: the patch whose result has the gate and needs no other patch; empty where there is none, so that a review never makes a Pod fail.
 * `more`: what a Pod gets besides its gate; what of that would not do is left out. `mostBytes`: what the Pod has at most as JSON, e.g. the
 * length of the review that it came in; unknown, it is measured.
 */
export function checkedPatch(
  pod: unknown,
  gateType: string,
  more: (pod: unknown) => readonly Operation[] = () => [],
  mostBytes: number = Number.POSITIVE_INFINITY,
): readonly Operation[] {
  const withMore = checked(pod, (one) => [...patchFor(one, gateType), ...more(one)], gateType, mostBytes);
  return withMore.length > 0 ? withMore : checked(pod, (one) => patchFor(one, gateType), gateType, mostBytes);
}

function checked(pod: unknown, patchOf: (pod: unknown) => readonly Operation[], gateType: string, mostBytes: number): readonly Operation[] {
  try {
    const operations = patchOf(pod);
    if (operations.length === 0) return [];
    const result = patched(pod, operations);
    const mostNow = mostBytes + operations.length * MOST_OPERATION_BYTES;
    const isFit = hasGate(result, gateType) && hasRoom(result, mostNow) && isStorable(result, mostNow);
    return isFit && patchOf(result).length === 0 ? operations : [];
  } catch {
    return [];
  }
}

/** All annotations of an object together; with more the API server answers 422 to whoever creates it. Source: apimachinery, TotalAnnotationSizeLimitB. */
const MOST_ANNOTATION_BYTES = 256 * 1024;

/** What is short as a whole has no long part. */
const hasRoom = (pod: unknown, mostBytes: number): boolean =>
  mostBytes <= MOST_ANNOTATION_BYTES ||
  Object.entries(objectOf(partsOf(pod).metadata["annotations"])).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(String(value)),
    0,
  ) <= MOST_ANNOTATION_BYTES;

/**
 * With more the API server answers 500 to whoever creates it: etcd's default limit for a request (1.5 MiB), less what a Pod's status comes to.
 * JSON is longer than the protobuf that is stored; managed fields are left out by the API server where they would not fit.
 */
const MOST_STORED_BYTES = (1_536 - 64) * 1_024;
/** What an operation of ours adds at most: the annotation that says why, escaped. */
const MOST_OPERATION_BYTES = 4_096;

function isStorable(pod: unknown, mostBytes: number): boolean {
  if (mostBytes <= MOST_STORED_BYTES) return true;
  const { metadata, spec } = partsOf(pod);
  return Buffer.byteLength(JSON.stringify({ metadata: { ...metadata, managedFields: undefined }, spec })) <= MOST_STORED_BYTES;
}

/** Whether the Pod, as it is in a review or an answer, has our gate. */
export function hasGate(pod: unknown, gateType: string): boolean {
  const gates = partsOf(pod).spec["readinessGates"];
  return Array.isArray(gates) && gates.some((gate: unknown) => objectOf(gate)["conditionType"] === gateType);
}

function partsOf(pod: unknown): { readonly metadata: Json; readonly spec: Json } {
  const { metadata, spec } = objectOf(pod);
  return { metadata: objectOf(metadata), spec: objectOf(spec) };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const objectOf = (value: unknown): Json => (isRecord(value) ? value : {});
const unescaped = (key: string): string => (key.includes("~") ? key.replaceAll("~1", "/").replaceAll("~0", "~") : key);
