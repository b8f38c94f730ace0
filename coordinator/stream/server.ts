import { Server, ServerCredentials } from "@grpc/grpc-js";
import { boundCalls } from "../../common/call-bounds.ts";
import type { Clock } from "../../common/clock.ts";
import type { Health } from "../../common/health.ts";
import { MOST_STREAMS } from "../../common/health-server.ts";
import type { Logger } from "../../common/log.ts";
import { STREAM_HEALTH } from "../../common/names.ts";
import { OVER } from "../../common/signals.ts";
import { NodeStreamServiceService } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { makeReadRequest } from "../../proto/read-request.ts";
import { MAX_MESSAGE_BYTES } from "../../proto/wire.ts";
import type { ServingSource } from "../tls/serving.ts";
import { type ConnectionCounts, type ConnectionLimits, makeConnections } from "./connections.ts";
import type { Intake } from "./intake.ts";
import { type KeepaliveTimes, makeKeepalive } from "./keepalive.ts";
import type { NodeStream } from "./node-stream.ts";
import { peerOf } from "./peer.ts";

export type StreamServerDeps = {
  /** E.g. "0.0.0.0:9443"; port 0 takes a free one. */
  readonly address: string;
  readonly stream: NodeStream;
  readonly serving: ServingSource;
  /** Who may begin a handshake. */
  readonly intake: Intake;
  /** Gets status SERVING for `STREAM_HEALTH` between start and stop. */
  readonly health: Health;
  readonly observer: { onConnectionRefused(): void };
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: Partial<ConnectionLimits>;
  /** A frozen peer is dropped after `timeMs` + `timeoutMs`; default 10 s + 5 s (toolchain.md §7). */
  readonly keepalive?: KeepaliveTimes;
};

export interface StreamServer {
  /** Resolves with the port. Rejects when the address cannot be bound. */
  start(): Promise<number>;
  /** Streams end with UNAVAILABLE; after two seconds connections are cut. */
  stop(): Promise<void>;
  readonly connections: ConnectionCounts;
}

/** A peer that takes longer to read a status than this is not there any more; keeps our part of the shutdown small. */
const STOP_WITHIN_MS = 2_000;
/**
 * A connection without a stream is closed after that time: nobody needs one, but an agent that was told to come back, at most half of it
 * later (intake.ts). Real milliseconds.
 */
const IDLE_MS = 10_000;

/** The coordinator's gRPC port: streams of agents and the health service, under TLS. */
export function makeStreamServer(deps: StreamServerDeps): StreamServer {
  const { intake, serving, observer, log } = deps;
  const keepalive = makeKeepalive(deps.keepalive ?? { timeMs: 10_000, timeoutMs: 5_000 }, deps.clock);
  const server = new Server({
    "grpc.max_connection_idle_ms": IDLE_MS,
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_concurrent_streams": MOST_STREAMS,
    interceptors: [deps.stream.gate],
    "grpc.enable_channelz": 0, // its records of each connection, which nobody reads
  });
  const { connect } = NodeStreamServiceService;
  server.addService({ connect: { ...connect, requestDeserialize: makeReadRequest() } }, deps.stream.service);
  deps.health.addToServer(server);
  let port: number | undefined;
  const unbound = boundCalls(server, () => port, deps.clock);
  const http2 = server.createConnectionInjector(ServerCredentials.createInsecure()); // what it gets is decrypted
  const connections = makeConnections({
    serving,
    onSecure: (socket) => {
      deps.stream.connected(socket);
      keepalive.watch(socket);
      intake.secured(peerOf(socket));
      http2.injectConnection(socket);
    },
    mayBegin: (peer) => intake.begin(peer),
    mayAnother: () => intake.hasRoom,
    onEnd: (peer) => intake.leave(peer),
    onRefused: () => observer.onConnectionRefused(),
    clock: deps.clock,
    log,
    ...(deps.limits && { limits: deps.limits }),
  });
  const unsubscribes = [intake.onRoom(() => connections.resume()), intake.onAdmitted((admission) => connections.admitted(admission))];
  let stopping: Promise<void> | undefined;

  const stop = async (): Promise<void> => {
    deps.health.setStatus(STREAM_HEALTH, "NOT_SERVING");
    for (const unsubscribe of unsubscribes) unsubscribe();
    connections.close();
    const stopped = new AbortController();
    server.tryShutdown(() => undefined); // its answer comes before the streams' ends: it knows nothing of connections that it was given
    deps.stream.close();
    await Promise.race([connections.drained(), deps.clock.sleep(STOP_WITHIN_MS, stopped.signal).catch(() => undefined)]);
    stopped.abort(OVER);
    server.forceShutdown();
    keepalive.stop();
    unbound();
    connections.destroy(); // that of a frozen peer would stay until the kernel gives up
  };

  return {
    async start() {
      const { host, port: wanted } = toHostAndPort(deps.address);
      port = await connections.listen(host, wanted);
      deps.health.setStatus(STREAM_HEALTH, "SERVING");
      log.info({ address: deps.address, port }, "listening for agents");
      return port;
    },
    stop: () => (stopping ??= stop()),
    get connections() {
      return connections.counts;
    },
  };
}

/** E.g. "0.0.0.0:9443" or "[::]:9443". */
function toHostAndPort(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at).replace(/^\[(.*)\]$/, "$1"), port: Number(address.slice(at + 1)) };
}
