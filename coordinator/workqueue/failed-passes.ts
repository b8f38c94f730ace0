import type { Clock } from "../../common/clock.ts";
import { isCancelled } from "../../common/errors.ts";
import type { Reconcile } from "./worker.ts";

/** A part of the world that could not be read, e.g. what "Service shop/web"; the rest as of a FailedPass. */
export type Failure = { readonly what: string; readonly error: unknown; readonly sinceMs: number };

/** `sinceMs`: when the first of the failures in a row was, milliseconds since the epoch. `error`: what the last one threw. */
type FailedPass = { readonly key: string; readonly error: unknown; readonly sinceMs: number };

/** The keys of a queue whose last pass failed, and why. */
export class FailedPasses {
  readonly #clock: Clock;
  readonly #failed = new Map<string, FailedPass>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get entries(): readonly FailedPass[] {
    return [...this.#failed.values()];
  }

  /** The same passes, noted. */
  noted(reconcile: Reconcile): Reconcile {
    return async (key, signal) => {
      try {
        const outcome = await reconcile(key, signal);
        this.#failed.delete(key);
        return outcome;
      } catch (error) {
        const sinceMs = this.#failed.get(key)?.sinceMs ?? this.#clock.now();
        if (!isCancelled(error, signal)) this.#failed.set(key, { key, error, sinceMs });
        throw error;
      }
    };
  }
}
