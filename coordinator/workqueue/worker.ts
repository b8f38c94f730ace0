import type { Clock } from "../../common/clock.ts";
import { isCancelled, remedyOf } from "../../common/errors.ts";
import { yieldTurn } from "../../common/event-loop.ts";
import { makeHeap } from "../../common/heap.ts";
import { LastingFailures } from "../../common/lasting-failures.ts";
import type { Logger } from "../../common/log.ts";
import { OVER } from "../../common/signals.ts";

/** `done`: the next fact that changes brings the key back. `again`: the next pass is due after `afterMs`, because of `because`. */
export type Outcome = { readonly kind: "done" } | { readonly kind: "again"; readonly afterMs: number; readonly because: string };
/** Level-based: the key says where to look, never what happened. Throws on failure. */
export type Reconcile = (key: string, signal: AbortSignal) => Promise<Outcome>;

/** Wait after a failure that names no time of its own. One that lasts waits longer (LastingFailures), until the key is added by a change. */
const RETRY_MS = 1_000;
/** Wait after a failure that does not pass by itself; the object's next change brings the key back earlier. */
const GIVEN_UP_MS = 30_000;

/** Of so many passes that begin one at least is of a key that was not added first: these wait, and are not forgotten. */
const FAIR = 4;

/** Whether passes may begin is asked so often. */
const HELD_MS = 100;

/** So many void entries are not worth the work of dropping them. */
const FEW = 64;

export type WorkerDeps = {
  readonly name: string;
  readonly reconcile: Reconcile;
  readonly clock: Clock;
  readonly log: Logger;
  /** How many keys are worked on at once. */
  readonly concurrency: number;
  readonly onOutcome?: (outcome: "done" | "again" | "failed", seconds: number) => void;
  /** No pass begins before this is true: thousands of keys would ask for themselves, again and again, what one asks for all. Default: at once. */
  readonly mayBegin?: () => boolean;
};

/**
 * Queue and loop in one: keyed, de-duplicating, delayed. One pass per key at a time; a key added while its pass runs is passed again.
 * The one place that counts, logs and requeues.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  /** Keys whose time has come, in the order of coming. */
  readonly #ready = new Set<string>();
  /** The same, of those that were added first. A key is in one of the two. */
  readonly #first = new Set<string>();
  /** Key -> when it is due, milliseconds since the epoch; those whose time is to come. */
  readonly #later = new Map<string, number>();
  /** The earliest of `#later` first; an entry that differs from it is void. */
  #times = makeTimes();
  readonly #running = new Set<string>();
  readonly #passes = new Set<Promise<void>>();
  readonly #lasting = new LastingFailures();
  #begun = 0;
  #wake = Promise.withResolvers<void>();
  #timer: { readonly atMs: number; readonly over: AbortController } | undefined;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
  }

  /** Keys that are due or run; not those whose time is to come. */
  get depth(): number {
    this.#ripen(this.#deps.clock.now());
    return this.#running.size + this.#ready.size + this.#first.size;
  }

  isRunning(key: string): boolean {
    return this.#running.has(key);
  }

  /** Keeps the earlier time if the key waits already. */
  add(key: string, delayMs = 0): void {
    if (this.#ready.has(key) || this.#first.has(key)) return;
    if (delayMs <= 0) {
      this.#later.delete(key);
      this.#ready.add(key);
      return this.#wake.resolve();
    }
    const dueMs = this.#deps.clock.now() + delayMs;
    const present = this.#later.get(key);
    if (present !== undefined && present <= dueMs) return;
    this.#later.set(key, dueMs);
    this.#times.push({ key, dueMs });
    if (this.#times.size > 2 * this.#later.size + FEW) this.#dropVoid();
    this.#wake.resolve();
  }

  /** Before the others that are due: of this key it is known that its pass brings something on, and thousands may be due that only look. */
  addFirst(key: string): void {
    this.#ready.delete(key);
    this.#later.delete(key);
    this.#first.add(key);
    this.#wake.resolve();
  }

  /** Runs until `stop` aborts, and then until the running passes have ended; `passes` aborts those as well. */
  async run(stop: AbortSignal, passes: AbortSignal): Promise<void> {
    stop.addEventListener("abort", () => this.#wake.resolve(), { once: true });
    while (!stop.aborted) {
      this.#wake = Promise.withResolvers();
      const mayBegin = this.#deps.mayBegin?.() ?? true;
      if (mayBegin) this.#startReady(passes);
      this.#wakeIn(mayBegin ? this.#nextMs() : HELD_MS);
      await this.#wake.promise;
    }
    this.#timer?.over.abort(OVER);
    await Promise.all(this.#passes);
  }

  /** One timer at a time: one that comes earlier than it is needed costs less than a new one for every key that comes. */
  #wakeIn(ms: number | undefined): void {
    if (ms === undefined) return;
    const atMs = this.#deps.clock.now() + ms;
    if (this.#timer !== undefined && this.#timer.atMs <= atMs) return;
    this.#timer?.over.abort(OVER);
    const timer = { atMs, over: new AbortController() };
    this.#timer = timer;
    const fire = (): void => {
      this.#timer = undefined;
      this.#wake.resolve();
    };
    this.#deps.clock.sleep(ms, timer.over.signal).then(fire, () => undefined);
  }

  /** Starts what is due, as far as hands are free. */
  #startReady(signal: AbortSignal): void {
    this.#ripen(this.#deps.clock.now());
    const [others, first] = [this.#startable(this.#ready), this.#startable(this.#first)];
    while (this.#running.size < this.#deps.concurrency) {
      const turn = (this.#begun + 1) % FAIR === 0 ? [others, first] : [first, others];
      const key = turn[0]?.next().value ?? turn[1]?.next().value;
      if (key === undefined) return;
      this.#begun += 1;
      this.#ready.delete(key);
      this.#first.delete(key);
      this.#running.add(key);
      const pass = this.#pass(key, signal).finally(() => this.#passes.delete(pass));
      this.#passes.add(pass);
    }
  }

  /** A key whose pass runs is passed again when that has ended. */
  *#startable(due: Iterable<string>): Generator<string, undefined> {
    for (const key of due) if (!this.#running.has(key)) yield key;
    return undefined;
  }

  /** How long until the next key is due, milliseconds; undefined if none waits for its time, or all hands are busy. */
  #nextMs(): number | undefined {
    if (this.#running.size >= this.#deps.concurrency) return undefined;
    const first = this.#firstTime();
    return first === undefined ? undefined : Math.max(0, first.dueMs - this.#deps.clock.now());
  }

  /** Takes the keys whose time has come. */
  #ripen(nowMs: number): void {
    for (let first = this.#firstTime(); first !== undefined && first.dueMs <= nowMs; first = this.#firstTime()) {
      this.#times.pop();
      this.#later.delete(first.key);
      this.#ready.add(first.key);
    }
  }

  /** Keys that came back before their time leave entries that say nothing any more. */
  #dropVoid(): void {
    this.#times = makeTimes();
    for (const [key, dueMs] of this.#later) this.#times.push({ key, dueMs });
  }

  #firstTime(): Time | undefined {
    let first = this.#times.peek();
    while (first !== undefined && this.#later.get(first.key) !== first.dueMs) {
      this.#times.pop();
      first = this.#times.peek();
    }
    return first;
  }

  async #pass(key: string, signal: AbortSignal): Promise<void> {
    const { clock, log, name, reconcile, onOutcome } = this.#deps;
    await yieldTurn(name);
    const startedMs = clock.now();
    const count = (outcome: "done" | "again" | "failed"): void => onOutcome?.(outcome, (clock.now() - startedMs) / 1000);
    let delayMs: number | undefined;
    try {
      const outcome = await reconcile(key, signal);
      if (outcome.kind === "again") delayMs = outcome.afterMs;
      this.#lasting.over(key);
      count(outcome.kind);
    } catch (err) {
      if (!isCancelled(err, signal)) {
        const remedy = remedyOf(err);
        const askedMs = remedy.kind === "retryAfter" ? remedy.delayMs : remedy.kind === "retry" ? RETRY_MS : GIVEN_UP_MS;
        delayMs = Math.max(askedMs, this.#lasting.failed(key, clock.now()));
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

const makeTimes = () => makeHeap<Time>((left, right) => left.dueMs < right.dueMs);

type Time = { readonly key: string; readonly dueMs: number };
