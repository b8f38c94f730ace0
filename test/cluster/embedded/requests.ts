import type { IncomingMessage, ServerResponse } from "node:http";
import { text as textOf } from "node:stream/consumers";
import type { Webhooks } from "./admission.ts";
import type { Fault, Faults } from "./faults.ts";
import { listOf } from "./lists.ts";
import { isRaw, rawIn } from "./objects.ts";
import { discovery } from "./resources.ts";
import { type RestParts, rest, type Target, targetOf, verbOf } from "./rest.ts";
import { ApiError, failure } from "./status.ts";
import type { Tokens, User } from "./tokens.ts";
import type { Watches } from "./watches.ts";

/** One answered request about a resource, e.g. { username: "kubernetes-admin", verb: "patch", resource: "pods/status", namespace: "default", name: "web-1", code: 200 }. */
export type AuditEntry = { username: string; verb: string; resource: string; namespace: string | undefined; name: string; code: number };
export type Parts = RestParts & {
  readonly faults: Faults;
  readonly watches: Watches;
  readonly webhooks: Webhooks;
  readonly onRequest: (entry: AuditEntry) => void;
};

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
  const body = await parsed(await textOf(request), contentType);
  const document = discovery(path);
  const target = document ? undefined : targetOf(path);
  if (path !== "/version") authorize(user, method.toLowerCase(), target);
  if (document && method !== "GET") throw failure.methodNotAllowed();
  if (document) return json(response, 200, JSON.stringify(document));
  if (path === "/_faults") {
    parts.faults.inject(body as Fault); // unknown kinds are refused there
    return json(response, 200, "{}");
  }
  if (target === undefined) return text(response, 404, "404 page not found\n");
  const verb = verbOf(target, method, query);
  const { resource, subresource, namespace, name } = target;
  const { plural } = resource;
  const entry = { username: user.username, verb, resource: subresource ? `${plural}/${subresource}` : plural, namespace, name };
  if (verb === "watch") parts.onRequest({ ...entry, code: 200 });
  else response.once("finish", () => parts.onRequest({ ...entry, code: response.statusCode }));
  const fault = parts.faults.failureOf(plural, verb);
  const retryAfter = { "retry-after": String(fault?.retryAfterSeconds ?? 1) };
  if (fault?.code === 429) return text(response, 429, "Too many requests, please try again later.\n", retryAfter);
  if (fault) throw new ApiError(fault.code, "InternalError", "Internal error occurred: a fault was injected");
  const emptied = verb === "list" && parts.faults.emptiesList(plural);
  if (emptied) return json(response, 200, listOf(resource, [], { resourceVersion: String(parts.store.version) }));
  const sent = await admitted(parts, target, verb, { body, dryRun: query.get("dryRun") === "All", username: user.username });
  const result = rest(parts, target, verb, { method, query, contentType, body: sent });
  if ("watch" in result) parts.watches.serve(result.watch, response);
  else json(response, result.code, result.json);
}

type Sent = { readonly body: unknown; readonly dryRun: boolean; readonly username: string };

/** The body after every webhook that is asked about it: only Pods that are created pass through any. */
async function admitted({ webhooks }: Parts, target: Target, verb: string, { body, ...by }: Sent): Promise<unknown> {
  const { resource, namespace, name, subresource } = target;
  if (verb !== "create" || resource.plural !== "pods" || name !== "" || subresource !== undefined) return body;
  if (!isRaw(body) || namespace === undefined) return body;
  const pod = { ...body, metadata: { namespace, ...rawIn(body, "metadata") } };
  return await webhooks.admitted({ namespace, pod, ...by });
}

/** The parsed body; undefined where there is none or it is of a type that nobody here reads (415 comes later, where it matters). */
async function parsed(body: string, contentType: string): Promise<unknown> {
  if (body === "" || !/^(application\/.*(json|yaml)|)$/.test(contentType)) return undefined;
  try {
    if (!contentType.endsWith("yaml")) return JSON.parse(body);
    const { loadYaml } = await import("@kubernetes/client-node"); // half a second to load, and YAML bodies are rare
    return loadYaml(body);
  } catch (error) {
    throw failure.badRequest(`error decoding the body: ${String(error)}`);
  }
}

const ANONYMOUS: User = { username: "system:anonymous", groups: ["system:unauthenticated"] };

/** Throws 401 for tokens that nobody knows, 403 for an impersonation by anybody but the admin. */
function userOf(tokens: Tokens, { headers: { authorization, "impersonate-user": wanted } }: IncomingMessage): User {
  const [, token = ""] = /^Bearer\s+(.+)$/i.exec(authorization ?? "") ?? [];
  const review = authorization === undefined ? { user: ANONYMOUS } : tokens.review(token);
  if ("error" in review) throw failure.unauthorized();
  if (typeof wanted !== "string") return review.user;
  if (review.user.groups.includes("system:masters")) return { username: wanted, groups: ["system:authenticated"] };
  const why = `User "${review.user.username}" cannot impersonate resource "users" in API group "" at the cluster scope`;
  throw failure.forbidden({ group: "", plural: "users", kind: "User" }, wanted, why);
}

/** The seam for RBAC: today everybody who is known may do everything. Throws 403. */
function authorize({ username }: User, verb: string, target: Target | undefined): void {
  const resource = target?.resource ?? { group: "", plural: "path", kind: "path" };
  const why = `User "${username}" cannot ${verb} resource "${resource.plural}" in API group "${resource.group}"`;
  if (username === ANONYMOUS.username) throw failure.forbidden(resource, target?.name ?? "", why);
}
