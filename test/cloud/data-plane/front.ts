import type { Server, Socket } from "node:net";
import type { Clock } from "../../../common/clock.ts";
import type { ListenerRecord, TargetRecord } from "../model/account.ts";
import type { Certificates } from "./certificates.ts";
import type { Choose } from "./chooser.ts";
import type { PassiveCheck } from "./passive-check.ts";
import type { SourceAddresses } from "./source-address.ts";
import type { Bytes, ConnectionRecord, TrafficLog } from "./traffic-log.ts";

/** What every kind of listener works with. */
export type FrontDeps = {
  readonly clock: Clock;
  readonly traffic: TrafficLog;
  readonly choose: Choose;
  readonly passive: PassiveCheck<TargetRecord>;
  readonly sources: SourceAddresses;
  readonly certificates: Certificates;
  /** Real ms. */
  readonly connectTimeoutMs: number;
};

/** The open port of one listener. */
export interface Front {
  /** Ends what goes to a target that was unbound. */
  cut(target: TargetRecord): void;
  /** Ends everything and frees the port. */
  close(): Promise<void>;
}

/** A connection, a request or a UDP session on its way to a backend. */
export type Live = {
  readonly target: TargetRecord;
  /** Of the backend's side. */
  readonly bytes: () => Bytes;
  readonly end: (why: "unbound" | "closed" | "idle") => void;
};

/** How often idle connections are looked for; ms of the clock. */
const SWEEP_MS = 2_500;

/**
 * Ends what has moved no byte for the listener's idle time, until stopped. Looks at counters now and then instead of setting a timer at
 * every byte.
 */
export async function endIdle(listener: ListenerRecord, live: ReadonlySet<Live>, clock: Clock, stopped: AbortSignal): Promise<void> {
  const seen = new WeakMap<Live, { readonly sum: number; readonly sinceMs: number }>();
  while (!stopped.aborted) {
    await clock.sleep(SWEEP_MS, stopped);
    const nowMs = clock.now();
    for (const one of live) {
      const { to, from } = one.bytes();
      const before = seen.get(one);
      if (before?.sum !== to + from) seen.set(one, { sum: to + from, sinceMs: nowMs });
      else if (nowMs - before.sinceMs >= listener.idleConnectTimeout * 1000) one.end("idle");
    }
  }
}

/** Rejects with an Error that names the address and says what to do. */
export const listen = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(cannotListen(cause, host, port)));
    server.listen({ host, port, backlog: 1024 }, resolve);
  });

export const closed = (server: Server): Promise<void> => new Promise((resolve) => void server.close(() => resolve()));

export function cannotListen(cause: NodeJS.ErrnoException, host: string, port: number): Error {
  return new Error(`cannot listen on ${host}:${port}: ${cause.code}${fixFor(cause.code)}`, { cause });
}

/** What to do about an address that cannot be listened on. */
function fixFor(code: string | undefined): string {
  if (code === "EADDRNOTAVAIL") return " (the range of VIPs is not local here: make a network namespace for it, or use 127.198.0.0/16)";
  if (code === "EACCES") return " (ports below 1024 need root or a network namespace of your own)";
  return code === "EADDRINUSE" ? " (another process, or another cloud with the same range of VIPs, listens there)" : "";
}

/** Counts a connection to a backend and lists it as alive until it closes. */
export function enlist(
  { live, traffic }: { readonly live: Set<Live>; readonly traffic: FrontDeps["traffic"] },
  record: ConnectionRecord,
  target: TargetRecord,
  backend: Socket,
  end: Live["end"],
): void {
  const bytes = () => ({ to: backend.bytesWritten, from: backend.bytesRead });
  const accounting = traffic.assign(record, target, bytes);
  const one: Live = { target, bytes, end };
  live.add(one);
  backend.once("close", () => {
    live.delete(one);
    accounting.done();
  });
}
