import type { Clock } from "../../../common/clock.ts";
import type { FailureCause, Journal } from "../journal/journal.ts";
import { type Place, type TargetRecord, targetKey } from "../model/account.ts";

/** One client connection (on layer 7: one request) and the backend it was given to. */
export type ConnectionRecord = {
  readonly loadBalancerId: string;
  readonly listenerId: string;
  /** Undefined on layer 4, and for a request that fits no rule. */
  readonly locationId: string | undefined;
  readonly clientAddress: string;
  readonly clientPort: number;
  /** "ip:port", "" if there was none to choose; the last one that was tried. */
  backend: string;
  readonly openedMs: number;
  closedMs?: number;
  cause?: FailureCause;
};

/** What one backend got through one listener since the start. On layer 7 a connection is a request; bytes are those of the backend's side. */
export type BackendCounts = { listenerId: string; backend: string; connections: number; open: number; bytesTo: number; bytesFrom: number };

/** The end of a client. */
export type Client = { readonly address: string; readonly port: number };

/** Bytes of a connection to a backend so far. */
export type Bytes = { readonly to: number; readonly from: number };

/** Who was served by whom. */
export interface TrafficLog {
  begin(place: Pick<Place, "loadBalancerId" | "listenerId" | "locationId">, client: Client): ConnectionRecord;
  /** The backend is tried; `done` must be called once. */
  assign(record: ConnectionRecord, target: TargetRecord, bytes: () => Bytes): { readonly done: () => void };
  /** Writes the first failure of a connection into the journal; an attempt that another backend makes good is written, too, with `kept`. */
  fail(record: ConnectionRecord, cause: FailureCause, detail: string, kept?: "kept"): void;
  end(record: ConnectionRecord): void;
  /** Open connections of a target in its listener. */
  openOf(listenerId: string, target: TargetRecord): number;
  counts(): BackendCounts[];
  /** Newest first: who served this client port. */
  connectionsOf(client: { port: number; address?: string; listenerId?: string }): ConnectionRecord[];
}

/** Connections remembered for `connectionsOf`, and backends for `counts`. */
const KEPT_CONNECTIONS = 65_536;
const KEPT_BACKENDS = 20_000;

export function makeTrafficLog({ clock, journal }: { clock: Clock; journal: Journal }): TrafficLog {
  const counters = new Map<string, BackendCounts>();
  const counterOf = new WeakMap<TargetRecord, BackendCounts>();
  const recent = new Map<string, ConnectionRecord>();
  const running = new Set<{ readonly counts: BackendCounts; readonly bytes: () => Bytes }>();

  const countsOf = (listenerId: string, target: TargetRecord): BackendCounts => {
    const fast = counterOf.get(target);
    if (fast !== undefined) return fast;
    const backend = targetKey(target.ip, target.port);
    const key = `${listenerId} ${backend}`;
    const known = counters.get(key) ?? { listenerId, backend, connections: 0, open: 0, bytesTo: 0, bytesFrom: 0 };
    counters.set(key, known);
    counterOf.set(target, known);
    dropOldest(counters, KEPT_BACKENDS);
    return known;
  };

  return {
    begin: ({ loadBalancerId, listenerId, locationId }, { address, port }) => {
      const openedMs = Math.round(clock.now());
      const record = { loadBalancerId, listenerId, locationId, clientAddress: address, clientPort: port, backend: "", openedMs };
      const key = `${listenerId} ${address}:${port}`;
      recent.delete(key);
      recent.set(key, record);
      dropOldest(recent, KEPT_CONNECTIONS);
      return record;
    },
    assign: (record, target, bytes) => {
      const counts = countsOf(record.listenerId, target);
      record.backend = counts.backend;
      counts.connections++;
      counts.open++;
      const entry = { counts, bytes };
      running.add(entry);
      return {
        done: () => {
          if (!running.delete(entry)) return;
          counts.open--;
          const { to, from } = bytes();
          counts.bytesTo += to;
          counts.bytesFrom += from;
        },
      };
    },
    fail: (record, cause, detail, kept) => {
      if (record.cause !== undefined) return;
      if (kept === undefined) record.cause = cause;
      const { loadBalancerId, listenerId, clientAddress, clientPort, backend } = record;
      journal.add({ kind: "data-plane", cause, loadBalancerId, listenerId, clientAddress, clientPort, backend, detail });
    },
    end: (record) => {
      record.closedMs ??= Math.round(clock.now());
    },
    openOf: (listenerId, target) => countsOf(listenerId, target).open,
    counts: () => {
      const rows = new Map([...counters.values()].map((counts) => [counts, { ...counts }]));
      for (const { counts, bytes } of running) {
        const row = rows.get(counts);
        const { to, from } = bytes();
        if (row !== undefined) Object.assign(row, { bytesTo: row.bytesTo + to, bytesFrom: row.bytesFrom + from });
      }
      return [...rows.values()];
    },
    connectionsOf: ({ port, address, listenerId }) =>
      [...recent.values()]
        .filter(({ clientPort }) => clientPort === port)
        .filter(
          (record) => (address ?? record.clientAddress) === record.clientAddress && (listenerId ?? record.listenerId) === record.listenerId,
        )
        .toReversed(),
  };
}

function dropOldest(map: Map<string, unknown>, most: number): void {
  const [oldest] = map.size > most ? map.keys() : [];
  if (oldest !== undefined) map.delete(oldest);
}
