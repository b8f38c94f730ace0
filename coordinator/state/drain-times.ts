/** Drains remembered. */
const MOST = 500;
/** With fewer of them nothing is learned yet. */
const FEW = 20;
/** Until then, and at least. Own choices: writes take 4 to 5 s and stand in line (clb-api.md §7.5). Seconds. */
const UNKNOWN_SECONDS = 15;
const LEAST_SECONDS = 5;
/** What is on its way when weight 0 takes effect. Seconds. */
const MARGIN_SECONDS = 2;

/** How long drains took of late, from when one was due to weight 0, as this process has seen it while it led. */
export class DrainTimes {
  readonly #tookMs: number[] = [];

  note(tookMs: number): void {
    this.#tookMs.push(tookMs);
    if (this.#tookMs.length > MOST) this.#tookMs.shift();
  }

  /** How long a Pod has to sleep before SIGTERM, so that 99 of 100 are not sent to any more; whole seconds. */
  get sleepSeconds(): number {
    if (this.#tookMs.length < FEW) return UNKNOWN_SECONDS;
    const sorted = this.#tookMs.toSorted((one, other) => one - other);
    const p99 = sorted[Math.ceil(sorted.length * 0.99) - 1] ?? 0;
    return Math.max(LEAST_SECONDS, Math.ceil(p99 / 1_000) + MARGIN_SECONDS);
  }
}
