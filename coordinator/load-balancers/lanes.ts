import { LastingFailures } from "../../common/lasting-failures.ts";
import { type Call, isRaise } from "../domain/call.ts";
import type { LaneTimes } from "../domain/plan/lane-order.ts";

/** How long a write takes, as long as its lane has made none. Source: clb-api.md §7.5. */
const FIRST_WRITE_MS = 5_000;

type Lane = Call["lane"];
/** After a write that was quick the next one waits for company, so that an instant cloud is not asked for every Pod alone. */
const COMPANY = { quickMs: 100, waitMs: 20 } as const;

/** Targets that are drained may wait longer: nothing is sent to them, and nobody waits for their end. */
const UNBIND_COMPANY_MS = 5_000;

/** What may fail and pause: the lanes of a plan, the weights that are raised, and the adoption of targets before it. */
type Work = Lane | "raise" | "adopt";
/** A bind of weights needs no address claim, so it does not pause with those that do. */
export const workOf = (call: Call): Work => (isRaise(call) ? "raise" : call.lane);
type State = {
  /** Since when each lane has had something to do. */
  sinceMs: ReadonlyMap<Lane, number>;
  readonly failures: Map<Work, number>;
  readonly lasting: LastingFailures;
  readonly pausedUntilMs: Map<Work, number>;
  readonly tookMs: Map<Lane, number>;
  last: Lane | undefined;
  companyUntilMs: number;
};

/** How each load balancer gets on, lane by lane. Times are milliseconds since the epoch. */
export class Lanes {
  readonly #states = new Map<string, State>();

  /** These calls are due. */
  planned(id: string, calls: readonly Call[], nowMs: number): void {
    const state = this.#of(id);
    state.sinceMs = new Map(calls.map(({ lane }) => [lane, state.sinceMs.get(lane) ?? nowMs]));
  }

  /** How long a lane has had something to do, milliseconds. */
  waitedMs(id: string, lane: Lane, nowMs: number): number {
    return nowMs - (this.#states.get(id)?.sinceMs.get(lane) ?? nowMs);
  }

  times(id: string, nowMs: number): LaneTimes {
    const { tookMs, last } = this.#of(id);
    return { waitedMs: (lane) => this.waitedMs(id, lane, nowMs), tookMs: (lane) => tookMs.get(lane) ?? FIRST_WRITE_MS, last };
  }

  /** A write has ended well; what its lane has to do now has come up since its beginning. */
  wrote(id: string, lane: Lane, { startedMs, endedMs }: { readonly startedMs: number; readonly endedMs: number }): void {
    const state = this.#of(id);
    state.tookMs.set(lane, endedMs - startedMs);
    state.last = lane;
    state.companyUntilMs = endedMs - startedMs < COMPANY.quickMs ? endedMs + COMPANY.waitMs : 0;
    state.sinceMs = new Map([...state.sinceMs, [lane, startedMs]]);
  }

  /** How long the next write waits for company, milliseconds; 0: it goes at once. */
  companyMs(id: string, nowMs: number): number {
    return Math.max(0, (this.#states.get(id)?.companyUntilMs ?? 0) - nowMs);
  }

  /** How long unbinds wait for more of them where nothing else is due and writes are quick, milliseconds; 0: the next call goes at once. */
  unbindCompanyMs(id: string, due: readonly Call[], nowMs: number): number {
    const tookMs = this.#states.get(id)?.tookMs.get("unbind") ?? FIRST_WRITE_MS;
    if (due.length === 0 || tookMs >= COMPANY.quickMs || due.some(({ lane }) => lane !== "unbind")) return 0;
    return Math.max(0, UNBIND_COMPANY_MS - this.waitedMs(id, "unbind", nowMs));
  }

  worked(id: string, lane: Work): void {
    this.#states.get(id)?.failures.delete(lane);
    this.#states.get(id)?.lasting.over(lane);
  }

  /** How many calls of the lane have failed in a row, with this one. */
  failed(id: string, lane: Work): number {
    const { failures } = this.#of(id);
    const inARow = (failures.get(lane) ?? 0) + 1;
    failures.set(lane, inARow);
    return inARow;
  }

  /** How long a lane whose call has just failed rests at least, milliseconds; longer, the longer its calls have failed. */
  restMs(id: string, lane: Work, nowMs: number): number {
    return this.#of(id).lasting.failed(lane, nowMs);
  }

  /** The other lanes go on meanwhile. */
  pause(id: string, lane: Work, untilMs: number): void {
    this.#of(id).pausedUntilMs.set(lane, untilMs);
  }

  pauses(id: string, lane: Work, nowMs: number): boolean {
    return (this.#states.get(id)?.pausedUntilMs.get(lane) ?? nowMs) > nowMs;
  }

  /** The calls whose lanes do not pause. */
  running(id: string, calls: readonly Call[], nowMs: number): readonly Call[] {
    const paused = this.#states.get(id)?.pausedUntilMs;
    if (paused === undefined || paused.size === 0) return calls;
    for (const [lane, untilMs] of paused) if (untilMs <= nowMs) paused.delete(lane);
    return calls.filter((call) => !paused.has(workOf(call)));
  }

  /** When the next pause ends. */
  nextMs(id: string, nowMs: number): number | undefined {
    const times = [...(this.#states.get(id)?.pausedUntilMs.values() ?? [])].filter((untilMs) => untilMs > nowMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** The load balancer is gone, or not ours any more. */
  forget(id: string): void {
    this.#states.delete(id);
  }

  #of(id: string): State {
    const state = this.#states.get(id) ?? {
      sinceMs: new Map(),
      failures: new Map(),
      lasting: new LastingFailures(),
      pausedUntilMs: new Map(),
      tookMs: new Map(),
      last: undefined,
      companyUntilMs: 0,
    };
    this.#states.set(id, state);
    return state;
  }
}
