import type { Socket } from "node:net";

/** Connections whose handshake has not begun: they have said nothing yet, or wait for their turn. */
export interface Arrivals {
  /** One has come. */
  add(socket: Socket): void;
  /** It has said something; `begin` begins its handshake. */
  wait(socket: Socket, begin: () => void): void;
  /** It has begun, or is closed. */
  delete(socket: Socket): void;
  /** The first of each address that waits; the next one of an address whose first was deleted comes after the others. */
  inTurn(): Iterable<{ readonly socket: Socket; readonly begin: () => void }>;
  readonly waiting: number;
  /** Of all. */
  readonly size: number;
  /** How many of that address there are. */
  of(address: string): number;
  /** All. */
  all(): Iterable<Socket>;
  /** The address that has the most, with its connections, the oldest first; undefined where there is none. */
  most(): { readonly address: string; readonly sockets: ReadonlySet<Socket> } | undefined;
}

export function makeArrivals(): Arrivals {
  const addresses = new Map<Socket, string>(); // a socket that is closed has none
  const byAddress = new Map<string, Set<Socket>>();
  /** Of those who wait, by address: whose turn comes first. */
  const turns = new Map<string, Map<Socket, () => void>>();
  let waiting = 0;

  return {
    add(socket) {
      const address = socket.remoteAddress ?? "";
      addresses.set(socket, address);
      byAddress.set(address, (byAddress.get(address) ?? new Set()).add(socket));
    },
    wait(socket, begin) {
      const address = addresses.get(socket);
      if (address === undefined) return; // closed meanwhile
      waiting += 1;
      turns.set(address, (turns.get(address) ?? new Map()).set(socket, begin));
    },
    delete(socket) {
      const address = addresses.get(socket);
      if (address === undefined) return;
      addresses.delete(socket);
      if (turns.get(address)?.has(socket) === true) waiting -= 1;
      for (const groups of [byAddress, turns]) {
        const sockets = groups.get(address);
        sockets?.delete(socket);
        if (sockets?.size === 0) groups.delete(address);
      }
    },
    *inTurn() {
      for (const [address, sockets] of turns) {
        const [first] = sockets;
        if (first === undefined) continue;
        const [socket, begin] = first;
        yield { socket, begin };
        if (sockets.has(socket) || sockets.size === 0) continue;
        turns.delete(address);
        turns.set(address, sockets);
      }
    },
    get waiting() {
      return waiting;
    },
    get size() {
      return addresses.size;
    },
    of: (address) => byAddress.get(address)?.size ?? 0,
    all: () => addresses.keys(),
    most() {
      let most: ReturnType<Arrivals["most"]>;
      for (const [address, sockets] of byAddress) if (sockets.size > (most?.sockets.size ?? 0)) most = { address, sockets };
      return most;
    },
  };
}
