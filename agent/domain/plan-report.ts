import type { NodeFacts, PodVerdict } from "../../common/reachability.ts";
import { isOver, type PodFact, podName } from "../../common/vocabulary.ts";
import type { Carrier } from "./carrier.ts";
import type { HoldsReport } from "./say-holds.ts";

/** What the node has to say: its Pods by UID, and the UIDs whose deletion was seen (the newest ones, bounded). */
export type Report = {
  readonly pods: ReadonlyMap<string, PodFact>;
  readonly deleted: ReadonlySet<string>;
  /** What became of tasks, by UID; another map after each change. */
  readonly verdicts?: ReadonlyMap<string, PodVerdict>;
  /** What the metadata service told. */
  readonly node?: NodeFacts | undefined;
  /** Of the hold server; undefined where there is none. */
  readonly holds?: HoldsReport | undefined;
};

/** A Pod that the node no longer has: its deletion was seen, or a complete list lacks it. */
type EndedPod = { readonly uid: string; readonly evidence: "deleted" | "absent" };

/** What leads from one report to a later one; each Pod as a whole. */
export type Difference = { readonly changed: readonly PodFact[]; readonly removed: readonly EndedPod[] };

/** The first address decides which interface carries a Pod, e.g. "10.0.3.7"; Pods without one are left out. By UID. */
export function firstAddresses(pods: ReadonlyMap<string, PodFact>): ReadonlyMap<string, string> {
  return new Map(
    [...pods].flatMap(
      ([
        uid,
        {
          ips: [ip],
        },
      ]) => (ip === undefined ? [] : [[uid, ip] as const]),
    ),
  );
}

/** Pods as the API server has them, joined with what the kernel knows of their addresses (by UID). */
export function planReport({
  found,
  ...from
}: {
  readonly pods: ReadonlyMap<string, PodFact>;
  readonly found: ReadonlyMap<string, Carrier>;
  readonly deleted: ReadonlySet<string>;
  readonly verdicts?: ReadonlyMap<string, PodVerdict>;
  readonly node?: NodeFacts | undefined;
}): Report {
  const shared = sharedAddresses(from.pods.values());
  const pods = new Map(Array.from(from.pods, ([uid, pod]) => [uid, { ...pod, ...networkOf(pod, found.get(uid), shared) }]));
  return { ...from, pods, deleted: new Set(from.deleted) };
}

/** MAC and network of an ENI in a Pod's own namespace (TKE: exclusive ENI), which the node's kernel does not show. */
const OWN_ENI = "tke-direct-eni";

/** What is known of a Pod's network, and why the rest is not. */
function networkOf(
  pod: PodFact,
  carrier: Carrier | undefined,
  shared: ReadonlyMap<string, readonly PodFact[]>,
): Pick<PodFact, "hostInterface" | "networkNote"> {
  const { statusName, statusMac, fault } = pod.networks;
  const sharing = pod.hostNetwork ? [] : (shared.get(pod.ips[0] ?? "") ?? []);
  const others = sharing.filter(({ uid }) => uid !== pod.uid).map(podName);
  const notes = [fault, others.length > 0 ? `${pod.ips[0]} is the address of ${others.slice(0, 3).join(", ")} as well` : ""];
  if (statusName === OWN_ENI && statusMac !== "")
    return { hostInterface: { name: "", mac: statusMac, kind: "pod", table: 0 }, networkNote: joined(notes) };
  return { hostInterface: carrier?.hostInterface, networkNote: joined([...notes, carrier?.note ?? ""]) };
}

const joined = (notes: readonly string[]): string => notes.filter((note) => note !== "").join("; ");

/** Addresses that several live Pods have; on the host's network they all share that of the node. */
function sharedAddresses(pods: Iterable<PodFact>): ReadonlyMap<string, readonly PodFact[]> {
  const byAddress = new Map<string, PodFact[]>();
  for (const pod of pods) {
    const [ip] = pod.ips;
    if (ip === undefined || pod.hostNetwork || isOver(pod)) continue;
    const known = byAddress.get(ip);
    if (known === undefined) byAddress.set(ip, [pod]);
    else known.push(pod);
  }
  return new Map([...byAddress].filter(([, those]) => those.length > 1));
}

/** undefined: nothing to say. */
export function differenceOf(told: Report, now: Report): Difference | undefined {
  const changed = [...now.pods.values()].filter((pod) => !isSame(told.pods.get(pod.uid), pod));
  const removed = [...told.pods.keys()]
    .filter((uid) => !now.pods.has(uid))
    .map((uid): EndedPod => ({ uid, evidence: now.deleted.has(uid) ? "deleted" : "absent" }));
  return changed.length === 0 && removed.length === 0 ? undefined : { changed, removed };
}

/** The resourceVersion stands for everything that the API server told; the rest is our own. */
function isSame(one: PodFact | undefined, other: PodFact): boolean {
  if (one === undefined || one.resourceVersion !== other.resourceVersion || one.networkNote !== other.networkNote) return false;
  const [before, after] = [one.hostInterface, other.hostInterface];
  return before?.name === after?.name && before?.mac === after?.mac && before?.kind === after?.kind && before?.table === after?.table;
}
