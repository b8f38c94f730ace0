import type { Clock } from "../../common/clock.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import { type LoadBalancer, type Slot, slotKey, slotOf } from "../domain/load-balancer.ts";
import { holderOf, type ProvenEnd } from "../domain/plan/address-holder.ts";
import { PlanCache } from "../domain/plan/plan-cache.ts";
import { type Plan, planLoadBalancer } from "../domain/plan/plan-load-balancer.ts";
import type { Holder } from "../domain/plan/plan-targets.ts";
import type { Quotas } from "../domain/plan/quota-forecast.ts";
import { unboundFromMs } from "../domain/readiness/drain-end.ts";
import type { Lasting } from "../domain/readiness/lasting.ts";
import { keepsAll, type Policy } from "../domain/safety/policy.ts";
import type { EndInquiry } from "../safety/end-inquiry.ts";
import type { RemovalGuard } from "../safety/removal-guard.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Mirror } from "../state/mirror.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import type { PodIndex, UnreadyPods } from "../state/pod-index.ts";
import type { RefusedItems } from "./refused-items.ts";
import type { Writer } from "./writer.ts";

export type PlannerDeps = {
  readonly facts: Pick<PodFacts, "pods" | "endOf" | "complete">;
  /** What the API server said of Pods that are missing; default: it was not asked. */
  readonly inquiry?: Pick<EndInquiry, "isGone" | "isEnding">;
  readonly pods: Pick<PodIndex, "byIp">;
  readonly addressClaims: Pick<AddressClaims, "podOf">;
  readonly mirror: Pick<Mirror, "health" | "drainedAtMs" | "loweredAtMs">;
  readonly unreadyPods: Pick<UnreadyPods, "sinceMs">;
  /** A container of this live Pod is being stopped; default: of none. */
  readonly isStopping?: (podUid: string) => boolean;
  /** As in TargetView; default: no Pod keeps its weight when it terminates. */
  readonly lasting?: (podUid: string) => Lasting | undefined;
  readonly writer: Pick<Writer, "running" | "overQuota" | "weightsLast">;
  readonly refusedItems: Pick<RefusedItems, "keepsRefusing">;
  readonly guard: Pick<RemovalGuard, "hold" | "floorOf" | "isHealthRead">;
  readonly quotas: () => Quotas | undefined;
  readonly clock: Clock;
  readonly settings: PlannerSettings;
};
type PlannerSettings = {
  readonly clusterId: string;
  readonly drainMs: number;
  /** Rules per CreateRule. */
  readonly rulesPerCall: number;
  readonly policy: Policy;
};

/** A backend that the load balancer has found dead for so long is not waited for: more than a slow start or a restart takes. */
const BROKEN_MS = 300_000;

/** Gathers what a plan rests on, and takes out of it what the brake holds. Remembers the plans of places in which nothing has changed. */
export class Planner {
  readonly #deps: PlannerDeps;
  readonly #caches = new Map<string, PlanCache>();

  constructor(deps: PlannerDeps) {
    this.#deps = deps;
  }

  /** `aheadMs`: how long the write takes that comes next, milliseconds. */
  plan(desired: DesiredLoadBalancer, actual: LoadBalancer, aheadMs = 0): Plan {
    const { settings, writer, guard, mirror, clock, quotas, addressClaims, unreadyPods } = this.#deps;
    const id = actual.loadBalancerId;
    const inFlight = writer.running(id);
    const plan = planLoadBalancer({
      clusterId: settings.clusterId,
      desired,
      actual,
      holderOf: (ip) => this.#holderOf(id, ip),
      isClaimed: (ip) => addressClaims.podOf(id, ip) !== undefined,
      serving: (place, target) =>
        target.weight > 0 && (!place.healthCheck.enabled || mirror.health(id, slotOf(place, target))?.state === "Alive"),
      drained: (place, target) => (this.unboundFromMs(id, slotOf(place, target)) ?? Number.POSITIVE_INFINITY) <= clock.now(),
      broken: (place, backend, target) => this.#isBroken(id, slotOf(place, backend), backend.podUid, target !== undefined),
      lowering: (place) => ({
        nowMs: clock.now(),
        ...(this.#deps.isStopping && { stopping: this.#deps.isStopping }),
        unreadySinceMs: (podUid) => unreadyPods.sinceMs(podUid),
        loweredAtMs: (target) => mirror.loweredAtMs(id, slotOf(place, target)),
        floor: () => guard.floorOf(id, place),
      }),
      ...(this.#deps.lasting && { lasting: this.#deps.lasting, nowMs: clock.now(), unasked: !guard.isHealthRead(id), aheadMs }),
      bindsFirst: writer.weightsLast(id),
      inFlight,
      roomFirst: writer.overQuota(id) > 0,
      quotas: quotas(),
      rulesPerCall: settings.rulesPerCall,
      ...(inFlight === undefined && { cache: this.#cacheOf(id) }),
    });
    // Where nothing is taken away anyhow there is nothing to release either.
    if (keepsAll(settings.policy)) return plan;
    return { ...plan, calls: guard.hold(actual, plan.calls, inFlight === undefined) };
  }

  /** From when on a target that leaves may be unbound, milliseconds since the epoch; undefined: it has a weight. */
  unboundFromMs(loadBalancerId: string, slot: Slot): number | undefined {
    const { mirror, addressClaims, facts, settings } = this.#deps;
    const zeroSinceMs = mirror.drainedAtMs(loadBalancerId, slot);
    const podUid = addressClaims.podOf(loadBalancerId, slot.ip);
    const pod = podUid === undefined ? undefined : facts.pods.get(podUid);
    return zeroSinceMs === undefined ? undefined : unboundFromMs(zeroSinceMs, settings.drainMs, pod);
  }

  /** Places of this load balancer that name these Pods or addresses are planned anew. */
  podsChanged(names: readonly string[], loadBalancerId: string): void {
    this.#caches.get(loadBalancerId)?.podsChanged(names);
  }

  /** Every Node has told its Pods: all are planned anew. */
  podsComplete(): void {
    this.#caches.clear();
  }

  forget(loadBalancerId: string): void {
    this.#caches.delete(loadBalancerId);
  }

  #holderOf(id: string, ip: string): Holder {
    const { addressClaims, facts, pods } = this.#deps;
    const claimed = addressClaims.podOf(id, ip);
    const claimedPod = claimed === undefined ? undefined : facts.pods.get(claimed);
    const claimedEnd = claimed === undefined ? undefined : this.#endOf(claimed);
    const isEnding = claimed !== undefined && this.#deps.inquiry?.isEnding(claimed) === true;
    return holderOf({ claimed, claimedPod, claimedEnd, isEnding, present: pods.byIp(ip), complete: facts.complete });
  }

  #endOf(podUid: string): ProvenEnd | undefined {
    const { facts, inquiry } = this.#deps;
    if (facts.endOf(podUid) === "deleted") return "deleted";
    return inquiry?.isGone(podUid) === true ? "gone" : undefined;
  }

  #isBroken(id: string, slot: Slot, podUid: string, isBound: boolean): boolean {
    if (!isBound) return this.#deps.refusedItems.keepsRefusing(id, slotKey(slot), podUid);
    const health = this.#deps.mirror.health(id, slot);
    return health?.state === "Dead" && health.sinceMs + BROKEN_MS <= this.#deps.clock.now();
  }

  #cacheOf(id: string): PlanCache {
    const cache = this.#caches.get(id) ?? new PlanCache();
    this.#caches.set(id, cache);
    return cache;
  }
}
