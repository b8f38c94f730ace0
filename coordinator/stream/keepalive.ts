import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Http2Session } from "node:http2";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../../common/clock.ts";
import { OVER } from "../../common/signals.ts";
import { peerOf } from "./peer.ts";

/**
 * Finds peers that are frozen or cut off: who was not heard for `timeMs` is pinged, and cut off when nothing follows within `timeoutMs`.
 * Whatever a peer sends counts, its own pings too: agents ping us every 10 s, so they are hardly ever pinged. (The server of grpc-js
 * pings everybody every 10 s: between a twentieth and an eighth of a core with 5 000 agents, reckoned from 1 500.)
 */
export interface Keepalive {
  /** A connection whose handshake is done. */
  watch(socket: TLSSocket): void;
  stop(): void;
}

/** Milliseconds of the clock, e.g. 10 000 and 5 000. */
export type KeepaliveTimes = { readonly timeMs: number; readonly timeoutMs: number };

/** Time is counted in looks, so many within `timeoutMs`: while the event loop stands still nobody is heard, and nobody is to blame for it. */
const LOOKS = 5;
/** Published by Node.js when a stream has begun. It leads to the session, which grpc-js keeps to itself. */
const BEGUN = "http2.server.stream.start";

type Begun = { readonly stream: { readonly session?: Http2Session } };
type Peer = { readonly socket: TLSSocket; session: Http2Session | undefined; heard: number; silentLooks: number };

export function makeKeepalive({ timeMs, timeoutMs }: KeepaliveTimes, clock: Clock): Keepalive {
  const lookMs = timeoutMs / LOOKS;
  // Between two looks up to one more has passed. One more than due before the ping: that of the peer itself may be on its way.
  const pingAfter = Math.ceil(timeMs / lookMs) + 1;
  const cutAfter = Math.ceil((timeMs + timeoutMs) / lookMs) - 1;
  const peers = new Map<string, Peer>();

  const begun = (message: unknown): void => {
    if (!isBegun(message)) return;
    const { session } = message.stream;
    const peer = session && peers.get(nameOf(session.socket));
    if (peer) peer.session = session;
  };
  const look = (peer: Peer): void => {
    const { bytesRead } = peer.socket;
    peer.silentLooks = bytesRead === peer.heard ? peer.silentLooks + 1 : 0;
    peer.heard = bytesRead;
    if (peer.silentLooks >= cutAfter) peer.socket.destroy();
    else if (peer.silentLooks === pingAfter && peer.session?.destroyed === false) peer.session.ping(() => undefined);
  };
  const stopped = new AbortController();
  const lookAtAll = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await clock.sleep(lookMs, stopped.signal);
      for (const peer of peers.values()) look(peer);
    }
  };
  lookAtAll().catch(() => undefined); // stopped
  subscribe(BEGUN, begun);
  return {
    watch(socket) {
      const name = nameOf(socket);
      const peer: Peer = { socket, session: undefined, heard: socket.bytesRead, silentLooks: 0 };
      peers.set(name, peer);
      socket.once("close", () => {
        if (peers.get(name) === peer) peers.delete(name);
      });
    },
    stop() {
      stopped.abort(OVER);
      unsubscribe(BEGUN, begun);
    },
  };
}

const isBegun = (message: unknown): message is Begun => typeof message === "object" && message !== null && "stream" in message;

/** Both ends: other servers of this process hear of streams as well. */
const nameOf = (socket: Pick<TLSSocket, "remoteAddress" | "remotePort" | "localPort">): string => `${peerOf(socket)} ${socket.localPort}`;
