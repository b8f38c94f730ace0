import { createServer, type Server, type Socket } from "node:net";

/** Where to listen: host e.g. "0.0.0.0"; port 0 takes a free one. */
export type Address = {
  readonly host: string;
  readonly port: number;
  /**
   * Whether two generations of this process may have the port at the same time, each getting some of the connections: an update of the agents
   * starts the new one first, and both use the node's network. A port of anybody else is taken all the same (SO_REUSEPORT: both have to
   * ask for it, as the same user).
   */
  readonly shared: boolean;
};

/** `stop` takes no more connections; those that are open belong to whoever got them. */
export interface Listener {
  start(): Promise<number>;
  stop(): Promise<void>;
}

/** A TCP port for a server that cannot open it by itself in this way, e.g. that of gRPC. */
export function makeListener({ onConnection, ...address }: Address & { readonly onConnection: (socket: Socket) => void }): Listener {
  const server = createServer({ noDelay: true }, onConnection);
  return {
    start: () => listen(server, address),
    stop: () => new Promise((resolve) => server.close(() => resolve())), // also called where it never listened
  };
}

/**
 * Connections that the kernel keeps until we take them; above its own limit (net.core.somaxconn, 4 096) it keeps so many. Node's default is 511: of a
 * thousand that come at once the others were dropped, and tried again by their clients' kernels after a second, which may be too late.
 */
const BACKLOG = 16_384;

/** Resolves with the port. Rejects where it is taken. */
export function listen(server: Server, { host, port, shared }: Address): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: BACKLOG, reusePort: shared }, () => {
      server.off("error", reject);
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : port);
    });
  });
}
