import { type BackoffLimits, backoffMs } from "../backoff.ts";
import { KubeApiError } from "./api-error.ts";

/**
 * Where nobody answers, nobody is spared by waiting. A controller that is back first deletes Pods at once, and who hears of it later than
 * their preStop sleep lasts (8 s in the example) loses their requests.
 */
const AWAY_BACKOFF: BackoffLimits = { baseMs: 250, maxMs: 4_000 };

/** Failures in a row of one thing that is asked for: without an answer, and by an answer since the server answered again. */
export type ApiFailures = { readonly away: number; readonly refused: number };

export const NO_FAILURES: ApiFailures = { away: 0, refused: 0 };

const isAway = (error: unknown): boolean => error instanceof KubeApiError && error.failure === "transport";

/**
 * With one more. A server that has just begun refuses for a second or two what it will serve then: its refusals are counted from its start
 * on, for one that was away long would be asked again too late.
 */
export const withFailure = ({ away, refused }: ApiFailures, error: unknown): ApiFailures =>
  isAway(error) ? { away: away + 1, refused: 0 } : { away, refused: refused + 1 };

/** When to ask again after that failure, the last one of `failures`; milliseconds, with full jitter. `limits` are those of refusals. */
export const againMs = (failures: ApiFailures, error: unknown, limits: BackoffLimits, random: () => number): number =>
  isAway(error) ? backoffMs(failures.away - 1, AWAY_BACKOFF, random) : backoffMs(failures.refused - 1, limits, random);
