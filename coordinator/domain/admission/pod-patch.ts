import { INJECT_LABEL } from "../../../common/names.ts";

/** One operation of a JSON patch (RFC 6902); no other kinds are needed. */
export type AddOperation = { readonly op: "add"; readonly path: string; readonly value: unknown };

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
  const wish = labelsOf(pod)[INJECT_LABEL];
  if (spec["hostNetwork"] === true || objectOf(metadata["annotations"])[MIRROR] !== undefined || wish === "disabled") return false;
  return wish === "enabled" || namespaceOptedIn || selected;
}

/** What a Pod's own label asks for in words that mean nothing, for whoever creates it; undefined: nothing is wrong. */
export function wishFault(pod: unknown): string | undefined {
  const wish = labelsOf(pod)[INJECT_LABEL];
  if (wish === undefined || wish === "enabled" || wish === "disabled") return undefined;
  return `label ${INJECT_LABEL}: "${wish}" means nothing: use "enabled" or "disabled"`;
}

/** Labels of a Pod as it is in a review; those that are no text are left out. */
export const labelsOf = (pod: unknown): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(objectOf(partsOf(pod).metadata["labels"])).flatMap(([name, value]) =>
      typeof value === "string" ? [[name, value]] : [],
    ),
  );

/**
 * Pure: the least patch that gives the Pod our gate, e.g. [{ op: "add", path: "/spec/readinessGates", value: [{ conditionType }] }]; empty
 * where it has it, so a second pass over the result changes nothing.
 */
function patchFor(pod: unknown, gateType: string): readonly AddOperation[] {
  const gates = partsOf(pod).spec["readinessGates"];
  const gate = { conditionType: gateType };
  if (!Array.isArray(gates)) return [{ op: "add", path: "/spec/readinessGates", value: [gate] }];
  return hasGate(pod, gateType) ? [] : [{ op: "add", path: "/spec/readinessGates/-", value: gate }];
}

/**
 * Pure: the Pod with the operations carried out, as the API server would; what they leave alone is shared with the Pod given. Throws RangeError
 * for a path that leads nowhere: the API server answers 500 to the user for such a patch, in spite of `failurePolicy: Ignore`.
 */
export function patched(pod: unknown, operations: readonly AddOperation[]): unknown {
  return operations.reduce<unknown>((at, { path, value }) => withAdded(at, path.slice(1).split("/").map(unescaped), value, path), pod);
}

/** Copies only what lies on the way: a Pod has kilobytes, and a review is answered for each that is created. */
function withAdded(at: unknown, [key = "", ...rest]: readonly string[], value: unknown, path: string): unknown {
  const isLast = rest.length === 0;
  if (Array.isArray(at)) {
    const items: readonly unknown[] = at;
    if (isLast && key === "-") return [...items, value];
    if (!isLast && /^\d+$/.test(key) && Number(key) < items.length)
      return items.with(Number(key), withAdded(items[Number(key)], rest, value, path));
  } else if (isRecord(at)) return { ...at, [key]: isLast ? value : withAdded(at[key], rest, value, path) };
  throw new RangeError(`the Pod has no ${path}`);
}

/**
 * Pure: the patch whose result has the gate and needs no other patch; empty where there is none, so that a review never makes a Pod fail.
 * `more`: what a Pod gets besides its gate; what of that would not do is left out.
 */
export function checkedPatch(
  pod: unknown,
  gateType: string,
  more: (pod: unknown) => readonly AddOperation[] = () => [],
): readonly AddOperation[] {
  const withMore = checked(pod, (one) => [...patchFor(one, gateType), ...more(one)], gateType);
  return withMore.length > 0 ? withMore : checked(pod, (one) => patchFor(one, gateType), gateType);
}

function checked(pod: unknown, patchOf: (pod: unknown) => readonly AddOperation[], gateType: string): readonly AddOperation[] {
  try {
    const operations = patchOf(pod);
    if (operations.length === 0) return [];
    const result = patched(pod, operations);
    return hasGate(result, gateType) && hasRoom(result) && patchOf(result).length === 0 ? operations : [];
  } catch {
    return [];
  }
}

/** All annotations of an object together; with more the API server answers 422 to whoever creates it. Source: apimachinery, TotalAnnotationSizeLimitB. */
const MOST_ANNOTATION_BYTES = 256 * 1024;

const hasRoom = (pod: unknown): boolean =>
  Object.entries(objectOf(partsOf(pod).metadata["annotations"])).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(String(value)),
    0,
  ) <= MOST_ANNOTATION_BYTES;

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
const unescaped = (key: string): string => key.replaceAll("~1", "/").replaceAll("~0", "~");
