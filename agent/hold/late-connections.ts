import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import type { RedirectRule } from "./redirect-rule.ts";

export type LateConnectionsDeps = {
  readonly rule: Pick<RedirectRule, "setAnswered" | "late">;
  /** Another Pod has the address by now. */
  readonly isTaken: (address: string) => boolean;
  /** New connections to one Pod, of whomever but senders of health checks. */
  readonly onCounted: (connections: number) => void;
  readonly clock: Clock;
  readonly log: Logger;
  /** Nothing is counted any more. */
  readonly over: AbortSignal;
};

/** Who would be lost comes within this time: SIGTERM follows the answer within milliseconds, and an address is given again later. Own choice. */
const COUNTED_MS = 3_000;

/**
 * Counts the new connections that still come to Pods after their holds were answered: each finds a process that was told to end. The kernel
 * counts them, where it forwards them.
 */
export function makeLateConnections(deps: LateConnectionsDeps): (addresses: readonly string[]) => void {
  const { rule, isTaken, onCounted, clock, log, over } = deps;
  const counted = new Map<string, number>();
  let toldFault = "";
  const sum = async (addresses: readonly string[]): Promise<number | undefined> => {
    const counts = await rule.late();
    return counts && addresses.reduce((all, address) => all + (counts.get(address) ?? 0), 0);
  };
  const set = (addresses: readonly string[], change: 1 | -1): void => {
    for (const address of addresses) {
      const count = (counted.get(address) ?? 0) + change;
      if (count > 0) counted.set(address, count);
      else counted.delete(address);
    }
    rule.setAnswered(new Set(counted.keys()));
  };
  const count = async (addresses: readonly string[]): Promise<void> => {
    const before = await sum(addresses);
    if (before === undefined || over.aborted) return;
    set(addresses, 1);
    try {
      await clock.sleep(COUNTED_MS, over);
      const after = await sum(addresses);
      if (after !== undefined && !addresses.some(isTaken)) onCounted(after - before);
    } finally {
      set(addresses, -1);
    }
  };
  return (addresses) => {
    if (addresses.length === 0) return;
    count(addresses).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      if (!over.aborted && why !== toldFault) log.info({ why }, "connections after a hold's answer are not counted");
      toldFault = why;
    });
  };
}
