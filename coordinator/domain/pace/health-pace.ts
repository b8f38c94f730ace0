/** A target whose health somebody waits for: since when it is bound (milliseconds since the epoch), and how it is checked. */
export type Awaited = { readonly boundAtMs: number; readonly intervalSeconds: number; readonly healthyCount: number };

/** Fastest and slowest pause between questions, milliseconds, while a check window is open. */
export type Pace = { readonly fastestMs: number; readonly slowestMs: number };

/**
 * Questions in one check window. Results come in spread evenly over one check interval, so more questions find each sooner; all targets
 * share them. Twelve for 50 targets are 0.24 a target, and 167 ms in a window of 2 s.
 */
const QUESTIONS = 12;
/** After the window a target is late: its health is asked for ever more rarely, down to this. */
const LATE = { graceMs: 500, share: 1 / 8, longestMs: 2_000 } as const;

/** Pure: how long after a bind the target cannot be healthy yet, milliseconds, e.g. 10 000 for three checks, one every 5 s (clb-api.md §4.2). */
export const proofMs = ({ intervalSeconds, healthyCount }: Pick<Awaited, "intervalSeconds" | "healthyCount">): number =>
  intervalSeconds * 1000 * (healthyCount - 1);

/**
 * Pure: when to ask next about targets of one load balancer, milliseconds since the epoch; undefined if none is awaited. A window opens
 * when the state can change at the earliest, and is one interval long (clb-api.md §4.2).
 */
export function nextQuestionMs(awaited: readonly Awaited[], askedMs: number | undefined, nowMs: number, pace: Pace): number | undefined {
  let nextMs: number | undefined;
  for (const one of awaited) {
    const windowMs = one.intervalSeconds * 1000;
    const opensMs = one.boundAtMs + proofMs(one);
    const lateMs = nowMs - (opensMs + windowMs + LATE.graceMs);
    const openMs = Math.min(Math.max(windowMs / QUESTIONS, pace.fastestMs), pace.slowestMs);
    const everyMs = lateMs <= 0 ? openMs : Math.min(Math.max(lateMs * LATE.share, openMs), LATE.longestMs);
    // At the very opening there is nothing to hear yet: the first question covers the first pause of the window.
    const atMs = Math.max(opensMs + openMs, (askedMs ?? 0) + everyMs);
    if (nextMs === undefined || atMs < nextMs) nextMs = atMs;
  }
  return nextMs;
}

/** Pure: the fastest pause that stays within half of what the action may do: `calls` is how many questions one round takes. */
export const fastestPauseMs = (calls: number, perSecond: number): number => (Math.max(calls, 1) * 1000) / (perSecond / 2);

/** After a question that brought nothing, milliseconds; doubles with every further one. */
const FIRST_REPEAT_MS = 500;

/** Pure: the pause after so many questions in a row that brought nothing, milliseconds, e.g. 500, 1 000, 2 000. */
export const repeatPauseMs = (misses: number, mostMs: number): number => Math.min(FIRST_REPEAT_MS * 2 ** (misses - 1), mostMs);
