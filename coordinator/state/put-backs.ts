/** What somebody else has changed is put back at once, and again after so long, twice as long each time. Milliseconds. */
const REST_MS = { first: 1_000, most: 30_000 } as const;
/** So long after our last write a change is another story. Milliseconds. */
const QUIET_MS = 600_000;
/** Put back so often in a row before it is called a contest: a person may have cleared it once or twice. */
const PATIENCE = 2;
/** Of some 100 bytes each. */
const MOST = 50_000;

/** `from`: the version of the object that we wrote over. `inRow`: how often the same value was written. */
type Wrote = { readonly value: string; readonly from: string; readonly atMs: number; readonly inRow: number };

/**
 * Two who write the same would write for ever: what we wrote and find changed is written ever more rarely, at last once in 30 s. `key` says
 * what it is, e.g. the UID of an object, or "5e21c0ff-… finalizer".
 */
export class PutBacks {
  readonly #clock: { now(): number };
  readonly #wrote = new Map<string, Wrote>();

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  /** How long the value must not be written yet, milliseconds; "unseen": our last write has not come back from the watch. */
  restMs(key: string, value: string, version: string): number | "unseen" {
    const known = this.#wrote.get(key);
    if (known?.value !== value) return 0;
    if (known.from === version) return "unseen";
    if (known.inRow < PATIENCE) return 0;
    const restMs = Math.min(REST_MS.first * 2 ** (known.inRow - PATIENCE), REST_MS.most);
    return Math.max(known.atMs + restMs - this.#clock.now(), 0);
  }

  /** Before a write: from now on it is a contest, and is told. */
  isToBeTold(key: string, value: string): boolean {
    return this.#inRow(key, value) === PATIENCE;
  }

  /** The value has been written over that version. */
  wrote(key: string, value: string, version: string): void {
    const inRow = this.#inRow(key, value) + 1;
    this.#wrote.delete(key);
    this.#wrote.set(key, { value, from: version, atMs: this.#clock.now(), inRow });
    for (const oldest of this.#wrote.keys()) {
      if (this.#wrote.size <= MOST) break;
      this.#wrote.delete(oldest);
    }
  }

  forget(key: string): void {
    this.#wrote.delete(key);
  }

  /** How often the value was written, one soon after the other. */
  #inRow(key: string, value: string): number {
    const known = this.#wrote.get(key);
    return known?.value === value && this.#clock.now() - known.atMs < QUIET_MS ? known.inRow : 0;
  }
}
