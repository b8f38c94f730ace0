import type { Clock } from "../../common/clock.ts";
import { isCancelled } from "../../common/errors.ts";
import type { Logger } from "../../common/log.ts";
import type { Quotas } from "../domain/plan/quota-forecast.ts";
import type { ClbApi } from "./clb-api.ts";

/** Quotas are raised by hand, by ticket: nobody waits for a look. */
const EVERY_MS = 600_000;
const FAILED_MS = 60_000;

export type QuotaWatchDeps = {
  readonly api: Pick<ClbApi, "quotas">;
  readonly clock: Clock;
  readonly log: Logger;
  /** One of them is higher than when it was read last. */
  readonly onRaised?: () => void;
};

/** What the account may have, read now and then. */
export class QuotaWatch {
  readonly #deps: QuotaWatchDeps;
  #current: Quotas | undefined;

  constructor(deps: QuotaWatchDeps) {
    this.#deps = deps;
  }

  /** Undefined until the first answer: nothing is forecast without one. */
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
