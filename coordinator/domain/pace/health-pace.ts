/** A target whose health somebody waits for: since when it is bound (milliseconds since the epoch), and how it is checked. */
export type Awaited = { readonly boundAtMs: number; readonly intervalSeconds: number; readonly healthyCount: number };

/** After the window a target is late: its health is asked for ever more rarely, down to this. */
const LATE = { graceMs: 500, share: 1 / 8, longestMs: 2_000 } as const;

/** Pure: how long after a bind the target cannot be healthy yet, milliseconds, e.g. 10 000 for three checks, one every 5 s (clb-api.md §4.2). */
export const proofMs = ({ intervalSeconds, healthyCount }: Pick<Awaited, "intervalSeconds" | "healthyCount">): number =>
  intervalSeconds * 1000 * (healthyCount - 1);

/**
 * Pure: when to ask next about targets of one load balancer, milliseconds since the epoch; undefined if none is awaited. A window opens
 * when the state can change at the earliest, and is one interval long (clb-api.md §4.2); while it is open a question goes out every
 * `openMs`: results come in spread evenly over it, and all targets share the questions. `askedMs`: when the last one went out.
 */
export function nextQuestionMs(
  awaited: readonly Awaited[],
  askedMs: number | undefined,
  nowMs: number,
  openMs: number,
): number | undefined {
  let nextMs: number | undefined;
  for (const one of awaited) {
    const windowMs = one.intervalSeconds * 1000;
    const opensMs = one.boundAtMs + proofMs(one);
    const lateMs = nowMs - (opensMs + windowMs + LATE.graceMs);
    const everyMs = lateMs <= 0 ? openMs : Math.min(Math.max(lateMs * LATE.share, openMs), LATE.longestMs);
    // At the very opening there is nothing to hear yet: the first question covers the first pause of the window.
    const atMs = Math.max(opensMs + openMs, (askedMs ?? 0) + everyMs);
    if (nextMs === undefined || atMs < nextMs) nextMs = atMs;
  }
  return nextMs;
}

/** Of what the action may do; the rest is for questions about those for whom nobody waits, and for calls that arrive closer together than they went. */
const SHARE = 0.9;

/** Pure: the shortest pause between two questions, milliseconds, e.g. 56 at 20 calls a second. */
export const shortestPauseMs = (perSecond: number): number => 1000 / (perSecond * SHARE);

/** After a question that brought nothing, milliseconds; doubles with every further one. */
const FIRST_REPEAT_MS = 500;

/** Pure: the pause after so many questions in a row that brought nothing, milliseconds, e.g. 500, 1 000, 2 000. */
export const repeatPauseMs = (misses: number, mostMs: number): number => Math.min(FIRST_REPEAT_MS * 2 ** (misses - 1), mostMs);
