import type { Clock } from "../../common/clock.ts";
import { LastingFailures } from "../../common/lasting-failures.ts";
import type { Logger } from "../../common/log.ts";
import { ownerMarkOf } from "../../common/names.ts";
import type { RateLimit } from "../cloud/rate-limit.ts";
import type { Listener } from "../domain/load-balancer.ts";
import { nextResync, placesIn, type ResyncState, resyncCalls, resyncPeriodMs } from "../domain/pace/resync-pace.ts";
import type { Mirror } from "../state/mirror.ts";

/** The actions that one re-read of a load balancer calls. */
const READS = ["DescribeLoadBalancers", "DescribeListeners", "DescribeTargets"] as const;
/** Of what each of these actions may do: the rest is for reads that a write or a Pod waits for. */
const SHARE = 1 / 4;
/** How soon to try again while others wait for a read. */
const GIVE_WAY_MS = 200;
/** When a resync that failed is due again at the earliest. */
const FAILED_MS = 5_000;
/** Longest pause: after it the round counts what was read meanwhile. */
const LONGEST_PAUSE_MS = 1_000;

export type ResyncDeps = {
  readonly mirror: Pick<Mirror, "ids" | "read" | "readAtMs" | "staleBecause">;
  readonly rateLimit: Pick<RateLimit, "state">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly clusterId: string;
  /** How old the mirror of a load balancer may become, milliseconds. */
  readonly resyncMs: number;
  /** Calls per second and action, all purposes together. */
  readonly callsPerSecond: number;
  /** Brings a pass over the load balancer, which asks `isDue`. */
  readonly due: (loadBalancerId: string) => void;
};

/** `due`: its pass has not read it yet. */
type Scheduled = { readonly atMs: number; readonly due: boolean };

/**
 * Decides when the coordinator re-reads each load balancer to notice what others changed: evenly over the period, within a share of the
 * rate, and not while anybody else waits for a read. A pass re-reads only where a resync is due, so no pass waits for this budget.
 */
export class Resync {
  readonly #deps: ResyncDeps;
  /** The last resync of each load balancer that fell due. */
  readonly #scheduled = new Map<string, Scheduled>();
  readonly #lasting = new LastingFailures();
  /** Calls of one re-read, by the listeners of a load balancer, which are another array when anything has changed. */
  readonly #calls = new WeakMap<readonly Listener[], number>();
  /** Before that the budget is used up. */
  #freeMs = 0;
  #periodMs = 0;

  constructor(deps: ResyncDeps) {
    this.#deps = deps;
  }

  /** Its resync is due, and it has not been read since. */
  isDue(loadBalancerId: string): boolean {
    const last = this.#scheduled.get(loadBalancerId);
    return last?.due === true && (this.#deps.mirror.readAtMs(loadBalancerId) ?? 0) < last.atMs;
  }

  /** It was read. */
  worked(loadBalancerId: string): void {
    this.#lasting.over(loadBalancerId);
  }

  /** The cloud did not let it be read: what is known stays good, and its resync is due again soon. */
  failed(loadBalancerId: string): void {
    const now = this.#deps.clock.now();
    const restMs = Math.max(FAILED_MS, this.#lasting.failed(loadBalancerId, now));
    this.#scheduled.set(loadBalancerId, { atMs: now - this.#periodMs + restMs, due: false });
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) await this.#deps.clock.sleep(Math.min(this.#step(), LONGEST_PAUSE_MS), signal).catch(() => undefined);
  }

  /** Makes those due whose time has come; returns how long until the next one is, milliseconds. */
  #step(): number {
    const { clock, rateLimit, due } = this.#deps;
    for (;;) {
      const now = clock.now();
      const next = this.#next();
      if (next === undefined) return LONGEST_PAUSE_MS;
      const waitMs = Math.max(next.atMs, this.#freeMs) - now;
      if (waitMs > 0) return waitMs;
      const states = READS.map((action) => rateLimit.state(action));
      if (states.some(({ waiting }) => waiting > 0)) return GIVE_WAY_MS;
      const perSecond = Math.min(...states.map((state) => state.perSecond)) * SHARE;
      this.#freeMs = now + (next.calls * 1000) / perSecond;
      this.#scheduled.set(next.id, { atMs: now, due: true });
      due(next.id);
    }
  }

  /** Those in doubt are left out: they are read at once anyway. */
  #next(): ReturnType<typeof nextResync> {
    const { mirror, resyncMs, callsPerSecond } = this.#deps;
    const ids = mirror.ids.filter((id) => mirror.staleBecause(id) === undefined);
    const all = ids.map((id): ResyncState => {
      const readAtMs = Math.max(mirror.readAtMs(id) ?? 0, this.#scheduled.get(id)?.atMs ?? 0);
      return { id, readAtMs, calls: this.#callsOf(mirror.read(id)?.listeners ?? []) };
    });
    const present = new Set(mirror.ids);
    for (const id of this.#scheduled.keys()) if (!present.has(id)) this.#scheduled.delete(id);
    this.#setPeriod(resyncPeriodMs(all, resyncMs, callsPerSecond * SHARE), all.length);
    return nextResync(all, this.#periodMs);
  }

  #callsOf(listeners: readonly Listener[]): number {
    const known = this.#calls.get(listeners);
    if (known !== undefined) return known;
    const wanted = listeners.filter(({ name }) => ownerMarkOf(name, this.#deps.clusterId) !== undefined).length;
    const calls = resyncCalls({ wanted, places: placesIn(listeners) });
    this.#calls.set(listeners, calls);
    return calls;
  }

  #setPeriod(periodMs: number, loadBalancers: number): void {
    const { log, resyncMs } = this.#deps;
    const [was, is] = [this.#periodMs > resyncMs, periodMs > resyncMs];
    this.#periodMs = periodMs;
    if (is && !was)
      log.warn({ loadBalancers, periodMs: Math.round(periodMs), resyncMs }, "too many load balancers to re-read each in time");
    if (was && !is) log.info({ loadBalancers, resyncMs }, "load balancers are re-read in time again");
  }
}
