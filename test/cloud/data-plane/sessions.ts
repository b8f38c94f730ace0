/** Which client belongs to which backend, on layer 4 by the client's address. */
export interface Sessions<Target> {
  /** The target of an earlier connection that is not longer ago than the session lasts. */
  find(client: string, nowMs: number): Target | undefined;
  /** The client's connections go there until `untilMs`; every new one moves that moment. */
  keep(client: string, target: Target, untilMs: number): void;
  readonly size: number;
}

/** Addresses remembered; the one that was used longest ago is forgotten first. */
const MOST = 100_000;

export function makeSessions<Target>(): Sessions<Target> {
  const kept = new Map<string, { readonly target: Target; readonly untilMs: number }>();
  return {
    find: (client, nowMs) => {
      const session = kept.get(client);
      if (session === undefined || session.untilMs > nowMs) return session?.target;
      kept.delete(client);
      return undefined;
    },
    keep: (client, target, untilMs) => {
      kept.delete(client);
      kept.set(client, { target, untilMs });
      const [oldest] = kept.size > MOST ? kept.keys() : [];
      if (oldest !== undefined) kept.delete(oldest);
    },
    get size() {
      return kept.size;
    },
  };
}
