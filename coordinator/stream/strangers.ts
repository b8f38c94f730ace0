import type { Socket } from "node:net";
import { type Arrivals, makeArrivals } from "./arrivals.ts";
import type { Admission } from "./intake.ts";

/** Connections whose handshake has begun, and which no agent has a stream over. */
export interface Strangers extends Pick<Arrivals, "most" | "of"> {
  begun(peer: string, socket: Socket): void;
  /** A connection is no stranger's while an agent has a stream over it. Of one agent the newest connections count; the others are strangers again. */
  admitted(admission: Admission): void;
  /** It is closed. */
  delete(socket: Socket): void;
  readonly size: number;
}

/** `agents`: for how many it counts. */
type Connection = { readonly socket: Socket; agents: number };

/** Connections of one agent that count: it needs one, and a second for a moment when it comes anew. Own choice. */
const MOST_OF_AGENT = 2;

export function makeStrangers(): Strangers {
  const sockets = makeArrivals(); // none of them waits
  const byPeer = new Map<string, Connection>();
  const peers = new Map<Socket, string>();
  /** By agent: its connections that count, with their streams; that of the newest stream last. */
  const agents = new Map<string, Map<Connection, Set<AbortSignal>>>();

  const count = (connection: Connection, change: 1 | -1): void => {
    connection.agents += change;
    if (connection.agents > 0) sockets.delete(connection.socket);
    else if (peers.has(connection.socket)) sockets.add(connection.socket); // else it is closed
  };
  const drop = (agent: string, connection: Connection): void => {
    const those = agents.get(agent);
    if (those?.delete(connection) !== true) return;
    if (those.size === 0) agents.delete(agent);
    count(connection, -1);
  };
  return {
    begun(peer, socket) {
      sockets.add(socket);
      byPeer.set(peer, { socket, agents: 0 });
      peers.set(socket, peer);
    },
    admitted({ peer, agent, over }) {
      const connection = byPeer.get(peer);
      if (connection === undefined) return; // closed meanwhile
      const those = agents.get(agent) ?? new Map<Connection, Set<AbortSignal>>();
      agents.set(agent, those);
      const streams = those.get(connection);
      if (streams === undefined) count(connection, 1);
      those.delete(connection);
      those.set(connection, (streams ?? new Set()).add(over));
      const [oldest] = those.keys();
      if (those.size > MOST_OF_AGENT && oldest !== undefined) drop(agent, oldest);
      const end = (): void => {
        const left = agents.get(agent)?.get(connection);
        if (left?.delete(over) === true && left.size === 0) drop(agent, connection);
      };
      over.addEventListener("abort", end, { once: true });
    },
    delete(socket) {
      const peer = peers.get(socket);
      sockets.delete(socket);
      peers.delete(socket);
      if (peer !== undefined && byPeer.get(peer)?.socket === socket) byPeer.delete(peer);
    },
    most: () => sockets.most(),
    of: (address) => sockets.of(address),
    get size() {
      return sockets.size;
    },
  };
}
