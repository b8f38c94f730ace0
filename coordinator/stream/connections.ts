import { createServer, type Socket, type Server as TcpServer } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import type { Serving, ServingSource } from "../tls/serving.ts";
import { type Arrivals, makeArrivals } from "./arrivals.ts";
import type { Admission } from "./intake.ts";
import { addressOf, peerOf } from "./peer.ts";
import { makeStrangers, type Strangers } from "./strangers.ts";

export type ConnectionsDeps = {
  readonly serving: ServingSource;
  /** Gets each connection whose handshake is done. */
  readonly onSecure: (socket: TLSSocket) => void;
  /** False: this one's handshake may not begin now; call `resume` when that ends. Peers as `call.getPeer()` of a stream has them, e.g. "10.0.3.7:40312". */
  readonly mayBegin: (peer: string) => boolean;
  /** Where one may not: whether one of another address may. */
  readonly mayAnother: () => boolean;
  /** A handshake failed, or its connection ended. */
  readonly onEnd: (peer: string) => void;
  /** One was turned away because there are too many; must not throw. */
  readonly onRefused: () => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: Partial<ConnectionLimits>;
};

/** See `LIMITS`. */
export type ConnectionLimits = {
  readonly connections: number;
  readonly strangers: number;
  readonly kept: number;
  readonly silentMs: number;
};

/** `waiting`: have said something, and wait for their handshake. */
export type ConnectionCounts = { readonly open: number; readonly waiting: number };

export interface Connections {
  /** Resolves with the port. Rejects when the address cannot be bound. */
  listen(host: string, port: number): Promise<number>;
  /** There may be room again. */
  resume(): void;
  /** This one is an agent's while that stream lasts: it makes way for nobody, unless newer ones of the same agent do. */
  admitted(admission: Admission): void;
  readonly counts: ConnectionCounts;
  /** Takes no more in, and drops who has not begun its handshake; the others go on. */
  close(): void;
  /** Resolves when no connection is left. */
  drained(): Promise<void>;
  /** Cuts what is left. */
  destroy(): void;
}

const LIMITS: ConnectionLimits = {
  /** Two agents on each of 5 000 nodes (Kubernetes' own limit; a rollout with surge has two for a moment), and some others. */
  connections: 12_000,
  /**
   * Whose handshake has begun and that no agent has a stream over: above so many an address with many lets its own wait, and makes way for one with
   * few. Each holds 90 kB, with what a stranger may send over it up to 600 kB: headers that do not end (9 frames of 16 KiB), and 4 calls (call-bounds.ts)
   * with what is sent ahead of an answer (64 KiB each): 0.3 GB together. Own choice: four times those that are let in at a time.
   */
  strangers: 512,
  /** Above that, so many of an address whose handshake has not begun, and so many that no agent has a stream over, stay where another address comes. Own choice. */
  kept: 64,
  /** A client of TLS speaks first: who is silent for so long, or does not end its handshake, is none. Real milliseconds. */
  silentMs: 10_000,
};
/** What a client of TLS says first has 0.3 to 2 kB, also with ML-KEM; it is kept until its handshake begins. Own choice. */
const MOST_SAID = 8_192;
/** Connections that the kernel keeps until we take them; above its own limit (net.core.somaxconn, 4 096) it keeps so many. A dropped one is tried again after 1 s. */
const BACKLOG = 16_384;
/**
 * Sockets that listen at the one port. libuv (since 1.45) takes one connection per listening socket and turn of the event loop: with a
 * single one, a coordinator whose turns last 20 ms lets in 50 agents a second, whatever else it has time for. The kernel spreads
 * connections over them. Own choice.
 */
const LISTENERS = 16;
/** "Too many connections" is logged once in so long, real milliseconds. */
const TOLD_EVERY_MS = 60_000;

/**
 * The port: takes every connection at once, but begins handshakes few at a time, by turns of their addresses and of each in the order of coming:
 * thousands of one address keep no other waiting. Who only waits costs a socket and nothing else, and is not served anew when it gives up.
 * Nor do thousands that ended their handshake, e.g. to watch the health for ever, which needs no token, or with the token of one agent.
 */
export function makeConnections(deps: ConnectionsDeps): Connections {
  const { serving, log } = deps;
  const limits = { ...LIMITS, ...deps.limits };
  const open = new Set<Socket>();
  const arrivals = makeArrivals();
  const strangers = makeStrangers();
  const empty = new Set<() => void>();
  const tell = makeTelling(deps);

  const tls = makeTls(serving, limits);
  const unsubscribe = serving.subscribe((renewed) => tls.setSecureContext(contextOf(renewed)));

  const take = (socket: Socket): void => {
    if (open.size >= limits.connections && !makeWay(socket)) return refuse(socket);
    open.add(socket);
    arrivals.add(socket);
    socket.setNoDelay(true);
    socket.setTimeout(limits.silentMs, () => socket.destroy());
    socket.on("error", () => undefined); // of a peer that left; its end follows
    socket.once("close", () => {
      open.delete(socket);
      arrivals.delete(socket);
      strangers.delete(socket);
      if (arrivals.waiting > 0) resume();
      if (open.size === 0) empty.forEach((resolve) => resolve());
    });
    hearHello(socket, (handOver) => {
      socket.setTimeout(0); // the handshake has a limit of its own
      socket.removeAllListeners("timeout");
      arrivals.wait(socket, () => tls.emit("connection", handOver())); // documented: a connection may be given to a TLS server so
      resume();
    });
  };
  /** False: nobody is cut off. */
  const makeWay = (socket: Socket): boolean => {
    const sockets = inTheWay([arrivals, strangers], limits.kept, socket.remoteAddress);
    for (const one of sockets) refuse(one);
    return sockets.length > 0;
  };
  const refuse = (socket: Socket): void => {
    socket.on("error", () => undefined);
    const from = socket.remoteAddress;
    for (const group of [arrivals, strangers]) group.delete(socket);
    open.delete(socket);
    socket.resetAndDestroy();
    deps.onRefused();
    tell({ connections: open.size, from });
  };
  const resume = makeBeginning({ ...deps, limits, arrivals, strangers, refuse });

  tls.on("secureConnection", deps.onSecure);
  const listeners = Array.from({ length: LISTENERS }, () =>
    createServer({ noDelay: true }, take).on("error", (err) => log.error({ err }, "the port for agents failed")),
  );
  return {
    listen: async (host, port) => {
      let bound = port;
      for (const tcp of listeners) bound = await listen(tcp, host, bound);
      return bound;
    },
    resume,
    admitted(admission) {
      strangers.admitted(admission);
      if (arrivals.waiting > 0) resume();
    },
    get counts() {
      return { open: open.size, waiting: arrivals.waiting };
    },
    close() {
      unsubscribe();
      for (const tcp of listeners) tcp.close();
      for (const socket of arrivals.all()) socket.destroy();
    },
    drained: () => new Promise<void>((resolve) => (open.size === 0 ? resolve() : empty.add(resolve))),
    destroy() {
      for (const socket of open) socket.destroy();
    },
  };
}

type BeginningDeps = Pick<ConnectionsDeps, "mayBegin" | "mayAnother" | "onEnd"> & {
  readonly limits: ConnectionLimits;
  readonly arrivals: Arrivals;
  readonly strangers: Strangers;
  readonly refuse: (socket: Socket) => void;
};

/**
 * Begins the handshakes that may. Where there are too many strangers those of addresses with many wait, and the oldest of the address that has the most
 * makes way for one of an address with few. Two addresses with many, each with agents behind it, would throw out each other's else, again and again.
 */
function makeBeginning({ limits, arrivals, strangers, refuse, ...deps }: BeginningDeps): () => void {
  return () => {
    for (const { socket, begin } of arrivals.inTurn()) {
      const peer = peerOf(socket);
      const areMany = strangers.size >= limits.strangers;
      if (socket.destroyed || (areMany && strangers.of(addressOf(peer)) >= limits.kept)) continue;
      if (deps.mayBegin(peer)) {
        const [oldest] = (areMany ? mostOf(strangers, limits.kept) : undefined)?.sockets ?? [];
        if (oldest !== undefined) refuse(oldest);
        arrivals.delete(socket);
        strangers.begun(peer, socket);
        socket.once("close", () => deps.onEnd(peer));
        begin();
      } else if (!deps.mayAnother()) return;
    }
  };
}

/** The older half of the address that has the most of the first group, else of the second, unless that is the one that comes; at most `kept` are in nobody's way. */
function inTheWay(groups: readonly Pick<Arrivals, "most">[], kept: number, comes: string | undefined): readonly Socket[] {
  for (const group of groups) {
    const { address, sockets = new Set<Socket>() } = mostOf(group, kept) ?? {};
    if (sockets.size > 0 && address !== comes) return [...sockets].slice(0, Math.ceil(sockets.size / 2));
  }
  return [];
}

/** The address that has the most, if it has more than `kept`. */
function mostOf(group: Pick<Arrivals, "most">, kept: number): ReturnType<Arrivals["most"]> {
  const most = group.most();
  return most !== undefined && most.sockets.size > kept ? most : undefined;
}

function makeTelling({ clock, log }: Pick<ConnectionsDeps, "clock" | "log">) {
  let toldAtMs = Number.NEGATIVE_INFINITY;
  return (what: { readonly connections: number; readonly from: string | undefined }): void => {
    const nowMs = clock.now();
    if (nowMs - toldAtMs < TOLD_EVERY_MS) return;
    toldAtMs = nowMs;
    log.error(what, "too many connections, new ones are refused");
  };
}

/** Keeps what a client says before its handshake; `handOver` gives the socket with all of it, as if nobody had read. Who leaves or says too much is cut off. */
function hearHello(socket: Socket, onSaid: (handOver: () => Socket) => void): void {
  const said: Buffer[] = [];
  const hear = (): void => {
    const chunk: unknown = socket.read();
    if (Buffer.isBuffer(chunk)) said.push(chunk);
    const length = said.reduce((sum, one) => sum + one.length, 0);
    if (chunk === null || length > MOST_SAID) socket.destroy();
    else if (said.length === 1)
      onSaid(() => {
        socket.off("readable", hear).unshift(Buffer.concat(said));
        return socket;
      });
  };
  socket.on("readable", hear);
}

/**
 * Key exchanges. OpenSSL prefers one with ML-KEM on top of X25519 since 3.5, for what is still to be secret in decades; the secrets here are tokens
 * that are good for an hour, and a storm of agents is handshakes for the most part: without it each takes a tenth less.
 */
const EXCHANGES = "X25519:P-256:P-384";

/** All of it each time: what a new context does not name is as Node has it by default again. */
const contextOf = ({ certPem, keyPem }: Serving) => ({ cert: certPem, key: keyPem, ecdhCurve: EXCHANGES });

function makeTls(serving: ServingSource, limits: ConnectionLimits): TlsServer {
  // Protocols as a list would be copied for each connection, into one of Node's pools, which that keeps from being freed: 11 kB each (v24).
  const ALPNCallback = ({ protocols }: { readonly protocols: readonly string[] }) => (protocols.includes("h2") ? "h2" : undefined);
  const tls = createTlsServer({ ...contextOf(serving.current), ALPNCallback, handshakeTimeout: limits.silentMs });
  return tls.on("tlsClientError", (_error, socket) => void socket.destroy());
}

async function listen(tcp: TcpServer, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    tcp.once("error", reject);
    tcp.listen({ host, port, backlog: BACKLOG, reusePort: true }, () => {
      tcp.off("error", reject);
      resolve();
    });
  });
  const address = tcp.address();
  return typeof address === "object" && address !== null ? address.port : port;
}
