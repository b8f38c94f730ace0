import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { boundRequests } from "../../common/connection-room.ts";
import type { Logger } from "../../common/log.ts";
import { EXPLAIN_TOKEN_HEADER } from "../../common/names.ts";
import { type CheckAccess, namespaceOf } from "./access.ts";
import type { RouteAnswer } from "./routes.ts";

/** PEM. */
type Serving = { readonly certPem: string; readonly keyPem: string };

export type ExplainServerDeps = {
  /** E.g. "0.0.0.0"; port 0 takes a free one. */
  readonly host: string;
  readonly port: number;
  /** The serving certificate; it is swapped without a restart. */
  readonly serving: { readonly current: Serving; subscribe(listener: (serving: Serving) => void): () => void };
  readonly mayRead: CheckAccess;
  /** By path, e.g. { "/explain": … }. */
  readonly routes: Readonly<Record<string, (url: URL) => Promise<RouteAnswer>>>;
  readonly log: Logger;
};

/** `start` resolves with the port and rejects where it is taken; `stop` cuts what is open. */
export interface ExplainServer {
  start(): Promise<number>;
  stop(): Promise<void>;
}

/** People ask one by one; each costs two requests to the API server. Own choice. */
const MOST_CONNECTIONS = 64;
const MOST_UNDER_WAY = 32;
/** Who does not ask within that time is none. Real milliseconds. */
const SILENT_MS = 10_000;

/** What is known of Pods and load balancers, over TLS, for who may read it: names, addresses and the write log are nobody else's business. */
export function makeExplainServer({ host, port, serving, mayRead, routes, log }: ExplainServerDeps): ExplainServer {
  let underWay = 0;
  const answer = async (request: IncomingMessage): Promise<RouteAnswer> => {
    const target = `https://explain${request.url ?? "/"}`; // the host does not matter: only path and query are used
    if (!URL.canParse(target)) return text(400, "not a path");
    const url = new URL(target);
    if (request.method !== "GET" && request.method !== "HEAD") return text(405, "use GET");
    if (underWay >= MOST_UNDER_WAY) return text(429, "too many ask at once: ask again in a second");
    const token = request.headers[EXPLAIN_TOKEN_HEADER];
    underWay += 1;
    try {
      const refused = await mayRead(typeof token === "string" ? token.trim() : "", namespaceOf(url));
      if (refused !== undefined) return text(refused.status, refused.text);
      const route = Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined;
      return route === undefined ? text(404, `no such path; there are ${Object.keys(routes).join(", ")}`) : await route(url);
    } catch (err) {
      log.error({ err, path: url.pathname }, "explanation failed");
      return text(500, "failed: see the coordinator's log");
    } finally {
      underWay -= 1;
    }
  };
  const limits = { headersTimeout: SILENT_MS, requestTimeout: SILENT_MS, handshakeTimeout: SILENT_MS };
  const { certPem, keyPem } = serving.current;
  const server = createServer({ cert: certPem, key: keyPem, ...limits }, (request, response) => {
    if (!request.socket.destroyed) void answer(request).then((it) => send(response, it));
  });
  boundRequests(server, MOST_CONNECTIONS);
  const unsubscribe = serving.subscribe((changed) => server.setSecureContext({ cert: changed.certPem, key: changed.keyPem }));
  return {
    start: () =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, host, () => {
          server.off("error", reject);
          const bound = server.address();
          resolve(typeof bound === "object" && bound !== null ? bound.port : port);
        });
      }),
    stop: () =>
      new Promise((resolve) => {
        unsubscribe();
        server.close(() => resolve()); // also called where it never listened
        server.closeAllConnections();
      }),
  };
}

function send(response: ServerResponse, { status, contentType, body }: RouteAnswer): void {
  response.writeHead(status, { "Content-Type": contentType, "Content-Length": Buffer.byteLength(body), "Cache-Control": "no-store" });
  response.end(body); // Node leaves the body out for HEAD
}

const text = (status: number, body: string): RouteAnswer => ({ status, contentType: "text/plain; charset=utf-8", body: `${body}\n` });
