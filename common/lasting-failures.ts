/** What has failed for so long is tried again after a tenth of that time: it recovers at most a tenth later than it could. */
const SHARE = 1 / 10;
/** No call is repeated faster than this for ever. Milliseconds. */
const MOST_MS = 30_000;

/** How long what fails again and again rests, by key: the longer it has failed, the longer. */
export class LastingFailures {
  /** When the first of the failures in a row was, milliseconds since the epoch. */
  readonly #sinceMs = new Map<string, number>();

  /** It has failed once more; returns how long it has to rest at least, milliseconds, e.g. 6 000 after a minute of failures. */
  failed(key: string, nowMs: number): number {
    const sinceMs = this.#sinceMs.get(key) ?? nowMs;
    this.#sinceMs.set(key, sinceMs);
    return Math.min((nowMs - sinceMs) * SHARE, MOST_MS);
  }

  /** It has worked, or is of no concern any more. */
  over(key: string): void {
    this.#sinceMs.delete(key);
  }
}
