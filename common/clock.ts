import { performance } from "node:perf_hooks";
import { OVER } from "./signals.ts";

/**
 * The only source of time. Injected everywhere, so that a run can be real, scaled (product and cloud get the same factor) or virtual.
 * `now()` is milliseconds since the epoch, e.g. 1_790_000_000_000; `sleep` rejects with the signal's reason when aborted.
 */
export interface Clock {
  now(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** As `after` below, which every clock has; left out, it is made of `sleep`. */
  after?(ms: number, ring: () => void): CallOff;
}

/** Nothing follows any more; again it does nothing. */
type CallOff = () => void;

/**
 * Calls back after `ms`, unless that is called off. For what is mostly called off, e.g. the limit of a request, it costs a tenth of a sleep
 * with its promise and signal. `ring` must not throw.
 */
export function after(clock: Clock, ms: number, ring: () => void): CallOff {
  if (clock.after !== undefined) return clock.after(ms, ring);
  const over = new AbortController();
  clock.sleep(ms, over.signal).then(ring, () => undefined);
  return () => over.abort(OVER);
}

/** Wall time at start plus monotonic time since, so that a step of the wall clock moves no deadline. `scale` 4 runs four times as fast. */
export function makeClock(scale = 1): Clock & { readonly scale: number } {
  if (!(scale > 0)) throw new RangeError(`time scale must be above 0, got ${scale}`);
  const wallAtStart = Date.now();
  const monotonicAtStart = performance.now();
  return {
    scale,
    now: () => wallAtStart + (performance.now() - monotonicAtStart) * scale,
    sleep: (ms, signal) => sleepReal(ms / scale, signal),
    after: (ms, ring) => afterReal(ms / scale, ring),
  };
}

/**
 * The wall clock as it is at the moment, for what others judge by theirs: certificates. It jumps where it is put right, and where a machine
 * slept; `makeClock` does neither, for deadlines.
 */
export const makeWallClock = (): Clock => ({ now: () => Date.now(), sleep: sleepReal, after: afterReal });

/** Longest delay that a timer takes; a longer one would fire at once. Source: Node.js documentation of setTimeout. */
const LONGEST_TIMER_MS = 2_147_483_647;

/**
 * Rings when what has arrived until then is read: after a standstill of this process a timer is due before the answer that has lain in the socket
 * for long, and whoever waits for the two would take it for silence.
 */
function afterReal(ms: number, ring: () => void): CallOff {
  let soon: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => void (soon = setImmediate(ring)), Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
  return () => {
    clearTimeout(timer);
    clearImmediate(soon);
  };
}

function sleepReal(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = (): void => {
      callOff();
      reject(signal?.reason);
    };
    const callOff = afterReal(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
