import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, TLSSocket } from "node:tls";
import { reset } from "../../reset.ts";
import type { ListenerRecord, TargetRecord } from "../model/account.ts";
import { followCertificate, tlsOptions } from "./certificates.ts";
import { closed, endIdle, enlist, type Front, type FrontDeps, type Live, listen } from "./front.ts";
import { drop, join } from "./join.ts";
import { proxyHeader } from "./proxy-protocol.ts";
import type { ConnectionRecord } from "./traffic-log.ts";

/** TCP, and TCP_SSL: TLS ends here, the backend gets plain TCP. Rejects if the address cannot be listened on. */
export async function openStreamFront(listener: ListenerRecord, vip: string, deps: FrontDeps): Promise<Front> {
  const live = new Set<Live>();
  const clients = new Set<Socket>();
  const stopping = new AbortController();
  const server = serverFor(listener, deps, (client) => void new Forwarding(client, { listener, vip, live, deps }).attempt());
  server.on("connection", (client: Socket) => {
    clients.add(client);
    client.once("close", () => clients.delete(client));
  });
  await listen(server, vip, listener.port);
  void endIdle(listener, live, deps.clock, stopping.signal).catch(() => undefined); // rejects only when stopped
  return {
    cut: (target) => {
      for (const one of live) if (one.target === target) one.end("unbound");
    },
    close: async () => {
      stopping.abort();
      const free = closed(server);
      for (const one of live) one.end("closed");
      for (const client of clients) drop(client, listener);
      await free;
    },
  };
}

function serverFor(listener: ListenerRecord, deps: FrontDeps, serve: (client: Socket) => void): Server {
  if (listener.protocol !== "TCP_SSL") return createServer({ allowHalfOpen: true, noDelay: true }, serve);
  const server = createTlsServer({ ...tlsOptions(listener, deps.certificates), allowHalfOpen: true, noDelay: true }, serve);
  followCertificate(server, listener, deps.certificates);
  return server.on("tlsClientError", (_error, socket) => socket.destroy());
}

type Setting = { readonly listener: ListenerRecord; readonly vip: string; readonly live: Set<Live>; readonly deps: FrontDeps };

/** One client connection on its way to a backend. */
class Forwarding {
  readonly #client: Socket;
  readonly #setting: Setting;
  readonly #record: ConnectionRecord;
  readonly #tried = new Set<TargetRecord>();

  constructor(client: Socket, setting: Setting) {
    this.#client = client;
    this.#setting = setting;
    const { remoteAddress: address = "", remotePort: port = 0 } = client;
    this.#record = setting.deps.traffic.begin(setting.listener, { address, port });
    client.on("error", () => undefined).once("close", () => setting.deps.traffic.end(this.#record));
  }

  /** Chooses and connects. On TCP_SSL the next one is tried when a backend does not accept; on TCP one connection is one backend's. */
  async attempt(): Promise<void> {
    const { listener, deps } = this.#setting;
    const { clientAddress: address } = this.#record;
    const target = deps.choose(listener, { address, tried: this.#tried }, deps.clock.now());
    if (target === undefined) {
      deps.traffic.fail(this.#record, "no-backend", "");
      return reset(this.#client);
    }
    const known = deps.sources.of(address);
    this.#connect(target, known instanceof Promise ? await known : known);
  }

  #connect(target: TargetRecord, localAddress: string | undefined): void {
    const { listener, live, deps } = this.#setting;
    const client = this.#client;
    const { ip: host, port } = target;
    const backend = connect({ host, port, noDelay: true, allowHalfOpen: true, ...(localAddress !== undefined && { localAddress }) });
    enlist({ live, traffic: deps.traffic }, this.#record, target, backend, (why) => {
      if (why === "unbound" || why === "closed") deps.traffic.fail(this.#record, "unbound", "");
      if (why === "closed" || why === "idle" || listener.deregisterTargetRst) reset(client);
      else client.destroy();
      backend.destroy();
    });
    join({
      client,
      backend,
      connectTimeoutMs: deps.connectTimeoutMs,
      onConnected: () => {
        deps.passive.succeeded(target);
        if (listener.proxyProtocol) backend.write(this.#proxyHeader());
      },
      onFailed: (cause, code) => {
        // The port of the bound address is taken: the system may find a free one on another address.
        if (localAddress !== undefined && isTaken(code)) return this.#connect(target, undefined);
        deps.passive.failed(target, deps.clock.now());
        this.#tried.add(target);
        const another = client instanceof TLSSocket && !client.destroyed;
        deps.traffic.fail(this.#record, cause, code, another ? "kept" : undefined);
        if (another) void this.attempt();
        else reset(client);
      },
      onBroken: (cause, code) => deps.traffic.fail(this.#record, cause, code),
    });
  }

  #proxyHeader(): string {
    const { clientAddress: address, clientPort: port } = this.#record;
    return proxyHeader({ address, port }, { address: this.#setting.vip, port: this.#setting.listener.port });
  }
}

const isTaken = (code: string): boolean => code === "EADDRNOTAVAIL" || code === "EADDRINUSE";
