/** The best possible for the order of arrival that a rollout had: what somebody needs who knows everything at once and never lets a Pod wait. */
import type { PodShare } from "../../test/demo/summary.ts";

type Due = Pick<PodShare, "readyAtMs" | "aliveAtMs" | "endingAtMs" | "goneAtMs">;

/**
 * Pure: writes of a load balancer that is never idle while something is due, takes all that is due of one kind at once (drains, then
 * binds, then unbinds), and is busy for `writeMs` with each.
 */
export function bestWrites(pods: readonly Due[], writeMs: number): number {
  const timesOf = (time: (pod: Due) => number | undefined): number[] => pods.flatMap((pod) => time(pod) ?? []).toSorted((a, b) => a - b);
  const lanes = [timesOf((pod) => pod.endingAtMs), timesOf((pod) => pod.readyAtMs), timesOf((pod) => pod.goneAtMs)];
  let writes = 0;
  for (let freeMs = -Infinity; ; writes += 1) {
    const next = Math.min(...lanes.map(([first = Infinity]) => first));
    if (next === Infinity) return writes;
    const nowMs = Math.max(freeMs, next);
    const due = lanes.find(([first = Infinity]) => first <= nowMs);
    due?.splice(0, due.filter((time) => time <= nowMs).length);
    freeMs = nowMs + writeMs;
  }
}

/** Pure: the fewest looks at the health of a load balancer that see each Pod healthy no later than `withinMs` after it turned so. */
export function bestReads(pods: readonly Due[], withinMs: number): number {
  let reads = 0;
  let lookMs = -Infinity;
  for (const { aliveAtMs } of pods.toSorted((a, b) => a.aliveAtMs - b.aliveAtMs)) {
    if (aliveAtMs <= lookMs) continue;
    reads += 1;
    lookMs = aliveAtMs + withinMs;
  }
  return reads;
}
