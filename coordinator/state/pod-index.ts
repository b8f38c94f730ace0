import { isEnding, type PodFact } from "../../common/vocabulary.ts";
import type { PodChange, PodFacts } from "./pod-facts.ts";

/** Pod facts by namespace and by address. */
export interface PodIndex {
  inNamespace(namespace: string): Iterable<PodFact>;
  /** The Pod that has the address now: a living one before one that ends, the younger before the older. hostNetwork Pods do not count. */
  byIp(ip: string): PodFact | undefined;
  /** UIDs of live Pods whose gates are still closed. */
  readonly waitingForGate: ReadonlySet<string>;
  /** UIDs of Pods that are on their way out. */
  readonly ending: ReadonlySet<string>;
  /** Called after each change has been taken in, until `close`; must not throw. */
  follow(listener: (change: PodChange) => void): void;
  /** Follows the facts no longer. */
  close(): void;
}

export function makePodIndex(facts: PodFacts): PodIndex {
  const namespaces = new Map<string, Map<string, PodFact>>();
  /** Nearly every address has one Pod. */
  const addresses = new Map<string, PodFact | Map<string, PodFact>>();
  const waitingForGate = new Set<string>();
  const ending = new Set<string>();
  const put = (key: string, pod: PodFact): void => {
    const group = namespaces.get(key);
    if (group === undefined) namespaces.set(key, new Map([[pod.uid, pod]]));
    else group.set(pod.uid, pod);
  };
  const take = (key: string, uid: string): void => {
    const group = namespaces.get(key);
    group?.delete(uid);
    if (group?.size === 0) namespaces.delete(key);
  };
  const putAt = (ip: string, pod: PodFact): void => {
    const there = addresses.get(ip);
    if (there === undefined || (!(there instanceof Map) && there.uid === pod.uid)) addresses.set(ip, pod);
    else if (there instanceof Map) there.set(pod.uid, pod);
    else addresses.set(ip, new Map([there, pod].map((one) => [one.uid, one])));
  };
  const takeFrom = (ip: string, uid: string): void => {
    const there = addresses.get(ip);
    if (there instanceof Map) {
      there.delete(uid);
      if (there.size === 1) for (const last of there.values()) addresses.set(ip, last);
    } else if (there?.uid === uid) addresses.delete(ip);
  };
  const note = ({ before, after }: Pick<PodChange, "before" | "after">): void => {
    if (before !== undefined) {
      take(before.namespace, before.uid); // also when it stays: the Pod that changed last comes last
      for (const ip of before.ips) takeFrom(ip, before.uid);
    }
    if (after === undefined) {
      waitingForGate.delete(before?.uid ?? "");
      ending.delete(before?.uid ?? "");
      return;
    }
    if (isEnding(after)) ending.add(after.uid);
    else ending.delete(after.uid);
    if (waitsForGate(after)) waitingForGate.add(after.uid);
    else waitingForGate.delete(after.uid);
    put(after.namespace, after);
    if (!after.hostNetwork) for (const ip of after.ips) putAt(ip, after);
  };
  for (const pod of facts.pods.values()) note({ before: undefined, after: pod });
  const followers: ((change: PodChange) => void)[] = [];
  const close = facts.subscribe((change) => {
    note(change);
    for (const listener of followers) listener(change);
  });
  return {
    waitingForGate,
    ending,
    close,
    follow: (listener) => void followers.push(listener),
    inNamespace: (namespace) => namespaces.get(namespace)?.values() ?? [],
    byIp: (ip) => {
      const there = addresses.get(ip);
      return there instanceof Map ? [...there.values()].sort(livelier)[0] : there;
    },
  };
}

const livelier = (a: PodFact, b: PodFact): number =>
  Number(isEnding(a)) - Number(isEnding(b)) || (b.startedAtMs ?? 0) - (a.startedAtMs ?? 0) || (a.uid < b.uid ? -1 : 1);

/** Its gate is still closed, and it is not on its way out. */
export const waitsForGate = (pod: PodFact): boolean => pod.hasGate && pod.gate !== "True" && !isEnding(pod);

/**
 * Since when the containers of live Pods are not ready, as this process has seen it: a Pod's own condition has whole seconds of its node's
 * clock. A Pod that is known for the first time begins then.
 */
export class UnreadyPods {
  readonly #clock: { now(): number };
  readonly #sinceMs = new Map<string, number>();

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  podChanged({ before, after }: Pick<PodChange, "before" | "after">): void {
    if (after === undefined) return void this.#sinceMs.delete(before?.uid ?? "");
    if (after.containersReady || isEnding(after)) this.#sinceMs.delete(after.uid);
    else if (!this.#sinceMs.has(after.uid)) this.#sinceMs.set(after.uid, this.#clock.now());
  }

  /** Milliseconds since the epoch; undefined: they are ready, or nothing is known of the Pod. */
  sinceMs(podUid: string): number | undefined {
    return this.#sinceMs.get(podUid);
  }
}
