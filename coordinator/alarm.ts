import type { Clock } from "../common/clock.ts";

/** A sleep that can be cut short. A `ring` while nobody sleeps is kept for the next sleep. */
export interface Alarm {
  ring(): void;
  /** Resolves after `ms`, at a ring, or when the signal aborts; never rejects. For one sleeper. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export function makeAlarm(clock: Clock): Alarm {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      rung = true;
      wake?.();
    },
    async sleep(ms, signal) {
      const over = new AbortController();
      wake = () => over.abort();
      signal.addEventListener("abort", wake, { once: true });
      if (!rung && !signal.aborted) await clock.sleep(Math.max(ms, 0), over.signal).catch(() => undefined);
      signal.removeEventListener("abort", wake);
      wake = undefined;
      rung = false;
    },
  };
}
