import type { Clock } from "../common/clock.ts";
import { isCancelled } from "../common/errors.ts";
import type { Logger } from "../common/log.ts";
import type { ClbApi } from "./cloud/clb-api.ts";
import { ClbApiError } from "./cloud/clb-error.ts";
import type { Mirror } from "./cloud/mirror.ts";
import { type Awaited, fastestPauseMs, nextQuestionMs } from "./domain/health-pace.ts";
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

/** Pause after a question that failed. */
const FAILED_MS = 500;

/** Asks for health only where someone waits, from when the check window can end at the earliest; rarely elsewhere. */
export class HealthWatch {
  readonly #deps: HealthWatchDeps;
  readonly #askedMs = new Map<string, number>();
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
    const waiting = mirror.ids.map((id) => ({ id, targets: awaited(id) }));
    const calls = Math.ceil(waiting.filter(({ targets }) => targets.length > 0).length / PER_QUESTION);
    const pace = { fastestMs: fastestPauseMs(calls, callsPerSecond), slowestMs: Math.max(pollMs, fastestPauseMs(calls, callsPerSecond)) };
    const due = waiting.map(({ id, targets }) => {
      const askedMs = this.#askedMs.get(id);
      const idleAtMs = askedMs === undefined ? 0 : askedMs + idleMs;
      const awaitedAtMs = nextQuestionMs(targets, askedMs, nowMs, pace);
      // What is due within half of the longest pause comes along, so that all who wait share their questions from then on.
      if (awaitedAtMs === undefined || awaitedAtMs >= idleAtMs) return { id, atMs: idleAtMs, alongMs: 0 };
      return { id, atMs: awaitedAtMs, alongMs: pace.slowestMs / 2 };
    });
    return due.sort((a, b) => a.atMs - b.atMs);
  }

  async #ask(ids: readonly string[], signal: AbortSignal): Promise<void> {
    const { api, mirror, clock, log } = this.#deps;
    const askedMs = clock.now();
    for (const id of ids) this.#askedMs.set(id, askedMs);
    try {
      const answer = await api.health(ids, signal);
      const nowMs = clock.now();
      this.#deps.onAnswer?.(ids.filter((id) => answer.has(id) || isEmpty(mirror, id)));
      for (const [id, states] of answer) mirror.noteHealth(id, states, { askedMs, nowMs });
    } catch (err) {
      if (isCancelled(err, signal)) return;
      // One unknown load balancer fails the whole question: each must be read again, which finds the one that is gone.
      if (err instanceof ClbApiError && err.call.code.startsWith("InvalidParameter")) for (const id of ids) this.#deps.doubt(id);
      log.warn({ err, loadBalancerIds: ids }, "health not read");
      await clock.sleep(FAILED_MS, signal).catch(() => undefined);
    }
  }
}

/** Nothing is bound there: no answer could tell anything. */
const isEmpty = (mirror: Mirror, id: string): boolean => {
  const actual = mirror.read(id);
  return actual !== undefined && placesOf(actual).every(({ targets }) => targets.length === 0);
};

type Due = { readonly id: string; readonly atMs: number; readonly alongMs: number };

/** What to ask about now; empty if nothing is due yet. `due` comes soonest first. */
function questionOf(due: readonly Due[], nowMs: number): string[] {
  if (due[0] === undefined || due[0].atMs > nowMs) return [];
  return due
    .filter(({ atMs, alongMs }) => atMs <= nowMs + alongMs)
    .slice(0, PER_QUESTION)
    .map(({ id }) => id);
}
