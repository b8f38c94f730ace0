import type { Clock } from "../../common/clock.ts";
import type { HoldEnd } from "../../common/holds.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { OVER } from "../../common/signals.ts";
import { isEnding, type PodFact, podName } from "../../common/vocabulary.ts";
import type { Call } from "../domain/call.ts";
import type { Plan } from "../domain/plan/plan-load-balancer.ts";
import type { Problem } from "../domain/problem.ts";
import type { Policy } from "../domain/safety/policy.ts";
import type { HoldEvent } from "../state/holds.ts";
import type { State } from "../state/state.ts";
import { Worker, type WorkerDeps } from "../workqueue/worker.ts";
import { BoundPlaces } from "./bound-places.ts";
import { KeptWeights } from "./kept-weights.ts";
import { type DrainDeps, makeDrainReconciler } from "./reconcile.ts";
import { TerminationReads } from "./termination.ts";

export type DrainsDeps = Pick<DrainDeps, "drainMs"> & {
  readonly client: Pick<KubeClient, "get" | "list">;
  readonly state: Pick<State, "holds" | "facts" | "ready" | "addressClaims" | "mirror">;
  readonly running: (loadBalancerId: string) => Call | undefined;
  readonly policy: Policy;
  readonly gateType: string;
  readonly tell: (problem: Problem) => void;
  readonly metrics: { readonly drains: DrainMetrics };
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether a container of this Pod is being stopped has changed: what rests on that is planned anew. */
  readonly onStopping: (pod: PodFact) => void;
  readonly onOutcome: NonNullable<WorkerDeps["onOutcome"]>;
};

type DrainMetrics = {
  /** Weight 0 of a held Pod is effective everywhere, so long after its first dial. */
  readonly onLowered: (seconds: number) => void;
  /** A hold ended. */
  readonly onReleased: (end: HoldEnd, seconds: number) => void;
  /** Its Pod was still sent to. */
  readonly onTruncated: (end: HoldEnd) => void;
};

/** The queue of Pods whose preStop hook was called, by UID. */
export interface DrainsController {
  readonly queue: Worker;
  planned(loadBalancerId: string, plan: Plan): void;
  /** What is known of a load balancer has changed. */
  loadBalancerChanged(loadBalancerId: string): void;
  podChanged(podUid: string): void;
  /** Resolves when `stop` has aborted and the running passes have ended. Nothing is answered any more. */
  run(stop: AbortSignal, hard: AbortSignal): Promise<void>;
}

/** Passes are synchronous but for a turn. */
const CONCURRENCY = 64;

export function makeDrainsController(deps: DrainsDeps): DrainsController {
  const { state, clock, log, policy } = deps;
  const metrics = deps.metrics.drains;
  const { holds, facts, addressClaims } = state;
  const over = new AbortController();
  const onStopping = (podUid: string): void => {
    const pod = facts.pods.get(podUid);
    if (pod !== undefined) deps.onStopping(pod);
  };
  const kept = new KeptWeights();
  const bound = new BoundPlaces({ ...state, running: deps.running, kept });
  const reads = new TerminationReads(
    {
      ...deps,
      isKnown: (uid) => {
        const pod = facts.pods.get(uid);
        return (pod !== undefined && isEnding(pod)) || facts.endOf(uid) === "deleted";
      },
      onRead: (uids, read) => {
        for (const pod of read) facts.learn(pod);
        for (const uid of uids) queue.add(uid);
      },
    },
    over.signal,
  );
  const reconcile = makeDrainReconciler({ ...deps, bound, reads, onLives: onStopping, onLowered: metrics.onLowered });
  const { onOutcome } = deps;
  const queue = new Worker({ name: "drains", reconcile, clock, log, concurrency: CONCURRENCY, onOutcome, mayBegin: () => state.ready });
  const hear = (event: HoldEvent): void => {
    if (event.kind === "held") {
      if (event.isNews) onStopping(event.uid);
      return queue.add(event.uid);
    }
    const { uid } = event.dial;
    queue.add(uid);
    onStopping(uid); // who served on for as long as it was held leaves now
    if (event.released === undefined) return;
    const { end, lowered, heldMs } = event.released;
    metrics.onReleased(end, heldMs / 1_000);
    const { places } = bound.of(uid, facts.pods.get(uid)?.ips);
    const sentTo = places.filter(({ weight }) => weight > 0);
    if (lowered || end === "released" || policy !== "enforce" || sentTo.length === 0) return;
    metrics.onTruncated(end);
    const pod = facts.pods.get(uid);
    if (pod !== undefined) deps.tell(truncated(pod, sentTo[0]?.place ?? "", end));
  };
  /** Few Pods are held at a time. */
  const wake = (concerned: (podUid: string) => boolean): void => {
    for (const [uid, { releasedAtMs }] of holds.dials) if (releasedAtMs === undefined && concerned(uid)) queue.add(uid);
  };
  const loadBalancerChanged = (id: string): void => {
    if (holds.dials.size > 0) wake((uid) => addressClaims.loadBalancersOf([uid]).has(id));
  };
  const unfollow = holds.follow(hear);
  for (const uid of holds.dials.keys()) queue.add(uid); // the former leader's are ours now
  return {
    queue,
    planned: (id, plan) => {
      kept.planned(id, plan);
      loadBalancerChanged(id);
    },
    loadBalancerChanged,
    podChanged: (uid) => {
      if (holds.dials.has(uid)) queue.add(uid);
    },
    run: async (stop, hard) => {
      try {
        await queue.run(stop, hard);
      } finally {
        over.abort(OVER);
        unfollow();
        holds.clear();
      }
    },
  };
}

/** Names no time, so that the same is told once. */
function truncated(pod: PodFact, place: string, end: HoldEnd): Problem {
  const why = end === "budget" ? "its grace period allowed no longer wait" : "its agent could wait no longer";
  return {
    object: { kind: "Pod", namespace: pod.namespace, name: pod.name, uid: pod.uid },
    type: "Warning",
    reason: "DrainTruncated",
    message: `Pod ${podName(pod)} got SIGTERM before ${place} had weight 0 for it: ${why}; give it a longer terminationGracePeriodSeconds, or see whether writes to the load balancer are slow or fail`,
  };
}
