import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Health } from "./health.ts";
import { makeListener } from "./listener.ts";

/** grpc.health.v1 on a plaintext port of its own: the kubelet's probe cannot speak TLS (toolchain.md §7). */
export interface HealthServer {
  /** Resolves with the port. Rejects when the address cannot be bound. */
  start(): Promise<number>;
  stop(): void;
}

/** `host` e.g. "0.0.0.0"; port 0 takes a free one. `shared`: see makeListener. */
export function makeHealthServer(deps: {
  readonly host: string;
  readonly port: number;
  readonly shared: boolean;
  readonly health: Health;
}): HealthServer {
  const server = new Server();
  deps.health.addToServer(server);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = makeListener({ ...deps, onConnection: (socket) => injector.injectConnection(socket) });
  return {
    start: () => listener.start(),
    stop: () => {
      void listener.stop();
      server.forceShutdown(); // a Watch never ends by itself
    },
  };
}
