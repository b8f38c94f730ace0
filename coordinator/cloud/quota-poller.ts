import type { Clock } from "../../common/clock.ts";
import { isCancelled } from "../../common/errors.ts";
import type { Logger } from "../../common/log.ts";
import type { Quotas } from "../domain/plan/quota-forecast.ts";
import type { ClbApi } from "./clb-api.ts";

/** A person raises quotas by ticket: nothing waits for the next poll. */
const EVERY_MS = 600_000;
const FAILED_MS = 60_000;

export type QuotaPollerDeps = {
  readonly api: Pick<ClbApi, "quotas">;
  readonly clock: Clock;
  readonly log: Logger;
  /** A quota is higher than at the previous poll. */
  readonly onRaised?: () => void;
};

/** Reads the account's quotas every ten minutes, one minute after a failure. */
export class QuotaPoller {
  readonly #deps: QuotaPollerDeps;
  #current: Quotas | undefined;

  constructor(deps: QuotaPollerDeps) {
    this.#deps = deps;
  }

  /** Undefined until the first answer: without one the planner forecasts no quota. */
  get current(): Quotas | undefined {
    return this.#current;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { api, clock, log } = this.#deps;
    while (!signal.aborted) {
      let waitMs = EVERY_MS;
      try {
        const before = this.#current;
        this.#current = await api.quotas(signal);
        if (before !== undefined && isHigher(this.#current, before)) this.#deps.onRaised?.();
      } catch (err) {
        if (isCancelled(err, signal)) return;
        log.warn({ err }, "quotas not read");
        waitMs = FAILED_MS;
      }
      await clock.sleep(waitMs, signal).catch(() => undefined);
    }
  }
}

const isHigher = (now: Quotas, before: Quotas): boolean =>
  QUOTAS.some((quota) => {
    const limit = before[quota];
    return limit !== undefined && (now[quota] ?? 0) > limit;
  });
const QUOTAS = ["listenersPerLoadBalancer", "rulesPerListener", "targetsPerPlace"] as const satisfies readonly (keyof Quotas)[];
