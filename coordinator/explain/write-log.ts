import type { Call } from "../domain/call.ts";

/** One write to a load balancer and why it was made. `result` is "ok" or the cloud's code. Times are milliseconds since the epoch. */
export type WriteLogEntry = {
  readonly seq: number;
  readonly atMs: number;
  readonly ms: number;
  readonly loadBalancerId: string;
  readonly lane: Call["lane"];
  readonly items: number;
  readonly result: string;
  /** The objects that caused it, e.g. "Pod shop/web-1 was deleted", "Service shop/web TCP:80"; at most a few, then how many more. */
  readonly because: readonly string[];
};

/** Entries kept: some hours of a busy cluster. */
const MAX_ENTRIES = 1_000;
/** The last writes, oldest first; a new one drops the oldest when it is full. */
export class WriteLog {
  readonly #entries: WriteLogEntry[] = [];
  #seq = 0;

  add(entry: Omit<WriteLogEntry, "seq">): void {
    this.#seq += 1;
    this.#entries.push({ seq: this.#seq, ...entry });
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift();
  }

  /** Of one load balancer, or all. */
  of(loadBalancerId?: string): readonly WriteLogEntry[] {
    return this.#entries.filter((entry) => loadBalancerId === undefined || entry.loadBalancerId === loadBalancerId);
  }
}

/** One line per write, newest last, for a terminal. */
export const writeLogText = (entries: readonly WriteLogEntry[]): string =>
  entries
    .map(({ atMs, loadBalancerId, lane, items, result, ms, because }) => {
      const time = new Date(atMs).toISOString();
      return `${time} ${loadBalancerId} ${lane} ${items} ${result} ${Math.round(ms)} ms: ${because.join("; ")}\n`;
    })
    .join("") || "nothing was written since this replica leads\n";
