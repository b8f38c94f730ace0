import type { ClbApi } from "../cloud/clb-api.ts";
import { QuotaPoller } from "../cloud/quota-poller.ts";
import type { Call } from "../domain/call.ts";
import type { Plan } from "../domain/plan/plan-load-balancer.ts";
import type { Parked } from "../domain/safety/brake.ts";
import { allowedCalls, keepsAll, type Policy } from "../domain/safety/policy.ts";
import type { EndInquiry } from "../safety/end-inquiry.ts";
import type { RemovalGuard } from "../safety/removal-guard.ts";
import type { ListenerIdentity } from "../state/listener-identity.ts";
import type { State } from "../state/state.ts";
import { FailedPasses } from "../workqueue/failed-passes.ts";
import { Worker, type WorkerDeps } from "../workqueue/worker.ts";
import { takingOver } from "./adopt.ts";
import { ListenerRecorder, type ListenerRecorderDeps } from "./listener-recorder.ts";
import { allPodsTold, askAboutMissing, type MissingPodsDeps } from "./missing-pods.ts";
import { Planner } from "./planner.ts";
import { type LoadBalancerDeps, makeLoadBalancerReconciler } from "./reconcile.ts";
import { RefusedItems } from "./refused-items.ts";
import { Resync } from "./resync.ts";
import { Writer, type WriterDeps } from "./writer.ts";

/**
 * Load balancers are worked on in parallel; the rate limits bound the calls. One whose task is stuck keeps its hand for minutes, so there
 * are more hands than load balancers in any account (by default 300 a region at most, by DescribeQuota).
 */
const CONCURRENCY = 1_000;

export type LoadBalancersDeps = Pick<LoadBalancerDeps, "api" | "clock" | "log" | "report" | "onDrift" | "onMade"> & {
  readonly api: ClbApi;
  readonly rateLimit: NonNullable<LoadBalancerDeps["rateLimit"]>;
  readonly state: Pick<
    State,
    | "mirror"
    | "addressClaims"
    | "ownerRecords"
    | "identity"
    | "intents"
    | "listenerOwners"
    | "facts"
    | "pods"
    | "unreadyPods"
    | "isStopping"
    | "lasting"
    | "ready"
  >;
  readonly guard: RemovalGuard;
  readonly inquiry: EndInquiry;
  /** The cluster is no copy of another one, as far as is known. */
  readonly isOurs: () => boolean;
  readonly settings: LoadBalancersSettings;
  /** Told of each plan before its first call is made. */
  readonly onPlan?: (loadBalancerId: string, plan: Plan) => void;
  /** Told of each call of one item that the cloud refused. */
  readonly onRefused: ConstructorParameters<typeof RefusedItems>[0];
  readonly onRenamed: ListenerRecorderDeps["onRenamed"];
  /** A load balancer is nobody's any more. */
  readonly onForgotten: (loadBalancerId: string) => void;
  readonly onLeftOut: NonNullable<WriterDeps["onLeftOut"]>;
  readonly onWrite: NonNullable<WriterDeps["onWrite"]>;
  readonly onOutcome: NonNullable<WorkerDeps["onOutcome"]>;
  /** Who is to hear of what happens here; asked when it happens. */
  readonly wakeUps: () => WakeUps;
};
/** The re-read of a load balancer is due; quotas were raised; every Node has told its Pods; the cloud refused to bind a Pod. */
type WakeUps = {
  loadBalancerDue(loadBalancerId: string): void;
  quotasRaised(): void;
  podsComplete(): void;
  bindRefused(loadBalancerId: string): void;
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
  /** How far binds have come. */
  readonly progress: {
    readonly running: (loadBalancerId: string) => Call | undefined;
    readonly refusal: (loadBalancerId: string, slot: string, podUid: string) => string | undefined;
    readonly notCreated: (loadBalancerId: string, what: string) => string | undefined;
  };
  /** What was written there and had ended well may not be so: it is read before the next decision. */
  doubt(loadBalancerId: string): void;
  /** What is due now, as far as every load balancer is known. */
  due(): Due[];
  /** Resolves when `stop` has aborted and the running passes have ended; `hard` ends those as well. */
  run(stop: AbortSignal, hard: AbortSignal): Promise<void>;
}

export function makeLoadBalancersController(deps: LoadBalancersDeps): LoadBalancersController {
  const { api, state, guard, clock, log, settings, wakeUps, onOutcome } = deps;
  const { mirror, intents, pods } = state;
  const { policy } = settings;
  const writer = new Writer({ ...state, api, clock, log, onWrite: deps.onWrite, onLeftOut: deps.onLeftOut });
  const refusedItems = new RefusedItems((id, call, message) => {
    deps.onRefused(id, call, message);
    if ("targets" in call) wakeUps().bindRefused(id);
  });
  const quotas = new QuotaPoller({
    api,
    clock,
    log,
    onRaised: () => {
      refusedItems.quotasRaised();
      wakeUps().quotasRaised();
    },
  });
  const planner = new Planner({
    ...state,
    inquiry: deps.inquiry,
    writer,
    refusedItems,
    guard,
    clock,
    settings,
    quotas: () => quotas.current,
  });
  const due = (id: string): void => wakeUps().loadBalancerDue(id);
  const resync = new Resync({ ...settings, mirror, rateLimit: deps.rateLimit, clock, log, due });
  const failed = new FailedPasses(clock);
  const reconcile = makeLoadBalancerReconciler({
    ...deps,
    ...state,
    ...settings,
    synced: () => state.ready,
    writer,
    refusedItems,
    resync,
    recorder: new ListenerRecorder({ ...state, ...settings, clock, log, onRenamed: deps.onRenamed, due }),
    onPlan: planned({ ...state, inquiry: deps.inquiry }, deps.onPlan),
    plan: (desired, actual, aheadMs) => withoutUnrecorded(planner.plan(desired, actual, aheadMs), state.identity, actual.loadBalancerId),
    allowed: (calls) => allowedCalls(policy, calls),
    takesOver: takingOver(state, keepsAll(policy)),
    former: (ip, ownerUid, place) => {
      const pod = pods.byIp(ip) === undefined ? state.facts.formerAt(ip) : undefined;
      return pod !== undefined && intents.hasAskedFor(ownerUid, pod, place) ? pod.uid : undefined;
    },
    onForgotten: (id) => {
      guard.forget(id);
      planner.forget(id);
      deps.onForgotten(id);
    },
  });
  const worker = { name: "loadBalancers", reconcile: failed.noted(reconcile), mayBegin: () => state.ready };
  const queue = new Worker({ ...worker, clock, log, concurrency: CONCURRENCY, onOutcome });
  return {
    queue,
    failed,
    planner,
    writer,
    progress: {
      running: (id) => writer.running(id),
      refusal: (id, slot, podUid) => refusedItems.why(id, slot, podUid),
      notCreated: (id, what) => refusedItems.whyNotCreated(id, what),
    },
    doubt: (id) => {
      writer.doubt(id, "a write that had ended well has failed");
      queue.add(id);
    },
    due: () =>
      [...intents.loadBalancerIds].flatMap((loadBalancerId): Due[] => {
        const actual = mirror.read(loadBalancerId);
        if (actual === undefined) return [];
        const { calls } = planner.plan(intents.desired(loadBalancerId), actual);
        return [{ loadBalancerId, calls, parked: guard.parked(loadBalancerId) }];
      }),
    run: async (stop, hard) => {
      const told = allPodsTold({ facts: state.facts, clock }, stop).then((isSo) => isSo && wakeUps().podsComplete());
      await Promise.all([queue.run(stop, hard), resync.run(stop), quotas.run(stop), told]);
    },
  };
}

/** Asks about Pods that a plan misses, and passes it on. */
const planned =
  (asking: MissingPodsDeps, onPlan: LoadBalancersDeps["onPlan"]): NonNullable<LoadBalancerDeps["onPlan"]> =>
  (id, plan, signal) => {
    askAboutMissing(asking, id, plan, signal);
    onPlan?.(id, plan);
  };

/** That a listener is to be named back has to be on record first: a listener that is renamed again is another matter. */
const withoutUnrecorded = (plan: Plan, identity: Pick<ListenerIdentity, "mayRename">, id: string): Plan => ({
  ...plan,
  calls: plan.calls.filter((call) => !("rename" in call) || identity.mayRename(id, call.rename.listenerId)),
});
