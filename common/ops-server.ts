import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Registry } from "prom-client";
import { boundRequests } from "./connection-room.ts";
import { type Address, listen } from "./listener.ts";
import type { Logger } from "./log.ts";

/** E.g. { status: 200, contentType: "application/json", body: "{}" } */
type OpsAnswer = { readonly status: number; readonly contentType: string; readonly body: string };
/** Answers a GET; a throw becomes a 500 and one log line. */
export type OpsRoute = (url: URL) => Promise<OpsAnswer>;

export type OpsServerDeps = Address & {
  readonly registry: Registry;
  /** Why this process cannot do its work now, e.g. "Pods not listed yet"; undefined: it can. */
  readonly notReady: () => string | undefined;
  /** Further paths, e.g. { "/explain": … }. */
  readonly routes?: Readonly<Record<string, OpsRoute>>;
  readonly log: Logger;
};

/** `start` resolves with the port and rejects where it is taken; `stop` cuts what is open. */
export interface OpsServer {
  start(): Promise<number>;
  stop(): Promise<void>;
}

/** Of Prometheus, of probes and of people. Each holds its headers, 16 KiB, and an answer that nobody reads. Own choice. */
const MOST_CONNECTIONS = 64;

/** Plain HTTP for people, probes and Prometheus: /metrics, /healthz (the process answers), /readyz, and the routes handed in. */
export function makeOpsServer(deps: OpsServerDeps): OpsServer {
  const routes = new Map<string, OpsRoute>([
    ["/metrics", async () => ({ status: 200, contentType: deps.registry.contentType, body: await deps.registry.metrics() })],
    ["/healthz", () => Promise.resolve(text(200, "ok"))],
    ["/readyz", () => Promise.resolve(readiness(deps.notReady()))],
    ...Object.entries(deps.routes ?? {}),
  ]);
  const answer = async (request: IncomingMessage): Promise<OpsAnswer> => {
    const target = `http://ops${request.url ?? "/"}`; // the host does not matter: only path and query are used
    if (!URL.canParse(target)) return text(400, `not a path: ${request.url}`);
    const url = new URL(target);
    const route = routes.get(url.pathname);
    if (route === undefined) return text(404, `no such path; there are ${[...routes.keys()].join(", ")}`);
    if (request.method !== "GET" && request.method !== "HEAD") return text(405, `${request.method} not supported; use GET`);
    try {
      return await route(url);
    } catch (err) {
      deps.log.error({ err, path: url.pathname }, "ops request failed");
      return text(500, err instanceof Error ? err.message : String(err));
    }
  };
  const server = createServer((request, response) => {
    if (!request.socket.destroyed) void answer(request).then((it) => send(response, it));
  });
  boundRequests(server, MOST_CONNECTIONS);

  return {
    start: () => listen(server, deps),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve()); // also called where it never listened
        server.closeAllConnections();
      }),
  };
}

function send(response: ServerResponse, { status, contentType, body }: OpsAnswer): void {
  response.writeHead(status, { "Content-Type": contentType, "Content-Length": Buffer.byteLength(body), "Cache-Control": "no-store" });
  response.end(body); // Node leaves the body out for HEAD
}

const readiness = (reason: string | undefined): OpsAnswer => (reason === undefined ? text(200, "ok") : text(503, `not ready: ${reason}`));

const text = (status: number, body: string): OpsAnswer => ({ status, contentType: "text/plain; charset=utf-8", body: `${body}\n` });
