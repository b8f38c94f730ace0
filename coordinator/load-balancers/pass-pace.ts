/** Passes that follow each other take no more of the time than this together. Own choice: the rest is for streams, gates and requests. */
const SHARE = 0.4;
/** A load balancer that had no pass for so long is not held up, and none waits longer; milliseconds. */
const WINDOW_MS = 250;

type Passed = { readonly endedMs: number; readonly costMs: number };

/**
 * How soon a load balancer may have its next pass: where Pods change all the time, each pass takes in what has changed since the one
 * before, and the more load balancers there are, the more that is. One that has rested has its pass at once. Times are milliseconds.
 */
export class PassPace {
  /** The latest last. */
  readonly #passed = new Map<string, Passed>();
  #costMs = 0;

  /** How long this load balancer still waits; 0: not at all. */
  waitMs(id: string, nowMs: number): number {
    for (const [key, { endedMs, costMs }] of this.#passed) {
      if (endedMs + WINDOW_MS > nowMs) break;
      this.#passed.delete(key);
      this.#costMs -= costMs;
    }
    const last = this.#passed.get(id);
    if (last === undefined) return 0;
    return Math.max(0, last.endedMs + Math.min(WINDOW_MS, this.#costMs / SHARE) - nowMs);
  }

  /** A pass has ended that kept the process busy for so long. */
  passed(id: string, costMs: number, nowMs: number): void {
    this.forget(id);
    this.#passed.set(id, { endedMs: nowMs, costMs });
    this.#costMs += costMs;
  }

  forget(id: string): void {
    this.#costMs -= this.#passed.get(id)?.costMs ?? 0;
    this.#passed.delete(id);
  }
}
