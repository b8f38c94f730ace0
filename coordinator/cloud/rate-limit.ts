import type { Clock } from "../../common/clock.ts";

/** Calls per second and action. 20 is the cloud's limit; the rest is left to other users of the account. Source: clb-api.md §0. */
export type RateLimits = { readonly perSecond: number; readonly pauseAfterThrottlingMs: number };

/**
 * A token bucket per action: slows down only what is throttled, never its neighbours. A call that was throttled pauses its action.
 */
export class RateLimit {
  readonly #clock: Clock;
  readonly #limits: RateLimits;
  /** When the next token of an action is free, milliseconds since the epoch; earlier than a second ago means a full bucket. */
  readonly #nextFree = new Map<string, number>();

  constructor(clock: Clock, limits: RateLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Resolves when the call may be made. Rejects with the signal's reason when aborted; the token is spent all the same. */
  async take(action: string, signal: AbortSignal): Promise<void> {
    const now = this.#clock.now();
    // A quarter of a second's calls may go at once, the rest flows at three quarters of the rate: together never more than the limit
    // in any second, wherever the cloud's fixed one-second windows begin.
    const gap = 1000 / (this.#limits.perSecond * 0.75);
    const burst = gap * Math.max(0, Math.floor(this.#limits.perSecond / 4) - 1); // the first call needs no gap before it
    const free = Math.max(this.#nextFree.get(action) ?? 0, now - burst);
    this.#nextFree.set(action, free + gap);
    if (free > now) await this.#clock.sleep(free - now, signal);
    else signal.throwIfAborted();
  }

  /** The cloud refused a call of this action for its rate. */
  throttled(action: string): void {
    const until = this.#clock.now() + this.#limits.pauseAfterThrottlingMs;
    this.#nextFree.set(action, Math.max(this.#nextFree.get(action) ?? 0, until));
  }
}
