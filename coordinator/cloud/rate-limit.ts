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

/** `key`: the load balancer that the call is about. `isHere`: somebody waits for the turn; else it is kept, and `onTurn` is told. */
type Waiter = { readonly key: string | undefined; readonly isPatient: boolean; isHere: boolean; go: () => void };
type Bucket = {
  rate: Rate;
  /** When the next token is free, milliseconds since the epoch; long ago means a full bucket. */
  freeMs: number;
  /** When the last calls went, milliseconds since the epoch, the oldest first: no more than go in a second. */
  readonly sentMs: number[];
  /** In the order in which they came, so that nobody is passed over. */
  readonly queue: Set<Waiter>;
  /** Turns that came while nobody waited for them: key -> until when they are kept, milliseconds since the epoch. */
  readonly kept: Map<string, number>;
  /** Ends the sleep until the next token; undefined while nobody waits. */
  timer: AbortController | undefined;
};

/** `share`: how much of a second's calls may go at once; `flow`: how fast the others follow. */
const FULL = { share: 1 / 2, flow: 1 } as const;
const SLOWED = { share: 1 / 4, flow: 3 / 4 } as const;
/** The cloud counts by arrival: calls of a second may arrive a little closer together than they went. */
const ARRIVAL_MS = 50;
/** A turn that came is kept so long for whoever has asked for it. */
const KEPT_MS = 1_000;

export type RateLimitHooks = {
  /** These calls go before all others that wait. */
  readonly isUrgent?: (key: string) => boolean;
  /** No turn of theirs is of use now: they keep their places. */
  readonly isBusy?: (key: string) => boolean;
  /** The turn that was asked for with `place` has come, and is kept for a second. */
  readonly onTurn?: (action: string, key: string) => void;
};

/**
 * A token bucket per action: slows down only what is throttled, never its neighbours. After a refusal the action pauses and goes on at
 * half its rate, which then recovers; whoever waits goes in the order of coming.
 */
export class RateLimit {
  readonly #clock: Clock;
  readonly #limits: RateLimits;
  readonly #hooks: RateLimitHooks;
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, limits: RateLimits, hooks: RateLimitHooks = {}) {
    this.#clock = clock;
    this.#limits = limits;
    this.#hooks = hooks;
  }

  /**
   * Resolves when the call may be made; at once where a turn is kept for `key`. Rejects with the signal's reason when aborted; no token is
   * spent then. `isPatient`: nothing waits for this call, so every other one goes before it.
   */
  async take(action: string, signal: AbortSignal, key?: string, isPatient = false): Promise<void> {
    signal.throwIfAborted();
    const bucket = this.#bucket(action);
    if (key !== undefined && this.#takeKept(bucket, key)) return;
    if (bucket.queue.size === 0 && this.#spend(bucket)) return;
    const turn = Promise.withResolvers<void>();
    const waiter: Waiter = { key, isPatient, isHere: true, go: turn.resolve };
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

  /**
   * True: the turn of `key` has come, and `take` will go at once. False: it has a place among those who wait, and `onTurn` is told when its
   * turn comes; who asks again keeps the place. So nobody has to stand in the queue who could do something else meanwhile.
   */
  place(action: string, key: string): boolean {
    const bucket = this.#bucket(action);
    if ((bucket.kept.get(key) ?? 0) > this.#clock.now()) return true;
    const come = (): void => {
      this.#keep(bucket, key);
      this.#hooks.onTurn?.(action, key);
    };
    let mine: Waiter | undefined;
    for (const waiter of bucket.queue) if (!waiter.isHere && waiter.key === key) mine = waiter;
    if (mine === undefined) bucket.queue.add((mine = { key, isPatient: false, isHere: false, go: come }));
    if (this.#next(bucket) === mine && this.#spend(bucket)) {
      bucket.queue.delete(mine);
      this.#keep(bucket, key);
      return true;
    }
    if (bucket.timer === undefined) void this.#serve(bucket);
    return false;
  }

  /** When the turn came that is kept for `key`, milliseconds since the epoch; undefined: none is. */
  cameAtMs(action: string, key: string): number | undefined {
    const untilMs = this.#buckets.get(action)?.kept.get(key);
    return untilMs === undefined ? undefined : untilMs - KEPT_MS;
  }

  /** `key` needs no turn any more that it has asked for with `place`. */
  leave(action: string, key: string): void {
    const bucket = this.#buckets.get(action);
    if (bucket === undefined) return;
    bucket.kept.delete(key);
    for (const waiter of bucket.queue) if (!waiter.isHere && waiter.key === key) bucket.queue.delete(waiter);
    if (bucket.queue.size === 0) bucket.timer?.abort(OVER);
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
    const rate = { perSecond: this.#limits.perSecond, sinceMs: 0 };
    const bucket: Bucket = { rate, freeMs: 0, sentMs: [], queue: new Set(), kept: new Map(), timer: undefined };
    this.#buckets.set(action, bucket);
    return bucket;
  }

  #keep(bucket: Bucket, key: string): void {
    const now = this.#clock.now();
    for (const [other, untilMs] of bucket.kept) if (untilMs <= now) bucket.kept.delete(other);
    bucket.kept.set(key, now + KEPT_MS);
  }

  #takeKept(bucket: Bucket, key: string): boolean {
    const untilMs = bucket.kept.get(key);
    bucket.kept.delete(key);
    return untilMs !== undefined && untilMs > this.#clock.now();
  }

  /** Lets waiters go as tokens come, until nobody waits. Never rejects. */
  async #serve(bucket: Bucket): Promise<void> {
    for (;;) {
      const next = this.#next(bucket);
      if (next === undefined) break;
      if (this.#spend(bucket)) {
        bucket.queue.delete(next);
        next.go();
        continue;
      }
      const timer = new AbortController();
      bucket.timer = timer;
      await this.#clock.sleep(Math.max(this.#freeAtMs(bucket, bucket.freeMs) - this.#clock.now(), 1), timer.signal).catch(() => undefined);
    }
    bucket.timer = undefined;
  }

  /** Who waits for longest: of those that are urgent, else of the others, else of the patient ones; undefined also if all are busy, who ask again when they are not. */
  #next({ queue }: Bucket): Waiter | undefined {
    const { isUrgent, isBusy } = this.#hooks;
    let [first, patient]: (Waiter | undefined)[] = [];
    for (const waiter of queue) {
      if (!waiter.isHere && waiter.key !== undefined && isBusy?.(waiter.key) === true) continue;
      if (waiter.isPatient) patient ??= waiter;
      else if (isUrgent === undefined || (waiter.key !== undefined && isUrgent(waiter.key))) return waiter;
      else first ??= waiter;
    }
    return first ?? patient;
  }

  /** When the next token is free. */
  #freeAtMs({ sentMs }: Bucket, freeMs: number): number {
    const first = sentMs.length < this.#limits.perSecond ? undefined : sentMs[0]; // of all that may go in a second
    return Math.max(freeMs, first === undefined ? 0 : first + 1_000 + ARRIVAL_MS);
  }

  /** Takes a token if one is free. */
  #spend(bucket: Bucket): boolean {
    const now = this.#clock.now();
    const { perSecond: most } = this.#limits;
    const perSecond = recovered(bucket.rate, most, now);
    // Half of a second's calls may go at once, the rest flows; that there are never more than may go in any second, wherever the cloud's
    // fixed one-second windows begin, is counted. While others use up the rate, a quarter goes at once and the rest at three quarters.
    const { share, flow } = perSecond < most ? SLOWED : FULL;
    const gap = 1000 / (perSecond * flow);
    const burst = gap * Math.max(0, Math.floor(perSecond * share) - 1); // the first call needs no gap before it
    const free = Math.max(bucket.freeMs, now - burst);
    if (this.#freeAtMs(bucket, free) > now) return false;
    bucket.freeMs = free + gap;
    bucket.sentMs.push(now);
    if (bucket.sentMs.length > most) bucket.sentMs.shift();
    return true;
  }
}
