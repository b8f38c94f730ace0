import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import { issueCertificate } from "./certificate.ts";
import { startCollector } from "./collector.ts";
import { discovery } from "./discovery.ts";
import { type Fault, Faults } from "./faults.ts";
import type { KubeObject } from "./objects.ts";
import { ObjectsWriter } from "./objects-writer.ts";
import { apiVersionOf, resourceNamed } from "./resources.ts";
import { type Answer, type Call, isTokenReview, type RestParts, rest, reviewToken, type Target, targetOf, verbOf } from "./rest.ts";
import { ApiError, failure } from "./status.ts";
import { Store } from "./store.ts";
import { Tokens, type User } from "./tokens.ts";
import { Watches } from "./watches.ts";

/** One answered request, e.g. { username: "kubernetes-admin", verb: "patch", resource: "pods/status", namespace: "default", name: "web-1", code: 200 }. */
export type AuditEntry = { username: string; verb: string; resource: string; namespace: string | undefined; name: string; code: number };

export type ApiServerOptions = {
  /** Address to listen on. Default 127.0.0.1. */
  readonly host?: string;
  /** Ports for HTTPS and HTTP; 0, the default, takes free ones. */
  readonly port?: number;
  readonly httpPort?: number;
  /** Between two bookmarks of a watch. Default 60 000, as on the real server. */
  readonly bookmarkMs?: number;
  /** How long a positive token review is remembered. Default 10 000, as on the real server. */
  readonly tokenCacheMs?: number;
  /** Events kept for watches that resume. Default 20 000. */
  readonly historyLimit?: number;
  readonly adminToken?: string;
  readonly nowMs?: () => number;
  readonly onRequest?: (entry: AuditEntry) => void;
};

export type EmbeddedCluster = {
  /** "https://127.0.0.1:45001"; the same API without TLS is at `httpUrl`. */
  readonly url: string;
  readonly httpUrl: string;
  readonly caPem: string;
  readonly adminToken: string;
  /** For kubectl, as YAML, with the admin's token. */
  kubeconfig(): string;
  /** Looking at what is stored, past the API. Objects lack kind and apiVersion and must not be changed. */
  readonly store: Pick<Store, "get" | "list" | "version" | "compact">;
  readonly faults: { inject(fault: Fault): void };
  /** Running watches, e.g. to wait until a client has begun. */
  watchCount(): number;
  stop(): Promise<void>;
};

type Parts = RestParts & { readonly faults: Faults; readonly watches: Watches; readonly onRequest: (entry: AuditEntry) => void };

/** Starts an API server on loopback; nothing of it is left after `stop()`. Rejects when a port is taken. */
export async function startApiServer(options: ApiServerOptions = {}): Promise<EmbeddedCluster> {
  const { host = "127.0.0.1", adminToken = randomUUID(), nowMs = Date.now } = options;
  const store = new Store(options.historyLimit ?? 20_000);
  const writer = new ObjectsWriter(store, nowMs);
  const watches = new Watches(store, options.bookmarkMs ?? 60_000);
  const tokens = new Tokens(store, { adminToken, nowMs, cacheMs: options.tokenCacheMs ?? 10_000 });
  const { caPem, certPem, keyPem } = await issueCertificate(host);
  const answer = (request: IncomingMessage, response: ServerResponse): void => void serve(parts, request, response);
  const listeners = [
    new Listener(createTlsServer({ cert: certPem, key: keyPem }, answer), host, "secureConnection"),
    new Listener(createServer(answer), host, "connection"),
  ] as const;
  const faults = new Faults({
    store,
    watches,
    setReachable: (reachable) => listeners.forEach((listener) => listener.setReachable(reachable)),
    setFrozen: (frozen) => listeners.forEach((listener) => listener.setFrozen(frozen)),
  });
  const parts: Parts = { store, writer, tokens, nowMs, faults, watches, onRequest: options.onRequest ?? (() => undefined) };
  const stopCollector = startCollector(store, writer);
  const stop = async (): Promise<void> => {
    stopCollector();
    faults.stop();
    watches.stop();
    await Promise.all(listeners.map((listener) => listener.stop()));
  };
  for (const name of ["default", "kube-system"]) writer.create(resourceNamed("namespaces"), undefined, { metadata: { name } });
  try {
    await listeners[0].start(options.port ?? 0);
    await listeners[1].start(options.httpPort ?? 0);
  } catch (error) {
    await stop();
    throw error;
  }
  const authority = host.includes(":") ? `[${host}]` : host;
  const url = `https://${authority}:${listeners[0].port}`;
  return {
    url,
    httpUrl: `http://${authority}:${listeners[1].port}`,
    caPem,
    adminToken,
    kubeconfig: () => kubeconfigYaml(url, caPem, adminToken),
    store,
    faults,
    watchCount: () => watches.count,
    stop,
  };
}

/** A server whose connections can be broken, refused or frozen. */
class Listener {
  readonly #server: ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>;
  readonly #host: string;
  readonly #sockets = new Set<Socket>();
  port = 0;

  constructor(
    server: ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>,
    host: string,
    event: "connection" | "secureConnection",
  ) {
    this.#server = server;
    this.#host = host;
    server.keepAliveTimeout = 120_000;
    server.on(event, (socket: Socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  async start(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => this.#server.once("error", reject).listen(port, this.#host, resolve));
    const address = this.#server.address();
    if (address !== null && typeof address === "object") this.port = address.port;
  }

  setReachable(reachable: boolean): void {
    if (reachable) this.#server.listen(this.port, this.#host);
    else this.#break();
  }

  setFrozen(frozen: boolean): void {
    for (const socket of this.#sockets) {
      if (frozen) socket.cork();
      else socket.uncork();
    }
  }

  #break(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = this.#server.listening ? new Promise((resolve) => this.#server.once("close", resolve)) : undefined;
    this.#break();
    await closed;
  }
}

async function serve(parts: Parts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await parts.faults.thawed();
    await answerRequest(parts, request, response);
  } catch (error) {
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const known = error instanceof ApiError ? error : new ApiError(500, "InternalError", `Internal error occurred: ${String(error)}`);
    json(response, known.code, JSON.stringify(known.status));
  }
}

const text = (response: ServerResponse, code: number, body: string, headers: Record<string, string> = {}): void =>
  void response.writeHead(code, { "content-type": "text/plain; charset=utf-8", ...headers }).end(body);
const json = (response: ServerResponse, code: number, body: string): void =>
  void response.writeHead(code, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);

async function answerRequest(parts: Parts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://embedded");
  const path = url.pathname.replace(/(?<=.)\/$/, "");
  const user = userOf(parts.tokens, request);
  if (/^\/(readyz|healthz|livez)(\/|$)/.test(path)) return text(response, 200, "ok");
  const body = await bodyText(request);
  const method = request.method ?? "GET";
  if (path === "/_faults") {
    authorize(user, "create", undefined);
    parts.faults.inject(JSON.parse(body) as Fault); // validated there
    return json(response, 200, "{}");
  }
  const document = discovery(path);
  if (document !== undefined) {
    if (method !== "GET") throw failure.methodNotAllowed();
    if (path !== "/version") authorize(user, "get", undefined);
    return json(response, 200, JSON.stringify(document));
  }
  const call: Call = {
    method,
    query: url.searchParams,
    contentType: (request.headers["content-type"] ?? "").split(";")[0] ?? "",
    text: body,
  };
  const target = isTokenReview(path) ? undefined : targetOf(path);
  if (target === undefined && !isTokenReview(path)) {
    authorize(user, "get", undefined);
    return text(response, 404, "404 page not found\n");
  }
  const verb = target ? verbOf(target, call) : "create";
  authorize(user, verb, target);
  const entry = { username: user.username, verb, ...auditName(target) };
  try {
    const code = await carryOut(parts, target, verb, call, response);
    parts.onRequest({ ...entry, code });
  } catch (error) {
    parts.onRequest({ ...entry, code: error instanceof ApiError ? error.code : 500 });
    throw error;
  }
}

async function carryOut(parts: Parts, target: Target | undefined, verb: string, call: Call, response: ServerResponse): Promise<number> {
  const fault = parts.faults.failureOf(target, verb);
  if (fault?.code === 429) {
    text(response, 429, "Too many requests, please try again later.\n", { "retry-after": String(fault.retryAfterSeconds) });
    return 429;
  }
  if (fault) throw new ApiError(fault.code, "InternalError", "Internal error occurred: a fault was injected");
  const empties = target && verb === "list" && parts.faults.emptiesList(target.resource.plural);
  const answer: Answer = target ? await rest(parts, target, verb, call) : await reviewToken(parts.tokens, call.method, call.text);
  if ("watch" in answer) {
    parts.watches.serve(answer.watch, response);
    return 200;
  }
  json(response, answer.code, empties ? emptyList(target, parts.store.version) : answer.json);
  return answer.code;
}

const emptyList = ({ resource }: Target, version: number): string =>
  JSON.stringify({
    kind: `${resource.kind}List`,
    apiVersion: apiVersionOf(resource),
    metadata: { resourceVersion: String(version) },
    items: [],
  });

const auditName = (target: Target | undefined): Pick<AuditEntry, "resource" | "namespace" | "name"> => ({
  resource: target ? [target.resource.plural, target.subresource].filter(Boolean).join("/") : "tokenreviews",
  namespace: target?.namespace,
  name: target?.name ?? "",
});

/** The largest body that the real server takes. Source: MaxRequestBodyBytes of apiserver. */
const MAX_BODY = 3 * 1024 * 1024;

async function bodyText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) throw new ApiError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${MAX_BODY}`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function userOf(tokens: Tokens, request: IncomingMessage): User {
  const [, token] = /^Bearer\s+(.+)$/i.exec(request.headers.authorization ?? "") ?? [];
  if (token === undefined && request.headers.authorization !== undefined) throw failure.unauthorized();
  const review =
    token === undefined ? { user: { username: "system:anonymous", groups: ["system:unauthenticated"] } } : tokens.review(token);
  if ("error" in review) throw failure.unauthorized();
  const wanted = request.headers["impersonate-user"];
  if (typeof wanted !== "string") return review.user;
  if (review.user.groups.includes("system:masters")) return { username: wanted, groups: ["system:authenticated"] };
  const users = { group: "", plural: "users", kind: "User" };
  throw failure.forbidden(
    users,
    wanted,
    `User "${review.user.username}" cannot impersonate resource "users" in API group "" at the cluster scope`,
  );
}

/** The seam for RBAC: today everybody who is known may do everything. Throws 403. */
function authorize(user: User, verb: string, target: Target | undefined): void {
  if (user.username !== "system:anonymous") return;
  const { resource = { group: "", plural: "path", kind: "path" }, namespace, name = "" } = target ?? {};
  const where = namespace === undefined ? "at the cluster scope" : `in the namespace "${namespace}"`;
  throw failure.forbidden(
    resource,
    name,
    `User "${user.username}" cannot ${verb} resource "${resource.plural}" in API group "${resource.group}" ${where}`,
  );
}

const kubeconfigYaml = (url: string, caPem: string, token: string): string => `apiVersion: v1
kind: Config
clusters: [{ name: embedded, cluster: { server: "${url}", certificate-authority-data: ${Buffer.from(caPem).toString("base64")} } }]
users: [{ name: admin, user: { token: "${token}" } }]
contexts: [{ name: embedded, context: { cluster: embedded, user: admin, namespace: default } }]
current-context: embedded
`;

export type { Fault, KubeObject };
