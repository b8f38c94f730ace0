/** How many requests are due: evenly spaced, and without a flood after a pause of this process or its machine. */

/** After a pause so much of it is made up at once; the rest of it was not sent, and the lowest rate of any second shows it. */
const BACKLOG_MS = 500;
/** The highest rate (2000/s) times the patience of a request (2 s): with more in flight, it is this machine that is measured. */
const MOST_IN_FLIGHT = 4_000;

/** Times are milliseconds of any one clock. */
export class Pace {
  readonly #rate: number;
  readonly #startedMs: number;
  #lastMs: number;
  #sent = 0;
  #unsent = 0;
  #pausedMs = 0;

  /** `rate` in requests per second. */
  constructor(rate: number, startedMs: number) {
    this.#rate = rate;
    this.#startedMs = startedMs;
    this.#lastMs = startedMs;
  }

  /** How many requests to send now; it takes them for sent. To be asked every few milliseconds. */
  take(nowMs: number, inFlight: number): number {
    this.#pausedMs += Math.max(0, nowMs - this.#lastMs - BACKLOG_MS);
    this.#lastMs = nowMs;
    const due = Math.floor(((nowMs - this.#startedMs) / 1000) * this.#rate) - this.#sent - this.#unsent;
    const atOnce = Math.max(1, Math.floor((this.#rate * BACKLOG_MS) / 1000));
    const now = Math.max(0, Math.min(due, atOnce, MOST_IN_FLIGHT - inFlight));
    this.#sent += now;
    this.#unsent += due - now;
    return now;
  }

  /** Requests that were due and will never be sent. */
  get unsent(): number {
    return this.#unsent;
  }

  /** How long nobody asked, beyond what is made up: a request that waited then was not waited for. */
  get pausedMs(): number {
    return this.#pausedMs;
  }
}
