import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type AnswerHead, ResponseParser } from "./response-parser.ts";

/** What happens to one request on a wire. `failed` comes at most once, and nothing after it or after `end`. */
export type WireEvents = {
  /** The backend has accepted; at once on a wire that is used again. */
  readonly connected: () => void;
  readonly head: (head: AnswerHead) => void;
  /** Returns false if no more can be taken for now: `resume` then. */
  readonly body: (data: Buffer) => boolean;
  readonly end: () => void;
  /** `code` is the system's, e.g. "ECONNREFUSED", or "EPROTO" for an answer that is none. */
  readonly failed: (code: string) => void;
};

export type WireAddress = {
  readonly host: string;
  readonly port: number;
  readonly localAddress: string | undefined;
  readonly isTls: boolean;
};

/** How long a backend may be silent before it has failed; real ms. Source: clb-api.md §4.4 (214/15171). */
const READ_TIMEOUT_MS = 60_000;
/** How long an idle wire is kept; real ms. Assumed: as long as a client's. */
const IDLE_MS = 75_000;

/** A connection to a backend that speaks HTTP/1.1, for one request at a time. */
export class Wire {
  readonly socket: Socket;
  isReused = false;
  isConnected = false;
  #events: WireEvents | undefined;
  #parser: ResponseParser | undefined;
  readonly #onIdle: ((wire: Wire) => void) | undefined;

  /** `onIdle` takes the wire back when it can be used again; without it each wire carries one request. */
  constructor(address: WireAddress, connectTimeoutMs: number, onIdle?: (wire: Wire) => void) {
    const { host, port, localAddress, isTls } = address;
    const to = { host, port, noDelay: true, ...(localAddress !== undefined && { localAddress }) };
    // Not verified: the service does not know the backends' certificates.
    this.socket = isTls ? connectTls({ ...to, rejectUnauthorized: false }) : connect(to);
    this.#onIdle = onIdle;
    this.socket.setTimeout(connectTimeoutMs, () => this.#fail("ETIMEDOUT"));
    this.socket.once(isTls ? "secureConnect" : "connect", () => this.#accept());
    this.socket.on("data", (data) => this.#read(data));
    this.socket.once("end", () => this.#readEnd());
    this.socket.on("error", (error: NodeJS.ErrnoException) => this.#fail(error.code ?? error.message));
    this.socket.once("close", () => this.#fail("ECONNRESET"));
  }

  /** Sends a request's head; the body, if there is one, is the caller's to write to the socket. */
  ask(method: string, head: string, events: WireEvents): void {
    this.#events = events;
    this.#parser = new ResponseParser(method, {
      head: events.head,
      body: (data) => {
        if (!events.body(data)) this.socket.pause();
      },
      end: (isReusable) => this.#over(isReusable),
    });
    if (this.isConnected) {
      this.socket.setTimeout(READ_TIMEOUT_MS);
      events.connected();
    }
    this.socket.write(head, "latin1");
  }

  resume(): void {
    this.socket.resume();
  }

  destroy(): void {
    this.#events = undefined;
    this.socket.destroy();
  }

  #accept(): void {
    this.isConnected = true;
    this.socket.setTimeout(READ_TIMEOUT_MS);
    this.#events?.connected();
  }

  #read(data: Buffer): void {
    if (this.#events === undefined) return this.destroy(); // nobody asked
    try {
      this.#parser?.push(data);
    } catch {
      this.#fail("EPROTO");
    }
  }

  #readEnd(): void {
    try {
      this.#parser?.ended();
    } catch {
      this.#fail("ECONNRESET");
    }
  }

  #over(isReusable: boolean): void {
    const events = this.#events;
    this.#events = undefined;
    this.#parser = undefined;
    if (isReusable && this.#onIdle !== undefined) {
      this.isReused = true;
      this.socket.resume();
      this.socket.setTimeout(IDLE_MS);
      this.#onIdle(this);
    } else this.socket.destroy();
    events?.end();
  }

  #fail(code: string): void {
    const events = this.#events;
    this.#events = undefined;
    this.socket.destroy();
    events?.failed(code);
  }
}

/** Wires to backends: kept ones where the listener keeps them, else a new one for each request. */
export interface Wires {
  take(address: WireAddress, isKept: boolean): Wire;
  destroy(): void;
}

export function makeWires(connectTimeoutMs: number): Wires {
  const idle = new Map<string, Wire[]>();
  return {
    take: (address, isKept) => {
      if (!isKept) return new Wire(address, connectTimeoutMs);
      const key = `${address.host}:${address.port} ${address.isTls}`;
      const free = idle.get(key) ?? [];
      idle.set(key, free);
      for (let wire = free.pop(); wire !== undefined; wire = free.pop()) if (!wire.socket.destroyed) return wire;
      return new Wire(address, connectTimeoutMs, (wire) => free.push(wire));
    },
    destroy: () => {
      for (const wires of idle.values()) for (const wire of wires) wire.destroy();
    },
  };
}
