/** Whose requests were lost, and when: the cloud knows to which backend it gave the connection of a client's port. */
import { type LostRequest, TIMEOUT_MS } from "./clients.ts";

/** E.g. { at: "01:19:16", count: 307, what: "timeout after 10000 ms on new connections to 10.245.1.72:8080, which the load balancer accepted 9 s before" }. */
export type Told = { readonly at: string; readonly count: number; readonly what: string };

/** The cloud is asked about so many at most. */
const MOST_ASKED = 1_000;

type Connection = { readonly backend: string; readonly openedMs: number };

/** In the order in which they were lost. `adminUrl`: of the cloud's admin pages. */
export async function lostRequests(adminUrl: string, failures: readonly LostRequest[]): Promise<readonly Told[]> {
  const found = new Map<string, Told>();
  for (const failure of failures.slice(0, MOST_ASKED)) {
    const at = new Date(failure.atMs).toISOString().slice(11, 19);
    const pod = failure.pod === undefined ? "" : ` (${failure.pod})`;
    const to = whereTo(failure, await connectionOf(adminUrl, failure).catch(() => undefined));
    const what = `${failure.cause} on ${failure.connection} connections ${to}${pod}`;
    const key = `${at} ${what}`;
    found.set(key, { at, what, count: (found.get(key)?.count ?? 0) + 1 });
  }
  return [...found.values()];
}

function whereTo({ localPort, atMs }: LostRequest, connection: Connection | undefined): string {
  if (localPort === undefined) return "that have no port";
  if (connection === undefined) return "that the load balancer did not accept";
  const { backend, openedMs } = connection;
  const seconds = Math.max(0, Math.round((atMs - openedMs) / 1_000));
  return `to ${backend === "" ? "no backend" : backend}, which the load balancer accepted ${seconds} s before`;
}

/** A kept connection may be older than its request; another one that old was an earlier one of the same port. */
const oldestMs = ({ connection, atMs }: LostRequest): number =>
  connection === "kept" ? Number.NEGATIVE_INFINITY : atMs - TIMEOUT_MS - LATE_MS;
/** So late may a client be that notices its time-out. */
const LATE_MS = 5_000;
/** By so much the clocks of client and cloud, one machine's, may differ: a backend that has ended refuses within a millisecond. */
const SKEW_MS = 200;

/** Undefined also where the port has been used again since. */
async function connectionOf(adminUrl: string, failure: LostRequest): Promise<Connection | undefined> {
  const { localPort, clientAddress, atMs } = failure;
  if (localPort === undefined) return undefined;
  const answer = await fetch(`${adminUrl}/connections?clientPort=${localPort}&clientAddress=${clientAddress}`);
  const { connections } = (await answer.json()) as { readonly connections: readonly Connection[] };
  return connections.find(({ openedMs }) => openedMs <= atMs + SKEW_MS && openedMs >= oldestMs(failure));
}
