import type { Clock } from "../common/clock.ts";
import { isCancelled } from "../common/errors.ts";
import type { Logger } from "../common/log.ts";
import type { ClbApi } from "./cloud/clb-api.ts";
import { ClbApiError } from "./cloud/clb-error.ts";
import type { Mirror } from "./cloud/mirror.ts";
import { type Awaited, fastestPauseMs, nextQuestionMs, repeatPauseMs } from "./domain/health-pace.ts";
import { placesOf } from "./domain/load-balancer.ts";

/** Load balancers per question. Source: clb-api.md §2.3. */
const PER_QUESTION = 30;

export type HealthWatchDeps = {
  readonly api: ClbApi;
  readonly mirror: Mirror;
  readonly clock: Clock;
  readonly log: Logger;
  /** How often to ask while nobody waits, milliseconds. */
  readonly idleMs: number;
  /** Longest pause while a check window is open, milliseconds; shorter where the rate allows. */
  readonly pollMs: number;
  /** DescribeTargetHealth per second; the watch uses half of it. */
  readonly callsPerSecond: number;
  /** Those whose health somebody waits for; empty if nobody does. */
  readonly awaited: (loadBalancerId: string) => readonly Awaited[];
  /** An answer about these has come, or nothing is bound there; one that the answer leaves out is still not known. */
  readonly onAnswer?: (loadBalancerIds: readonly string[]) => void;
  /** The cloud refused a question about this load balancer and others: it must be read anew, soon. */
  readonly doubt: (loadBalancerId: string) => void;
};

/** Longest pause after questions that failed, milliseconds. */
const MOST_FAILED_MS = 5_000;

/**
 * Why a question brought nothing: the cloud was not heard, it refused what was asked, or the answer left the load balancer out. The next
 * one may come at `againMs`, milliseconds since the epoch.
 */
type Missed = { readonly how: "failed" | "refused" | "left-out"; readonly againMs: number };
/**
 * What was asked about a load balancer. `firstMs`: when its first question may come; `askedMs`: its last one that was answered; both
 * milliseconds since the epoch. `isKnown`: an answer has told of it. `misses`: so many questions in a row brought nothing.
 */
type Asked = {
  readonly firstMs: number;
  readonly askedMs?: number;
  readonly isKnown: boolean;
  readonly misses: number;
  readonly missed?: Missed;
};

/**
 * Asks for health only where someone waits, from when the check window can end at the earliest; rarely elsewhere. A question that failed
 * is repeated soon, and what has never been answered comes first: gates and the brake wait for it.
 */
export class HealthWatch {
  readonly #deps: HealthWatchDeps;
  readonly #asked = new Map<string, Asked>();
  /** When the last question was asked, about whomever. */
  #lastMs = 0;
  #wake = Promise.withResolvers<void>();

  constructor(deps: HealthWatchDeps) {
    this.#deps = deps;
  }

  /** Somebody may wait now who did not before. */
  wake(): void {
    this.#wake.resolve();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers();
      const now = clock.now();
      const due = this.#due(now);
      const ready = questionOf(due, now);
      if (ready.length > 0) {
        await this.#ask(ready, signal);
        continue;
      }
      const timer = new AbortController();
      const stop = (): void => timer.abort();
      signal.addEventListener("abort", stop, { once: true });
      const nextMs = Math.max((due[0]?.atMs ?? now + this.#deps.idleMs) - now, 1);
      await Promise.race([this.#wake.promise, clock.sleep(nextMs, timer.signal).catch(() => undefined)]);
      signal.removeEventListener("abort", stop);
      timer.abort();
    }
  }

  /** When each load balancer is due, soonest first. */
  #due(nowMs: number): Due[] {
    const { mirror, idleMs, pollMs, callsPerSecond, awaited } = this.#deps;
    const present = new Set(mirror.ids);
    for (const id of this.#asked.keys()) if (!present.has(id)) this.#asked.delete(id);
    const waiting = mirror.ids.map((id) => ({ id, targets: awaited(id) }));
    const calls = Math.ceil(waiting.filter(({ targets }) => targets.length > 0).length / PER_QUESTION);
    const pace = { fastestMs: fastestPauseMs(calls, callsPerSecond), slowestMs: Math.max(pollMs, fastestPauseMs(calls, callsPerSecond)) };
    const due = waiting.map(({ id, targets }): Due => {
      const { firstMs, askedMs, missed, misses, isKnown } = this.#asked.get(id) ?? this.#meet(id, nowMs);
      // One unknown load balancer spoils a question for all: halves tell which.
      const one = { id, isKnown, most: missed?.how === "refused" ? Math.max(1, PER_QUESTION >> misses) : PER_QUESTION };
      const restMs = missed?.againMs ?? (askedMs === undefined ? firstMs : askedMs + idleMs);
      const awaitedAtMs = nextQuestionMs(targets, askedMs, nowMs, pace);
      const isHeard = missed === undefined || missed.how === "left-out";
      // What is due within half of the longest pause comes along, so that all who wait share their questions from then on.
      if (awaitedAtMs === undefined || awaitedAtMs >= restMs || !isHeard) return { ...one, atMs: restMs, alongMs: 0 };
      return { ...one, atMs: awaitedAtMs, alongMs: pace.slowestMs / 2 };
    });
    return due.sort((a, b) => a.atMs - b.atMs);
  }

  async #ask(ids: readonly string[], signal: AbortSignal): Promise<void> {
    const { api, mirror, clock, log } = this.#deps;
    const askedMs = clock.now();
    this.#lastMs = askedMs;
    try {
      const answer = await api.health(ids, signal);
      const nowMs = clock.now();
      const told = new Set(ids.filter((id) => answer.has(id) || isEmpty(mirror, id)));
      for (const id of ids) this.#noteAnswer(id, told.has(id), askedMs);
      this.#deps.onAnswer?.([...told]);
      for (const [id, states] of answer) mirror.noteHealth(id, states, { askedMs, nowMs });
    } catch (err) {
      if (isCancelled(err, signal)) return;
      const isRefused = err instanceof ClbApiError && err.call.code.startsWith("InvalidParameter");
      for (const id of ids) this.#noteMiss(id, isRefused ? "refused" : "failed", MOST_FAILED_MS);
      // One unknown load balancer fails the whole question: each must be read again, which finds the one that is gone.
      if (isRefused) for (const id of ids) this.#deps.doubt(id);
      log.warn({ err, loadBalancerIds: ids }, "health not read");
    }
  }

  /** After a start load balancers come one by one: those of one pause share their first question. */
  #meet(id: string, nowMs: number): Asked {
    const met: Asked = { firstMs: Math.max(nowMs, this.#lastMs + this.#deps.pollMs), isKnown: false, misses: 0 };
    this.#asked.set(id, met);
    return met;
  }

  /** One that is left out although it was known has nothing to tell; one that never was may be known in a moment. */
  #noteAnswer(id: string, isTold: boolean, askedMs: number): void {
    const before = this.#asked.get(id);
    if (before === undefined) return;
    const { firstMs, isKnown } = before;
    if (isTold || isKnown) return void this.#asked.set(id, { firstMs, askedMs, isKnown: true, misses: 0 });
    this.#asked.set(id, { ...before, askedMs });
    this.#noteMiss(id, "left-out", this.#deps.idleMs);
  }

  #noteMiss(id: string, how: Missed["how"], mostMs: number): void {
    const before = this.#asked.get(id);
    if (before === undefined) return;
    const misses = before.misses + 1;
    this.#asked.set(id, { ...before, misses, missed: { how, againMs: this.#deps.clock.now() + repeatPauseMs(misses, mostMs) } });
  }
}

/** Nothing is bound there: no answer could tell anything. */
const isEmpty = (mirror: Mirror, id: string): boolean => {
  const actual = mirror.read(id);
  return actual !== undefined && placesOf(actual).every(({ targets }) => targets.length === 0);
};

/** `most`: how many a question may name that names this one. */
type Due = { readonly id: string; readonly isKnown: boolean; readonly most: number; readonly atMs: number; readonly alongMs: number };

/** What to ask about now, those first that were never answered; empty if nothing is due yet. `due` comes soonest first. */
function questionOf(due: readonly Due[], nowMs: number): string[] {
  if (due[0] === undefined || due[0].atMs > nowMs) return [];
  const ready = due.filter(({ atMs, alongMs }) => atMs <= nowMs + alongMs).sort((a, b) => Number(a.isKnown) - Number(b.isKnown));
  const ids: string[] = [];
  let most: number = PER_QUESTION;
  for (const one of ready) {
    if (ids.length >= Math.min(most, one.most)) continue;
    most = Math.min(most, one.most);
    ids.push(one.id);
  }
  return ids;
}
