import type { Server } from "node:http";
import type { Server as TlsServer } from "node:https";
import type { Socket } from "node:net";

/** Connections that the kernel keeps until they are taken: as many as for a real API server (Go takes net.core.somaxconn), not Node's 511. */
const BACKLOG = 4_096;

/** A server whose connections can be broken, refused or frozen. */
export class Listener {
  readonly #server: Server | TlsServer;
  readonly #host: string;
  readonly #sockets = new Set<Socket>();
  port = 0;

  constructor(server: Server | TlsServer, host: string, connected: "connection" | "secureConnection") {
    this.#server = server;
    this.#host = host;
    server.keepAliveTimeout = 120_000; // longer than the real server's 90 s: who closes first is the client
    server.on(connected, (socket: Socket) => {
      this.#sockets.add(socket.setNoDelay(true));
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  /** Rejects when the port is taken; a `port` of 0 takes a free one. */
  async start(port = this.port): Promise<void> {
    const where = { port, host: this.#host, backlog: BACKLOG };
    await new Promise<void>((resolve, reject) => this.#server.once("error", reject).listen(where, resolve));
    const address = this.#server.address();
    if (address !== null && typeof address === "object") this.port = address.port;
  }

  setFrozen(frozen: boolean): void {
    for (const socket of this.#sockets) {
      if (frozen) socket.cork();
      else socket.uncork();
    }
  }

  /** Breaks all connections and refuses new ones until the next start. */
  async stop(): Promise<void> {
    const closed = this.#server.listening ? new Promise((resolve) => this.#server.once("close", resolve)) : undefined;
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#server.closeAllConnections(); // those that are still shaking hands
    await closed;
  }
}
