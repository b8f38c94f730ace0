import type { Clock } from "../../common/clock.ts";
import { type Dial, type HoldAnswer, stoppedAtMs } from "../../common/holds.ts";
import { isEnding, isOver } from "../../common/vocabulary.ts";
import { drainEnd, isForeign, isStopping } from "../domain/readiness/drain-end.ts";
import type { Policy } from "../domain/safety/policy.ts";
import type { State } from "../state/state.ts";
import type { Outcome, Reconcile } from "../workqueue/worker.ts";
import type { BoundPlaces } from "./bound-places.ts";
import type { TerminationReads } from "./termination.ts";

export type DrainDeps = {
  readonly state: Pick<State, "holds" | "facts">;
  readonly bound: Pick<BoundPlaces, "of">;
  readonly reads: Pick<TerminationReads, "of" | "ask" | "forget">;
  readonly policy: Policy;
  /** How long a drain takes where connections are not counted. */
  readonly drainMs: number;
  readonly clock: Clock;
  /** Whether the Pod may have a weight has changed: it is not stopping any more. */
  readonly onLives: (podUid: string) => void;
  /** Weight 0 is effective everywhere, so long after the dial. */
  readonly onLowered: (seconds: number) => void;
};

/** What decides is not known yet: looked for again so soon, should nobody tell. Milliseconds. */
const AGAIN_MS = 1_000;

/** One pass over one Pod whose preStop hook was called: what its agent is answered. */
export function makeDrainReconciler(deps: DrainDeps): Reconcile {
  const { state, clock, reads } = deps;
  return async (uid): Promise<Outcome> => {
    await Promise.resolve();
    const dial = state.holds.dials.get(uid);
    if (dial === undefined) return { kind: "done" };
    if (isForeign(dial, state.facts.pods.get(uid))) {
      state.holds.disown(uid);
      return { kind: "done" };
    }
    if (dial.releasedAtMs !== undefined) return afterRelease(deps, dial);
    const answer = answerFor(deps, dial);
    const before = state.holds.answerOf(uid);
    if (answer.state === "lowered" && before?.state !== "lowered") deps.onLowered((clock.now() - dial.sinceMs) / 1_000);
    // A Pod that may terminate is held as one that does: an answer that it does not would end its hold after 5 s.
    const isKnown = answer.terminating || reads.of(uid, dial.sinceMs) !== undefined;
    if (isKnown || answer.state === "release") state.holds.answer(answer);
    if (isKnown) return { kind: "done" };
    const pod = state.facts.pods.get(uid);
    if (pod !== undefined) reads.ask(pod, dial.sinceMs);
    return { kind: "again", afterMs: AGAIN_MS, because: "nobody has told whether it terminates" };
  };
}

function answerFor({ state, bound, reads, policy, drainMs }: DrainDeps, { uid, sinceMs }: Dial): HoldAnswer {
  const pod = state.facts.pods.get(uid);
  const read = reads.of(uid, sinceMs);
  const isGone = state.facts.endOf(uid) === "deleted" || read?.kind === "gone";
  const terminating = isGone || (pod !== undefined && isEnding(pod)) || read?.kind === "terminates";
  const { state: how, reason } = drainEnd({
    terminating: terminating || (read === undefined ? undefined : false),
    ...bound.of(uid, pod?.ips),
    policy,
  });
  return {
    uid,
    state: how,
    reason,
    terminating,
    deletionAtMs: pod?.deletionAtMs ?? (read?.kind === "terminates" ? read.deletionAtMs : undefined),
    graceSeconds: read?.kind === "terminates" ? read.graceSeconds : undefined,
    drainMs,
  };
}

/** The container that was held is stopped now; where the Pod lives, it is started anew, and where it ends it must not count as one that serves on. */
function afterRelease({ state, clock, reads, onLives }: DrainDeps, dial: Dial): Outcome {
  const { uid } = dial;
  reads.forget(uid);
  const nowMs = clock.now();
  const pod = state.facts.pods.get(uid);
  // A new leader hears of it before it knows the Pod.
  const isGone = pod === undefined ? state.facts.endOf(uid) !== undefined : isOver(pod);
  if (!isGone && isStopping(dial, pod, nowMs))
    return { kind: "again", afterMs: Math.max(1, stoppedAtMs(dial) - nowMs), because: "a container is being stopped" };
  state.holds.forget(uid);
  if (pod !== undefined && !isEnding(pod)) onLives(uid);
  return { kind: "done" };
}
