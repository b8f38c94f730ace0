import type { Clock } from "./clock.ts";
import { withEither } from "./signals.ts";

/**
 * Runs one piece of work with a signal that aborts after `limitMs`, or when `signal` does. Rejects with `late()` when the time was over,
 * with the signal's reason when it was aborted, else as the work does. The work has to heed its signal, or its end is waited for.
 */
export async function withDeadline<T>(
  { clock, limitMs, late }: { readonly clock: Clock; readonly limitMs: number; readonly late: () => Error },
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const [tooLate, over] = [new AbortController(), new AbortController()];
  clock.sleep(limitMs, over.signal).then(
    () => tooLate.abort(late()),
    () => undefined,
  );
  try {
    return await withEither([signal, tooLate.signal], run);
  } catch (err) {
    throw tooLate.signal.aborted && !signal.aborted ? tooLate.signal.reason : err;
  } finally {
    over.abort("over"); // with a reason: without one each call would pay for an error and its stack
  }
}
