import type { Socket } from "node:net";
import { type Arrivals, makeArrivals } from "./arrivals.ts";

/** Connections whose handshake has begun, and of whose peers no token was accepted yet. */
export interface Strangers extends Pick<Arrivals, "most"> {
  begun(peer: string, socket: Socket): void;
  /** It is an agent. */
  admitted(peer: string): void;
  /** It is closed. */
  delete(socket: Socket): void;
}

export function makeStrangers(): Strangers {
  const sockets = makeArrivals(); // none of them waits
  const byPeer = new Map<string, Socket>();
  const peers = new Map<Socket, string>();
  const forget = (socket: Socket): void => {
    const peer = peers.get(socket);
    sockets.delete(socket);
    peers.delete(socket);
    if (peer !== undefined && byPeer.get(peer) === socket) byPeer.delete(peer);
  };
  return {
    begun(peer, socket) {
      sockets.add(socket);
      byPeer.set(peer, socket);
      peers.set(socket, peer);
    },
    admitted(peer) {
      const socket = byPeer.get(peer);
      if (socket !== undefined) forget(socket);
    },
    delete: forget,
    most: () => sockets.most(),
  };
}
