import type { TLSSocket } from "node:tls";

/** Of a connection; see `Silence`. */
type Link = Pick<TLSSocket, "remoteAddress" | "remotePort" | "readableEnded" | "errored" | "once">;

/**
 * Whose connection ended without a word of its peer: neither closed nor reset, but given up by us, because the peer had answered no ping for
 * the whole keepalive time. A process that is stopped or a machine that is cut off looks so; one that ends, or is killed, does not.
 */
export interface Silence {
  /** A connection whose handshake is done. */
  watch(link: Link): void;
  /** `tell` is called when that peer, e.g. "10.0.3.7:40312" (as `call.getPeer()` has it), falls silent, at most once. */
  of(peer: string, tell: () => void): void;
}

export function makeSilence(): Silence {
  const listeners = new Map<string, Set<() => void>>();
  return {
    watch(link) {
      const peer = `${link.remoteAddress}:${link.remotePort}`; // later it has none
      const those = new Set<() => void>();
      listeners.set(peer, those);
      link.once("close", () => {
        if (listeners.get(peer) === those) listeners.delete(peer);
        const isSilent = !link.readableEnded && link.errored === null;
        if (isSilent) for (const tell of those) tell();
      });
    },
    of: (peer, tell) => void listeners.get(peer)?.add(tell),
  };
}
