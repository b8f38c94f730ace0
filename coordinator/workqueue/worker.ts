import type { Clock } from "../../common/clock.ts";
import { isCancelled, remedyOf } from "../../common/errors.ts";
import type { Logger } from "../../common/log.ts";

/** `done`: the next fact that changes brings the key back. `again`: the next pass is due after `afterMs`, because of `because`. */
export type Outcome = { readonly kind: "done" } | { readonly kind: "again"; readonly afterMs: number; readonly because: string };
/** Level-based: the key says where to look, never what happened. Throws on failure. */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<Outcome>;

/** Wait after a failure that names no time of its own; fixed, because objects are shared and must not starve each other. */
const RETRY_MS = 1_000;
/** Wait after a failure that does not pass by itself; the object's next change brings the key back earlier. */
const GIVEN_UP_MS = 30_000;

export type WorkerDeps = {
  readonly name: string;
  readonly reconcile: Reconcile;
  readonly clock: Clock;
  readonly log: Logger;
  /** How many keys are worked on at once. */
  readonly concurrency: number;
  readonly onOutcome?: (outcome: "done" | "again" | "failed", seconds: number) => void;
};

/**
 * Queue and loop in one: keyed, de-duplicating, delayed. One pass per key at a time; a key added while its pass runs is passed again.
 * The one place that counts, logs and requeues.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  /** Key -> when it is due, milliseconds since the epoch. */
  readonly #due = new Map<string, number>();
  readonly #running = new Set<string>();
  #wake = Promise.withResolvers<void>();
  #passes: Promise<void>[] = [];

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
  }

  /** Keys that are due or run; not those whose time is to come. */
  get depth(): number {
    const now = this.#deps.clock.now();
    return this.#running.size + [...this.#due.values()].filter((dueMs) => dueMs <= now).length;
  }

  isRunning(key: string): boolean {
    return this.#running.has(key);
  }

  /** Keeps the earlier time if the key waits already. */
  add(key: string, delayMs = 0): void {
    const due = this.#deps.clock.now() + delayMs;
    const present = this.#due.get(key);
    if (present !== undefined && present <= due) return;
    this.#due.set(key, due);
    this.#wake.resolve();
  }

  /** Runs until `stop` aborts, and then until the running passes have ended; `passes` aborts those as well. */
  async run(stop: AbortSignal, passes: AbortSignal): Promise<void> {
    stop.addEventListener("abort", () => this.#wake.resolve(), { once: true });
    while (!stop.aborted) {
      this.#wake = Promise.withResolvers();
      const nextMs = this.#startDue(passes);
      const timer = new AbortController();
      const wait = nextMs === undefined ? [] : [this.#deps.clock.sleep(nextMs, timer.signal).catch(() => undefined)];
      await Promise.race([this.#wake.promise, ...wait]);
      timer.abort();
    }
    await Promise.all(this.#passes);
  }

  /** Starts what is due; returns how long until the next key is, undefined if nothing waits or all hands are busy. */
  #startDue(signal: AbortSignal): number | undefined {
    const now = this.#deps.clock.now();
    let nextMs: number | undefined;
    for (const [key, due] of this.#due) {
      if (this.#running.size >= this.#deps.concurrency) return undefined;
      if (this.#running.has(key)) continue;
      if (due > now) {
        nextMs = Math.min(nextMs ?? Number.POSITIVE_INFINITY, due - now);
        continue;
      }
      this.#due.delete(key);
      this.#running.add(key);
      const pass = this.#pass(key, signal).finally(() => {
        this.#passes = this.#passes.filter((other) => other !== pass);
      });
      this.#passes.push(pass);
    }
    return nextMs;
  }

  async #pass(key: string, signal: AbortSignal): Promise<void> {
    const { clock, log, name, reconcile, onOutcome } = this.#deps;
    const startedMs = clock.now();
    const count = (outcome: "done" | "again" | "failed"): void => onOutcome?.(outcome, (clock.now() - startedMs) / 1000);
    let delayMs: number | undefined;
    try {
      const outcome = await reconcile(key, signal);
      if (outcome.kind === "again") delayMs = outcome.afterMs;
      count(outcome.kind);
    } catch (err) {
      if (!isCancelled(err, signal)) {
        const remedy = remedyOf(err);
        delayMs = remedy.kind === "retryAfter" ? remedy.delayMs : remedy.kind === "retry" ? RETRY_MS : GIVEN_UP_MS;
        count("failed");
        log.warn({ err, worker: name, key, retryMs: delayMs }, "pass failed");
      }
    } finally {
      this.#running.delete(key);
      if (delayMs !== undefined) this.add(key, delayMs);
      this.#wake.resolve();
    }
  }
}
