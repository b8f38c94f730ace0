import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { CLUSTER_TAG, OWNER_TAG, ownerMarkOf } from "../../common/names.ts";
import type { AuditWatch } from "../audit-watch.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError, isLocked, isQuota, isThrottled } from "../cloud/clb-error.ts";
import type { Mirror } from "../cloud/mirror.ts";
import { itemsOf, PARTIAL_FAILURE, type Writes } from "../cloud/writes.ts";
import type { DesiredLoadBalancer } from "../domain/desired.ts";
import { type Drift, driftOf } from "../domain/drift.ts";
import {
  type BoundSlot,
  CALL_LIMITS,
  type Call,
  type LoadBalancer,
  placesOf,
  slotKey,
  slotOf,
  targetKey,
} from "../domain/load-balancer.ts";
import type { Plan } from "../domain/plan-load-balancer.ts";
import { placePairs } from "../domain/plan-structure.ts";
import { inTurn } from "../domain/turns.ts";
import type { Journal } from "../journal.ts";
import type { Ledger } from "../ledger.ts";
import { LockTails } from "./lock-tail.ts";
import type { Outcome, Reconcile } from "./worker.ts";

/** A target that the cloud refused when it was alone in its call is left out for so long, twice as long each time, because one failure may pass. */
const REFUSED_MS = { first: 1_000, most: 30_000 } as const;

export type LoadBalancerDeps = {
  readonly api: ClbApi;
  readonly mirror: Mirror;
  readonly writes: Writes;
  readonly journal: Journal;
  readonly ledger: Pick<Ledger, "desired" | "loadBalancerIds">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly clusterId: string;
  /** How long weight 0 lasts before the target is unbound. */
  readonly drainMs: number;
  /** How often a load balancer is passed over although nothing changes. */
  readonly auditMs: number;
  /** Which are to be read anew to notice what others changed; default: none. */
  readonly audits?: Pick<AuditWatch, "isDue" | "failed">;
  /** Every watch has synced once. Before that nothing is decided. */
  readonly synced: () => boolean;
  readonly plan: (desired: DesiredLoadBalancer, actual: LoadBalancer) => Plan;
  /** Those calls of a plan that may be made; default: all. */
  readonly allowed?: (calls: readonly Call[]) => readonly Call[];
  /** Told of each write that ended, well or not; not of those that met a lock. */
  readonly onMade?: (made: Made) => void;
  /** Tells what the plan found but does not touch. */
  readonly report: (desired: DesiredLoadBalancer, plan: Plan) => void;
  readonly refusals: Refusals;
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

/** How long a write takes, as long as none has been made. Source: clb-api.md §7.5. */
const FIRST_WRITE_MS = 5_000;

/** How to wait for the first synchronisation of the watches. */
const NOT_SYNCED_MS = 100;

/** One pass over one load balancer: observe, plan, make the first call only, look again. */
export function makeLoadBalancerReconciler(deps: LoadBalancerDeps): Reconcile {
  const { mirror, ledger, clock } = deps;
  const tails = new LockTails();
  const waits = new LaneWaits();
  const writeMs = new Map<string, number>();
  return async (id, signal) => {
    if (!deps.synced()) return { kind: "again", afterMs: NOT_SYNCED_MS, because: "not every watch has synced" };
    if (!ledger.loadBalancerIds.has(id)) {
      mirror.drop(id); // once it is deleted, it would fail every question in which it is named
      return { kind: "done" };
    }
    if (!(await ensureCurrent(deps, id, signal))) return audit(deps);
    const actual = mirror.read(id);
    if (actual === undefined) return audit(deps);
    const desired = ledger.desired(id);
    await adopt(deps, desired, actual, signal);
    const plan = deps.plan(desired, actual);
    deps.report(desired, plan);
    const allowed = deps.allowed?.(plan.calls) ?? plan.calls;
    waits.planned(id, allowed, clock.now());
    const addWaitedMs = Math.max(waits.of(id, "structure", clock.now()), waits.of(id, "bind", clock.now()));
    const calls = inTurn(allowed, addWaitedMs, writeMs.get(id) ?? FIRST_WRITE_MS);
    const call = deps.refusals.firstCall(id, calls, clock.now());
    if (call !== undefined) {
      const lockedMs = tails.waitMs(id, clock.now());
      if (lockedMs > 0) return { kind: "again", afterMs: lockedMs, because: "locked" };
      const startedMs = clock.now();
      const made = await make(deps, tails, waits, id, call, signal);
      if (made) writeMs.set(id, clock.now() - startedMs);
      return { kind: "again", afterMs: made ? 0 : tails.waitMs(id, clock.now()), because: made ? call.lane : "locked" };
    }
    if (deps.allowed === undefined || deps.allowed(DELETION).length > 0)
      if (await deleteIfOver(deps, desired, actual, signal)) return { kind: "done" };
    return next(deps, id, actual);
  };
}

/** Stands for the deletion of a load balancer, which no lane of a plan is. */
const DELETION: readonly Call[] = [{ lane: "delete", listenerIds: [] }];

/** A target that is wanted and was bound by somebody else is ours from now on: else nobody would take it off when its Pod ends. */
async function adopt(
  { journal }: LoadBalancerDeps,
  desired: DesiredLoadBalancer,
  actual: LoadBalancer,
  signal: AbortSignal,
): Promise<void> {
  const claims = new Map<string, string>();
  for (const { place, wanted } of placePairs(desired, actual)) {
    if (place.targets.length === 0) continue;
    const unclaimed = wanted?.backends.filter(({ ip }) => journal.podOf(actual.loadBalancerId, ip) === undefined) ?? [];
    if (unclaimed.length === 0) continue;
    const bound = new Set(place.targets.map(targetKey));
    for (const backend of unclaimed) if (bound.has(targetKey(backend))) claims.set(backend.ip, backend.podUid);
  }
  if (claims.size > 0) await journal.claim(actual.loadBalancerId, claims, signal);
}

/** Reads the load balancer where the mirror is in doubt or its audit is due. False: it does not exist, or is not ours to look at any more. */
async function ensureCurrent(deps: LoadBalancerDeps, id: string, signal: AbortSignal): Promise<boolean> {
  const doubt = deps.mirror.staleBecause(id);
  if (doubt !== undefined) return await readAnew(deps, id, doubt, signal);
  if (deps.audits?.isDue(id) !== true) return true;
  try {
    return await readAnew(deps, id, "audit", signal);
  } catch (err) {
    if (!(err instanceof ClbApiError)) throw err;
    deps.audits.failed(id);
    deps.log.warn({ err, loadBalancerId: id }, "load balancer not audited"); // nothing of what is known has come into doubt
    return true;
  }
}

async function readAnew(deps: LoadBalancerDeps, id: string, because: string, signal: AbortSignal): Promise<boolean> {
  const { api, mirror, journal, clock, log } = deps;
  const loaded = await journal.load(id, signal);
  const facts = await api.loadBalancer(id, signal);
  if (facts === undefined) {
    if (mirror.read(id) !== undefined) log.error({ loadBalancerId: id }, "load balancer is gone");
    mirror.forget(id);
    return false;
  }
  const isOurs = (name: string): boolean => ownerMarkOf(name, deps.clusterId) !== undefined;
  const listeners = await api.listeners(id, isOurs, signal);
  if (!deps.ledger.loadBalancerIds.has(id)) return false; // its last owner went meanwhile
  if (loaded) journal.keepOnly(id, new Set(placesOf({ listeners }).flatMap(({ targets }) => targets.map(({ ip }) => ip))));
  const known = mirror.read(id);
  mirror.fill(facts, listeners, clock.now());
  // A look that nothing of ours made necessary: every difference is somebody else's.
  if (because === "audit" && known !== undefined)
    deps.onDrift?.(id, driftOf(deps.clusterId, known.listeners, mirror.read(id)?.listeners ?? []));
  log.debug({ loadBalancerId: id, because }, "load balancer read");
  return true;
}

/** False: the load balancer is locked by another write, perhaps the tail of our own last batch; nothing was done. */
async function make(
  deps: LoadBalancerDeps,
  tails: LockTails,
  waits: LaneWaits,
  id: string,
  call: Call,
  signal: AbortSignal,
): Promise<boolean> {
  const { clock, mirror, refusals, log } = deps;
  const startedMs = clock.now();
  const waitedMs = waits.of(id, call.lane, startedMs);
  const ended = (result: string): void => {
    const endedMs = clock.now();
    // Whoever held the lock for so long has changed something: what we knew before is not what our next decision may rest on.
    if (tails.passed(id, startedMs)) mirror.markStale(id, "another writer held the lock");
    if (result === "ok") tails.ended(id, isBatch(call) ? "batch" : "task", itemsOf(call), endedMs);
    deps.onMade?.({ loadBalancerId: id, call, result, startedMs, endedMs, waitedMs });
  };
  try {
    await deps.writes.make(id, call, signal);
    refusals.worked(id, call);
    ended("ok");
    return true;
  } catch (err) {
    if (!(err instanceof ClbApiError)) throw err;
    if (isLocked(err.call.code)) {
      tails.refused(id, startedMs, clock.now());
      return false;
    }
    ended(err.call.code);
    if (isQuota(err.call.code) && deps.writes.overQuota(id) === 1) {
      log.warn({ err, loadBalancerId: id }, "quota met, what is drained makes room first");
      return true;
    }
    if (!refusals.failed(id, call, err, clock.now())) throw err;
    log.warn({ err, loadBalancerId: id, targets: itemsOf(call) }, "bind refused, narrowing it down");
    return true;
  }
}

/** Synchronous calls, after which the load balancer stays locked for a while (clb-api.md §3.3). */
const isBatch = ({ lane }: Call): boolean => lane === "bind" || lane === "unbind" || lane === "conflict";

/** Since when each lane of each load balancer has had something to do. */
class LaneWaits {
  readonly #sinceMs = new Map<string, Map<Call["lane"], number>>();

  planned(id: string, calls: readonly Call[], nowMs: number): void {
    const before = this.#sinceMs.get(id);
    this.#sinceMs.set(id, new Map(calls.map(({ lane }) => [lane, before?.get(lane) ?? nowMs])));
  }

  of(id: string, lane: Call["lane"], nowMs: number): number {
    return nowMs - (this.#sinceMs.get(id)?.get(lane) ?? nowMs);
  }
}

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

const audit = (deps: LoadBalancerDeps): Outcome => ({ kind: "again", afterMs: deps.auditMs, because: "audit" });

/** When to look again although nothing changes: the end of a drain, of a refusal, or now and then. */
function next(deps: LoadBalancerDeps, id: string, actual: LoadBalancer): Outcome {
  const now = deps.clock.now();
  let atMs = now + deps.auditMs;
  for (const place of placesOf(actual))
    for (const target of place.targets) {
      if (target.weight > 0) continue;
      const drainedAtMs = deps.mirror.drainedAtMs(id, slotOf(place, target));
      if (drainedAtMs !== undefined && drainedAtMs + deps.drainMs > now) atMs = Math.min(atMs, drainedAtMs + deps.drainMs);
    }
  const refusedUntilMs = deps.refusals.nextMs(id, now);
  if (refusedUntilMs !== undefined) atMs = Math.min(atMs, refusedUntilMs);
  return { kind: "again", afterMs: Math.max(atMs - now, 1), because: "time" };
}

/** `forQuota`: there was no room for it; that says nothing of it once something has been taken away. */
type Refused = {
  readonly untilMs: number;
  readonly waitMs: number;
  readonly podUid: string;
  readonly message: string;
  readonly forQuota: boolean;
};
/**
 * `suspects`: so many of those that come first in the plan were refused together, so one of them is bad; 0 where nothing is known.
 * `forQuota`: the last refusal was one.
 */
type Suspicion = { cap: number; suspects: number; forQuota: boolean; readonly refused: Map<string, Refused> };

/**
 * One bad target must not block 499 good ones: a refused bind is halved until the bad one is alone; it is then left out for a while.
 */
export class Refusals {
  readonly #suspicions = new Map<string, Suspicion>();
  readonly #onRefused: (loadBalancerId: string, slot: BoundSlot, message: string) => void;

  constructor(onRefused: (loadBalancerId: string, slot: BoundSlot, message: string) => void) {
    this.#onRefused = onRefused;
  }

  /** Why the cloud refused this slot for this Pod; undefined if it did not. */
  why(loadBalancerId: string, slotKeyOf: string, podUid: string): string | undefined {
    const refused = this.#suspicions.get(loadBalancerId)?.refused.get(slotKeyOf);
    return refused?.podUid === podUid ? refused.message : undefined;
  }

  /** The first call of the plan, without refused targets and no larger than suspicion allows. */
  firstCall(loadBalancerId: string, calls: readonly Call[], nowMs: number): Call | undefined {
    const suspicion = this.#suspicions.get(loadBalancerId);
    if (suspicion === undefined) return calls[0];
    // One whose turn has long come is not asked for any more.
    for (const [key, { untilMs }] of suspicion.refused) if (untilMs + REFUSED_MS.most <= nowMs) suspicion.refused.delete(key);
    const isOut = (slot: BoundSlot): boolean => {
      const refused = suspicion.refused.get(slotKey(slot));
      return refused?.podUid === slot.podUid && refused.untilMs > nowMs;
    };
    for (const call of calls) {
      if (call.lane !== "bind") return call;
      const [first, ...others] = call.targets.filter((slot) => !isOut(slot));
      if (first === undefined) continue;
      // One that is left over after its neighbours were taken is the bad one: it can wait, the others go first.
      const targets = suspicion.suspects === 1 && others.length > 0 ? others : [first, ...others].slice(0, suspicion.cap);
      if (targets.length > 0) return { lane: "bind", targets };
    }
    return undefined;
  }

  worked(loadBalancerId: string, call: Call): void {
    const suspicion = this.#suspicions.get(loadBalancerId);
    if (suspicion === undefined) return;
    if (makesRoom(call) && forgetQuota(suspicion)) this.#suspicions.delete(loadBalancerId);
    if (call.lane !== "bind") return;
    for (const slot of call.targets) suspicion.refused.delete(slotKey(slot));
    if (suspicion.suspects === 1 && call.targets.length > 1) return;
    const left = suspicion.suspects - call.targets.length;
    // The good part of a refused call: the bad one is among the others of it, which need no call of their own to tell.
    if (left > 0) setSuspects(suspicion, left);
    else if (suspicion.refused.size === 0) this.#suspicions.delete(loadBalancerId);
    else setSuspects(suspicion, 0);
  }

  /**
   * Only refusals by content count; the lock, throttling and lost answers say nothing about a target. True: the next, smaller call is
   * worth making at once, since the target itself was refused; a quota or a passing failure would only be met again.
   */
  failed(loadBalancerId: string, call: Call, error: ClbApiError, nowMs: number): boolean {
    if (call.lane !== "bind" || !isRefusal(error)) return false;
    const atOnce = error.call.code === PARTIAL_FAILURE || error.call.code.startsWith("InvalidParameter");
    const suspicion = this.#suspicions.get(loadBalancerId) ?? {
      cap: CALL_LIMITS.targets,
      suspects: 0,
      forQuota: false,
      refused: new Map<string, Refused>(),
    };
    this.#suspicions.set(loadBalancerId, suspicion);
    suspicion.forQuota = isQuota(error.call.code);
    const [alone, ...others] = call.targets;
    if (alone === undefined) return atOnce;
    if (others.length > 0) {
      setSuspects(suspicion, call.targets.length + (suspicion.suspects === 1 ? 1 : 0)); // the one that was left out stands before them
      return atOnce;
    }
    setSuspects(suspicion, 0);
    const { podUid } = alone;
    const before = suspicion.refused.get(slotKey(alone));
    const waitMs = before?.podUid === podUid ? Math.min(before.waitMs * 2, REFUSED_MS.most) : REFUSED_MS.first;
    suspicion.refused.set(slotKey(alone), {
      untilMs: nowMs + waitMs,
      waitMs,
      podUid,
      message: error.message,
      forQuota: isQuota(error.call.code),
    });
    this.#onRefused(loadBalancerId, alone, error.message);
    return atOnce;
  }

  nextMs(loadBalancerId: string, nowMs: number): number | undefined {
    const refused = [...(this.#suspicions.get(loadBalancerId)?.refused.values() ?? [])];
    const times = refused.flatMap(({ untilMs }) => (untilMs > nowMs ? untilMs : []));
    return times.length === 0 ? undefined : Math.min(...times);
  }
}

const makesRoom = ({ lane }: Call): boolean => lane === "unbind" || lane === "conflict" || lane === "delete";

/** Who found no room may come at once, all together. True: nothing else is suspected. */
function forgetQuota(suspicion: Suspicion): boolean {
  for (const [key, { forQuota }] of suspicion.refused) if (forQuota) suspicion.refused.delete(key);
  if (suspicion.forQuota) setSuspects(suspicion, 0);
  return suspicion.refused.size === 0 && suspicion.suspects === 0;
}

function setSuspects(suspicion: Suspicion, suspects: number): void {
  suspicion.suspects = suspects;
  suspicion.cap = suspects === 0 ? CALL_LIMITS.targets : Math.ceil(suspects / 2);
}

const isRefusal = ({ call: { code }, ambiguous }: ClbApiError): boolean =>
  code === PARTIAL_FAILURE ||
  (!ambiguous &&
    /^(InvalidParameter|LimitExceeded|FailedOperation|UnsupportedOperation)/.test(code) &&
    !isLocked(code) &&
    !isThrottled(code));
