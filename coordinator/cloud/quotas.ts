import type { Clock } from "../../common/clock.ts";
import { isCancelled } from "../../common/errors.ts";
import type { Logger } from "../../common/log.ts";
import type { Quotas } from "../domain/quota.ts";
import type { ClbApi } from "./clb-api.ts";

/** Quotas are raised by hand, by ticket: nobody waits for a look. */
const EVERY_MS = 600_000;
const FAILED_MS = 60_000;

/** What the account may have, read now and then. */
export class QuotaWatch {
  readonly #deps: { readonly api: ClbApi; readonly clock: Clock; readonly log: Logger };
  #current: Quotas | undefined;

  constructor(deps: { readonly api: ClbApi; readonly clock: Clock; readonly log: Logger }) {
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
        this.#current = await api.quotas(signal);
      } catch (err) {
        if (isCancelled(err, signal)) return;
        log.warn({ err }, "quotas not read");
        waitMs = FAILED_MS;
      }
      await clock.sleep(waitMs, signal).catch(() => undefined);
    }
  }
}
