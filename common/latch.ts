import { after, type Clock } from "./clock.ts";

/** Many sets become one wake-up. */
export interface Latch {
  set(): void;
  /** Resolves when set (also before the call), after `ms`, or when the signal aborts; then it is unset. Never rejects. One waiter at a time. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

export function makeLatch(clock: Clock): Latch {
  let isSet = false;
  let wake: (() => void) | undefined;
  return {
    set() {
      isSet = true;
      wake?.();
    },
    async wait(ms, signal) {
      if (!isSet && !signal.aborted)
        await new Promise<void>((resolve) => {
          const end = (): void => {
            callOff();
            signal.removeEventListener("abort", end);
            wake = undefined;
            resolve();
          };
          const callOff = after(clock, Math.max(ms, 0), end);
          wake = end;
          signal.addEventListener("abort", end, { once: true });
        });
      isSet = false;
    },
  };
}
