import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { QuotaPoller } from "../cloud/quota-poller.ts";
import type { RateLimit } from "../cloud/rate-limit.ts";
import type { Call } from "../domain/call.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import type { LoadBalancer } from "../domain/load-balancer.ts";
import type { Plan } from "../domain/plan/plan-load-balancer.ts";
import type { Parked } from "../domain/safety/brake.ts";
import type { Drift } from "../domain/safety/drift.ts";
import { allowedCalls, keepsAll, type Policy } from "../domain/safety/policy.ts";
import type { RemovalGuard } from "../safety/removal-guard.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import type { PodIndex } from "../state/pod-index.ts";
import { FailedPasses } from "../workqueue/failed-passes.ts";
import { Worker, type WorkerDeps } from "../workqueue/worker.ts";
import { Planner } from "./planner.ts";
import { type Made, makeLoadBalancerReconciler } from "./reconcile.ts";
import { RefusedItems } from "./refused-items.ts";
import { Resync } from "./resync.ts";
import { Writer } from "./writer.ts";

/**
 * Load balancers are worked on in parallel; the rate limits bound the calls. One whose task is stuck keeps its hand for minutes, so there
 * are more hands than load balancers in any account (by default 300 a region at most, by DescribeQuota).
 */
const CONCURRENCY = 1_000;

export type LoadBalancersDeps = {
  readonly api: ClbApi;
  readonly rateLimit: Pick<RateLimit, "state">;
  readonly mirror: Mirror;
  readonly addressClaims: AddressClaims;
  readonly intents: Intents;
  readonly facts: PodFacts;
  readonly pods: PodIndex;
  readonly guard: RemovalGuard;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: LoadBalancersSettings;
  /** Every watch has synced once. */
  readonly synced: () => boolean;
  /** Tells what a plan found but does not touch. */
  readonly report: (desired: DesiredLoadBalancer, plan: Plan) => void;
  readonly onDrift: (loadBalancerId: string, drifts: readonly Drift[]) => void;
  /** Told of each call of one item that the cloud refused. */
  readonly onRefused: (loadBalancerId: string, call: Call, message: string) => void;
  readonly onMade: (made: Made) => void;
  readonly onWrite: (lane: Call["lane"], items: number) => void;
  readonly onOutcome: NonNullable<WorkerDeps["onOutcome"]>;
  /** The re-read of a load balancer is due; quotas were raised. */
  readonly wakeUps: { loadBalancerDue(loadBalancerId: string): void; quotasRaised(): void };
};
export type LoadBalancersSettings = {
  readonly clusterId: string;
  readonly policy: Policy;
  /** Rules per CreateRule. */
  readonly rulesPerCall: number;
  readonly drainMs: number;
  readonly resyncMs: number;
  readonly callsPerSecond: number;
};

/** A call that is due at a load balancer, or a removal that the brake holds there. */
export type Due = { readonly loadBalancerId: string; readonly calls: readonly Call[]; readonly parked: readonly Parked[] };

/** The queue of load balancers, by id, and what others may know of its work. */
export interface LoadBalancersController {
  readonly queue: Worker;
  readonly failed: FailedPasses;
  readonly planner: Planner;
  readonly writer: Writer;
  readonly refusedItems: RefusedItems;
  /** What is due now, as far as every load balancer is known. */
  due(): Due[];
  /** Resolves when `stop` has aborted and the running passes have ended; `hard` ends those as well. */
  run(stop: AbortSignal, hard: AbortSignal): Promise<void>;
}

export function makeLoadBalancersController(deps: LoadBalancersDeps): LoadBalancersController {
  const { api, mirror, addressClaims, intents, facts, pods, guard, clock, log, settings, wakeUps } = deps;
  const { policy, drainMs, resyncMs, clusterId } = settings;
  const writer = new Writer({ api, mirror, addressClaims, clock, log, onWrite: deps.onWrite });
  const refusedItems = new RefusedItems(deps.onRefused);
  const quotas = new QuotaPoller({
    api,
    clock,
    log,
    onRaised: () => {
      refusedItems.quotasRaised();
      wakeUps.quotasRaised();
    },
  });
  const planner = new Planner({
    facts,
    pods,
    addressClaims,
    mirror,
    writer,
    refusedItems,
    guard,
    clock,
    settings,
    quotas: () => quotas.current,
  });
  const resync = new Resync({
    mirror,
    clock,
    log,
    rateLimit: deps.rateLimit,
    ...settings,
    due: (id) => wakeUps.loadBalancerDue(id),
  });
  const plan = (desired: DesiredLoadBalancer, actual: LoadBalancer): Plan => planner.plan(desired, actual);
  const failed = new FailedPasses(clock);
  const reconcile = makeLoadBalancerReconciler({
    api,
    mirror,
    addressClaims,
    intents,
    facts,
    writer,
    refusedItems,
    resync,
    plan,
    clock,
    log,
    clusterId,
    drainMs,
    resyncMs,
    synced: deps.synced,
    report: deps.report,
    onDrift: deps.onDrift,
    onMade: deps.onMade,
    allowed: (calls) => allowedCalls(policy, calls),
    takesOver: ({ ip, podUid }) => keepsAll(policy) && pods.byIp(ip)?.uid === podUid,
    onForgotten: (id) => {
      guard.forget(id);
      planner.forget(id);
    },
  });
  const onOutcome = deps.onOutcome;
  const queue = new Worker({ name: "loadBalancers", reconcile: failed.noted(reconcile), clock, log, concurrency: CONCURRENCY, onOutcome });
  return {
    queue,
    failed,
    planner,
    writer,
    refusedItems,
    due: () =>
      [...intents.loadBalancerIds].flatMap((loadBalancerId): Due[] => {
        const actual = mirror.read(loadBalancerId);
        if (actual === undefined) return [];
        const { calls } = plan(intents.desired(loadBalancerId), actual);
        return [{ loadBalancerId, calls, parked: guard.parked(loadBalancerId) }];
      }),
    run: async (stop, hard) => {
      await Promise.all([queue.run(stop, hard), resync.run(stop), quotas.run(stop)]);
    },
  };
}
