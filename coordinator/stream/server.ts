import { experimental, Server } from "@grpc/grpc-js";
import type { Clock } from "../../common/clock.ts";
import type { Health } from "../../common/health.ts";
import type { Logger } from "../../common/log.ts";
import { STREAM_HEALTH } from "../../common/names.ts";
import { NodeStreamServiceService } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import type { Serving, ServingSource } from "../tls/serving.ts";
import type { NodeStream } from "./node-stream.ts";

export type StreamServerDeps = {
  /** E.g. "0.0.0.0:9443"; port 0 takes a free one. */
  readonly address: string;
  readonly stream: NodeStream;
  readonly serving: ServingSource;
  /** Gets status SERVING for `STREAM_HEALTH` between start and stop. */
  readonly health: Health;
  readonly clock: Clock;
  readonly log: Logger;
  /** A frozen peer is dropped after `timeMs` + `timeoutMs`; default 10 s + 5 s (toolchain.md §7). */
  readonly keepalive?: { readonly timeMs: number; readonly timeoutMs: number };
};

export interface StreamServer {
  /** Resolves with the port. Rejects when the address cannot be bound. */
  start(): Promise<number>;
  /** Streams end with UNAVAILABLE; after two seconds connections are cut. */
  stop(): Promise<void>;
}

/** A peer that takes longer to read a status than this is not there any more; keeps our part of the shutdown small. */
const STOP_WITHIN_MS = 2_000;

/** The coordinator's gRPC port: streams of agents and the health service, under TLS. */
export function makeStreamServer(deps: StreamServerDeps): StreamServer {
  const { timeMs, timeoutMs } = deps.keepalive ?? { timeMs: 10_000, timeoutMs: 5_000 };
  const server = new Server({ "grpc.keepalive_time_ms": timeMs, "grpc.keepalive_timeout_ms": timeoutMs });
  server.addService(NodeStreamServiceService, deps.stream.service);
  deps.health.addToServer(server);

  const provider = toProvider(deps.serving);
  let stopping: Promise<void> | undefined;

  const stop = async (): Promise<void> => {
    deps.health.setStatus(STREAM_HEALTH, "NOT_SERVING");
    const stopped = new AbortController();
    const drained = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    deps.stream.close();
    await Promise.race([drained, deps.clock.sleep(STOP_WITHIN_MS, stopped.signal).catch(() => undefined)]);
    stopped.abort();
    server.forceShutdown();
    provider.close(); // grpc-js unsubscribes only when the last socket is gone, and that of a frozen peer stays until the kernel gives up
  };

  return {
    async start() {
      // A provider and not createSsl: grpc-js then swaps the context of the listening server in place, and open streams go on.
      // The first argument is the server's own certificate, the second the clients' CA: grpc-js 1.14.7 names them the other way round.
      const credentials = experimental.createCertificateProviderServerCredentials(provider, null, false);
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync(deps.address, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
      });
      deps.health.setStatus(STREAM_HEALTH, "SERVING");
      deps.log.info({ address: deps.address, port }, "listening for agents");
      return port;
    },
    stop: () => (stopping ??= stop()),
  };
}

type Listener = experimental.IdentityCertificateUpdateListener;

/** grpc-js subscribes when it binds and unsubscribes when the server closes. */
function toProvider(serving: ServingSource): experimental.CertificateProvider & { close(): void } {
  const unsubscribe = new Map<Listener, () => void>();
  return {
    addCaCertificateListener: () => undefined,
    removeCaCertificateListener: () => undefined,
    addIdentityCertificateListener(listener) {
      unsubscribe.set(
        listener,
        serving.subscribe((changed) => listener(toUpdate(changed))),
      );
      queueMicrotask(() => listener(toUpdate(serving.current))); // not at once: grpc-js lists its watcher after this call
    },
    removeIdentityCertificateListener(listener) {
      unsubscribe.get(listener)?.();
      unsubscribe.delete(listener);
    },
    close() {
      for (const end of unsubscribe.values()) end();
      unsubscribe.clear();
    },
  };
}

const toUpdate = ({ certPem, keyPem }: Serving): experimental.IdentityCertificateUpdate => ({
  certificate: Buffer.from(certPem),
  privateKey: Buffer.from(keyPem),
});
