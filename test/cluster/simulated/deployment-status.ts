/** Pure: what a Deployment's status says, so that `kubectl rollout status` and `kubectl wait` work. */
import { fenceposts } from "./fenceposts.ts";
import { type Condition, conditionOf, type Deployment, type DeploymentStatus, kubernetesTime, type ReplicaSetStatus } from "./objects.ts";

type Counted = ReplicaSetStatus & { readonly current: boolean };

/** `deadlineAtMs`: when the rollout, if nothing moves, exceeds its progress deadline; undefined when it is complete or already late. */
export function planDeploymentStatus(
  deployment: Deployment,
  sets: readonly Counted[],
  nowMs: number,
): { readonly status: DeploymentStatus; readonly deadlineAtMs: number | undefined } {
  const wanted = deployment.spec.replicas ?? 1;
  const total = (field: "replicas" | "readyReplicas" | "availableReplicas", of: readonly Counted[] = sets): number =>
    of.reduce((sum, set) => sum + (set[field] ?? 0), 0);
  const counts = {
    replicas: total("replicas"),
    updatedReplicas: total(
      "replicas",
      sets.filter((set) => set.current),
    ),
    readyReplicas: total("readyReplicas"),
    availableReplicas: total("availableReplicas"),
  };
  const enough = counts.availableReplicas >= wanted - fenceposts(deployment).maxUnavailable;
  const complete =
    counts.updatedReplicas === wanted &&
    counts.replicas === wanted &&
    counts.availableReplicas >= wanted &&
    sets.some((set) => set.current);
  const { condition: progressing, deadlineAtMs } = planProgress(deployment, counts, complete, nowMs);
  const available: Condition = {
    type: "Available",
    status: enough ? "True" : "False",
    reason: enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
    message: `Deployment ${enough ? "has" : "does not have"} minimum availability.`,
  };
  return {
    status: {
      observedGeneration: deployment.metadata.generation ?? 0,
      ...counts,
      unavailableReplicas: Math.max(0, wanted - counts.availableReplicas),
      conditions: [stamped(deployment, available, nowMs), progressing],
    },
    deadlineAtMs,
  };
}

type Counts = Required<Pick<DeploymentStatus, "replicas" | "updatedReplicas" | "readyReplicas" | "availableReplicas">>;

/** Kubernetes' default of progressDeadlineSeconds. */
const PROGRESS_DEADLINE_SECONDS = 600;

function planProgress(
  deployment: Deployment,
  counts: Counts,
  complete: boolean,
  nowMs: number,
): { readonly condition: Condition; readonly deadlineAtMs: number | undefined } {
  const before = conditionOf(deployment.status?.conditions, "Progressing");
  const was = deployment.status;
  const moved =
    before === undefined ||
    was?.observedGeneration !== deployment.metadata.generation ||
    counts.updatedReplicas > (was?.updatedReplicas ?? 0) ||
    counts.readyReplicas > (was?.readyReplicas ?? 0) ||
    counts.availableReplicas > (was?.availableReplicas ?? 0) ||
    counts.replicas - counts.updatedReplicas < (was?.replicas ?? 0) - (was?.updatedReplicas ?? 0);
  const sinceMs = moved ? nowMs : Date.parse(before.lastUpdateTime ?? kubernetesTime(nowMs));
  const limitMs = (deployment.spec.progressDeadlineSeconds ?? PROGRESS_DEADLINE_SECONDS) * 1000;
  const name = deployment.metadata.name;
  const condition = (status: string, reason: string, message: string): Condition =>
    stamped(deployment, { type: "Progressing", status, reason, message }, nowMs, moved);
  if (complete)
    return {
      condition: condition("True", "NewReplicaSetAvailable", `Deployment "${name}" has successfully progressed.`),
      deadlineAtMs: undefined,
    };
  const wasComplete = before?.reason === "NewReplicaSetAvailable" && !moved; // a Pod of a finished rollout became unready: no new deadline
  if (wasComplete) return { condition: before, deadlineAtMs: undefined };
  if (nowMs - sinceMs > limitMs)
    return {
      condition: condition("False", "ProgressDeadlineExceeded", `Deployment "${name}" has timed out progressing.`),
      deadlineAtMs: undefined,
    };
  return {
    condition: condition("True", "ReplicaSetUpdated", `Deployment "${name}" is progressing.`),
    deadlineAtMs: sinceMs + limitMs + 1000,
  };
}

/** Times change only with what they are about, else every look would be a write. */
function stamped(deployment: Deployment, condition: Condition, nowMs: number, moved = false): Condition {
  const before = conditionOf(deployment.status?.conditions, condition.type);
  const now = kubernetesTime(nowMs);
  const same = before?.status === condition.status && before.reason === condition.reason;
  return {
    ...condition,
    lastTransitionTime: before?.status === condition.status ? (before.lastTransitionTime ?? now) : now,
    lastUpdateTime: same && !moved ? (before.lastUpdateTime ?? now) : now,
  };
}
