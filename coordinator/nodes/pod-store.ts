import { isDeepStrictEqual } from "node:util";
import { isOlder } from "../../common/kubernetes/watched-store.ts";
import type { PodEnd, PodFact } from "../../common/vocabulary.ts";
import type { FormerPod, PodChange } from "../state/pod-facts.ts";
import { makeSharing } from "./shared-values.ts";

/** Who told: the node's agent, our own watch of the node, or the watch of Nodes. */
export type Teller = "agent" | "watch" | "nodes";

type Grave = {
  readonly node: string;
  readonly end: PodEnd;
  readonly by: Teller;
  readonly atMs: number;
  readonly resourceVersion: string;
  readonly ips: readonly string[];
  readonly pod: FormerPod | undefined;
};

/** Ends are told to late askers for an hour (coordinator/state/pod-facts.ts), and kept no longer. */
const REMEMBER_ENDS_MS = 3_600_000;
/** About 400 bytes each: 20 MB. More than 13 Pods a second would have to end for an hour to reach it. */
const MAX_ENDS = 50_000;

/** Every Pod that is alive as far as we know, and which ones are known to be over. */
export interface PodStore {
  readonly pods: ReadonlyMap<string, PodFact>;
  endOf(uid: string): PodEnd | undefined;
  /** As PodFacts has it. */
  formerAt(ip: string): FormerPod | undefined;
  /** Only "taken" changed anything: the others are older than what is known, of a Pod that is over, or of a Pod of another node. */
  tell(fact: PodFact, by: Teller): "taken" | "older" | "over" | "foreign";
  /** The API server itself has confirmed it: it counts, whatever version, end or node was known. */
  believe(fact: PodFact): void;
  /** Ignored for Pods that are not known, or known on another node. */
  end(node: string, uid: string, end: PodEnd, by: Teller): void;
  subscribe(listener: (change: PodChange) => void): () => void;
}

export function makePodStore(now: () => number): PodStore {
  const pods = new Map<string, PodFact>();
  const graves = new Map<string, Grave>(); // in order of their ends
  const lastAt = new Map<string, Grave>(); // by address, of the youngest grave
  const listeners = new Set<(change: PodChange) => void>();
  const share = makeSharing();
  const emit = (change: PodChange): void => listeners.forEach((listener) => listener(change));

  const dig = (uid: string): void => {
    const grave = graves.get(uid);
    graves.delete(uid);
    for (const ip of grave?.ips ?? []) if (lastAt.get(ip) === grave) lastAt.delete(ip);
  };
  const bury = (uid: string, grave: Grave): void => {
    dig(uid);
    graves.set(uid, grave);
    for (const ip of grave.ips) lastAt.set(ip, grave);
    for (const [oldest, { atMs }] of graves) {
      if (graves.size <= MAX_ENDS && atMs > grave.atMs - REMEMBER_ENDS_MS) break;
      dig(oldest);
    }
  };

  const put = (fact: PodFact): void => {
    const before = pods.get(fact.uid);
    dig(fact.uid);
    if (isDeepStrictEqual(before, fact)) return;
    const after = share(fact);
    pods.set(fact.uid, after);
    emit({ before, after, end: undefined });
  };

  return {
    pods,
    believe: put,
    endOf: (uid) => graves.get(uid)?.end,
    formerAt: (ip) => lastAt.get(ip)?.pod,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    tell(fact, by) {
      const before = pods.get(fact.uid);
      const grave = graves.get(fact.uid);
      if ((before?.nodeName ?? grave?.node ?? fact.nodeName) !== fact.nodeName) return "foreign";
      if (before !== undefined && isOlder(fact.resourceVersion, before.resourceVersion)) return "older";
      if (grave !== undefined && !revives(fact, by, grave)) return "over";
      // Only an agent sees the kernel; what it saw is not unsaid by our watch.
      put(
        by === "watch" && before !== undefined ? { ...fact, hostInterface: before.hostInterface, networkNote: before.networkNote } : fact,
      );
      return "taken";
    },
    end(node, uid, end, by) {
      const before = pods.get(uid);
      const grave = graves.get(uid);
      if ((before?.nodeName ?? grave?.node) !== node) return;
      // A deletion that was seen outranks an absence that was only concluded; else the first evidence stands.
      if (before === undefined && (end !== "deleted" || grave?.end === "deleted")) return;
      const resourceVersion = before?.resourceVersion ?? grave?.resourceVersion ?? "";
      const pod = before === undefined ? grave?.pod : { uid, namespace: before.namespace, labels: before.labels };
      const ips = (before?.hostNetwork === true ? [] : before?.ips) ?? grave?.ips ?? [];
      bury(uid, { node, end, by, atMs: now(), resourceVersion, ips, pod });
      if (pods.delete(uid)) emit({ before, after: undefined, end });
    },
  };
}

/** A UID that was deleted never comes back, unless the API server says so when it is asked. One that was only absent does, if who missed it has it again or anyone has it newer. */
function revives(fact: PodFact, by: Teller, grave: Grave): boolean {
  switch (grave.end) {
    case "deleted":
      return false;
    case "absent":
      return by === grave.by || isOlder(grave.resourceVersion, fact.resourceVersion);
    case "node-deleted":
      return true; // sessions and watches of the old Node ended with it: whoever tells now knows the new one
    default:
      return grave.end satisfies never;
  }
}
