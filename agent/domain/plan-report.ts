import type { HostInterface, PodFact } from "../../common/vocabulary.ts";

/** What the node has to say: its Pods by UID, and the UIDs whose deletion was seen (the newest ones, bounded). */
export type Report = { readonly pods: ReadonlyMap<string, PodFact>; readonly deleted: ReadonlySet<string> };

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

/** Pods as the API server has them, joined with the interfaces that carry them (by UID). */
export function planReport(from: {
  readonly pods: ReadonlyMap<string, PodFact>;
  readonly carriers: ReadonlyMap<string, HostInterface>;
  readonly deleted: ReadonlySet<string>;
}): Report {
  const pods = new Map([...from.pods].map(([uid, pod]) => [uid, { ...pod, hostInterface: from.carriers.get(uid) }]));
  return { pods, deleted: new Set(from.deleted) };
}

/** undefined: nothing to say. */
export function differenceOf(told: Report, now: Report): Difference | undefined {
  const changed = [...now.pods.values()].filter((pod) => !isSame(told.pods.get(pod.uid), pod));
  const removed = [...told.pods.keys()]
    .filter((uid) => !now.pods.has(uid))
    .map((uid): EndedPod => ({ uid, evidence: now.deleted.has(uid) ? "deleted" : "absent" }));
  return changed.length === 0 && removed.length === 0 ? undefined : { changed, removed };
}

/** The resourceVersion stands for everything that the API server told; the interface is our own. */
function isSame(one: PodFact | undefined, other: PodFact): boolean {
  if (one === undefined || one.resourceVersion !== other.resourceVersion) return false;
  return one.hostInterface?.name === other.hostInterface?.name && one.hostInterface?.mac === other.hostInterface?.mac;
}
