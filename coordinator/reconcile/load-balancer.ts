import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { CLUSTER_TAG, OWNER_TAG } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError, isLocked, isThrottled } from "../cloud/clb-error.ts";
import type { Mirror } from "../cloud/mirror.ts";
import { itemsOf, PARTIAL_FAILURE, type Writes } from "../cloud/writes.ts";
import type { DesiredLoadBalancer } from "../domain/desired.ts";
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
import type { Journal } from "../journal.ts";
import type { Ledger } from "../ledger.ts";
import type { PodFacts } from "../ports.ts";
import type { Outcome, Reconcile } from "./worker.ts";

/** A target that the cloud refused when it was alone in its call is left out for so long, twice as long each time, because one failure may pass. */
const REFUSED_MS = { first: 1_000, most: 30_000 } as const;

export type LoadBalancerDeps = {
  readonly api: ClbApi;
  readonly mirror: Mirror;
  readonly writes: Writes;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly facts: PodFacts;
  readonly clock: Clock;
  readonly log: Logger;
  readonly clusterId: string;
  /** How long weight 0 lasts before the target is unbound. */
  readonly drainMs: number;
  /** How often a load balancer is read anew to notice what others changed. */
  readonly auditMs: number;
  /** Every watch has synced once. Before that nothing is decided. */
  readonly synced: () => boolean;
  readonly plan: (desired: DesiredLoadBalancer, actual: LoadBalancer) => Plan;
  /** Tells what the plan found but does not touch. */
  readonly report: (desired: DesiredLoadBalancer, plan: Plan) => void;
  readonly refusals: Refusals;
};

/**
 * Nobody queues at the server, so a locked load balancer is tried again: soon, because the tail of a batch is short, then more rarely,
 * because a stuck task would eat the calls of all others. Milliseconds. Source: clb-api.md §3.3 (busy after a batch), §7.5.
 */
const LOCKED_MS = { first: 80, growth: 1.5, longest: 1_000 } as const;

/** How to wait for the first synchronisation of the watches. */
const NOT_SYNCED_MS = 100;

/** One pass over one load balancer: observe, plan, make the first call only, look again. */
export function makeLoadBalancerReconciler(deps: LoadBalancerDeps): Reconcile {
  const { mirror, ledger, clock } = deps;
  const lockedTries = new Map<string, number>();
  return async (id, signal) => {
    if (!deps.synced()) return { kind: "again", afterMs: NOT_SYNCED_MS, because: "not every watch has synced" };
    if (!ledger.loadBalancerIds.has(id)) return { kind: "done" };
    if (!(await ensureCurrent(deps, id, signal))) return audit(deps);
    const actual = mirror.read(id);
    if (actual === undefined) return audit(deps);
    const desired = ledger.desired(id);
    await adopt(deps, desired, actual, signal);
    const plan = deps.plan(desired, actual);
    deps.report(desired, plan);
    const call = deps.refusals.firstCall(id, plan.calls, clock.now());
    if (call !== undefined) {
      if (await make(deps, id, call, signal)) {
        lockedTries.delete(id);
        return { kind: "again", afterMs: 0, because: call.lane };
      }
      const tries = lockedTries.get(id) ?? 0;
      lockedTries.set(id, tries + 1);
      return { kind: "again", afterMs: Math.min(LOCKED_MS.first * LOCKED_MS.growth ** tries, LOCKED_MS.longest), because: "locked" };
    }
    if (await deleteIfOver(deps, desired, actual, signal)) return { kind: "done" };
    return next(deps, id, actual);
  };
}

/** A target that is wanted and was bound by somebody else is ours from now on: else nobody would take it off when its Pod ends. */
async function adopt(
  { journal }: LoadBalancerDeps,
  desired: DesiredLoadBalancer,
  actual: LoadBalancer,
  signal: AbortSignal,
): Promise<void> {
  const claims = new Map<string, string>();
  for (const { place, wanted } of placePairs(desired, actual)) {
    const bound = new Set(place.targets.map(targetKey));
    for (const backend of wanted?.backends ?? [])
      if (journal.podOf(actual.loadBalancerId, backend.ip) === undefined && bound.has(targetKey(backend)))
        claims.set(backend.ip, backend.podUid);
  }
  if (claims.size > 0) await journal.claim(actual.loadBalancerId, claims, signal);
}

/** Reads the load balancer where the mirror is in doubt or old. False: it does not exist. */
async function ensureCurrent(deps: LoadBalancerDeps, id: string, signal: AbortSignal): Promise<boolean> {
  const { api, mirror, journal, clock, log } = deps;
  const readAtMs = mirror.readAtMs(id);
  const because = mirror.staleBecause(id) ?? (readAtMs !== undefined && clock.now() - readAtMs >= deps.auditMs ? "audit" : undefined);
  if (because === undefined) return true;
  const loaded = await journal.load(id, signal);
  const facts = await api.loadBalancer(id, signal);
  if (facts === undefined) {
    if (mirror.read(id) !== undefined) log.error({ loadBalancerId: id }, "load balancer is gone");
    mirror.forget(id);
    return false;
  }
  const listeners = await api.listeners(id, signal);
  if (loaded) journal.keepOnly(id, new Set(placesOf({ listeners }).flatMap(({ targets }) => targets.map(({ ip }) => ip))));
  mirror.fill(facts, listeners, clock.now());
  log.debug({ loadBalancerId: id, because }, "load balancer read");
  return true;
}

/** False: the load balancer is locked by another write, perhaps the tail of our own last batch; nothing was done. */
async function make(deps: LoadBalancerDeps, id: string, call: Call, signal: AbortSignal): Promise<boolean> {
  try {
    await deps.writes.make(id, call, signal);
    deps.refusals.worked(id, call);
    return true;
  } catch (err) {
    if (!(err instanceof ClbApiError)) throw err;
    if (isLocked(err.call.code)) return false;
    if (!deps.refusals.failed(id, call, err, deps.clock.now())) throw err;
    deps.log.warn({ err, loadBalancerId: id, targets: itemsOf(call) }, "bind refused, narrowing it down");
    return true;
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

/** When to look again although nothing changes: the end of a drain, of a refusal, or the audit. */
function next(deps: LoadBalancerDeps, id: string, actual: LoadBalancer): Outcome {
  const now = deps.clock.now();
  let atMs = (deps.mirror.readAtMs(id) ?? now) + deps.auditMs;
  for (const place of placesOf(actual))
    for (const target of place.targets) {
      const drainedAtMs = deps.mirror.drainedAtMs(id, slotOf(place, target));
      if (drainedAtMs !== undefined && drainedAtMs + deps.drainMs > now) atMs = Math.min(atMs, drainedAtMs + deps.drainMs);
    }
  const refusedUntilMs = deps.refusals.nextMs(id, now);
  if (refusedUntilMs !== undefined) atMs = Math.min(atMs, refusedUntilMs);
  return { kind: "again", afterMs: Math.max(atMs - now, 1), because: "time" };
}

type Refused = { readonly untilMs: number; readonly waitMs: number; readonly podUid: string; readonly message: string };
type Suspicion = { cap: number; readonly refused: Map<string, Refused> };

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
      const targets = call.targets.filter((slot) => !isOut(slot)).slice(0, suspicion.cap);
      if (targets.length > 0) return { lane: "bind", targets };
    }
    return undefined;
  }

  worked(loadBalancerId: string, call: Call): void {
    const suspicion = this.#suspicions.get(loadBalancerId);
    if (suspicion === undefined || call.lane !== "bind") return;
    for (const slot of call.targets) suspicion.refused.delete(slotKey(slot));
    // A full call that worked was the good part of a halved one: the bad one is still among the others.
    if (suspicion.refused.size === 0 && call.targets.length < suspicion.cap) this.#suspicions.delete(loadBalancerId);
  }

  /**
   * Only refusals by content count; the lock, throttling and lost answers say nothing about a target. True: the next, smaller call is
   * worth making at once, since the target itself was refused; a quota or a passing failure would only be met again.
   */
  failed(loadBalancerId: string, call: Call, error: ClbApiError, nowMs: number): boolean {
    if (call.lane !== "bind" || !isRefusal(error)) return false;
    const atOnce = error.call.code === PARTIAL_FAILURE || error.call.code.startsWith("InvalidParameter");
    const suspicion = this.#suspicions.get(loadBalancerId) ?? { cap: CALL_LIMITS.targets, refused: new Map<string, Refused>() };
    this.#suspicions.set(loadBalancerId, suspicion);
    const [alone, ...others] = call.targets;
    if (alone === undefined) return atOnce;
    if (others.length > 0) {
      suspicion.cap = Math.ceil(call.targets.length / 2);
      return atOnce;
    }
    suspicion.cap = CALL_LIMITS.targets;
    const { podUid } = alone;
    const before = suspicion.refused.get(slotKey(alone));
    const waitMs = before?.podUid === podUid ? Math.min(before.waitMs * 2, REFUSED_MS.most) : REFUSED_MS.first;
    suspicion.refused.set(slotKey(alone), { untilMs: nowMs + waitMs, waitMs, podUid, message: error.message });
    this.#onRefused(loadBalancerId, alone, error.message);
    return atOnce;
  }

  nextMs(loadBalancerId: string, nowMs: number): number | undefined {
    const refused = [...(this.#suspicions.get(loadBalancerId)?.refused.values() ?? [])];
    const times = refused.flatMap(({ untilMs }) => (untilMs > nowMs ? untilMs : []));
    return times.length === 0 ? undefined : Math.min(...times);
  }
}

const isRefusal = ({ call: { code }, ambiguous }: ClbApiError): boolean =>
  code === PARTIAL_FAILURE ||
  (!ambiguous &&
    /^(InvalidParameter|LimitExceeded|FailedOperation|UnsupportedOperation)/.test(code) &&
    !isLocked(code) &&
    !isThrottled(code));
