import type { Clock } from "../../common/clock.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import type { ClbCallDeps } from "../cloud/clb-call.ts";
import { RateLimit } from "../cloud/rate-limit.ts";
import type { CloudTransport } from "../cloud/transport.ts";
import { makeVpcApi, type VpcApi } from "../cloud/vpc-api.ts";
import { Enis } from "../state/enis.ts";
import type { NodeFindings } from "../state/node-findings.ts";
import { Worker, type WorkerDeps } from "../workqueue/worker.ts";
import { makeClusterNetworks } from "./cluster-networks.ts";
import { makeEniLookup } from "./eni-lookup.ts";
import { makeGroupSource } from "./group-source.ts";
import { type ReachabilityDeps, ReachabilityPass } from "./reconcile.ts";

/** Of the 100 that the cloud allows: TKE's own address management uses half of them. Source: clb-api.md §2.6. */
const VPC_CALLS_PER_SECOND = 20;
/** After a throttled call its action pauses this long. Source: clb-api.md §1.5 (fixed one-second windows). */
const THROTTLE_PAUSE_MS = 1_000;
/** How long a negative verdict delays a bind at most. */
const VERDICT_DELAY_MS = 30_000;
/**
 * Pods that are looked at at once: most wait for the same read of ENIs. So many fill a quarter of a second's reads, of 100 addresses each; with fewer a
 * new leader's 10 000 waiting Pods would have theirs in reads that are half empty, and binds wait for the agents' words behind them.
 */
const CONCURRENCY = 128;

/** A Pod that was looked at is looked at again so much later: what changes at one time is one look. Its agent's word counts at once. */
const SETTLE_MS = 100;

type ControllerDeps = Pick<
  ReachabilityDeps,
  "state" | "findings" | "clusterId" | "verdictDelayMs" | "earlyBind" | "onJudged" | "onVerdict" | "tell"
> & {
  readonly client: Pick<KubeClient, "get">;
  readonly api: VpcApi;
  readonly vpcId: string | undefined;
  readonly globalRouterDirectAccess: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onOutcome: NonNullable<WorkerDeps["onOutcome"]>;
};

/** The queue of waiting Pods, by UID, and what is known of each one's network. */
export type ReachabilityController = {
  readonly queue: Worker;
  /** Something has changed that concerns the network of this Pod (UID). */
  add(podUid: string): void;
  /** What explain shows. */
  readonly explained: {
    readonly networkOf: ReachabilityPass["networkOf"];
    readonly verdictOf: NodeFindings["verdictOf"];
    readonly nodeFacts: NodeFindings["nodeFacts"];
  };
  /** Ends what was asked of agents. */
  close(): void;
};

function makeReachabilityController(deps: ControllerDeps): ReachabilityController {
  const { api, clock, log, findings, vpcId, onOutcome } = deps;
  const enis = new Enis(clock);
  const pass = new ReachabilityPass({
    ...deps,
    enis,
    eniOf: makeEniLookup({ api, enis, vpcId, clock }),
    groups: makeGroupSource({ api, push: (group) => findings.push(group), clock }),
    networks: makeClusterNetworks(deps),
  });
  const queue = new Worker({ name: "reachability", reconcile: pass.reconcile, clock, log, concurrency: CONCURRENCY, onOutcome });
  const unfollow = findings.follow((podUid) => queue.addFirst(podUid)); // a bind may wait for this word, and its pass reads nothing anew
  return {
    queue,
    add: (podUid) => {
      pass.expect(podUid); // before anybody plans
      queue.add(podUid, pass.networkOf(podUid) === undefined ? 0 : SETTLE_MS);
    },
    explained: {
      networkOf: (podUid) => pass.networkOf(podUid),
      verdictOf: (podUid) => findings.verdictOf(podUid),
      nodeFacts: (node) => findings.nodeFacts(node),
    },
    close() {
      unfollow();
      findings.clear();
    },
  };
}

export type ReachabilityOptions = Omit<ControllerDeps, "api" | "findings" | "onVerdict" | "globalRouterDirectAccess" | "verdictDelayMs"> & {
  readonly findings?: NodeFindings;
  readonly transport: CloudTransport;
  readonly metrics: { readonly onCall: NonNullable<ClbCallDeps["onCall"]>; readonly onVerdict: ReachabilityDeps["onVerdict"] };
  readonly globalRouterDirectAccess?: boolean;
  readonly verdictDelayMs?: number;
};

/** Undefined where nobody asks agents. */
export function reachabilityOf({ findings, transport, metrics, ...deps }: ReachabilityOptions): ReachabilityController | undefined {
  if (findings === undefined) return undefined;
  const { clock, globalRouterDirectAccess = false, verdictDelayMs = VERDICT_DELAY_MS } = deps;
  const rateLimit = new RateLimit(clock, { perSecond: VPC_CALLS_PER_SECOND, pauseAfterThrottlingMs: THROTTLE_PAUSE_MS });
  const api = makeVpcApi({ transport, rateLimit, clock, onCall: metrics.onCall });
  return makeReachabilityController({ ...deps, findings, api, onVerdict: metrics.onVerdict, globalRouterDirectAccess, verdictDelayMs });
}
