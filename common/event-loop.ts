import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";

/**
 * So long may passes follow each other without a turn of the event loop, milliseconds of real time: a Lease is renewed every second, a
 * stream is read and a timer fires no later than this after its time. Own choice.
 */
const LONGEST_MS = 5;

/** When the present turn of the event loop began, as far as somebody asked; undefined: nobody has asked in this turn. */
let turnBeganMs: number | undefined;

/**
 * Lets timers and I/O have their turn when the work of this turn has taken long; else resolves at once. One for the whole process, because
 * passes of all queues run in the same turn.
 */
export async function yieldTurn(): Promise<void> {
  for (;;) {
    const nowMs = performance.now();
    if (turnBeganMs === undefined) {
      turnBeganMs = nowMs;
      setImmediate(() => {
        turnBeganMs = undefined;
      });
    }
    if (nowMs - turnBeganMs < LONGEST_MS) return;
    await nextTurn();
  }
}
