import { connect, createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../../common/clock.ts";
import { servingTargets } from "./health.ts";
import type { FailureCause, Journal } from "./journal.ts";
import type { ListenerRecord, Place, TargetRecord } from "./state.ts";
import { targetKey } from "./state.ts";

/** One client connection and the backend it was given to. Bytes are those of the backend's side. */
export type ConnectionRecord = {
  readonly loadBalancerId: string;
  readonly listenerId: string;
  readonly clientAddress: string;
  readonly clientPort: number;
  /** "ip:port", "" if there was none to choose. */
  readonly backend: string;
  readonly openedMs: number;
  closedMs?: number;
  cause?: FailureCause;
};

/** What one backend got through one listener since the start. */
export type BackendCounts = { listenerId: string; backend: string; connections: number; open: number; bytesTo: number; bytesFrom: number };

type Live = { readonly record: ConnectionRecord; readonly client: Socket; readonly backend: Socket; readonly target: TargetRecord };
type Port = { readonly listener: ListenerRecord; readonly server: Server; readonly live: Set<Live> };

export interface DataPlane {
  /** Listens on vip:port. Rejects if the address cannot be listened on. UDP listeners carry no data. */
  open(listener: ListenerRecord, vip: string): Promise<void>;
  /** Ends all connections of the listener and frees its port. */
  close(listener: ListenerRecord): Promise<void>;
  /** Ends the connections of a target that was unbound. */
  cut(place: Place, target: TargetRecord): void;
  counts(): BackendCounts[];
  /** Newest first: who served this client port, e.g. to name the Pod behind a failed request. */
  connectionsOf(client: { port: number; address?: string; listenerId?: string }): ConnectionRecord[];
  closeAll(): Promise<void>;
}

/** Connections remembered for `connectionsOf`, and backends for `counts`. */
const KEPT_CONNECTIONS = 65_536;
const KEPT_BACKENDS = 20_000;

export function makeDataPlane(deps: { clock: Clock; journal: Journal; connectTimeoutMs: number }): DataPlane {
  const { clock, journal } = deps;
  const ports = new Map<string, Port>();
  const counters = new Map<string, BackendCounts>();
  const recent = new Map<string, ConnectionRecord>();
  let stopped = false;

  const remember = (record: ConnectionRecord): void => {
    const key = `${record.listenerId} ${record.clientAddress}:${record.clientPort}`;
    recent.delete(key);
    recent.set(key, record);
    dropOldest(recent, KEPT_CONNECTIONS);
  };

  const countsOf = (listenerId: string, backend: string): BackendCounts => {
    const key = `${listenerId} ${backend}`;
    const known = counters.get(key) ?? { listenerId, backend, connections: 0, open: 0, bytesTo: 0, bytesFrom: 0 };
    counters.set(key, known);
    dropOldest(counters, KEPT_BACKENDS);
    return known;
  };

  const fail = (record: ConnectionRecord, cause: FailureCause, detail: string): void => {
    if (record.cause !== undefined) return;
    record.cause = cause;
    const { loadBalancerId, listenerId, clientAddress, clientPort, backend } = record;
    journal.add({ kind: "data-plane", cause, loadBalancerId, listenerId, clientAddress, clientPort, backend, detail });
  };

  const serve = (client: Socket, listener: ListenerRecord, port: Port): void => {
    const target = pickByWeight(servingTargets(listener, clock.now()));
    const record: ConnectionRecord = {
      loadBalancerId: listener.loadBalancerId,
      listenerId: listener.listenerId,
      clientAddress: client.remoteAddress ?? "",
      clientPort: client.remotePort ?? 0,
      backend: target === undefined ? "" : targetKey(target.ip, target.port),
      openedMs: Math.round(clock.now()),
    };
    remember(record);
    if (target === undefined) {
      fail(record, "no-backend", "");
      client.on("error", () => undefined).resetAndDestroy();
      return;
    }
    const backend = connect({ host: target.ip, port: target.port, noDelay: true, allowHalfOpen: true });
    const live: Live = { record, client, backend, target };
    const counts = countsOf(record.listenerId, record.backend);
    counts.connections++;
    counts.open++;
    port.live.add(live);
    forward(live, deps.connectTimeoutMs, fail);
    backend.once("close", () => {
      port.live.delete(live);
      counts.open--;
      counts.bytesTo += backend.bytesWritten;
      counts.bytesFrom += backend.bytesRead;
      record.closedMs = Math.round(clock.now());
    });
  };

  const cutLive = (live: Live, reset: boolean): void => {
    fail(live.record, "unbound", "");
    if (reset) live.client.resetAndDestroy();
    else live.client.destroy();
    live.backend.destroy();
  };

  const close = async (listenerId: string): Promise<void> => {
    const port = ports.get(listenerId);
    if (port === undefined) return;
    ports.delete(listenerId);
    const closed = new Promise<void>((resolve) => void port.server.close(() => resolve()));
    for (const live of port.live) cutLive(live, true);
    await closed;
  };

  return {
    open: async (listener, vip) => {
      if (listener.protocol !== "TCP") return;
      const server = createServer({ allowHalfOpen: true, noDelay: true });
      const port: Port = { listener, server, live: new Set() };
      server.on("connection", (client) => serve(client, listener, port));
      await new Promise<void>((resolve, reject) => {
        server.once("error", (cause: NodeJS.ErrnoException) =>
          reject(new Error(`cannot listen on ${vip}:${listener.port}: ${cause.code}${fixFor(cause.code)}`, { cause })),
        );
        server.listen({ host: vip, port: listener.port, backlog: 1024 }, resolve);
      });
      ports.set(listener.listenerId, port);
      if (stopped) await close(listener.listenerId);
    },
    close: (listener) => close(listener.listenerId),
    cut: ({ listenerId }, target) => {
      const port = ports.get(listenerId);
      for (const live of port?.live ?? []) if (live.target === target) cutLive(live, port?.listener.deregisterTargetRst ?? false);
    },
    counts: () => withOpenBytes(counters, ports),
    connectionsOf: ({ port, address, listenerId }) =>
      [...recent.values()]
        .filter(({ clientPort }) => clientPort === port)
        .filter(
          (record) => (address ?? record.clientAddress) === record.clientAddress && (listenerId ?? record.listenerId) === record.listenerId,
        )
        .toReversed(),
    closeAll: async () => {
      stopped = true;
      await Promise.all([...ports.keys()].map(close));
    },
  };
}

/** What to do about an address that cannot be listened on. */
function fixFor(code: string | undefined): string {
  if (code === "EADDRNOTAVAIL") return " (the range of VIPs is not local here: make a network namespace for it, or use 127.198.0.0/16)";
  if (code === "EACCES") return " (ports below 1024 need root or a network namespace of your own)";
  return code === "EADDRINUSE" ? " (another process, or another cloud with the same range of VIPs, listens there)" : "";
}

/** Pipes both ways; half-closes pass through. Whichever side breaks, the other one sees a reset. */
function forward(
  { record, client, backend }: Live,
  connectTimeoutMs: number,
  fail: (record: ConnectionRecord, cause: FailureCause, detail: string) => void,
): void {
  let connected = false;
  // A socket's own timer, not the Clock: this is about real sockets, which exist only in real time.
  backend.setTimeout(connectTimeoutMs, () => {
    fail(record, "timeout", "ETIMEDOUT");
    client.resetAndDestroy();
    backend.destroy();
  });
  backend.once("connect", () => {
    connected = true;
    backend.setTimeout(0);
  });
  backend.on("error", (error: NodeJS.ErrnoException) => {
    const cause = error.code === "ETIMEDOUT" ? "timeout" : connected ? "reset" : "refused";
    if (!client.destroyed) fail(record, cause, error.code ?? error.message);
    client.resetAndDestroy();
  });
  client.on("error", () => {
    if (connected) backend.resetAndDestroy();
    else backend.destroy();
  });
  // Soon, not at once: what is still on its way to the other side must arrive.
  client.once("close", () => backend.destroySoon());
  backend.once("close", () => client.destroySoon());
  client.pipe(backend);
  backend.pipe(client);
}

/** Smooth weighted round robin: in every run of `sum of weights` picks each target comes `weight` times, spread out. */
function pickByWeight(targets: readonly TargetRecord[]): TargetRecord | undefined {
  let best: TargetRecord | undefined;
  let total = 0;
  for (const target of targets) {
    total += target.weight;
    target.credit += target.weight;
    if (best === undefined || target.credit > best.credit) best = target;
  }
  if (best !== undefined) best.credit -= total;
  return best;
}

function withOpenBytes(counters: ReadonlyMap<string, BackendCounts>, ports: ReadonlyMap<string, Port>): BackendCounts[] {
  const rows = new Map([...counters].map(([key, counts]) => [key, { ...counts }]));
  for (const { live } of ports.values())
    for (const { record, backend } of live) {
      const row = rows.get(`${record.listenerId} ${record.backend}`);
      if (row === undefined) continue;
      row.bytesTo += backend.bytesWritten;
      row.bytesFrom += backend.bytesRead;
    }
  return [...rows.values()];
}

function dropOldest(map: Map<string, unknown>, most: number): void {
  const [oldest] = map.size > most ? map.keys() : [];
  if (oldest !== undefined) map.delete(oldest);
}
