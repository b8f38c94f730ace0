import type { Logger } from "../../common/log.ts";
import { type Call, itemsOf } from "../domain/call.ts";
import { type Causes, reasonsOf } from "../events/causes.ts";
import type { Made } from "../load-balancers/reconcile.ts";

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

  /** A write has ended: it is remembered and logged with its reasons. */
  note({ loadBalancerId, call, result, startedMs, endedMs }: Made, causes: Causes, log: Logger): void {
    const because = reasonsOf(call, causes);
    const items = itemsOf(call);
    this.add({ atMs: startedMs, ms: endedMs - startedMs, loadBalancerId, lane: call.lane, items, result, because });
    log.info({ loadBalancerId, lane: call.lane, items, result, because }, "write and its reason");
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
