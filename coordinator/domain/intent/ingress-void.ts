import { INGRESS_KEYS } from "./annotation-keys.ts";
import { listenPorts } from "./ingress-listen-ports.ts";
import type { Line } from "./ingress-paths.ts";
import type { IngressRecord } from "./ingress-record.ts";
import { isAutoRewrite, namedHosts } from "./ingress-redirects.ts";
import { listedRules } from "./ingress-rule-lists.ts";
import { certificatesOf, hasTls, isFor } from "./ingress-tls.ts";

/** Something of an Ingress that changes nothing, e.g. { what: "annotation …/http-rules", because: "it counts with …" }. */
export type Void = { readonly what: string; readonly because: string };

/** Pure: what of an Ingress' listeners, rules and certificates has no effect because of what else it says. */
export function voidParts(ingress: IngressRecord, lines: readonly Line[]): Void[] {
  const { annotations } = ingress;
  const { ruleMix, httpRules, httpsRules, rewriteSupport, autoRewrite, autoRewriteCode, listenPorts: ports } = INGRESS_KEYS;
  const found: Void[] = [];
  const add = (what: string, because: string): void => void found.push({ what, because });
  // With "false" somebody has said so: TKE's consoles leave the lists behind.
  if (annotations[ruleMix] === undefined)
    for (const key of [httpRules, httpsRules])
      if (listedRules(annotations[key]).length > 0) add(`annotation ${key}`, `it counts where annotation ${ruleMix} is "true" only`);
  // Official samples say both for auto-rewrite.
  if (annotations[rewriteSupport] === "true" && annotations[ruleMix] !== "true" && !isAutoRewrite(ingress))
    add(`annotation ${rewriteSupport}`, `the lists that name redirects count where annotation ${ruleMix} is "true" only`);
  if (annotations[autoRewriteCode] !== undefined && !isAutoRewrite(ingress))
    add(`annotation ${autoRewriteCode}`, `it counts where annotation ${autoRewrite} is "true" only`);
  else
    for (const host of namedHosts(annotations))
      if (!lines.some((line) => line.host === host)) add(`host ${host} in annotation ${autoRewriteCode}`, "no rule has this host");
  const listed = [httpRules, httpsRules].flatMap((key) => listedRules(annotations[key]));
  const hosts = [...lines, ...listed].map(({ host }) => host); // a list may have rules of its own that redirect
  const hasHttps = listenPorts(annotations[ports])?.some(({ protocol }) => protocol === "HTTPS") ?? true;
  if (hasTls(ingress) && !hasHttps)
    add("what it says of certificates", `annotation ${ports} names no HTTPS listener: add one, e.g. {"HTTPS":443}`);
  else
    for (const host of certificatesOf(ingress).byHost.keys())
      if (!hosts.some((one) => isFor(host, one))) add(`the certificate of host ${host}`, "no rule has this host");
  return found;
}
