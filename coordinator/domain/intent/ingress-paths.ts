import type { IngressBackend, IngressRecord } from "./ingress-record.ts";
import type { RedirectWish } from "./intent-port.ts";

/** One line of an Ingress: a host and a path in the cloud's own form, and what it leads to. `at` e.g. "host shop.example.com path /cart". */
export type Line = {
  readonly at: string;
  readonly host: string;
  /** As it was written. */
  readonly path: string;
  readonly url: string;
  readonly backend: IngressBackend;
  readonly isDefault?: true;
  /** Its clients are sent there; then its backend says nothing. */
  readonly redirect?: RedirectWish;
};
/** Something of an Ingress that cannot be served, with TKE's code where it has one; the rest of it is. */
export type Refused = { readonly code?: string; readonly message: string };

/** Longest domain and path of a rule; clb-api.md §2.2. */
const MOST = { domain: 80, url: 200 } as const;
/** As Kubernetes writes hosts: one label may be "*", the first one. Source: API of networking.k8s.io/v1. */
const HOST = /^(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

/**
 * Pure: the lines of an Ingress, and what of it cannot be expressed. A prefix is the cloud's longest-prefix form, word for word as TKE passes
 * it on; an exact path is its form "=/path". The default backend gets what no rule has: other hosts, and other paths of hosts that are named.
 */
export function linesOf({ rules, defaultBackend }: Pick<IngressRecord, "rules" | "defaultBackend">): {
  readonly lines: readonly Line[];
  readonly refused: readonly Refused[];
} {
  const lines: Line[] = [];
  const refused: Refused[] = [];
  for (const [index, { host, paths }] of rules.entries()) {
    if (paths === undefined || paths.length === 0) {
      if (defaultBackend === undefined || host === "")
        refused.push({ code: "E4013", message: `spec.rules[${index}] (${nameOfHost(host)}) has no http.paths: add one` });
      continue;
    }
    const badHost = hostFault(host);
    if (badHost !== undefined) {
      refused.push({ code: "E4052", message: `spec.rules[${index}].host is "${host}": ${badHost}` });
      continue;
    }
    for (const { path, pathType, backend } of paths) {
      const at = `${nameOfHost(host)} path ${path === "" ? "/" : path}`;
      const url = urlOf(path, pathType);
      if (typeof url === "string") lines.push({ at, host, path, url, backend });
      else refused.push({ code: "E4031", message: `${at}: ${url.fault}` });
    }
  }
  if (defaultBackend === undefined) return { lines, refused };
  const open = rules.map(({ host }) => host).filter((host) => hostFault(host) === undefined);
  const others = new Set(["", ...open]);
  for (const line of lines) if (line.url === "/") others.delete(line.host);
  const rest = [...others].map((host): Line => {
    const about = { at: `spec.defaultBackend at ${nameOfHost(host)}`, host, path: "/", url: "/", backend: defaultBackend };
    return host === "" ? { ...about, isDefault: true } : about;
  });
  return { lines: [...lines, ...rest], refused };
}

const nameOfHost = (host: string): string => (host === "" ? "the load balancer's address" : `host ${host}`);

function hostFault(host: string): string | undefined {
  if (host === "") return undefined;
  if (host.length > MOST.domain) return `a load balancer takes ${MOST.domain} characters`;
  return HOST.test(host) ? undefined : 'use a name such as "shop.example.com" or "*.example.com"';
}

/** The path in the cloud's form, or why it has none. */
function urlOf(path: string, pathType: string): string | { readonly fault: string } {
  const plain = path === "" ? "/" : path;
  if (!plain.startsWith("/")) return { fault: `the path is "${path}": begin it with /` };
  const url = pathType === "Exact" ? `=${plain}` : plain;
  const marked = pathType === "Exact" ? " with the = that marks an exact one" : "";
  if (url.length > MOST.url) return { fault: `the path has ${url.length} characters${marked}: a load balancer takes ${MOST.url}` };
  if (/\s/.test(url)) return { fault: `the path "${path}" has a blank: a load balancer takes none` };
  if (/[^\x21-\x7e]/.test(url)) return { fault: `the path "${path}" has other characters than visible ASCII: a load balancer takes none` };
  return ["Prefix", "Exact", "ImplementationSpecific"].includes(pathType)
    ? url
    : { fault: `pathType is ${pathType}: use Prefix, Exact or ImplementationSpecific` };
}
