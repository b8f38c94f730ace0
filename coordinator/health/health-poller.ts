import type { Clock } from "../../common/clock.ts";
import { withDeadline } from "../../common/deadline.ts";
import { isCancelled } from "../../common/errors.ts";
import { LastingFailures } from "../../common/lasting-failures.ts";
import type { Logger } from "../../common/log.ts";
import { OVER, withEither } from "../../common/signals.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError } from "../cloud/clb-error.ts";
import { type HealthState, placesOf } from "../domain/load-balancer.ts";
import { type Awaited, nextQuestionMs, repeatPauseMs, shortestPauseMs } from "../domain/pace/health-pace.ts";
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
  /** Pause between questions about a load balancer while a check window is open there, milliseconds; longer where the rate does not allow it. */
  readonly pollMs: number;
  /** DescribeTargetHealth per second now, all purposes together. */
  readonly callsPerSecond: () => number;
  /** Those whose health somebody waits for; empty if nobody does. */
  readonly awaited: (loadBalancerId: string) => readonly Awaited[];
  /** An answer about these has come, or nothing is bound there; one that the answer leaves out is still not known. */
  readonly onAnswer?: (loadBalancerIds: readonly string[]) => void;
  /** An answer shows that targets with these addresses serve now. */
  readonly onServing?: (ips: ReadonlySet<string>, questioned: Questioned) => void;
  /** The cloud refused a question about this load balancer and others: what is known of it is in doubt now. */
  readonly doubt: (loadBalancerId: string) => void;
};

/** When the question before it went out, when it did, and when it was answered; milliseconds since the epoch. */
type Questioned = { readonly beforeMs: number | undefined; readonly askedMs: number; readonly answeredMs: number };

/** Longest pause after questions that failed, milliseconds; longer where they have failed for long (LastingFailures). */
const MOST_FAILED_MS = 5_000;
/** Load balancers that are met within so long share their first question, milliseconds. */
const MET_MS = 250;
/**
 * Questions about one load balancer that may be under way while somebody waits there: they overlap, for the next result does not wait for
 * the last answer. More would not find it sooner, since answers come in about 100 ms (clb-api.md §7.5), and a slow cloud gets fewer.
 */
const AT_ONCE = 4;
/** A question without an answer for so long has failed, the wait for its turn included. */
const LOST_MS = 10_000;

/**
 * Why a question brought nothing: the cloud was not heard, it refused what was asked, or the answer left the load balancer out. The next
 * one may come at `againMs`, milliseconds since the epoch.
 */
type Missed = { readonly how: "failed" | "refused" | "left-out"; readonly againMs: number };
/**
 * What was asked about a load balancer. `firstMs`: when its first question may come; `sentMs`: its last one; `askedMs`: the last one that
 * was answered; all milliseconds since the epoch. `isKnown`: an answer has told of it. `misses`: so many questions in a row brought nothing.
 */
type Asked = {
  readonly firstMs: number;
  readonly sentMs?: number;
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
  /** How many questions are under way, by load balancer. */
  readonly #underWay = new Map<string, number>();
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
      const pacedMs = this.#lastMs + shortestPauseMs(this.#deps.callsPerSecond()) - clock.now();
      if (pacedMs > 0) await clock.sleep(Math.max(pacedMs, 1), signal).catch(() => undefined);
      this.#wake = Promise.withResolvers();
      const now = clock.now();
      const due = this.#due(now);
      const ready = questionOf(due, now);
      const nextMs = Math.max(due.reduce((soonest, { atMs }) => Math.min(soonest, atMs), now + this.#deps.idleMs) - now, 1);
      if (signal.aborted) break;
      if (ready.length > 0) this.#ask(ready, signal);
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
    const waiting = mirror.ids.flatMap((id) => {
      const underWay = this.#underWay.get(id) ?? 0;
      const targets = underWay < AT_ONCE ? awaited(id) : [];
      return underWay > 0 && targets.length === 0 ? [] : [{ id, targets }];
    });
    const groups = Math.ceil(waiting.filter(({ targets }) => targets.length > 0).length / PER_QUESTION);
    const openMs = Math.max(pollMs, groups * shortestPauseMs(callsPerSecond()));
    return waiting.flatMap(({ id, targets }): Due[] => {
      const { firstMs, sentMs, askedMs, missed, misses, isKnown } = this.#asked.get(id) ?? this.#meet(id, nowMs);
      // One unknown load balancer spoils a question for all: halves tell which.
      const one = { id, isKnown, most: missed?.how === "refused" ? Math.max(1, PER_QUESTION >> misses) : PER_QUESTION };
      const restMs = missed?.againMs ?? (askedMs === undefined ? firstMs : askedMs + idleMs);
      const awaitedAtMs = nextQuestionMs(targets, sentMs, nowMs, openMs);
      const isHeard = missed === undefined || missed.how === "left-out";
      // What is due within half of the pause comes along, so that all who wait share their questions from then on.
      if (awaitedAtMs !== undefined && isHeard && (awaitedAtMs < restMs || this.#underWay.has(id)))
        return [{ ...one, atMs: awaitedAtMs, alongMs: openMs / 2 }];
      return this.#underWay.has(id) ? [] : [{ ...one, atMs: restMs, alongMs: 0 }];
    });
  }

  #ask(ids: readonly string[], signal: AbortSignal): void {
    const sentMs = this.#deps.clock.now();
    this.#lastMs = sentMs;
    const beforeMs = new Map(ids.map((id) => [id, this.#asked.get(id)?.sentMs]));
    for (const id of ids) {
      this.#underWay.set(id, (this.#underWay.get(id) ?? 0) + 1);
      const before = this.#asked.get(id);
      if (before !== undefined) this.#asked.set(id, { ...before, sentMs });
    }
    const question = this.#question(ids, beforeMs, signal).finally(() => {
      for (const id of ids) {
        const others = (this.#underWay.get(id) ?? 1) - 1;
        if (others > 0) this.#underWay.set(id, others);
        else this.#underWay.delete(id);
      }
      this.#questions = this.#questions.filter((other) => other !== question);
      this.#wake.resolve();
    });
    this.#questions.push(question);
  }

  /** `beforeMs`: when the question before this one went out, by load balancer. */
  async #question(ids: readonly string[], beforeMs: ReadonlyMap<string, number | undefined>, signal: AbortSignal): Promise<void> {
    const { mirror, clock, log } = this.#deps;
    const askedMs = clock.now();
    try {
      const answer = await this.#answer(ids, signal);
      const nowMs = clock.now();
      // Questions overlap: what is older than what was heard already says nothing any more.
      const heard = ids.filter((id) => (this.#asked.get(id)?.askedMs ?? 0) <= askedMs);
      const told = new Set(heard.filter((id) => answer.has(id) || isEmpty(mirror, id)));
      for (const id of heard) this.#noteAnswer(id, told.has(id), askedMs);
      this.#deps.onAnswer?.([...told]);
      for (const id of heard) {
        const serving = mirror.noteHealth(id, answer.get(id) ?? NOTHING, { askedMs, nowMs });
        if (serving.size > 0) this.#deps.onServing?.(serving, { beforeMs: beforeMs.get(id), askedMs, answeredMs: nowMs });
      }
    } catch (err) {
      if (isCancelled(err, signal)) return;
      const isRefused = err instanceof ClbApiError && err.call.code.startsWith("InvalidParameter");
      const unheard = ids.filter((id) => (this.#asked.get(id)?.askedMs ?? 0) <= askedMs);
      for (const id of unheard) this.#noteFailure(id, isRefused ? "refused" : "failed");
      // One unknown load balancer fails the whole question: each must be read again, which finds the one that is gone.
      if (isRefused) for (const id of unheard) this.#doubt(id);
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
    const met: Asked = { firstMs: Math.max(nowMs, this.#lastMs + MET_MS), isKnown: false, misses: 0 };
    this.#asked.set(id, met);
    return met;
  }

  /** One that is left out although it was known has nothing to tell; one that never was may be known in a moment. */
  #noteAnswer(id: string, isTold: boolean, askedMs: number): void {
    const before = this.#asked.get(id);
    if (before === undefined) return;
    const { missed: _none, ...rest } = before;
    this.#lasting.over(id);
    if (isTold || rest.isKnown) return void this.#asked.set(id, { ...rest, askedMs, isKnown: true, misses: 0 });
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

/** Of one that an answer leaves out. */
const NOTHING: ReadonlyMap<string, HealthState> = new Map();

/** Nothing is bound there: no answer could tell anything. */
const isEmpty = (mirror: Mirror, id: string): boolean => {
  const actual = mirror.read(id);
  return actual !== undefined && placesOf(actual).every(({ targets }) => targets.length === 0);
};

/** `most`: how many a question may name that names this one. */
type Due = { readonly id: string; readonly isKnown: boolean; readonly most: number; readonly atMs: number; readonly alongMs: number };

/** What to ask about now, those first that were never answered, then those where somebody waits, then the longest due; empty if nothing is due yet. */
function questionOf(due: readonly Due[], nowMs: number): string[] {
  if (!due.some(({ atMs }) => atMs <= nowMs)) return [];
  const ready = due.filter(({ atMs, alongMs }) => atMs <= nowMs + alongMs);
  const isIdle = ({ alongMs }: Due): number => Number(alongMs === 0);
  ready.sort((a, b) => Number(a.isKnown) - Number(b.isKnown) || isIdle(a) - isIdle(b) || a.atMs - b.atMs);
  const ids: string[] = [];
  let most: number = PER_QUESTION;
  for (const one of ready) {
    if (ids.length >= Math.min(most, one.most)) continue;
    most = Math.min(most, one.most);
    ids.push(one.id);
  }
  return ids;
}
