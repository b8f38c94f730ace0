import { parsedJson } from "./annotations.ts";
import type { Line } from "./ingress-paths.ts";

/** Where a line is to be served, e.g. an item of annotation http-rules. Source: tke-contract.md §2.5. */
export type ListedRule = {
  readonly host: string;
  readonly path: string;
  /** Undefined: it only redirects. */
  readonly backend: { readonly service: string; readonly port: string; readonly host?: string } | undefined;
  readonly rewrite: { readonly port: number; readonly host: string; readonly path: string } | undefined;
};

/** What is wrong with a list of rules; undefined: nothing. */
export function ruleListFault(value: string): string | undefined {
  const list = parsedJson(value);
  if (list === null) return undefined; // TKE's consoles write null
  if (!Array.isArray(list))
    return 'use a JSON array, e.g. [{"host":"shop.example.com","path":"/","backend":{"serviceName":"shop","servicePort":"80"}}]';
  for (const [index, item] of list.entries()) {
    const fault = itemFault(item);
    if (fault !== undefined) return `item ${index}: ${fault}`;
  }
  return undefined;
}

function itemFault(item: unknown): string | undefined {
  if (typeof item !== "object" || item === null) return "use an object";
  const { host, path, backend, rewrite } = withoutNulls(item);
  if (host !== undefined && typeof host !== "string") return "host must be a text";
  if (path !== undefined && (typeof path !== "string" || !/^(\/|$)/.test(path))) return "path must begin with /";
  if (backend === undefined && rewrite === undefined) return "it has neither backend nor rewrite";
  if (backend !== undefined) {
    if (typeof Object(backend).serviceName !== "string") return "backend.serviceName must be the name of a Service";
    if (!/^[\w-]+$/.test(String(Object(backend).servicePort ?? ""))) return "backend.servicePort must be a port or its name";
  }
  if (rewrite === undefined) return undefined;
  const { port, host: to, path: toPath }: Item = withoutNulls(rewrite);
  if (!Number.isInteger(Number(port)) || Number(port) < 1 || Number(port) > 65_535) return "rewrite.port must be a port of a listener";
  if (to !== undefined && typeof to !== "string") return "rewrite.host must be a text";
  return toPath === undefined || (typeof toPath === "string" && toPath.startsWith("/")) ? undefined : "rewrite.path must begin with /";
}

/** What an item or a part of it may have. */
type Item = Readonly<Partial<Record<"host" | "path" | "backend" | "rewrite" | "port", unknown>>>;

/** Go's encoders write null for what is not there. */
const withoutNulls = (item: unknown): Item => Object.fromEntries(Object.entries(Object(item)).filter(([, value]) => value !== null));

/** Pure: the items of a list that has been judged before; none where it is absent. */
export function listedRules(value: string | undefined): readonly ListedRule[] {
  const list: unknown = parsedJson(value ?? "null");
  return (Array.isArray(list) ? list : []).map((item): ListedRule => {
    const { host = "", path = "", backend, rewrite } = withoutNulls(item);
    // An official sample has the host inside of `backend`.
    const { serviceName, servicePort, host: misplaced } = Object(backend);
    const to = withoutNulls(rewrite);
    return {
      host: String(host),
      path: path === "" ? "/" : String(path),
      backend:
        backend === undefined
          ? undefined
          : { service: String(serviceName), port: String(servicePort), ...(misplaced && { host: String(misplaced) }) },
      rewrite:
        rewrite === undefined
          ? undefined
          : { port: Number(to.port), host: String(to.host ?? host), path: String(to.path ?? (path === "" ? "/" : path)) },
    };
  });
}

/** The item is about this line: host, path, Service and port are the same. */
export const isListed = (line: Line, { host, path, backend }: ListedRule): boolean =>
  backend !== undefined &&
  line.host === host &&
  (line.path === "" ? "/" : line.path) === path &&
  line.backend.service === backend.service &&
  String(line.backend.port) === backend.port;

/**
 * Items with backends that are about no line of `spec.rules`: `at` e.g. "item 0 (host shop.example.com path /, Service shop port 80)". One for
 * HTTPS that has its host inside of `backend` does what it says: what no list has is served there.
 */
export const unmatchedItems = (
  list: readonly ListedRule[],
  lines: readonly Line[],
  protocol: "HTTP" | "HTTPS",
): { readonly at: string }[] =>
  list.flatMap((item, index) => {
    const { host, path, backend } = item;
    if (backend === undefined || lines.some((line) => isListed(line, item))) return [];
    const { host: inside, service, port } = backend;
    if (protocol === "HTTPS" && inside !== undefined && lines.some((line) => isListed(line, { ...item, host: inside }))) return [];
    const where = host === "" ? `path ${path}` : `host ${host} path ${path}`;
    return [{ at: `item ${index} (${where}, Service ${service} port ${port})` }];
  });
