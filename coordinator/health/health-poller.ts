import type { Clock } from "../../common/clock.ts";
import { withDeadline } from "../../common/deadline.ts";
import { isCancelled } from "../../common/errors.ts";
import { LastingFailures } from "../../common/lasting-failures.ts";
import type { Logger } from "../../common/log.ts";
import { OVER, withEither } from "../../common/signals.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError } from "../cloud/clb-error.ts";
import { placesOf } from "../domain/load-balancer.ts";
import { type Awaited, fastestPauseMs, nextQuestionMs, repeatPauseMs } from "../domain/pace/health-pace.ts";
import type { Mirror } from "../state/mirror.ts";

/** Load balancers per question. Source: clb-api.md §2.3. */
const PER_QUESTION = 30;

export type HealthPollerDeps = {
  readonly api: ClbApi;
  readonly mirror: Mirror;
  readonly clock: Clock;
  readonly log: Logger;
  /** How often to ask while nobody waits, milliseconds. */
  readonly idleMs: number;
  /** Longest pause while a check window is open, milliseconds; shorter where the rate allows. */
  readonly pollMs: number;
  /** DescribeTargetHealth per second; the poller uses half of it. */
  readonly callsPerSecond: number;
  /** Those whose health somebody waits for; empty if nobody does. */
  readonly awaited: (loadBalancerId: string) => readonly Awaited[];
  /** An answer about these has come, or nothing is bound there; one that the answer leaves out is still not known. */
  readonly onAnswer?: (loadBalancerIds: readonly string[]) => void;
  /** The cloud refused a question about this load balancer and others: what is known of it is in doubt now. */
  readonly doubt: (loadBalancerId: string) => void;
};

/** Longest pause after questions that failed, milliseconds; longer where they have failed for long (LastingFailures). */
const MOST_FAILED_MS = 5_000;
/** A question that takes longer is slow: those it does not name are asked about meanwhile. Answers come in about 100 ms (clb-api.md §7.5). */
const SLOW_MS = 1_000;
/** A question without an answer for so long has failed, the wait for its turn included. */
const LOST_MS = 10_000;

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
export class HealthPoller {
  readonly #deps: HealthPollerDeps;
  readonly #asked = new Map<string, Asked>();
  readonly #lasting = new LastingFailures();
  /** When the last question was asked, about whomever. */
  #lastMs = 0;
  /** Those about whom a question is under way. */
  readonly #underWay = new Set<string>();
  #questions: Promise<void>[] = [];
  #wake = Promise.withResolvers<void>();

  constructor(deps: HealthPollerDeps) {
    this.#deps = deps;
  }

  /** Somebody may wait now who did not before, at this load balancer or anywhere. */
  wake(loadBalancerId?: string): void {
    if (loadBalancerId !== undefined && this.#asked.has(loadBalancerId) && this.#deps.awaited(loadBalancerId).length === 0) return;
    this.#wake.resolve();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers();
      const now = clock.now();
      const due = this.#due(now);
      const ready = questionOf(due, now);
      const nextMs = Math.max(due.reduce((soonest, { atMs }) => Math.min(soonest, atMs), now + this.#deps.idleMs) - now, 1);
      if (ready.length > 0) await this.#rest(SLOW_MS, this.#ask(ready, signal), signal);
      else await this.#rest(nextMs, this.#wake.promise, signal);
    }
    await Promise.all(this.#questions);
  }

  /** Resolves after `ms`, or when `until` does, or when stopped. */
  async #rest(ms: number, until: Promise<void>, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    await withEither([signal, over.signal], async (either) => {
      await Promise.race([until, this.#deps.clock.sleep(ms, either).catch(() => undefined)]);
      over.abort(OVER);
    });
  }

  /** When each load balancer is due, in no particular order. */
  #due(nowMs: number): Due[] {
    const { mirror, idleMs, pollMs, callsPerSecond, awaited } = this.#deps;
    const present = new Set(mirror.ids);
    for (const id of this.#asked.keys()) if (!present.has(id)) this.#forget(id);
    const waiting = mirror.ids.filter((id) => !this.#underWay.has(id)).map((id) => ({ id, targets: awaited(id) }));
    const calls = Math.ceil(waiting.filter(({ targets }) => targets.length > 0).length / PER_QUESTION);
    const pace = { fastestMs: fastestPauseMs(calls, callsPerSecond), slowestMs: Math.max(pollMs, fastestPauseMs(calls, callsPerSecond)) };
    return waiting.map(({ id, targets }): Due => {
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
  }

  /** Resolves when the question is over, however it ends. */
  #ask(ids: readonly string[], signal: AbortSignal): Promise<void> {
    for (const id of ids) this.#underWay.add(id);
    this.#lastMs = this.#deps.clock.now();
    const question = this.#question(ids, signal).finally(() => {
      for (const id of ids) this.#underWay.delete(id);
      this.#questions = this.#questions.filter((other) => other !== question);
      this.#wake.resolve();
    });
    this.#questions.push(question);
    return question;
  }

  async #question(ids: readonly string[], signal: AbortSignal): Promise<void> {
    const { mirror, clock, log } = this.#deps;
    const askedMs = clock.now();
    try {
      const answer = await this.#answer(ids, signal);
      const nowMs = clock.now();
      const told = new Set(ids.filter((id) => answer.has(id) || isEmpty(mirror, id)));
      for (const id of ids) this.#noteAnswer(id, told.has(id), askedMs);
      this.#deps.onAnswer?.([...told]);
      for (const [id, states] of answer) mirror.noteHealth(id, states, { askedMs, nowMs });
    } catch (err) {
      if (isCancelled(err, signal)) return;
      const isRefused = err instanceof ClbApiError && err.call.code.startsWith("InvalidParameter");
      for (const id of ids) this.#noteFailure(id, isRefused ? "refused" : "failed");
      // One unknown load balancer fails the whole question: each must be read again, which finds the one that is gone.
      if (isRefused) for (const id of ids) this.#doubt(id);
      log.warn({ err, loadBalancerIds: ids }, "health not read");
    }
  }

  /** Rejects with a TimeoutError when it is lost. */
  async #answer(ids: readonly string[], signal: AbortSignal): ReturnType<ClbApi["health"]> {
    const { api, clock } = this.#deps;
    const late = (): Error => new DOMException(`no answer within ${LOST_MS / 1000} s`, "TimeoutError");
    return await withDeadline({ clock, limitMs: LOST_MS, late }, signal, (either) => api.health(ids, either));
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
    this.#lasting.over(id);
    if (isTold || isKnown) return void this.#asked.set(id, { firstMs, askedMs, isKnown: true, misses: 0 });
    this.#asked.set(id, { ...before, askedMs });
    this.#noteMiss(id, "left-out", this.#deps.idleMs);
  }

  #doubt(id: string): void {
    this.#deps.mirror.markStale(id, "health could not be read");
    this.#deps.doubt(id);
  }

  #noteFailure(id: string, how: "failed" | "refused"): void {
    if (this.#asked.has(id)) this.#noteMiss(id, how, MOST_FAILED_MS, this.#lasting.failed(id, this.#deps.clock.now()));
  }

  #noteMiss(id: string, how: Missed["how"], mostMs: number, leastMs = 0): void {
    const before = this.#asked.get(id);
    if (before === undefined) return;
    const misses = before.misses + 1;
    const againMs = this.#deps.clock.now() + Math.max(repeatPauseMs(misses, mostMs), leastMs);
    this.#asked.set(id, { ...before, misses, missed: { how, againMs } });
  }

  #forget(id: string): void {
    this.#asked.delete(id);
    this.#lasting.over(id);
  }
}

/** Nothing is bound there: no answer could tell anything. */
const isEmpty = (mirror: Mirror, id: string): boolean => {
  const actual = mirror.read(id);
  return actual !== undefined && placesOf(actual).every(({ targets }) => targets.length === 0);
};

/** `most`: how many a question may name that names this one. */
type Due = { readonly id: string; readonly isKnown: boolean; readonly most: number; readonly atMs: number; readonly alongMs: number };

/** What to ask about now, those first that were never answered, then the longest due; empty if nothing is due yet. */
function questionOf(due: readonly Due[], nowMs: number): string[] {
  if (!due.some(({ atMs }) => atMs <= nowMs)) return [];
  const ready = due.filter(({ atMs, alongMs }) => atMs <= nowMs + alongMs);
  ready.sort((a, b) => Number(a.isKnown) - Number(b.isKnown) || a.atMs - b.atMs);
  const ids: string[] = [];
  let most: number = PER_QUESTION;
  for (const one of ready) {
    if (ids.length >= Math.min(most, one.most)) continue;
    most = Math.min(most, one.most);
    ids.push(one.id);
  }
  return ids;
}
