/** Who is still connected to a draining Pod, as the kernel's connection tracking has it. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { promisify } from "node:util";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { inRanges, openConnections } from "../domain/conntrack.ts";
import type { RedirectRule } from "./redirect-rule.ts";

export type ConnectionsDeps = {
  readonly rule: Pick<RedirectRule, "seen">;
  /** Senders of health checks, e.g. ["100.64.0.0/10"]: they say nothing of whether the Pod's packets come this way. */
  readonly ignored: readonly string[];
  /** Where conntrack is looked for. */
  readonly path: string;
  /** Addresses of the Pods that are held now. */
  readonly held: () => ReadonlySet<string>;
  /** Open connections by address; of an address that is not there nothing is known. */
  readonly onCounted: (counts: ReadonlyMap<string, number>) => void;
  readonly clock: Clock;
  readonly log: Logger;
};

/** One listing for all holds: 15 ms of 10 000 entries (conntrack 1.4, kernel 6.18). */
const EVERY_MS = 1_000;
/** Beyond that a listing takes too long; then the drain time decides. */
const MOST_ENTRIES = 50_000;
const ENTRIES_FILE = "/proc/sys/net/netfilter/nf_conntrack_count";
const LONGEST_OUTPUT = 32 * 1024 * 1024;
const TIMEOUT_MS = 5_000;

/**
 * Counts while somebody is held, until the signal aborts; never rejects. Of an address that got no packet since it is held nothing is known:
 * then this kernel may not forward what the Pod gets.
 */
export async function watchConnections(deps: ConnectionsDeps, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  const isIgnored = inRanges(deps.ignored);
  let moved = new Set<string>();
  let toldFault = "";
  while (!signal.aborted) {
    await clock.sleep(EVERY_MS, signal).catch(() => undefined);
    const held = deps.held();
    moved = new Set([...moved].filter((address) => held.has(address)));
    if (held.size === 0 || signal.aborted) continue;
    try {
      for (const address of await deps.rule.seen()) if (held.has(address)) moved.add(address);
      if (moved.size === 0 || (await entries()) > MOST_ENTRIES) continue;
      const listing = await list(deps.path, [...moved]);
      const open = openConnections(listing, moved, isIgnored);
      deps.onCounted(new Map(Array.from(moved, (address) => [address, open.get(address) ?? 0])));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (why !== toldFault) log.warn({ why }, "connections are not counted: the drain time decides");
      toldFault = why;
    }
  }
}

const entries = async (): Promise<number> => Number((await readFile(ENTRIES_FILE, "utf8")).trim());

async function list(path: string, addresses: readonly string[]): Promise<string> {
  const families = [...(addresses.some((it) => !isIPv6(it)) ? ["ipv4"] : []), ...(addresses.some((it) => isIPv6(it)) ? ["ipv6"] : [])];
  const options = { env: { PATH: path }, maxBuffer: LONGEST_OUTPUT, timeout: TIMEOUT_MS };
  const parts = families.map((family) => promisify(execFile)("conntrack", ["-L", "-p", "tcp", "-f", family], options));
  return (await Promise.all(parts)).map(({ stdout }) => stdout).join("");
}
