/** Whose requests were lost, and when: the cloud knows to which backend it gave the connection of a client's port. */
import type { LostRequest } from "./clients.ts";

/** One line, e.g. "01:19:16 307 × timeout after 10000 ms on new connections to 10.245.1.72:8080, accepted after 3 to 120 ms". */
export type Told = { readonly at: string; readonly count: number; readonly what: string };

/** The cloud is asked about so many at most. */
const MOST_ASKED = 1_000;

type Connection = { readonly backend: string; readonly openedMs: number };

/** In the order in which they were lost. `adminUrl`: of the cloud's admin pages. */
export async function lostRequests(adminUrl: string, failures: readonly LostRequest[]): Promise<readonly Told[]> {
  const found = new Map<string, Told>();
  for (const failure of failures.slice(0, MOST_ASKED)) {
    const at = new Date(failure.atMs).toISOString().slice(11, 19);
    const backend = (await connectionOf(adminUrl, failure).catch(() => undefined))?.backend;
    const to =
      failure.localPort === undefined
        ? "that have no port"
        : backend === undefined
          ? "that were not accepted"
          : `to ${backend || "no backend"}`;
    const pod = failure.pod === undefined ? "" : ` (${failure.pod})`;
    const what = `${failure.cause} on ${failure.connection} connections ${to}${pod}`;
    const key = `${at} ${what}`;
    found.set(key, { at, what, count: (found.get(key)?.count ?? 0) + 1 });
  }
  return [...found.values()];
}

async function connectionOf(adminUrl: string, { localPort, clientAddress }: LostRequest): Promise<Connection | undefined> {
  if (localPort === undefined) return undefined;
  const answer = await fetch(`${adminUrl}/connections?clientPort=${localPort}&clientAddress=${clientAddress}`);
  const { connections } = (await answer.json()) as { readonly connections: readonly Connection[] };
  return connections[0];
}
