import { INGRESS_KEYS } from "./annotation-keys.ts";
import { parsedJson } from "./annotations.ts";
import type { ListenPort } from "./ingress-listen-ports.ts";
import type { Line, Refused } from "./ingress-paths.ts";
import type { IngressRecord } from "./ingress-record.ts";
import { type ListedRule, listedRules } from "./ingress-rule-lists.ts";
import type { IntentPort, IntentRule, RedirectWish } from "./intent-port.ts";

/** What the cloud takes; the first one where nothing is said. Source: the SDK's model of RewriteLocationMap. */
const CODES = [301, 302, 307] as const;
/** Between which listeners auto-rewrite redirects. Source: tke-contract.md §2.4. */
const AUTO = { from: { protocol: "HTTP", port: 80 }, to: { protocol: "HTTPS", port: 443 } } as const;

/** What is wrong with annotation auto-rewrite-code; undefined: nothing. */
export function rewriteCodeFault(value: string): string | undefined {
  const given = parsedJson(value);
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return 'use a JSON object, e.g. {"defaultRewriteCode":302,"rewriteCodeInfos":[{"host":"shop.example.com","rewriteCode":307}]}';
  const { defaultRewriteCode: usual = CODES[0], rewriteCodeInfos: infos = [] } = Object(given);
  if (!CODES.includes(usual)) return `defaultRewriteCode must be ${CODES.join(", ")}`;
  if (!Array.isArray(infos)) return "rewriteCodeInfos must be a list";
  for (const [index, info] of infos.entries()) {
    if (typeof Object(info).host !== "string") return `rewriteCodeInfos[${index}].host must be a name`;
    if (!CODES.includes(Object(info).rewriteCode)) return `rewriteCodeInfos[${index}].rewriteCode must be ${CODES.join(", ")}`;
  }
  return undefined;
}

/** It shares the listeners of its load balancer with other Ingresses. */
export const isGrouped = ({ annotations }: Pick<IngressRecord, "annotations">): boolean => annotations[INGRESS_KEYS.group] === "true";

/** Redirects are ours to make and to end: somebody wrote of them, or it is in a group. Else those that exist stay, as with TKE. */
export const managesRedirects = ({ annotations }: Pick<IngressRecord, "annotations">): boolean =>
  isGrouped({ annotations }) ||
  annotations[INGRESS_KEYS.autoRewrite] !== undefined ||
  annotations[INGRESS_KEYS.rewriteSupport] !== undefined;

/** All rules served over HTTPS are redirected to from HTTP. */
export const isAutoRewrite = ({ annotations }: Pick<IngressRecord, "annotations">): boolean =>
  annotations[INGRESS_KEYS.autoRewrite] === "true";

export type RedirectSources = {
  readonly ingress: Pick<IngressRecord, "annotations">;
  readonly lines: readonly Line[];
  readonly listens: readonly ListenPort[];
  /** The lines that a listener serves where nothing redirects. */
  readonly linesAt: (listen: ListenPort) => readonly Line[];
};

/** Pure: the lines that redirect, by the listener that they are at, and what of them cannot be. A written one goes before one that comes of itself. */
export function redirectLines(sources: RedirectSources): {
  readonly at: (listen: ListenPort) => readonly Line[];
  readonly refused: readonly Refused[];
} {
  const byListener = new Map<ListenPort, Map<string, Line>>();
  const refused: Refused[] = [];
  const add = (listen: ListenPort, line: Line): void => {
    const here = byListener.get(listen) ?? new Map<string, Line>();
    byListener.set(listen, here);
    const key = `${line.host} ${line.url}`;
    if (!here.has(key)) here.set(key, line);
  };
  for (const found of written(sources, refused)) add(found.listen, found.line);
  for (const found of automatic(sources, refused)) add(found.listen, found.line);
  return { at: (listen) => [...(byListener.get(listen)?.values() ?? [])], refused };
}

type Found = { readonly listen: ListenPort; readonly line: Line };

function written({ ingress: { annotations }, lines, listens }: RedirectSources, refused: Refused[]): Found[] {
  if (annotations[INGRESS_KEYS.ruleMix] !== "true") return [];
  const support = annotations[INGRESS_KEYS.rewriteSupport];
  const isOn = support === "true" || (support === undefined && isGrouped({ annotations })); // a group's come straight from the lists
  const urlOf = (host: string, path: string): string => lines.find((line) => line.host === host && pathOf(line) === path)?.url ?? path;
  const of = (protocol: ListenPort["protocol"], key: string, { host, path, rewrite }: ListedRule): Found[] => {
    if (rewrite === undefined) return [];
    const at = `the rewrite of ${nameOf(host, path)} in annotation ${key}`;
    if (!isOn) {
      refused.push({ message: `${at} has no effect: set annotation ${INGRESS_KEYS.rewriteSupport} to "true"` });
      return [];
    }
    const to = listens.find(({ port }) => port === rewrite.port);
    const wish = { port: rewrite.port, domain: rewrite.host, url: urlOf(rewrite.host, rewrite.path), code: CODES[0] };
    const line = redirecting(at, { host, path, url: urlOf(host, path) }, { ...wish, protocol: to?.protocol ?? "HTTPS" });
    return listens.filter((one) => one.protocol === protocol).map((listen) => ({ listen, line }));
  };
  return [
    ...listedRules(annotations[INGRESS_KEYS.httpRules]).flatMap((one) => of("HTTP", INGRESS_KEYS.httpRules, one)),
    ...listedRules(annotations[INGRESS_KEYS.httpsRules]).flatMap((one) => of("HTTPS", INGRESS_KEYS.httpsRules, one)),
  ];
}

function automatic({ ingress, listens, linesAt }: RedirectSources, refused: Refused[]): Found[] {
  if (!isAutoRewrite(ingress)) return [];
  const [from, to] = [AUTO.from, AUTO.to].map(({ protocol, port }) =>
    listens.find((one) => one.protocol === protocol && one.port === port),
  );
  if (from === undefined || to === undefined) {
    const key = INGRESS_KEYS.autoRewrite;
    const fix = `name certificates in spec.tls, and where annotation ${INGRESS_KEYS.listenPorts} is used both ports in it`;
    refused.push({ message: `annotation ${key} redirects from HTTP:80 to HTTPS:443, which this Ingress has not both: ${fix}` });
    return [];
  }
  const { usual, byHost: codes } = codesOf(ingress.annotations);
  return linesAt(to).map((line) => {
    const { host, path, url } = line;
    const wish = { ...AUTO.to, domain: host, url, code: codes.get(host) ?? usual };
    return { listen: from, line: { ...redirecting(`the redirect of ${nameOf(host, path)}`, line, wish), ...isDefault(line) } };
  });
}

type Annotations = IngressRecord["annotations"];

function codesOf(annotations: Annotations): { readonly usual: number; readonly byHost: ReadonlyMap<string, number> } {
  const given = Object(parsedJson(annotations[INGRESS_KEYS.autoRewriteCode] ?? "null"));
  const { defaultRewriteCode: usual = CODES[0], rewriteCodeInfos: infos = [] } = given;
  const list: readonly Record<string, unknown>[] = Array.isArray(infos) ? infos : [];
  return { usual: Number(usual), byHost: new Map(list.map(({ host, rewriteCode }) => [String(host), Number(rewriteCode)])) };
}

/** Hosts that annotation auto-rewrite-code has a status for. */
export const namedHosts = (annotations: Annotations): readonly string[] => [...codesOf(annotations).byHost.keys()];

const isDefault = (line: Line): Pick<Line, "isDefault"> => (line.isDefault ? { isDefault: true } : {});

const redirecting = (at: string, { host, path, url }: Pick<Line, "host" | "path" | "url">, redirect: RedirectWish): Line => ({
  at,
  host,
  path,
  url,
  backend: { service: undefined, port: 0 },
  redirect,
});

const pathOf = ({ path }: Line): string => (path === "" ? "/" : path);
const nameOf = (host: string, path: string): string =>
  `${host === "" ? "the load balancer's address" : `host ${host}`} path ${path === "" ? "/" : path}`;

/**
 * Pure: the listeners without redirects that lead nowhere, to themselves or to another redirect. `onRefused` is told of each with the
 * listener that it is at.
 */
export function goodRedirects(
  ports: readonly IntentPort[],
  onRefused: (port: IntentPort, refused: Refused) => void,
): readonly IntentPort[] {
  const fault = (port: IntentPort, rule: IntentRule, wish: RedirectWish): string | undefined => {
    if (wish.protocol === port.protocol && wish.port === port.port && wish.domain === rule.domain && wish.url === rule.url)
      return "it leads to itself: name another host, path or port";
    const listener = ports.find((one) => one.protocol === wish.protocol && one.port === wish.port);
    if (listener === undefined)
      return `this Ingress serves nothing at port ${wish.port}: use one of ${ports.map((one) => `${one.protocol}:${one.port}`).join(", ")}`;
    const to = listener.rules?.find(({ domain, url }) => domain === wish.domain && url === wish.url);
    if (to === undefined) return "nothing serves where it leads to: add that host and path to the listener, or correct the redirect";
    return to.redirect === undefined || to.redirect === "none"
      ? undefined
      : "it leads to a rule that redirects itself, which the cloud refuses: lead it to where that one ends";
  };
  return ports.flatMap((port): IntentPort[] => {
    const rules = (port.rules ?? []).filter((rule) => {
      if (rule.redirect === undefined || rule.redirect === "none") return true;
      const { protocol, port: number, domain, url } = rule.redirect;
      const why = fault(port, rule, rule.redirect);
      if (why === undefined) return true;
      const message = `${nameOf(rule.domain, rule.url)} at ${port.protocol}:${port.port} is to redirect to ${nameOf(domain, url)} at ${protocol}:${number}: ${why}`;
      onRefused(port, { message });
      return false;
    });
    return rules.length === 0 ? [] : [{ ...port, rules }];
  });
}
