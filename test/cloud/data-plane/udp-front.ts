import { createSocket, type Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { ListenerRecord, TargetRecord } from "../model/account.ts";
import { cannotListen, endIdle, type Front, type FrontDeps, type Live } from "./front.ts";
import type { Client, ConnectionRecord } from "./traffic-log.ts";

/** A session is a client's address and port; it ends when nothing passed for the listener's idle time. */
type Session = Live & { readonly send: (message: Buffer) => void };

/** Open sessions, each with a socket of its own; further clients are dropped. */
const MOST_SESSIONS = 16_384;

/** How what a client sends gets to its backend. */
export type OpenSession = (from: {
  readonly record: ConnectionRecord;
  readonly target: TargetRecord;
  readonly deps: FrontDeps;
  readonly answer: (message: Buffer) => void;
  readonly onEnd: () => void;
}) => Session;

/** Rejects if the address cannot be listened on. `openSession`: default: by datagrams as well. */
export async function openUdpFront(
  listener: ListenerRecord,
  vip: string,
  deps: FrontDeps,
  openSession: OpenSession = openDatagramSession,
): Promise<Front> {
  const sessions = new Map<string, Session>();
  const live = new Set<Live>();
  const stopping = new AbortController();
  const socket = createSocket(isIPv6(vip) ? "udp6" : "udp4");
  await bind(socket, vip, listener.port);
  socket.on("error", () => undefined); // e.g. an answer to a client that is gone
  socket.on("message", (message, { address, port }) => {
    const key = `${address} ${port}`;
    const session = sessions.get(key) ?? begin(key, { address, port });
    session?.send(message);
  });
  void endIdle(listener, live, deps.clock, stopping.signal).catch(() => undefined); // rejects only when stopped

  const begin = (key: string, client: Client): Session | undefined => {
    if (sessions.size >= MOST_SESSIONS) return undefined;
    const record = deps.traffic.begin(listener, client);
    const target = deps.choose(listener, { address: client.address }, deps.clock.now());
    if (target === undefined) {
      deps.traffic.fail(record, "no-backend", "");
      deps.traffic.end(record);
      return undefined;
    }
    const session = openSession({ record, target, deps, answer: (message) => socket.send(message, client.port, client.address), onEnd });
    sessions.set(key, session);
    live.add(session);
    return session;
    function onEnd(): void {
      sessions.delete(key);
      live.delete(session);
    }
  };

  return {
    cut: (target) => {
      for (const one of live) if (one.target === target) one.end("unbound");
    },
    close: async () => {
      stopping.abort();
      for (const one of live) one.end("closed");
      await new Promise<void>((resolve) => void socket.close(() => resolve()));
    },
  };
}

const bind = (socket: Socket, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => reject(cannotListen(cause, host, port));
    socket.once("error", onError).bind({ address: host, port, exclusive: true }, () => {
      socket.off("error", onError);
      resolve();
    });
  });

/** What comes before the backend's socket is ready waits. */
function openDatagramSession(from: Parameters<OpenSession>[0]): Session {
  const { record, target, deps } = from;
  const backend = createSocket(isIPv6(target.ip) ? "udp6" : "udp4");
  let waiting: Buffer[] | undefined = [];
  let over = false;
  let [to, from_] = [0, 0];
  const bytes = () => ({ to, from: from_ });
  const accounting = deps.traffic.assign(record, target, bytes);
  const send = (message: Buffer): void => {
    to += message.length;
    if (waiting !== undefined) waiting.push(message);
    else backend.send(message);
  };
  const end: Live["end"] = () => {
    if (over) return;
    over = true;
    backend.close();
    accounting.done();
    deps.traffic.end(record);
    from.onEnd();
  };
  const connect = (): void => {
    if (over) return;
    backend.connect(target.port, target.ip, () => {
      const held = waiting ?? [];
      waiting = undefined;
      for (const message of held) if (!over) backend.send(message);
    });
  };
  backend.on("message", (message) => {
    from_ += message.length;
    from.answer(message);
  });
  // "Port unreachable" is the health check's business; here it is only written down, and the session stays.
  backend.on("error", (error: NodeJS.ErrnoException) => deps.traffic.fail(record, "refused", error.code ?? error.message));
  const start = async (): Promise<void> => {
    const address = await deps.sources.of(record.clientAddress);
    if (address === undefined || over) connect();
    else backend.bind({ address, port: 0, exclusive: true }, connect);
  };
  void start();
  return { target, bytes, send, end };
}
