import { POD_WEIGHT } from "../../../common/names.ts";
import { type PodFact, podName } from "../../../common/vocabulary.ts";
import { DEFAULT_WEIGHT, LISTENER_PROTOCOLS, transportOf } from "../load-balancer.ts";
import { parsedJson, wholeNumber } from "./annotations.ts";
import type { IntentPort } from "./intent-port.ts";

/** Weights as annotation lb-rs-weight gives them; `port` is that of the Service. Source: tke-contract.md §2. */
export type Weights = { readonly byDefault: number; readonly entries: readonly Entry[] };
type Entry = {
  readonly protocol: string;
  readonly port: number;
  readonly statefulSet: string;
  readonly index: number;
  readonly weight: number;
};

/** The label that a StatefulSet's controller puts on each of its Pods: the Pod's name. */
const STATEFUL_SET_POD = "statefulset.kubernetes.io/pod-name";

class WeightsFault extends Error {}

/** What is wrong with the value; undefined: nothing. */
export function weightsFault(value: string): string | undefined {
  try {
    readWeights(value);
    return undefined;
  } catch (fault) {
    if (fault instanceof WeightsFault) return fault.message;
    throw fault;
  }
}

/** Reads e.g. {"defaultWeight":10,"groups":[{"key":{"proto":"TCP","port":80},"statefulSets":[{"name":"web","weights":[{"weight":0,"podIndexes":[0]}]}]}]}. */
export function readWeights(value: string): Weights {
  const given = parsedJson(value);
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new WeightsFault('use a JSON object, e.g. {"defaultWeight":10}');
  checkNames(given, "defaultWeight", "groups");
  const byDefault = numberIn(given, "defaultWeight", 100) ?? DEFAULT_WEIGHT;
  const entries = listIn(given, "groups").flatMap((group): Entry[] => {
    checkNames(group, "key", "statefulSets");
    const key = member(group, "key");
    checkNames(key, "proto", "port");
    const protocol = member(key, "proto");
    if (!isProtocol(protocol))
      throw new WeightsFault(`groups[].key.proto is ${JSON.stringify(protocol)}: use one of ${LISTENER_PROTOCOLS.join(", ")}`);
    const port = numberIn(key, "port", 65_535);
    if (port === undefined) throw new WeightsFault("groups[].key.port is missing: use the port of the Service");
    return listIn(group, "statefulSets").flatMap((set) => entriesOf(set, protocol, port));
  });
  const repeated = entries.find((entry, at) => entries.slice(0, at).some((before) => isSame(before, entry)));
  if (repeated !== undefined) {
    const { protocol, port, statefulSet, index } = repeated;
    throw new WeightsFault(
      `groups give Pod ${index} of StatefulSet ${statefulSet} at ${protocol} ${port} a weight twice: keep one of them`,
    );
  }
  return { byDefault, entries };
}

/** Both speak of one Pod at one listener: a group of TCP is also for what TCP carries. */
const isSame = (one: Entry, other: Entry): boolean =>
  one.statefulSet === other.statefulSet && one.index === other.index && (isAt(one, other) || isAt(other, one));

function entriesOf(set: unknown, protocol: string, port: number): Entry[] {
  checkNames(set, "name", "weights");
  const statefulSet = member(set, "name");
  if (typeof statefulSet !== "string" || statefulSet === "")
    throw new WeightsFault("statefulSets[].name is missing: use the name of a StatefulSet");
  return listIn(set, "weights").flatMap((one) => {
    checkNames(one, "weight", "podIndexes");
    const weight = numberIn(one, "weight", 100);
    if (weight === undefined) throw new WeightsFault("weights[].weight is missing: use a whole number from 0 to 100");
    const indexes = listIn(one, "podIndexes");
    if (indexes.length === 0) throw new WeightsFault("weights[].podIndexes is missing: use the numbers of Pods, e.g. [0,1]");
    return indexes.map((index) => {
      if (typeof index !== "number" || !Number.isInteger(index) || index < 0)
        throw new WeightsFault(`podIndexes has ${JSON.stringify(index)}: use whole numbers from 0 on`);
      return { protocol, port, statefulSet, index, weight };
    });
  });
}

const isProtocol = (value: unknown): value is string => LISTENER_PROTOCOLS.some((known) => known === value);

/** What is wrong with the Pod's own weight at owners of this kind, with the fix; undefined: nothing, or it has none. */
export function podWeightFault(pod: PodFact, kind: "service" | "ingress"): string | undefined {
  const value = pod.weights?.[kind] ?? "";
  const fix = value === "" ? undefined : wholeNumber(0, 100)(value);
  return fix && `Pod ${podName(pod)}: annotation ${POD_WEIGHT[kind]} is "${value}": ${fix}. It has the weight of Pods without it`;
}

function ownWeight(pod: PodFact, kind: "service" | "ingress"): number | undefined {
  const value = pod.weights?.[kind] ?? "";
  return value === "" || podWeightFault(pod, kind) !== undefined ? undefined : Number(value);
}

/**
 * Pure: the entry of its StatefulSet, by the listener's protocol or what carries it, else the Pod's own weight, else the default of the
 * annotation, else 10. `kind`: of which owners' weights the Pod speaks. Source of the order: tke-contract.md §2.
 */
export function weightOf(
  weights: Weights | undefined,
  { protocol, port }: { readonly protocol: string; readonly port: number },
  pod: PodFact,
  kind: "service" | "ingress" = "service",
): number {
  if (weights === undefined) return ownWeight(pod, kind) ?? DEFAULT_WEIGHT;
  const [, statefulSet, index] = /^(.+)-(\d+)$/.exec(pod.labels[STATEFUL_SET_POD] ?? "") ?? [];
  const isMeant = (entry: Entry): boolean =>
    isAt(entry, { protocol, port }) && entry.statefulSet === statefulSet && entry.index === Number(index);
  return weights.entries.find(isMeant)?.weight ?? ownWeight(pod, kind) ?? weights.byDefault;
}

/** Pure, of a value without faults: what of it is for listeners that their owner does not ask for, each as half a sentence. */
export function weighedInVain(value: string | undefined, ports: readonly Pick<IntentPort, "protocol" | "port">[]): readonly string[] {
  const { entries } = value === undefined ? { entries: [] } : readWeights(value);
  const vain = entries.filter((entry) => !ports.some((one) => isAt(entry, one)));
  const names = new Set(vain.map(({ protocol, port }) => `${protocol} ${port}`));
  return [...names].map((name) => `gives weights for ${name}, which is no listener of it: correct proto and port of that group`);
}

const isAt = (entry: Entry, { protocol, port }: { readonly protocol: string; readonly port: number }): boolean =>
  (entry.protocol === protocol || entry.protocol === transportOf(protocol)) && entry.port === port;

/** Throws for a field that nobody reads: it would be without effect in silence. */
function checkNames(value: unknown, ...known: readonly string[]): void {
  const unknown = Object.keys(Object(value)).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new WeightsFault(`"${unknown}" is not known: use ${known.join(", ")}`);
}

const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;

function listIn(value: unknown, name: string): readonly unknown[] {
  const list = member(value, name) ?? [];
  if (!Array.isArray(list)) throw new WeightsFault(`${name} must be a list`);
  return list;
}

function numberIn(value: unknown, name: string, most: number): number | undefined {
  const number = member(value, name);
  if (number === undefined) return undefined;
  if (typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= most) return number;
  throw new WeightsFault(`${name} is ${JSON.stringify(number)}: use a whole number from 0 to ${most}`);
}
