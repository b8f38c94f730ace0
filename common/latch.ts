import type { Clock } from "./clock.ts";
import { OVER } from "./signals.ts";

/** Many sets become one wake-up. */
export interface Latch {
  set(): void;
  /** Resolves when set (also before the call), after `ms`, or when the signal aborts; then it is unset. Never rejects. One waiter at a time. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

export function makeLatch(clock: Clock): Latch {
  let isSet = false;
  let wake: AbortController | undefined;
  return {
    set() {
      isSet = true;
      wake?.abort(OVER);
    },
    async wait(ms, signal) {
      if (!isSet && !signal.aborted) {
        const waiting = new AbortController();
        const end = (): void => waiting.abort(OVER);
        wake = waiting;
        signal.addEventListener("abort", end, { once: true });
        await clock.sleep(Math.max(ms, 0), waiting.signal).catch(() => undefined);
        signal.removeEventListener("abort", end);
        wake = undefined;
      }
      isSet = false;
    },
  };
}
