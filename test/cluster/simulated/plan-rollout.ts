/** Pure: the rolling update of a Deployment through its ReplicaSets, step by step as Kubernetes' own controller does it. */
import { createHash } from "node:crypto";
import { planDeploymentStatus } from "./deployment-status.ts";
import { fenceposts } from "./fenceposts.ts";
import { controllerOf, type Deployment, type DeploymentStatus, type Pod, type ReplicaSet, type Template } from "./objects.ts";
import { planReplicaSet } from "./plan-replica-set.ts";

export const HASH_LABEL = "pod-template-hash";
export const REVISION = "deployment.kubernetes.io/revision";

export type RolloutAction =
  | { readonly kind: "create"; readonly name: string; readonly hash: string; readonly replicas: number; readonly revision: string }
  | { readonly kind: "scale"; readonly name: string; readonly replicas: number }
  | { readonly kind: "revise"; readonly name: string; readonly revision: string }
  | { readonly kind: "delete"; readonly name: string };

export type RolloutPlan = {
  readonly actions: readonly RolloutAction[];
  readonly status: DeploymentStatus;
  /** When time alone changes the plan (minReadySeconds, the progress deadline), milliseconds since the epoch. */
  readonly lookAgainAtMs: number | undefined;
};

/** One ReplicaSet as the plan sees it; `replicas` is what its spec wants, whether or not the Pods exist yet. */
type Member = { readonly name: string; readonly replicas: number; readonly available: number };

/**
 * The next steps of one Deployment. `replicaSets` and `pods` may hold others' objects. Level-triggered: applied and asked again it ends
 * in a plan without actions, or waits for Pods.
 */
export function planRollout(deployment: Deployment, replicaSets: readonly ReplicaSet[], pods: readonly Pod[], nowMs: number): RolloutPlan {
  const own = replicaSets
    .filter((set) => controllerOf(set.metadata) === deployment.metadata.uid && set.metadata.deletionTimestamp === undefined)
    .sort((a, b) => revisionOf(a) - revisionOf(b));
  const plans = new Map(own.map((set) => [set.metadata.uid, planReplicaSet(set, pods, nowMs)]));
  const hash = templateHash(deployment.spec.template);
  const current = own.find((set) => set.metadata.labels?.[HASH_LABEL] === hash);
  const member = (set: ReplicaSet): Member => ({
    name: set.metadata.name,
    replicas: set.spec.replicas ?? 1,
    available: plans.get(set.metadata.uid)?.status.availableReplicas ?? 0,
  });
  const old = own.filter((set) => set !== current);
  const { status, deadlineAtMs } = planDeploymentStatus(
    deployment,
    [...plans].map(([uid, plan]) => ({ ...plan.status, current: uid === current?.metadata.uid })),
    nowMs,
  );
  const times = [...plans.values()].map((plan) => plan.lookAgainAtMs).concat(deadlineAtMs);
  const lookAgainAtMs = times.filter((time) => time !== undefined).sort((a, b) => a - b)[0];
  if (deployment.metadata.deletionTimestamp !== undefined) return { actions: [], status, lookAgainAtMs: undefined };
  const revision = String(1 + Math.max(0, ...old.map(revisionOf)));
  const steps =
    current === undefined
      ? [planNewReplicaSet(deployment, old.map(member), { name: `${deployment.metadata.name}-${hash}`, hash, revision })]
      : planScale(deployment, member(current), old.map(member));
  const revise = current !== undefined && revisionOf(current) < Number(revision);
  return {
    actions: [
      ...(revise ? [{ kind: "revise", name: current.metadata.name, revision } as const] : []),
      ...steps,
      ...(steps.length === 0 ? planHistory(deployment, old, pods, nowMs) : []),
    ],
    status,
    lookAgainAtMs,
  };
}

/** A paused Deployment makes no new ReplicaSet in Kubernetes; nobody here pauses one, so that case is left out. */
function planNewReplicaSet(
  deployment: Deployment,
  old: readonly Member[],
  to: { readonly name: string; readonly hash: string; readonly revision: string },
): RolloutAction {
  return { kind: "create", ...to, replicas: newReplicas(deployment, 0, sum(old, "replicas")) };
}

/** Scale the new one up as far as the surge allows; only when that is done take from the old ones what availability allows. */
function planScale(deployment: Deployment, current: Member, old: readonly Member[]): readonly RolloutAction[] {
  const wanted = deployment.spec.replicas ?? 1;
  const next = newReplicas(deployment, current.replicas, sum(old, "replicas"));
  if (next !== current.replicas) return [{ kind: "scale", name: current.name, replicas: next }];
  if (sum(old, "replicas") === 0) return [];
  const { maxUnavailable } = fenceposts(deployment);
  const all = [current, ...old];
  const least = wanted - maxUnavailable;
  const newUnavailable = current.replicas - current.available;
  const removable = sum(all, "replicas") - least - newUnavailable;
  if (removable <= 0) return [];
  const cleaned = takeFrom(old, removable, (set) => set.replicas - set.available);
  // Unavailable Pods that were just taken do not count as available, so both steps may run in one pass.
  const after = takeFrom(cleaned, sum(all, "available") - least, (set) => set.replicas);
  return after.flatMap((set, index) =>
    set.replicas === old[index]?.replicas ? [] : [{ kind: "scale", name: set.name, replicas: set.replicas } as const],
  );
}

function takeFrom(sets: readonly Member[], most: number, spare: (set: Member) => number): readonly Member[] {
  let left = Math.max(0, most);
  return sets.map((set) => {
    const taken = Math.max(0, Math.min(left, spare(set), set.replicas));
    left -= taken;
    return { ...set, replicas: set.replicas - taken };
  });
}

function newReplicas(deployment: Deployment, current: number, old: number): number {
  const wanted = deployment.spec.replicas ?? 1;
  if (old === 0 || current > wanted) return wanted;
  const room = wanted + fenceposts(deployment).maxSurge - current - old;
  return room <= 0 ? current : Math.min(wanted, current + room);
}

/** Old ReplicaSets without Pods beyond `revisionHistoryLimit` (Kubernetes' default 10), oldest first. */
function planHistory(deployment: Deployment, old: readonly ReplicaSet[], pods: readonly Pod[], nowMs: number): readonly RolloutAction[] {
  const empty = old.filter((set) => set.spec.replicas === 0 && planReplicaSet(set, pods, nowMs).status.replicas === 0);
  const surplus = Math.max(0, old.length - (deployment.spec.revisionHistoryLimit ?? 10));
  return empty.slice(0, surplus).map((set) => ({ kind: "delete", name: set.metadata.name }));
}

/** 10 hex digits over the template with sorted keys: the same for the same template, however the API server orders it. */
export const templateHash = (template: Template): string =>
  createHash("sha256")
    .update(JSON.stringify(sorted(template)))
    .digest("hex")
    .slice(0, 10);

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

const revisionOf = (set: ReplicaSet): number => Number(set.metadata.annotations?.[REVISION] ?? 0);
const sum = (sets: readonly Member[], field: "replicas" | "available"): number => sets.reduce((total, set) => total + set[field], 0);
