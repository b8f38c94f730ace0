import type { Clock } from "../../common/clock.ts";
import { OVER } from "../../common/signals.ts";

/** Calls per second and action. 20 is the cloud's limit; the rest is left to other users of the account. Source: clb-api.md §0. */
export type RateLimits = { readonly perSecond: number; readonly pauseAfterThrottlingMs: number };

/** How fast an action may go now: `perSecond` as of `sinceMs`; from then on it recovers. */
export type Rate = { readonly perSecond: number; readonly sinceMs: number };

/** A refused call halves the rate; what is in flight together counts once. */
const FALL = { factor: 0.5, onceInMs: 500 } as const;
/** From half the rate back to all of it in ten seconds. */
const RECOVERY_PER_SECOND = 1 / 20;
/** Never slower than one call in two seconds: a call is the only way to learn that the cloud answers again. */
const SLOWEST_PER_SECOND = 0.5;

/** Pure: the rate after time has passed without a refusal, e.g. 10 of 20 per second after 5 s: 15. */
export const recovered = (rate: Rate, most: number, nowMs: number): number =>
  Math.min(most, rate.perSecond + (most * RECOVERY_PER_SECOND * Math.max(0, nowMs - rate.sinceMs)) / 1000);

/** Pure: the rate after a call was refused. The limit is shared with everybody who uses the account (clb-api.md §1.5). */
export function fallen(rate: Rate, most: number, nowMs: number): Rate {
  if (rate.perSecond < most && nowMs - rate.sinceMs < FALL.onceInMs) return rate;
  return { perSecond: Math.max(SLOWEST_PER_SECOND, recovered(rate, most, nowMs) * FALL.factor), sinceMs: nowMs };
}

type Waiter = { readonly go: () => void };
type Bucket = {
  rate: Rate;
  /** When the next token is free, milliseconds since the epoch; long ago means a full bucket. */
  freeMs: number;
  /** In the order in which they came, so that nobody is passed over. */
  readonly queue: Set<Waiter>;
  /** Ends the sleep until the next token; undefined while nobody waits. */
  timer: AbortController | undefined;
};

/**
 * A token bucket per action: slows down only what is throttled, never its neighbours. After a refusal the action pauses and goes on at
 * half its rate, which then recovers; whoever waits goes in the order of coming.
 */
export class RateLimit {
  readonly #clock: Clock;
  readonly #limits: RateLimits;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, limits: RateLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Resolves when the call may be made. Rejects with the signal's reason when aborted; no token is spent then. */
  async take(action: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const bucket = this.#bucket(action);
    if (bucket.queue.size === 0 && this.#spend(bucket)) return;
    const turn = Promise.withResolvers<void>();
    const waiter = { go: turn.resolve };
    const leave = (): void => {
      bucket.queue.delete(waiter);
      if (bucket.queue.size === 0) bucket.timer?.abort(OVER);
      turn.reject(signal.reason);
    };
    bucket.queue.add(waiter);
    signal.addEventListener("abort", leave, { once: true });
    if (bucket.timer === undefined) void this.#serve(bucket);
    await turn.promise.finally(() => signal.removeEventListener("abort", leave));
  }

  /** The cloud refused a call of this action for its rate. */
  throttled(action: string): void {
    const bucket = this.#bucket(action);
    const now = this.#clock.now();
    bucket.rate = fallen(bucket.rate, this.#limits.perSecond, now);
    bucket.freeMs = Math.max(bucket.freeMs, now + this.#limits.pauseAfterThrottlingMs);
    bucket.timer?.abort(OVER); // whoever waits learns of it
  }

  /** Calls per second that the action may make now, and how many wait for their turn. */
  state(action: string): { readonly perSecond: number; readonly waiting: number } {
    const bucket = this.#bucket(action);
    return { perSecond: recovered(bucket.rate, this.#limits.perSecond, this.#clock.now()), waiting: bucket.queue.size };
  }

  #bucket(action: string): Bucket {
    const present = this.#buckets.get(action);
    if (present !== undefined) return present;
    const bucket: Bucket = { rate: { perSecond: this.#limits.perSecond, sinceMs: 0 }, freeMs: 0, queue: new Set(), timer: undefined };
    this.#buckets.set(action, bucket);
    return bucket;
  }

  /** Lets waiters go as tokens come, until nobody waits. Never rejects. */
  async #serve(bucket: Bucket): Promise<void> {
    for (;;) {
      const [first] = bucket.queue;
      if (first === undefined) break;
      if (this.#spend(bucket)) {
        bucket.queue.delete(first);
        first.go();
        continue;
      }
      const timer = new AbortController();
      bucket.timer = timer;
      await this.#clock.sleep(Math.max(bucket.freeMs - this.#clock.now(), 1), timer.signal).catch(() => undefined);
    }
    bucket.timer = undefined;
  }

  /** Takes a token if one is free. */
  #spend(bucket: Bucket): boolean {
    const now = this.#clock.now();
    const perSecond = recovered(bucket.rate, this.#limits.perSecond, now);
    // A quarter of a second's calls may go at once, the rest flows at three quarters of the rate: together never more than the limit
    // in any second, wherever the cloud's fixed one-second windows begin.
    const gap = 1000 / (perSecond * 0.75);
    const burst = gap * Math.max(0, Math.floor(perSecond / 4) - 1); // the first call needs no gap before it
    const free = Math.max(bucket.freeMs, now - burst);
    if (free > now) return false;
    bucket.freeMs = free + gap;
    return true;
  }
}
