import { isEnding, type PodFact } from "../../common/vocabulary.ts";
import type { PodChange, PodFacts } from "./pod-facts.ts";

/** Pod facts by namespace and by address. */
export interface PodIndex {
  inNamespace(namespace: string): Iterable<PodFact>;
  /** The Pod that has the address now: a living one before one that ends, the younger before the older. hostNetwork Pods do not count. */
  byIp(ip: string): PodFact | undefined;
  /** UIDs of live Pods whose gates are still closed. */
  readonly waitingForGate: ReadonlySet<string>;
  /** Called after each change has been taken in, until `close`; must not throw. */
  follow(listener: (change: PodChange) => void): void;
  /** Follows the facts no longer. */
  close(): void;
}

export function makePodIndex(facts: PodFacts): PodIndex {
  const namespaces = new Map<string, Map<string, PodFact>>();
  const addresses = new Map<string, Map<string, PodFact>>();
  const waitingForGate = new Set<string>();
  const put = (index: Map<string, Map<string, PodFact>>, key: string, pod: PodFact): void => {
    const group = index.get(key);
    if (group === undefined) index.set(key, new Map([[pod.uid, pod]]));
    else group.set(pod.uid, pod);
  };
  const take = (index: Map<string, Map<string, PodFact>>, key: string, uid: string): void => {
    const group = index.get(key);
    group?.delete(uid);
    if (group?.size === 0) index.delete(key);
  };
  const note = ({ before, after }: Pick<PodChange, "before" | "after">): void => {
    if (before !== undefined) {
      take(namespaces, before.namespace, before.uid);
      for (const ip of before.ips) take(addresses, ip, before.uid);
    }
    if (after === undefined) return void waitingForGate.delete(before?.uid ?? "");
    if (waitsForGate(after)) waitingForGate.add(after.uid);
    else waitingForGate.delete(after.uid);
    put(namespaces, after.namespace, after);
    if (!after.hostNetwork) for (const ip of after.ips) put(addresses, ip, after);
  };
  for (const pod of facts.pods.values()) note({ before: undefined, after: pod });
  const followers: ((change: PodChange) => void)[] = [];
  const close = facts.subscribe((change) => {
    note(change);
    for (const listener of followers) listener(change);
  });
  return {
    waitingForGate,
    close,
    follow: (listener) => void followers.push(listener),
    inNamespace: (namespace) => namespaces.get(namespace)?.values() ?? [],
    byIp: (ip) => [...(addresses.get(ip)?.values() ?? [])].sort(livelier)[0],
  };
}

const livelier = (a: PodFact, b: PodFact): number =>
  Number(isEnding(a)) - Number(isEnding(b)) || (b.startedAtMs ?? 0) - (a.startedAtMs ?? 0) || (a.uid < b.uid ? -1 : 1);

/** Its gate is still closed, and it is not on its way out. */
export const waitsForGate = (pod: PodFact): boolean => pod.hasGate && pod.gate !== "True" && !isEnding(pod);
