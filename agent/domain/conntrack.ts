/** What `conntrack -L` prints, as far as it says who is connected to a Pod. */
import { cut, parseAddress, parsePrefix } from "./address.ts";

/** States in which bytes may still come: both ends, or one of them, have not said their last. Source: nf_conntrack_proto_tcp.c. */
const OPEN = new Set(["SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT"]);

/**
 * Open TCP connections by the address that answers them, e.g. { "10.0.3.7" => 2 }: behind a NodePort or the like that is the second `src`.
 * `isIgnored` are the senders of health checks, e.g. of "100.64.0.0/10"; load balancers' layer 7 sends requests from there as well, so of
 * theirs only what is established counts: a check is over within milliseconds, and the next count finds another or none. One line is e.g.
 * `tcp 6 431999 ESTABLISHED src=10.0.0.1 dst=10.0.3.7 sport=4 dport=80 src=10.0.3.7 dst=10.0.0.1 sport=80 dport=4 [ASSURED] mark=0 use=1`.
 */
export function openConnections(
  listing: string,
  of: ReadonlySet<string>,
  isIgnored: (sender: string) => boolean,
): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const line of listing.split("\n")) {
    const [, state = "", sender = "", answering = ""] = /^tcp\s+6\s+\d+\s+([A-Z_]+)\s+src=(\S+)\s.*\ssrc=(\S+)\s/.exec(line) ?? [];
    if (!OPEN.has(state) || !of.has(answering) || (state !== "ESTABLISHED" && isIgnored(sender))) continue;
    counts.set(answering, (counts.get(answering) ?? 0) + 1);
  }
  return counts;
}

/** Whether an address is in one of the ranges, e.g. inRanges(["100.64.0.0/10"]). Ranges that are none count for nothing. */
export function inRanges(ranges: readonly string[]): (address: string) => boolean {
  const prefixes = ranges.flatMap((range) => parsePrefix(range) ?? []);
  return (text) => {
    const address = parseAddress(text);
    if (address === undefined) return false;
    return prefixes.some(({ bits, length, width }) => width === address.width && cut(address.bits, length, width) === bits);
  };
}
