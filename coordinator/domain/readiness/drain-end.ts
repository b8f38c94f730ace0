import { type Dial, type HoldState, stoppedAtMs } from "../../../common/holds.ts";
import { isOver, type PodFact } from "../../../common/vocabulary.ts";
import type { UnreadyWhy } from "../plan/plan-weights.ts";
import type { Policy } from "../safety/policy.ts";

/** Pure: whether a container of this live Pod is being stopped, so that it should get no new traffic although it may be ready. */
export function isStopping(dial: Dial | undefined, pod: PodFact | undefined, nowMs: number): boolean {
  if (dial === undefined || isForeign(dial, pod)) return false;
  if (dial.releasedAtMs === undefined) return true;
  return nowMs < stoppedAtMs(dial) && !(pod?.containersReady === true && isAnew(dial, pod));
}

/**
 * Pure: whether a container has been started anew since the dial. Readiness alone proves little: a container that is being stopped may become
 * ready once more, and one without a readiness probe may be started anew without a moment in which the API server is told of it.
 */
function isAnew(dial: Dial, pod: PodFact): boolean {
  if (dial.restarts !== undefined && pod.restarts !== undefined) return pod.restarts !== dial.restarts;
  return dial.readyAtMs !== undefined && pod.containersReadyAtMs !== dial.readyAtMs;
}

/** Pure: an agent spoke of a Pod that is not of its node; while no fact was known of the Pod, nobody could tell. */
export const isForeign = (dial: Dial, pod: PodFact | undefined): boolean => pod !== undefined && pod.nodeName !== dial.node;

/**
 * Pure: from when on a target without a weight may be unbound, which cuts the connections that are open; milliseconds since the epoch. A
 * Pod with our hold gets SIGTERM when its drain ends, and finishes what is open by itself: not before its grace period is over, unless
 * nothing of it runs any more. `deletionAtMs` is the end of that period on the API server's clock; half a minute more or less does no harm.
 */
export function unboundFromMs(zeroSinceMs: number, drainMs: number, pod: PodFact | undefined): number {
  const drainedMs = zeroSinceMs + drainMs;
  if (pod?.drain !== "hold" || pod.deletionAtMs === undefined || isOver(pod)) return drainedMs;
  return Math.max(drainedMs, pod.deletionAtMs);
}

/** Where a held Pod is bound; `kept`: why it keeps its weight, as of the last plan. */
export type HeldAt = { readonly place: string; readonly weight: number; readonly kept: UnreadyWhy | undefined };

export type DrainView = {
  /** Undefined: nobody has said so far. */
  readonly terminating: boolean | undefined;
  readonly places: readonly HeldAt[];
  /** What is not known yet, e.g. "lb-1 is being read"; undefined: all is. */
  readonly unknown: string | undefined;
  readonly policy: Policy;
};

/**
 * Pure: how far weight 0 of a held Pod is.
 *
 * | | terminates | nobody knows yet | lives |
 * |---|---|---|---|
 * | bound nowhere | release | release | release |
 * | no weight anywhere | lowered | lowered | lowered |
 * | a weight somewhere | wait | wait | wait; release where it may not be lowered |
 */
export function drainEnd({ terminating, places, unknown, policy }: DrainView): { readonly state: HoldState; readonly reason: string } {
  if (policy !== "enforce") return { state: "release", reason: `POLICY is ${policy}: no weight is lowered` };
  if (unknown !== undefined) return { state: "wait", reason: unknown };
  if (places.length === 0) return { state: "release", reason: "it is bound nowhere" };
  const weighted = places.filter(({ weight }) => weight > 0);
  if (weighted.length === 0) return { state: "lowered", reason: `weight 0 at ${named(places)}` };
  const kept = weighted.filter(({ kept: why }) => why === "floor" || why === "none-ready");
  if (terminating === false && kept.length > 0)
    return { state: "release", reason: `it keeps its weight at ${named(kept)}: too few others would serve there` };
  return { state: "wait", reason: `weight 0 at ${named(weighted)}` };
}

/** Places named in a reason. */
const MAX_NAMED = 3;

function named(places: readonly HeldAt[]): string {
  const names = places.slice(0, MAX_NAMED).map(({ place }) => place);
  return places.length > MAX_NAMED ? `${names.join(", ")} and ${places.length - MAX_NAMED} more` : names.join(", ");
}
