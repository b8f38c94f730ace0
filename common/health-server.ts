import type { Socket } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { boundCalls } from "./call-bounds.ts";
import type { Clock } from "./clock.ts";
import type { Health } from "./health.ts";
import { makeListener } from "./listener.ts";

/**
 * grpc.health.v1 on a plaintext port of its own: the kubelet's probe cannot speak TLS (toolchain.md §7). Whoever reaches the port may ask, so
 * what can be held open is bounded, and never at the cost of who comes next: a probe that is kept out ends the Pod.
 */
export interface HealthServer {
  /** Resolves with the port. Rejects when the address cannot be bound. */
  start(): Promise<number>;
  stop(): void;
}

/** Of the kubelet, of monitoring, and of people who look: a probe has one for a moment. Above so many the oldest is cut. Own choice. */
const MOST_CONNECTIONS = 256;
/**
 * Of one connection at a time, wherever the health service is served; each takes some 10 kB here, with its headers 26 kB at most (call-bounds.ts), and
 * who only watches the health needs no token. An agent has one, and for a moment two where it comes back; a client with more lets the others wait. Own
 * choice.
 */
export const MOST_STREAMS = 4;

/** `host` e.g. "0.0.0.0"; port 0 takes a free one. `shared`: see makeListener. */
export function makeHealthServer(deps: {
  readonly host: string;
  readonly port: number;
  readonly shared: boolean;
  readonly health: Health;
  readonly clock: Clock;
}): HealthServer {
  const server = new Server({ "grpc.max_concurrent_streams": MOST_STREAMS });
  deps.health.addToServer(server);
  let port: number | undefined;
  const unbound = boundCalls(server, () => port, deps.clock);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const open = new Set<Socket>();
  const onConnection = (socket: Socket): void => {
    const [oldest] = open;
    if (oldest !== undefined && open.size >= MOST_CONNECTIONS) {
      open.delete(oldest);
      oldest.destroy();
    }
    open.add(socket.once("close", () => open.delete(socket)));
    injector.injectConnection(socket);
  };
  const listener = makeListener({ ...deps, onConnection });
  return {
    start: async () => (port = await listener.start()),
    stop: () => {
      unbound();
      void listener.stop();
      server.forceShutdown(); // a Watch never ends by itself
    },
  };
}
