/**
 * Reason of a signal that only says that a wait is over. `abort()` without a reason makes an error with its stack each time, which cost
 * 4 to 9 % of a busy process.
 */
export const OVER = new Error("over");

/**
 * Aborts when the first of the signals does, with its reason. In place of AbortSignal.any, whose result Node (24.21) may collect as
 * garbage although it has listeners and its sources live on: seen as shutdowns that never ended, once in a few under load.
 * The listeners go with the signals; for short waits on a long-lived signal use one that ends with the wait.
 */
export function eitherSignal(...signals: readonly AbortSignal[]): AbortSignal {
  const either = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) either.abort(signal.reason);
    else signal.addEventListener("abort", () => either.abort(signal.reason), { once: true, signal: either.signal });
  }
  return either.signal;
}

/** The same for one piece of work: when it is over, nothing of it stays with the signals. */
export async function withEither<T>(signals: readonly AbortSignal[], run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const end = (event: Event): void => over.abort(event.target instanceof AbortSignal ? event.target.reason : undefined);
  for (const signal of signals) {
    if (signal.aborted) over.abort(signal.reason);
    signal.addEventListener("abort", end, { once: true });
  }
  try {
    return await run(over.signal);
  } finally {
    for (const signal of signals) signal.removeEventListener("abort", end);
  }
}
