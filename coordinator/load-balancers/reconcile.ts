import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { ClbApiError, isLocked } from "../cloud/clb-error.ts";
import { type Call, itemsOf } from "../domain/call.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import type { Listener, LoadBalancer } from "../domain/load-balancer.ts";
import { afterConflicts, inLaneOrder } from "../domain/plan/lane-order.ts";
import type { Plan } from "../domain/plan/plan-load-balancer.ts";
import type { Intents } from "../state/intents.ts";
import type { Outcome, Reconcile } from "../workqueue/worker.ts";
import { type AdoptDeps, adopt, ClaimedPlaces } from "./adopt.ts";
import { type DeletionDeps, deleteIfOver } from "./deletion.ts";
import { DrainingTargets } from "./draining.ts";
import { pauseAfterFailedCall, pauseAfterFailedClaim } from "./failed-call.ts";
import { Lanes, workOf } from "./lanes.ts";
import type { ListenerRecorder } from "./listener-recorder.ts";
import { LockWait } from "./lock-wait.ts";
import { PassPace } from "./pass-pace.ts";
import { ensureCurrent, type RefreshDeps } from "./refresh.ts";
import { type Turn, Turns, type TurnsDeps } from "./turns.ts";
import type { Writer } from "./writer.ts";

export type LoadBalancerDeps = RefreshDeps &
  DeletionDeps &
  Omit<AdoptDeps, "lanes" | "claimed"> & {
    readonly writer: Writer;
    readonly intents: Pick<Intents, "desired">;
    /** How long weight 0 lasts before the target is unbound. */
    readonly drainMs: number;
    /** How often a load balancer gets a pass although nothing changes. */
    readonly resyncMs: number;
    /** Every watch has synced once. Before that nothing is decided. */
    readonly synced: () => boolean;
    /** False: nothing is written yet, or ever; default: all is well. */
    readonly isOurs?: () => boolean;
    /** `aheadMs`: how long the write takes that comes next; default 0. */
    readonly plan: (desired: DesiredLoadBalancer, actual: LoadBalancer, aheadMs?: number) => Plan;
    /** Told of each plan before its first call is made. */
    readonly onPlan?: (loadBalancerId: string, plan: Plan, signal: AbortSignal) => void;
    /** Says whose turn has come, at so many calls a second; default: each call stands in its action's queue. */
    readonly rateLimit?: TurnsDeps["rateLimit"];
    readonly callsPerSecond?: number;
    /** Those calls of a plan that may be made; default: all. */
    readonly allowed?: (calls: readonly Call[]) => readonly Call[];
    /** Keeps what is stored of owners in step; default: nothing is stored. */
    readonly recorder?: Pick<ListenerRecorder, "keep">;
    /** Told of a load balancer that is gone, or not ours any more. */
    readonly onForgotten?: (loadBalancerId: string) => void;
    /** Told of each write that ended, well or not; not of those that met a lock. */
    readonly onMade?: (made: Made) => void;
    /** Tells what the plan found but does not touch. */
    readonly report: (desired: DesiredLoadBalancer, plan: Plan) => void;
  };

/** A write that ended. `result` is "ok" or the cloud's code; `waitedMs` since its lane was first planned. Times are milliseconds since the epoch. */
export type Made = {
  readonly loadBalancerId: string;
  readonly call: Call;
  readonly result: string;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly waitedMs: number;
  /** How long the API server took to store whom the addresses of a bind are for, before the cloud was called. */
  readonly claimMs: number;
  /** When it waited for a turn by the rate limit; undefined: it did not. */
  readonly turn: Turn["waited"];
  /** When the load balancer's lock was free, as far as is known; 0: nobody had held it. */
  readonly freeMs: number;
  /** The listeners before the call. */
  readonly before: readonly Listener[];
};

/** How to wait for the first synchronisation of the watches. */
const NOT_SYNCED_MS = 100;
/** And for the proof that this cluster is no copy. */
const NOT_OURS_MS = 250;

/** What a pass uses: its ports, and what it remembers of each load balancer from one pass to the next. */
type PassDeps = LoadBalancerDeps & {
  readonly lockWait: LockWait;
  readonly lanes: Lanes;
  readonly claimed: ClaimedPlaces;
  readonly draining: DrainingTargets;
};

/** One pass over one load balancer: observe, plan, make the first call only, and ask for the next pass. */
export function makeLoadBalancerReconciler(ports: LoadBalancerDeps): Reconcile {
  const memories = { lockWait: new LockWait(), lanes: new Lanes(), claimed: new ClaimedPlaces(), draining: new DrainingTargets() };
  const deps: PassDeps = { ...ports, ...memories };
  const { mirror, intents, clock, lanes, lockWait, rateLimit, callsPerSecond = Number.POSITIVE_INFINITY } = deps;
  const turns = rateLimit && new Turns({ rateLimit, callsPerSecond });
  const pace = new PassPace();
  const forget = (id: string): void => {
    for (const memory of [lockWait, lanes, deps.refusedItems, deps.writer, turns, pace]) memory?.forget(id);
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
      return resync(deps);
    }
    const companyMs = Math.max(lanes.companyMs(id, clock.now()), pace.waitMs(id, clock.now()));
    if (companyMs > 0) return { kind: "again", afterMs: companyMs, because: "company" };
    const actual = mirror.read(id);
    if (actual === undefined) return resync(deps);
    if (deps.isOurs?.() === false) return { kind: "again", afterMs: NOT_OURS_MS, because: "this cluster may be a copy" };
    const begunMs = clock.now();
    const desired = intents.desired(id);
    const desiredMs = clock.now() - begunMs;
    await adopt(deps, desired, actual, signal);
    const adoptedMs = clock.now();
    deps.recorder?.keep(desired, actual, signal);
    const { plan, ordered } = duePlan(deps, id, desired, actual);
    deps.onPlan?.(id, plan, signal);
    deps.report(desired, plan);
    const now = clock.now();
    pace.passed(id, desiredMs + now - adoptedMs, now);
    const lockedMs = ordered.length === 0 ? 0 : lockWait.waitMs(id, clock.now());
    if (lockedMs > 0) return { kind: "again", afterMs: lockedMs, because: "locked" };
    const unbindMs = lanes.unbindCompanyMs(id, ordered, now);
    if (unbindMs > 0) return { kind: "again", afterMs: unbindMs, because: "company" };
    const freeMs = untilLeft(plan, ordered[0], lanes.times(id, now).tookMs, now);
    if (freeMs > 0) return { kind: "again", afterMs: freeMs, because: "time" };
    const [first] = ordered;
    const turn = turns === undefined ? first && { call: first } : turns.first(id, ordered, clock.now());
    if (turn !== undefined) {
      const { call } = turn;
      const made = await make(deps, id, turn, signal);
      return { kind: "again", afterMs: made ? 0 : lockWait.waitMs(id, clock.now()), because: made ? call.lane : "locked" };
    }
    if (ordered.length > 0) return next(deps, id, actual, plan.dueMs); // its turn wakes it
    if (deps.allowed === undefined || deps.allowed(DELETION).length > 0)
      if (await deleteIfOver(deps, desired, actual, signal)) return { kind: "done" };
    return next(deps, id, actual, plan.dueMs);
  };
}

type Planned = { readonly plan: Plan; readonly ordered: readonly Call[] };

/**
 * What is due, the first call first. Pods that terminate and serve on have to leave in time, and the load balancer does one write after the
 * other: those whose time is up before the next write has ended leave first.
 */
function duePlan(
  { plan, allowed, refusedItems, lanes, clock }: PassDeps,
  id: string,
  desired: DesiredLoadBalancer,
  actual: LoadBalancer,
): Planned {
  const planned = (aheadMs: number): Planned => {
    const made = plan(desired, actual, aheadMs);
    const now = clock.now();
    const open = refusedItems.openCalls(id, lanes.running(id, afterConflicts(allowed?.(made.calls) ?? made.calls), now), now);
    lanes.planned(id, open, now); // what is refused waits for another reason than its turn
    return { plan: made, ordered: inLaneOrder(open, lanes.times(id, now)) };
  };
  const present = planned(0);
  const [first] = present.ordered;
  const { lastsMs } = present.plan;
  if (first === undefined || lastsMs === undefined) return present;
  const tookMs = lanes.times(id, clock.now()).tookMs(first.lane);
  return lastsMs <= clock.now() + tookMs ? planned(tookMs) : present;
}

/** What nobody waits for. */
const PATIENT: ReadonlySet<Call["lane"]> = new Set(["unbind", "tune", "delete"]);

/** How long such a call waits so that it is not under way when the last Pods that serve have to leave, milliseconds. */
function untilLeft({ lastsMs }: Plan, call: Call | undefined, tookMs: (lane: Call["lane"]) => number, nowMs: number): number {
  if (lastsMs === undefined || call === undefined || !PATIENT.has(call.lane) || nowMs + tookMs(call.lane) < lastsMs) return 0;
  return Math.max(0, lastsMs - nowMs);
}

/** Stands for the deletion of a load balancer, which no lane of a plan is. */
const DELETION: readonly Call[] = [{ lane: "delete", listenerIds: [] }];

/** False: the load balancer is locked by another write, perhaps the tail of our own last batch; nothing was done. */
async function make(deps: PassDeps, id: string, { call, waited: turn }: Turn, signal: AbortSignal): Promise<boolean> {
  const { clock, mirror, refusedItems, lockWait, lanes } = deps;
  const startedMs = clock.now();
  const waitedMs = lanes.waitedMs(id, call.lane, startedMs);
  const freeMs = lockWait.freeMs(id);
  const before = mirror.listeners(id) ?? [];
  const ended = (result: string, claimMs = 0): void => {
    const endedMs = clock.now();
    // Whoever held the lock for so long has changed something: what we knew before is not what our next decision may rest on.
    if (lockWait.passed(id, startedMs)) mirror.markStale(id, "another writer held the lock");
    if (result === "ok") {
      lanes.wrote(id, call.lane, { startedMs, endedMs }); // a refusal is quick, and no measure of how long others wait
      lockWait.ended(id, { kind: isBatch(call) ? "batch" : "task", items: itemsOf(call), startedMs, endedMs });
    }
    deps.onMade?.({ loadBalancerId: id, call, result, startedMs, endedMs, waitedMs, claimMs, turn, freeMs, before });
  };
  try {
    const { claimMs } = await deps.writer.make(id, call, signal);
    refusedItems.worked(id, call, clock.now());
    lanes.worked(id, workOf(call));
    ended("ok", claimMs);
    return true;
  } catch (err) {
    if (err instanceof KubeApiError) {
      pauseAfterFailedClaim(deps, id, "bind", err);
      return true;
    }
    if (!(err instanceof ClbApiError)) throw err;
    if (isLocked(err.call.code)) {
      lockWait.refused(id, startedMs, clock.now());
      return false;
    }
    ended(err.call.code);
    pauseAfterFailedCall(deps, id, call, err);
    return true;
  }
}

/** Synchronous calls, after which the load balancer stays locked for a while (clb-api.md §3.3). */
const isBatch = (call: Call): boolean => "targets" in call || "slots" in call;

const resync = ({ resyncMs }: LoadBalancerDeps): Outcome => ({ kind: "again", afterMs: resyncMs, because: "resync" });

/** When the next pass is due although nothing changes: the end of a drain, of a refusal, of a pause, or now and then. */
function next(deps: PassDeps, id: string, actual: LoadBalancer, dueMs: number | undefined): Outcome {
  const now = deps.clock.now();
  let atMs = Math.min(now + deps.resyncMs, dueMs ?? Number.POSITIVE_INFINITY);
  for (const slot of deps.draining.of(actual)) {
    const drainedAtMs = deps.mirror.drainedAtMs(id, slot);
    if (drainedAtMs !== undefined && drainedAtMs + deps.drainMs > now) atMs = Math.min(atMs, drainedAtMs + deps.drainMs);
  }
  for (const ms of [deps.refusedItems.nextMs(id, now), deps.lanes.nextMs(id, now), deps.writer.rereadAtMs(id)])
    if (ms !== undefined) atMs = Math.min(atMs, ms);
  return { kind: "again", afterMs: Math.max(atMs - now, 1), because: "time" };
}
