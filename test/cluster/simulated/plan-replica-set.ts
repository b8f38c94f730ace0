/** Pure: what a ReplicaSet wants of its Pods. Behaviour of Kubernetes' own controller (kubernetes.md §3), without its burst limits. */
import { availableAtMs, controllerOf, isActive, isReady, type Pod, type ReplicaSet, type ReplicaSetStatus } from "./objects.ts";

export type ReplicaSetPlan = {
  readonly create: number;
  readonly remove: readonly Pod[];
  readonly status: ReplicaSetStatus;
  /** When the next ready Pod becomes available, milliseconds since the epoch; undefined if none waits. */
  readonly lookAgainAtMs: number | undefined;
};

const podsOf = (replicaSet: ReplicaSet, pods: readonly Pod[]): readonly Pod[] =>
  pods.filter((pod) => controllerOf(pod.metadata) === replicaSet.metadata.uid && isActive(pod));

/** `pods` may hold Pods of others; only active ones that this ReplicaSet controls count. */
export function planReplicaSet(replicaSet: ReplicaSet, pods: readonly Pod[], nowMs: number): ReplicaSetPlan {
  const own = podsOf(replicaSet, pods);
  const wanted = replicaSet.metadata.deletionTimestamp === undefined ? (replicaSet.spec.replicas ?? 1) : 0;
  const times = own.map((pod) => availableAtMs(pod, replicaSet.spec.minReadySeconds ?? 0)).filter((time) => time !== undefined);
  const later = times.filter((time) => time > nowMs);
  return {
    create: Math.max(0, wanted - own.length),
    remove: [...own].sort(byDispensability).slice(0, Math.max(0, own.length - wanted)),
    status: {
      observedGeneration: replicaSet.metadata.generation ?? 0,
      replicas: own.length,
      fullyLabeledReplicas: own.length,
      readyReplicas: own.filter(isReady).length,
      availableReplicas: times.length - later.length,
    },
    lookAgainAtMs: later.length === 0 ? undefined : Math.min(...later),
  };
}

/** Kubernetes' ActivePodsWithRanks: unscheduled, pending and not-ready Pods go first, then the cheapest, then the youngest. */
function byDispensability(a: Pod, b: Pod): number {
  const steps = [
    Number(a.spec.nodeName !== undefined) - Number(b.spec.nodeName !== undefined),
    phaseRank(a) - phaseRank(b),
    Number(isReady(a)) - Number(isReady(b)),
    deletionCost(a) - deletionCost(b),
    (availableAtMs(b, 0) ?? 0) - (availableAtMs(a, 0) ?? 0),
    bornAtMs(b) - bornAtMs(a),
  ];
  return steps.find((step) => step !== 0) ?? (a.metadata.name < b.metadata.name ? -1 : 1);
}

const phaseRank = (pod: Pod): number => ["Pending", "Unknown", "Running"].indexOf(pod.status?.phase ?? "Pending");
const deletionCost = (pod: Pod): number => Number(pod.metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? 0) || 0;
const bornAtMs = (pod: Pod): number => Date.parse(pod.metadata.creationTimestamp ?? "1970-01-01T00:00:00Z");
