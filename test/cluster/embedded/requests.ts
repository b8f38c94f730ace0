import type { IncomingMessage, ServerResponse } from "node:http";
import { discovery } from "./discovery.ts";
import type { Fault, Faults } from "./faults.ts";
import { isRaw } from "./objects.ts";
import { apiVersionOf } from "./resources.ts";
import { type RestParts, rest, type Target, targetOf, verbOf } from "./rest.ts";
import { ApiError, failure } from "./status.ts";
import { type Tokens, tokenReview, type User } from "./tokens.ts";
import type { Watches } from "./watches.ts";

/** One answered request about a resource, e.g. { username: "kubernetes-admin", verb: "patch", resource: "pods/status", namespace: "default", name: "web-1", code: 200 }. */
export type AuditEntry = { username: string; verb: string; resource: string; namespace: string | undefined; name: string; code: number };
export type Parts = RestParts & { readonly faults: Faults; readonly watches: Watches; readonly onRequest: (entry: AuditEntry) => void };

/** Answers one HTTP request; never rejects. */
export async function serve(parts: Parts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await parts.faults.thawed();
    await answer(parts, request, response);
  } catch (error) {
    const known = error instanceof ApiError ? error : new ApiError(500, "InternalError", `Internal error occurred: ${String(error)}`);
    if (response.headersSent || response.destroyed) response.destroy();
    else json(response, known.code, JSON.stringify(known.status));
  }
}

const text = (response: ServerResponse, code: number, body: string, headers: Record<string, string> = {}): void =>
  void response.writeHead(code, { "content-type": "text/plain; charset=utf-8", ...headers }).end(body);
const json = (response: ServerResponse, code: number, body: string): void =>
  void response.writeHead(code, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);

async function answer(parts: Parts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams: query } = new URL(request.url ?? "/", "http://embedded");
  const path = pathname.replace(/(?<=.)\/$/, "");
  const method = request.method ?? "GET";
  const user = userOf(parts.tokens, request);
  if (/^\/(readyz|healthz|livez)$/.test(path)) return text(response, 200, "ok");
  const contentType = (request.headers["content-type"] ?? "").split(";")[0] ?? "";
  const body = await bodyOf(request, contentType);
  const reviews = path === "/apis/authentication.k8s.io/v1/tokenreviews";
  const document = discovery(path);
  const target = document || reviews ? undefined : targetOf(path);
  if (path !== "/version") authorize(user, method.toLowerCase(), target);
  if ((document && method !== "GET") || (reviews && method !== "POST")) throw failure.methodNotAllowed();
  if (document) return json(response, 200, JSON.stringify(document));
  if (path === "/_faults") {
    parts.faults.inject(body as Fault); // unknown kinds are refused there
    return json(response, 200, "{}");
  }
  if (reviews) return json(response, 201, JSON.stringify(tokenReview(parts.tokens, isRaw(body) ? body : {})));
  if (target === undefined) return text(response, 404, "404 page not found\n");
  const verb = verbOf(target, method, query);
  const { plural } = target.resource;
  const resource = target.subresource ? `${plural}/${target.subresource}` : plural;
  const entry = { username: user.username, verb, resource, namespace: target.namespace, name: target.name };
  if (verb === "watch") parts.onRequest({ ...entry, code: 200 });
  else response.once("finish", () => parts.onRequest({ ...entry, code: response.statusCode }));
  const fault = parts.faults.failureOf(plural, verb);
  const retryAfter = { "retry-after": String(fault?.retryAfterSeconds ?? 1) };
  if (fault?.code === 429) return text(response, 429, "Too many requests, please try again later.\n", retryAfter);
  if (fault) throw new ApiError(fault.code, "InternalError", "Internal error occurred: a fault was injected");
  if (verb === "list" && parts.faults.emptiesList(plural)) return json(response, 200, emptyList(target, parts.store.version));
  const result = rest(parts, target, verb, { method, query, contentType, body });
  if ("watch" in result) parts.watches.serve(result.watch, response);
  else json(response, result.code, result.json);
}

const emptyList = ({ resource }: Target, version: number): string =>
  JSON.stringify({
    kind: `${resource.kind}List`,
    apiVersion: apiVersionOf(resource),
    metadata: { resourceVersion: String(version) },
    items: [],
  });

/** The largest body that the real server takes. Source: MaxRequestBodyBytes of apiserver. */
const MAX_BODY = 3 * 1024 * 1024;

/** The parsed body; undefined where there is none or it is of a type that nobody here reads (415 comes later, where it matters). */
async function bodyOf(request: IncomingMessage, contentType: string): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_BODY) throw new ApiError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${MAX_BODY}`);
  }
  if (size === 0 || !/^(application\/.*(json|yaml)|)$/.test(contentType)) return undefined;
  const sent = Buffer.concat(chunks).toString();
  try {
    return JSON.parse(sent);
  } catch (error) {
    if (!contentType.endsWith("yaml")) throw failure.badRequest(`error decoding the body: ${String(error)}`);
  }
  const { loadYaml } = await import("@kubernetes/client-node"); // half a second to load, and YAML bodies are rare
  try {
    return loadYaml(sent);
  } catch (error) {
    throw failure.badRequest(`error decoding the body: ${String(error)}`);
  }
}

function userOf(tokens: Tokens, { headers }: IncomingMessage): User {
  const [, token] = /^Bearer\s+(.+)$/i.exec(headers.authorization ?? "") ?? [];
  if (token === undefined && headers.authorization !== undefined) throw failure.unauthorized();
  const review =
    token === undefined ? { user: { username: "system:anonymous", groups: ["system:unauthenticated"] } } : tokens.review(token);
  if ("error" in review) throw failure.unauthorized();
  const wanted = headers["impersonate-user"];
  if (typeof wanted !== "string") return review.user;
  if (review.user.groups.includes("system:masters")) return { username: wanted, groups: ["system:authenticated"] };
  const why = `User "${review.user.username}" cannot impersonate resource "users" in API group "" at the cluster scope`;
  throw failure.forbidden({ group: "", plural: "users", kind: "User" }, wanted, why);
}

/** The seam for RBAC: today everybody who is known may do everything. Throws 403. */
function authorize({ username }: User, verb: string, target: Target | undefined): void {
  if (username !== "system:anonymous") return;
  const { resource = { group: "", plural: "path", kind: "path" }, namespace, name = "" } = target ?? {};
  const where = namespace === undefined ? "at the cluster scope" : `in the namespace "${namespace}"`;
  const what = `resource "${resource.plural}" in API group "${resource.group}"`;
  throw failure.forbidden(resource, name, `User "${username}" cannot ${verb} ${what} ${where}`);
}
