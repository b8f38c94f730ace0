import type { Clock } from "../common/clock.ts";
import { isCancelled } from "../common/errors.ts";
import type { Logger } from "../common/log.ts";
import type { ClbApi } from "./cloud/clb-api.ts";
import { ClbApiError } from "./cloud/clb-error.ts";
import type { Mirror } from "./cloud/mirror.ts";

/** Load balancers per question. Source: clb-api.md §2.3. */
const PER_QUESTION = 30;

export type HealthWatchDeps = {
  readonly api: ClbApi;
  readonly mirror: Mirror;
  readonly clock: Clock;
  readonly log: Logger;
  /** How often to ask while nobody waits, milliseconds. */
  readonly idleMs: number;
  /** Undefined if nobody waits at this load balancer. */
  readonly awaited: (loadBalancerId: string) => Awaited | undefined;
  /** The cloud refused a question about this load balancer and others: it must be read anew, soon. */
  readonly doubt: (loadBalancerId: string) => void;
};

/** From when the first of those who wait can be healthy at the earliest, and how often to ask from then on. Milliseconds. */
export type Awaited = { readonly fromMs: number; readonly everyMs: number };

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
    const { clock, mirror } = this.#deps;
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers();
      const now = clock.now();
      const due = mirror.ids.map((id) => ({ id, atMs: this.#nextMs(id) })).sort((a, b) => a.atMs - b.atMs);
      const ready = due.filter(({ atMs }) => atMs <= now).slice(0, PER_QUESTION);
      if (ready.length > 0) {
        await this.#ask(
          ready.map(({ id }) => id),
          signal,
        );
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

  #nextMs(id: string): number {
    const askedMs = this.#askedMs.get(id);
    const awaited = this.#deps.awaited(id);
    const idleAtMs = askedMs === undefined ? 0 : askedMs + this.#deps.idleMs;
    if (awaited === undefined) return idleAtMs;
    return Math.min(idleAtMs, Math.max(awaited.fromMs, (askedMs ?? 0) + awaited.everyMs));
  }

  async #ask(ids: readonly string[], signal: AbortSignal): Promise<void> {
    const { api, mirror, clock, log } = this.#deps;
    const askedMs = clock.now();
    for (const id of ids) this.#askedMs.set(id, askedMs);
    try {
      const answer = await api.health(ids, signal);
      const nowMs = clock.now();
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
