import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { Logger } from "../../common/log.ts";
import { CLUSTER_TAG, OWNER_TAG, ownerMarkOf } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError, isLocked } from "../cloud/clb-error.ts";
import type { Call } from "../domain/call.ts";
import { itemsOf } from "../domain/call.ts";
import type { WantedBackend } from "../domain/intent/backends.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import { type LoadBalancer, placesOf, slotOf, targetKey } from "../domain/load-balancer.ts";
import { afterConflicts, inLaneOrder } from "../domain/plan/lane-order.ts";
import type { Plan } from "../domain/plan/plan-load-balancer.ts";
import { placePairs } from "../domain/plan/plan-structure.ts";
import { type Drift, driftOf } from "../domain/safety/drift.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import type { Outcome, Reconcile } from "../workqueue/worker.ts";
import { holdUpFailedCall, holdUpFailedClaim } from "./failed-call.ts";
import { Lanes } from "./lanes.ts";
import { LockWait } from "./lock-wait.ts";
import type { RefusedItems } from "./refused-items.ts";
import type { Resync } from "./resync.ts";
import type { Writer } from "./writer.ts";

export type LoadBalancerDeps = {
  readonly api: ClbApi;
  readonly mirror: Mirror;
  readonly writer: Writer;
  readonly addressClaims: AddressClaims;
  /** Pods that are known live, so what the journal says of them is kept; default: none is. */
  readonly facts?: Pick<PodFacts, "pods">;
  readonly intents: Pick<Intents, "desired" | "loadBalancerIds">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly clusterId: string;
  /** How long weight 0 lasts before the target is unbound. */
  readonly drainMs: number;
  /** How often a load balancer is passed over although nothing changes. */
  readonly resyncMs: number;
  /** Which are to be read anew to notice what others changed; default: none. */
  readonly resync?: Pick<Resync, "isDue" | "failed">;
  /** Every watch has synced once. Before that nothing is decided. */
  readonly synced: () => boolean;
  readonly plan: (desired: DesiredLoadBalancer, actual: LoadBalancer) => Plan;
  /** Those calls of a plan that may be made; default: all. */
  readonly allowed?: (calls: readonly Call[]) => readonly Call[];
  /** A wanted backend gets the target that is bound for the former Pod of its address, because nothing is ever unbound; default: none does. */
  readonly takesOver?: (backend: WantedBackend) => boolean;
  /** Told of a load balancer that is gone, or not ours any more. */
  readonly onForgotten?: (loadBalancerId: string) => void;
  /** Told of each write that ended, well or not; not of those that met a lock. */
  readonly onMade?: (made: Made) => void;
  /** Tells what the plan found but does not touch. */
  readonly report: (desired: DesiredLoadBalancer, plan: Plan) => void;
  readonly refusedItems: RefusedItems;
  /** Told what somebody else changed in listeners of ours. */
  readonly onDrift?: (loadBalancerId: string, drifts: readonly Drift[]) => void;
};

/** A write that ended. `result` is "ok" or the cloud's code; `waitedMs` since its lane was first planned. Times are milliseconds since the epoch. */
export type Made = {
  readonly loadBalancerId: string;
  readonly call: Call;
  readonly result: string;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly waitedMs: number;
};

/** How to wait for the first synchronisation of the watches. */
const NOT_SYNCED_MS = 100;

/** One pass over one load balancer: observe, plan, make the first call only, look again. */
export function makeLoadBalancerReconciler(deps: LoadBalancerDeps): Reconcile {
  const { mirror, intents, clock } = deps;
  const [tails, lanes] = [new LockWait(), new Lanes()];
  const forget = (id: string): void => {
    for (const book of [tails, lanes, deps.refusedItems, deps.writer]) book.forget(id);
    deps.onForgotten?.(id);
  };
  return async (id, signal) => {
    if (!deps.synced()) return { kind: "again", afterMs: NOT_SYNCED_MS, because: "not every watch has synced" };
    if (!intents.loadBalancerIds.has(id)) {
      mirror.drop(id); // once it is deleted, it would fail every question in which it is named
      forget(id);
      return { kind: "done" };
    }
    if (!(await ensureCurrent(deps, id, signal))) {
      forget(id);
      return audit(deps);
    }
    const actual = mirror.read(id);
    if (actual === undefined) return audit(deps);
    const desired = intents.desired(id);
    await adopt(deps, lanes, desired, actual, signal);
    const plan = deps.plan(desired, actual);
    deps.report(desired, plan);
    const allowed = deps.allowed?.(plan.calls) ?? plan.calls;
    const now = clock.now();
    const open = deps.refusedItems.openCalls(id, lanes.running(id, afterConflicts(allowed), now), now);
    lanes.planned(id, open, now); // what is refused waits for another reason than its turn
    const [call] = inLaneOrder(open, lanes.turn(id, now));
    if (call !== undefined) {
      const lockedMs = tails.waitMs(id, clock.now());
      if (lockedMs > 0) return { kind: "again", afterMs: lockedMs, because: "locked" };
      const made = await make(deps, tails, lanes, id, call, signal);
      return { kind: "again", afterMs: made ? 0 : tails.waitMs(id, clock.now()), because: made ? call.lane : "locked" };
    }
    if (deps.allowed === undefined || deps.allowed(DELETION).length > 0)
      if (await deleteIfOver(deps, desired, actual, signal)) return { kind: "done" };
    return next(deps, lanes, id, actual);
  };
}

/** Stands for the deletion of a load balancer, which no lane of a plan is. */
const DELETION: readonly Call[] = [{ lane: "delete", listenerIds: [] }];

/**
 * A target that is wanted and was bound by somebody else is ours from now on: else nobody would take it off when its Pod ends. What the
 * journal does not take is tried again by a later pass.
 */
async function adopt(
  deps: LoadBalancerDeps,
  lanes: Lanes,
  desired: DesiredLoadBalancer,
  actual: LoadBalancer,
  signal: AbortSignal,
): Promise<void> {
  const id = actual.loadBalancerId;
  if (lanes.pauses(id, "adopt", deps.clock.now())) return;
  const claims = adoptable(deps, desired, actual);
  if (claims.size === 0) return;
  try {
    await deps.writer.claim(id, claims, signal);
    lanes.worked(id, "adopt");
  } catch (err) {
    if (!(err instanceof KubeApiError)) throw err;
    holdUpFailedClaim(deps, lanes, id, "adopt", err);
  }
}

/** Address -> UID of the Pod that it is to be claimed for. */
function adoptable(
  { addressClaims, takesOver }: LoadBalancerDeps,
  desired: DesiredLoadBalancer,
  actual: LoadBalancer,
): Map<string, string> {
  const claims = new Map<string, string>();
  const mayClaim = (backend: WantedBackend): boolean => {
    const former = addressClaims.podOf(actual.loadBalancerId, backend.ip);
    return former === undefined || (former !== backend.podUid && backend.bindable && takesOver?.(backend) === true);
  };
  for (const { place, wanted } of placePairs(desired, actual)) {
    if (place.targets.length === 0) continue;
    const unclaimed = wanted?.backends.filter(mayClaim) ?? [];
    if (unclaimed.length === 0) continue;
    const bound = new Set(place.targets.map(targetKey));
    for (const backend of unclaimed) if (bound.has(targetKey(backend))) claims.set(backend.ip, backend.podUid);
  }
  return claims;
}

/** Reads the load balancer where the mirror is in doubt or its audit is due. False: it does not exist, or is not ours to look at any more. */
async function ensureCurrent(deps: LoadBalancerDeps, id: string, signal: AbortSignal): Promise<boolean> {
  const doubt = deps.mirror.staleBecause(id);
  if (doubt !== undefined) return await readAnew(deps, id, doubt, signal);
  if (deps.resync?.isDue(id) !== true) return true;
  try {
    return await readAnew(deps, id, "audit", signal);
  } catch (err) {
    if (!(err instanceof ClbApiError)) throw err;
    deps.resync.failed(id);
    deps.log.warn({ err, loadBalancerId: id }, "load balancer not audited"); // nothing of what is known has come into doubt
    return true;
  }
}

async function readAnew(deps: LoadBalancerDeps, id: string, because: string, signal: AbortSignal): Promise<boolean> {
  const { api, mirror, addressClaims, clock, log } = deps;
  const lookedAtMs = clock.now();
  await addressClaims.load(id, signal);
  const facts = await api.loadBalancer(id, signal);
  if (facts === undefined) {
    if (mirror.read(id) !== undefined) log.error({ loadBalancerId: id }, "load balancer is gone");
    mirror.forget(id);
    return false;
  }
  const isOurs = (name: string): boolean => ownerMarkOf(name, deps.clusterId) !== undefined;
  const listeners = await api.listeners(id, isOurs, signal);
  if (!deps.intents.loadBalancerIds.has(id)) return false; // its last owner went meanwhile
  const bound = new Set(placesOf({ listeners }).flatMap(({ targets }) => targets.map(({ ip }) => ip)));
  addressClaims.keepOnly(id, (ip, podUid) => bound.has(ip) || deps.facts?.pods.has(podUid) === true, lookedAtMs);
  const known = mirror.read(id);
  mirror.fill(facts, listeners, clock.now());
  deps.writer.confirm(id);
  // A look that nothing of ours made necessary: every difference is somebody else's.
  if (because === "audit" && known !== undefined)
    deps.onDrift?.(id, driftOf(deps.clusterId, known.listeners, mirror.read(id)?.listeners ?? []));
  log.debug({ loadBalancerId: id, because }, "load balancer read");
  return true;
}

/** False: the load balancer is locked by another write, perhaps the tail of our own last batch; nothing was done. */
async function make(deps: LoadBalancerDeps, tails: LockWait, lanes: Lanes, id: string, call: Call, signal: AbortSignal): Promise<boolean> {
  const { clock, mirror, refusedItems } = deps;
  const startedMs = clock.now();
  const waitedMs = lanes.waitedMs(id, call.lane, startedMs);
  const ended = (result: string): void => {
    const endedMs = clock.now();
    // Whoever held the lock for so long has changed something: what we knew before is not what our next decision may rest on.
    if (tails.passed(id, startedMs)) mirror.markStale(id, "another writer held the lock");
    if (result === "ok") {
      lanes.wrote(id, call.lane, { startedMs, endedMs }); // a refusal is quick, and no measure of how long others wait
      tails.ended(id, isBatch(call) ? "batch" : "task", itemsOf(call), endedMs);
    }
    deps.onMade?.({ loadBalancerId: id, call, result, startedMs, endedMs, waitedMs });
  };
  try {
    await deps.writer.make(id, call, signal);
    refusedItems.worked(id, call, clock.now());
    lanes.worked(id, call.lane);
    ended("ok");
    return true;
  } catch (err) {
    if (err instanceof KubeApiError) {
      holdUpFailedClaim(deps, lanes, id, "bind", err);
      return true;
    }
    if (!(err instanceof ClbApiError)) throw err;
    if (isLocked(err.call.code)) {
      tails.refused(id, startedMs, clock.now());
      return false;
    }
    ended(err.call.code);
    holdUpFailedCall(deps, lanes, id, call, err);
    return true;
  }
}

/** Synchronous calls, after which the load balancer stays locked for a while (clb-api.md §3.3). */
const isBatch = ({ lane }: Call): boolean => lane === "bind" || lane === "unbind" || lane === "conflict";

/** A load balancer that we created goes with its owner, once nothing is on it any more. */
async function deleteIfOver(
  deps: LoadBalancerDeps,
  desired: DesiredLoadBalancer,
  actual: LoadBalancer,
  signal: AbortSignal,
): Promise<boolean> {
  const [owner, ...others] = desired.owners;
  if (owner === undefined || others.length > 0 || owner.state !== "released" || actual.listeners.length > 0) return false;
  if (actual.tags[CLUSTER_TAG] !== deps.clusterId || actual.tags[OWNER_TAG] !== owner.ref.uid) return false;
  await deps.api.deleteLoadBalancer(actual.loadBalancerId, signal);
  deps.log.info({ loadBalancerId: actual.loadBalancerId }, "load balancer deleted");
  deps.mirror.forget(actual.loadBalancerId);
  return true;
}

const audit = (deps: LoadBalancerDeps): Outcome => ({ kind: "again", afterMs: deps.resyncMs, because: "audit" });

/** When to look again although nothing changes: the end of a drain, of a refusal, of a pause, or now and then. */
function next(deps: LoadBalancerDeps, lanes: Lanes, id: string, actual: LoadBalancer): Outcome {
  const now = deps.clock.now();
  let atMs = now + deps.resyncMs;
  for (const place of placesOf(actual))
    for (const target of place.targets) {
      if (target.weight > 0) continue;
      const drainedAtMs = deps.mirror.drainedAtMs(id, slotOf(place, target));
      if (drainedAtMs !== undefined && drainedAtMs + deps.drainMs > now) atMs = Math.min(atMs, drainedAtMs + deps.drainMs);
    }
  for (const dueMs of [deps.refusedItems.nextMs(id, now), lanes.nextMs(id, now)]) if (dueMs !== undefined) atMs = Math.min(atMs, dueMs);
  return { kind: "again", afterMs: Math.max(atMs - now, 1), because: "time" };
}
