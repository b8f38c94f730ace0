import type { PodEnd, PodFact } from "../../common/vocabulary.ts";
import type { NodeState, PodChange, PodFacts } from "../../coordinator/state/pod-facts.ts";

/** Pod facts that the test changes by hand. */
export function somePodFacts(...given: readonly PodFact[]) {
  const pods = new Map<string, PodFact>();
  const ends = new Map<string, PodEnd>();
  const listeners: ((change: PodChange) => void)[] = [];
  const nodes: NodeState[] = [{ node: "node-a", source: "agent", sinceMs: 0, heardAtMs: 0 }];
  const state = { complete: true };
  const set = (pod: PodFact): void => {
    const before = pods.get(pod.uid);
    pods.set(pod.uid, pod);
    for (const listener of listeners) listener({ before, after: pod, end: undefined });
  };
  const end = (uid: string, how: PodEnd = "deleted"): void => {
    const before = pods.get(uid);
    pods.delete(uid);
    ends.set(uid, how);
    for (const listener of listeners) listener({ before, after: undefined, end: how });
  };
  const facts: PodFacts = {
    pods,
    formerAt: () => undefined,
    endOf: (uid) => ends.get(uid),
    get complete() {
      return state.complete;
    },
    confirm: () => Promise.resolve(),
    learn: (pod) => set(pod),
    nodes: () => nodes,
    subscribe: (listener) => {
      listeners.push(listener);
      return () => void listeners.splice(listeners.indexOf(listener), 1);
    },
  };
  for (const pod of given) set(pod);
  return { facts, set, end, state };
}
