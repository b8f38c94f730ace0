import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Room for so many connections. Whoever has most of them makes way, with the one that was not used for longest. */
export interface ConnectionRoom {
  /** A new connection; one that is too many ends, maybe this one. */
  enter(socket: Socket): void;
  /** A request on it came or was answered. Its peer, as any socket of the connection has it, e.g. the one within TLS. */
  used(socket: Pick<Socket, "remoteAddress" | "remotePort">): void;
  /** Ends all, also those on which no handshake was made. */
  clear(): void;
}

/**
 * For who asks one by one, e.g. Prometheus and people: so many connections, of each one answer at a time. Who asks on before it is answered is cut off:
 * 60 kB of such requests would make a server keep a thousand answers. What else it had asked still comes, with `request.socket.destroyed`.
 */
export function boundRequests(server: Pick<Server, "on" | "prependListener">, mostConnections: number): void {
  const room = makeConnectionRoom(mostConnections);
  const last = new WeakMap<Socket, ServerResponse>();
  server.on("connection", (socket: Socket) => room.enter(socket));
  server.prependListener("request", ({ socket }, response) => {
    room.used(socket);
    if (last.get(socket)?.writableEnded === false) socket.destroy();
    last.set(socket, response);
  });
}

/**
 * An API server whose new connection is turned away goes on without us, so the Pod has no gate: who fills the room with idle connections, if only
 * by mistake, must not turn it away.
 */
export function makeConnectionRoom(most: number): ConnectionRoom {
  /** By address, then by port, the one that was used last at the end. */
  const peers = new Map<string, Map<number, Socket>>();
  let all = 0;
  const makeWay = (): void => {
    let greatest: ReadonlyMap<number, Socket> | undefined;
    for (const sockets of peers.values()) if (sockets.size > (greatest?.size ?? 0)) greatest = sockets;
    const [oldest] = greatest?.values() ?? [];
    oldest?.destroy();
  };
  return {
    enter(socket) {
      const { remoteAddress: address = "", remotePort: port = 0 } = socket;
      const own = peers.get(address) ?? new Map<number, Socket>();
      peers.set(address, own.set(port, socket));
      all += 1;
      socket.once("close", () => {
        all -= 1;
        if (own.get(port) === socket) own.delete(port);
        if (own.size === 0 && peers.get(address) === own) peers.delete(address);
      });
      if (all > most) makeWay();
    },
    used({ remoteAddress: address = "", remotePort: port = 0 }) {
      const own = peers.get(address);
      const socket = own?.get(port);
      if (own === undefined || socket === undefined) return;
      own.delete(port);
      own.set(port, socket);
    },
    clear() {
      for (const own of peers.values()) for (const socket of own.values()) socket.destroy();
    },
  };
}
