import { actionOf } from "../cloud/clb-writes.ts";
import type { RateLimit } from "../cloud/rate-limit.ts";
import type { Call } from "../domain/call.ts";

/** `callsPerSecond`: of an action, while nobody slows it down. */
export type TurnsDeps = { readonly rateLimit: Pick<RateLimit, "place" | "leave" | "state" | "cameAtMs">; readonly callsPerSecond: number };

/** A call that may go; `waited`: the time, milliseconds since the epoch, in which its load balancer had calls to make and no turn for any. */
export type Turn = { readonly call: Call; readonly waited?: { readonly fromMs: number; readonly untilMs: number } };

/**
 * Which call of a load balancer may go now. A pass does not stand in the queue of an action: its place is kept while it goes on, so what
 * is slowed down, e.g. binds that are throttled, holds up nothing else at its load balancer, and loses nothing by what goes before it.
 */
export class Turns {
  readonly #rateLimit: TurnsDeps["rateLimit"];
  readonly #perSecond: number;
  /** Actions in whose queues a load balancer may have a place. */
  readonly #placed = new Map<string, Set<string>>();
  /** Since when a load balancer has had calls to make and no turn. */
  readonly #waitsSinceMs = new Map<string, number>();

  constructor({ rateLimit, callsPerSecond }: TurnsDeps) {
    this.#rateLimit = rateLimit;
    this.#perSecond = callsPerSecond;
  }

  /** The first of the calls, in their order, whose turn has come; undefined: the rate limit tells when the next one's comes. */
  first(id: string, calls: readonly Call[], nowMs: number): Turn | undefined {
    const call = this.#first(id, calls);
    const fromMs = this.#waitsSinceMs.get(id);
    if (call === undefined && calls.length > 0) this.#waitsSinceMs.set(id, fromMs ?? nowMs);
    else this.#waitsSinceMs.delete(id);
    if (call === undefined) return undefined;
    return fromMs === undefined ? { call } : { call, waited: { fromMs, untilMs: this.#rateLimit.cameAtMs(actionOf(call), id) ?? nowMs } };
  }

  #first(id: string, calls: readonly Call[]): Call | undefined {
    const due = new Set(calls.map(actionOf));
    for (const action of this.#placed.get(id) ?? []) if (!due.has(action)) this.#leave(id, action);
    const asked = new Set<string>();
    for (const call of calls) {
      const action = actionOf(call);
      if (asked.has(action)) continue; // its first call has no turn
      asked.add(action);
      if (this.#rateLimit.place(action, id)) {
        this.#placed.get(id)?.delete(action);
        return call;
      }
      this.#note(id, action);
      if (!this.#isFar(action)) return undefined; // what is more urgent has its turn in a moment, and nothing is begun before it
    }
    return undefined;
  }

  /** The load balancer is gone, or not ours any more. */
  forget(id: string): void {
    this.#waitsSinceMs.delete(id);
    for (const action of this.#placed.get(id) ?? []) this.#leave(id, action);
  }

  /** Its turn does not come within a second. */
  #isFar(action: string): boolean {
    const { perSecond, waiting } = this.#rateLimit.state(action);
    return perSecond < this.#perSecond || waiting > perSecond;
  }

  #note(id: string, action: string): void {
    const placed = this.#placed.get(id) ?? new Set();
    this.#placed.set(id, placed.add(action));
  }

  #leave(id: string, action: string): void {
    this.#rateLimit.leave(action, id);
    const placed = this.#placed.get(id);
    placed?.delete(action);
    if (placed?.size === 0) this.#placed.delete(id);
  }
}
