import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../common/clock.ts";
import { makeHeap } from "../common/heap.ts";

/** A clock that stands still while anything runs and then jumps to the next sleeper: an hour passes in seconds, and always in the same way. */
export interface VirtualClock extends Clock {
  /** Sleeps that have neither ended nor been aborted. */
  readonly pending: number;
  /**
   * Lets time pass until the promise settles, and gives what it gives. Rejects with an Error when nothing sleeps and it has not settled,
   * when it has not settled after `atMostMs` of virtual time (a periodic sleep would go on for ever), and when another run has not ended.
   */
  run<T>(until: Promise<T>, atMostMs?: number): Promise<T>;
}

type Sleep = { readonly atMs: number; readonly order: number; readonly wake: () => void; aborted: boolean };

/** 2023-11-14T22:13:20Z: a fixed date, so that two runs write the same times. */
const START_MS = 1_700_000_000_000;
const WEEK_MS = 7 * 86_400_000;
/** Turns of the event loop after which work that goes on without sleeping is taken for an endless loop. */
const MOST_TURNS = 100_000;

/** Sleeps end in the order of their times, those of one time in the order in which they began. Sockets, files and timers are not waited for. */
export function makeVirtualClock(startMs = START_MS): VirtualClock {
  let nowMs = startMs;
  let order = 0;
  let pending = 0;
  let isRunning = false;
  // The earliest sleep first; among those of one time the oldest.
  const sleeps = makeHeap<Sleep>((left, right) => (left.atMs - right.atMs || left.order - right.order) < 0);

  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        pending--;
        one.aborted = true; // stays in the heap until its turn comes
        reject(signal?.reason);
      };
      const wake = (): void => {
        pending--;
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const one: Sleep = { atMs: nowMs + Math.max(0, ms), order: order++, wake, aborted: false };
      pending++;
      sleeps.push(one);
      signal?.addEventListener("abort", onAbort, { once: true });
    });

  const jump = (lastMs: number): void => {
    let next = sleeps.pop();
    while (next?.aborted === true) next = sleeps.pop();
    if (next === undefined)
      throw new Error("the virtual clock stands still: nothing sleeps on it, and what it runs for waits for something else than time");
    if (next.atMs > lastMs) {
      sleeps.push(next);
      throw new Error(`not over at ${lastMs}, with ${pending} sleeps to come; if it only needs longer, give more time with atMostMs`);
    }
    nowMs = next.atMs;
    next.wake();
  };

  const run = async <T>(until: Promise<T>, atMostMs = WEEK_MS): Promise<T> => {
    if (isRunning) throw new Error("the virtual clock runs already: run one promise at a time, e.g. a Promise.all");
    isRunning = true;
    const lastMs = nowMs + atMostMs;
    const state = { settled: false };
    const settle = (): void => {
      state.settled = true;
    };
    until.then(settle, settle);
    try {
      for (await idle(); !state.settled; await idle()) jump(lastMs);
    } finally {
      isRunning = false;
    }
    return until;
  };

  return {
    now: () => nowMs,
    sleep,
    run,
    get pending() {
      return pending;
    },
  };
}

/** True of a clock made here: the cloud then takes no data plane, for sockets live in real time. */
export const isVirtual = (clock: Clock | undefined): clock is VirtualClock => clock !== undefined && "pending" in clock && "run" in clock;

/** Resolves when nothing is left to run now: microtasks and turns of setImmediate, also those that these begin. */
export async function idle(): Promise<void> {
  for (let turns = 0; turns < MOST_TURNS; turns++) {
    await turn();
    if (!process.getActiveResourcesInfo().includes("Immediate")) return;
  }
  throw new Error(`the virtual clock cannot go on: something has called setImmediate for ${MOST_TURNS} turns without sleeping`);
}
