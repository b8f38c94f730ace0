import type { RefusedCall } from "../domain/refused-call.ts";

/**
 * What fails is tried again sooner; an older failure is of a call that nobody needs any more. A call without an answer is given up after a
 * minute, rests for half a minute, and calls of a few other lanes may hang as long before it has its turn again. Milliseconds.
 */
const BELIEVED_MS = { denied: 90_000, failing: 90_000, unanswered: 300_000 } as const;
/** A refusal that may pass by itself, e.g. by the lock, is worth a word when nothing has worked for so long. Milliseconds. */
const LASTING_MS = 60_000;

/** Stands for every load balancer: the call names none. */
const ALL = "*";

type Refused = RefusedCall & { readonly sinceMs: number; readonly atMs: number };

/** Calls about load balancers that the cloud refuses, as the last answers say: those that the key may not make, and those that keep failing. */
export class RefusedCalls {
  /** By load balancer, then by action. */
  readonly #refused = new Map<string, Map<string, Refused>>();
  readonly #clock: { now(): number };

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  /**
   * `news`: it was not known; `known`: it was; `passing`: it may pass by itself. `loadBalancerIds` empty: the call names none, and all of
   * them need it. `askedAtMs`: since when it has had no good answer, milliseconds since the epoch.
   */
  note(loadBalancerIds: readonly string[], call: RefusedCall, askedAtMs: number): "news" | "known" | "passing" {
    const atMs = this.#clock.now();
    let standing: "news" | "known" | "passing" = "passing";
    for (const id of loadBalancerIds.length === 0 ? [ALL] : loadBalancerIds) {
      const calls = this.#refused.get(id) ?? new Map<string, Refused>();
      this.#refused.set(id, calls);
      const before = calls.get(call.action);
      const inARow = before !== undefined && atMs - before.atMs <= Math.max(BELIEVED_MS[before.cause], BELIEVED_MS[call.cause]);
      const after = { ...call, sinceMs: inARow ? before.sinceMs : askedAtMs, atMs };
      calls.set(call.action, after);
      if (!isBelieved(after)) continue;
      const isKnown = inARow && isBelieved(before) && before.words === call.words && before.code === call.code;
      if (!isKnown) standing = "news";
      else if (standing === "passing") standing = "known";
    }
    return standing;
  }

  /** The call works. True: that is news. */
  worked(loadBalancerIds: readonly string[], action: string): boolean {
    if (this.#refused.size === 0) return false;
    let isNew = false;
    for (const id of loadBalancerIds.length === 0 ? [ALL] : loadBalancerIds) {
      const calls = this.#refused.get(id);
      const before = calls?.get(action);
      if (before !== undefined && isBelieved(before)) isNew = true;
      calls?.delete(action);
      if (calls?.size === 0) this.#refused.delete(id);
    }
    return isNew;
  }

  /** What is refused at this load balancer, e.g. that its health may not be read. */
  at(loadBalancerId: string): RefusedCall[] {
    if (this.#refused.size === 0) return [];
    const nowMs = this.#clock.now();
    const calls = [...(this.#refused.get(loadBalancerId)?.values() ?? []), ...(this.#refused.get(ALL)?.values() ?? [])];
    return calls.flatMap((one) => {
      const { sinceMs: _since, atMs, ...call } = one;
      return atMs >= nowMs - BELIEVED_MS[call.cause] && isBelieved(one) ? [call] : [];
    });
  }
}

const isBelieved = ({ cause, sinceMs, atMs }: Refused): boolean => cause === "denied" || atMs - sinceMs >= LASTING_MS;
