import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { ListenerRecord } from "../model/account.ts";
import { makeWires, type Wires } from "./backend-wire.ts";
import { followCertificate, tlsOptions } from "./certificates.ts";
import { closed, type Front, type FrontDeps, type Live, listen } from "./front.ts";
import { Exchange } from "./http-exchange.ts";
import { answerPlainly, clientOf, route } from "./http-requests.ts";
import { drop } from "./join.ts";
import { upgrade } from "./upgrade.ts";

/** How long a client's idle connection is kept; real ms. Source: clb-api.md §4.4. */
const KEEP_ALIVE_MS = 75_000;

/** HTTP and HTTPS. Each request chooses its rule and its backend. Rejects if the address cannot be listened on. */
export async function openHttpFront(listener: ListenerRecord, vip: string, deps: FrontDeps): Promise<Front> {
  const live = new Set<Live>();
  const clients = new Set<Socket>();
  const wires = makeWires(deps.connectTimeoutMs);
  const server = serverFor(listener, deps);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.on("connection", (client: Socket) => {
    clients.add(client);
    client.once("close", () => clients.delete(client));
  });
  server.on("request", (request, response) => serve(request, response, { listener, live, deps, wires }));
  server.on("upgrade", (request, client, head) => void upgrade(request, client as Socket, head, { listener, live, deps }));
  await listen(server, vip, listener.port);
  return {
    cut: (target) => {
      for (const one of live) if (one.target === target) one.end("unbound");
    },
    close: async () => {
      for (const one of live) one.end("closed");
      for (const client of clients) drop(client, listener);
      const free = closed(server); // not before: it ends idle connections in a friendlier way
      wires.destroy();
      await free;
    },
  };
}

function serverFor(listener: ListenerRecord, deps: FrontDeps): Server {
  if (listener.protocol === "HTTP") return createServer({ noDelay: true });
  const server = createTlsServer({ ...tlsOptions(listener, deps.certificates), noDelay: true });
  followCertificate(server, listener, deps.certificates);
  return server;
}

type Setting = { readonly listener: ListenerRecord; readonly live: Set<Live>; readonly deps: FrontDeps };

function serve(request: IncomingMessage, response: ServerResponse, setting: Setting & { readonly wires: Wires }): void {
  const { listener, deps } = setting;
  const found = route(request, listener);
  if (found.kind === "rule") {
    void new Exchange(request, response, { ...setting, rule: found.rule }).attempt();
    return;
  }
  deps.traffic.end(deps.traffic.begin(listener, clientOf(request)));
  if (found.kind === "none") return answerPlainly(response, 404);
  response.setHeader("Location", found.path);
  answerPlainly(response, found.code);
}
