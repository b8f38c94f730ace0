/** `baseMs`: upper bound of the first delay, doubled at every attempt; `maxMs`: no delay is longer. e.g. { baseMs: 250, maxMs: 30_000 } */
export type BackoffLimits = { readonly baseMs: number; readonly maxMs: number };

/**
 * Delay before the next attempt, in milliseconds, with full jitter: evenly spread over 0 … min(maxMs, baseMs × 2^attempt),
 * so that many clients that failed together do not come back together.
 * `attempt` counts failures so far from 0; `random` gives [0, 1), e.g. Math.random.
 */
export function backoffMs(attempt: number, { baseMs, maxMs }: BackoffLimits, random: () => number): number {
  // 2 ** 1024 is Infinity, which min turns into maxMs; a negative attempt counts as the first
  return random() * Math.min(maxMs, baseMs * 2 ** Math.max(0, attempt));
}
