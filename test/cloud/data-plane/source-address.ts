import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";

/**
 * The service keeps the client's address (clb-api.md §6.1). Without the right to forge it (IP_TRANSPARENT needs root and routes) that works
 * for clients whose address is local here, as all are in the test network: the connection to the backend is bound to it.
 */
export interface SourceAddresses {
  /** The address to connect from, if it is local; undefined lets the system choose. Known at once after the first time. */
  of(address: string): string | undefined | Promise<string | undefined>;
}

/** Addresses remembered. */
const MOST = 10_000;

export function makeSourceAddresses(): SourceAddresses {
  const known = new Map<string, string | undefined>();
  return {
    of: (address) => {
      if (known.has(address)) return known.get(address);
      return isLocal(address).then((local) => {
        if (known.size >= MOST) known.clear();
        const source = local ? address : undefined;
        known.set(address, source);
        return source;
      });
    },
  };
}

/** Only the kernel knows: ranges that are routed as local appear on no interface. */
const isLocal = (address: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
    const settle = (local: boolean): void => {
      socket.close();
      resolve(local);
    };
    socket.once("error", () => settle(false)).bind({ address, port: 0, exclusive: true }, () => settle(true));
  });
