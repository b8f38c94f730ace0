import type { RuleRecord } from "../model/account.ts";

type Names = Pick<RuleRecord, "domains" | "url">;

/** What a layer-7 listener does with a request: give it to a rule, send the client to `path`, or answer 404. */
export type Match<Rule> =
  | { readonly kind: "rule"; readonly rule: Rule }
  | { readonly kind: "redirect"; readonly path: string }
  | { readonly kind: "none" };

const NONE = { kind: "none" } as const;

/**
 * Pure: the rule for a request. First the domain: exact, then "*.example.com", then "www.example.*", then a regular expression, else the
 * default domain; then the path among that domain's rules. No other domain is tried when no path fits. Source: clb-api.md §2.2.
 * `host` is the Host header, e.g. "app.example.com:8080"; `path` has no query, e.g. "/api/users".
 */
export function matchRule<Rule extends Names>(
  rules: Iterable<Rule>,
  defaultDomain: string | undefined,
  host: string,
  path: string,
): Match<Rule> {
  const known = [...rules];
  const [only] = known;
  if (only === undefined) return NONE;
  const domain = matchDomain(
    known.flatMap(({ domains }) => domains),
    bareHost(host),
  );
  const chosen = domain ?? defaultDomain;
  return chosen === undefined
    ? NONE
    : matchPath(
        known.filter(({ domains }) => domains.includes(chosen)),
        path,
      );
}

/** Lower case, without port; "[::1]:80" -> "[::1]". */
export const bareHost = (host: string): string => host.toLowerCase().replace(/:\d*$/, "");

/** Pure: the most telling of the domains that fit; among equals the longest, among regular expressions the oldest. */
export function matchDomain(domains: readonly string[], host: string): string | undefined {
  let best: string | undefined;
  let bestRank = 0;
  for (const domain of domains) {
    const rank = domainRank(domain, host);
    if (rank > bestRank) [best, bestRank] = [domain, rank];
  }
  return best;
}

/** Higher is more telling; a domain has at most 80 characters, so the classes do not overlap. */
function domainRank(domain: string, host: string): number {
  if (domain === host) return 4000;
  if (domain.startsWith("~")) return expression(domain.slice(1), "")?.test(host) === true ? 1 : 0;
  if (domain.startsWith("*")) return host.endsWith(domain.slice(1)) && host.length > domain.length - 1 ? 2000 + domain.length : 0;
  if (domain.endsWith("*")) return host.startsWith(domain.slice(0, -1)) && host.length > domain.length - 1 ? 1000 + domain.length : 0;
  return 0;
}

/**
 * Pure: the rule of one domain for a path. "=" or the very path first, then the longest prefix if it is marked "^~", then regular
 * expressions ("~", "~*" without regard to case) oldest first, then the longest prefix. "/abc/" alone sends "/abc" to itself.
 * Exact before prefix and the redirect are documented; the order of "^~" and regular expressions is that of nginx, which the service uses.
 */
function matchPath<Rule extends Pick<RuleRecord, "url">>(rules: readonly Rule[], path: string): Match<Rule> {
  let longest: { readonly rule: Rule; readonly length: number; readonly isFinal: boolean } | undefined;
  let expressed: Rule | undefined;
  let redirect = false;
  for (const rule of rules) {
    const { kind, text } = parseUrl(rule.url);
    if (kind === "expression" || kind === "caseless") {
      if (expression(text, kind === "caseless" ? "i" : "")?.test(path) === true) expressed ??= rule;
    } else if (text === path) return { kind: "rule", rule };
    else if (kind !== "exact") {
      redirect ||= text === `${path}/`;
      if (path.startsWith(text) && text.length > (longest?.length ?? -1))
        longest = { rule, length: text.length, isFinal: kind === "final" };
    }
  }
  if (redirect) return { kind: "redirect", path: `${path}/` };
  const rule = longest?.isFinal === true ? longest.rule : (expressed ?? longest?.rule);
  return rule === undefined ? NONE : { kind: "rule", rule };
}

type Pattern = { readonly kind: "exact" | "final" | "expression" | "caseless" | "prefix"; readonly text: string };

/** E.g. "~* .png$" -> a caseless expression ".png$". */
function parseUrl(url: string): Pattern {
  if (url.startsWith("^~")) return { kind: "final", text: url.slice(2).trim() };
  if (url.startsWith("~*")) return { kind: "caseless", text: url.slice(2).trim() };
  if (url.startsWith("~")) return { kind: "expression", text: url.slice(1).trim() };
  return url.startsWith("=") ? { kind: "exact", text: url.slice(1).trim() } : { kind: "prefix", text: url };
}

const compiled = new Map<string, RegExp | undefined>();
/** Many times the rules of a full account of tests; the cache starts anew when it is full. */
const MOST_COMPILED = 10_000;

/** One that does not compile fits nothing. */
function expression(text: string, flags: string): RegExp | undefined {
  const key = `${flags} ${text}`;
  if (compiled.has(key)) return compiled.get(key);
  if (compiled.size >= MOST_COMPILED) compiled.clear();
  let made: RegExp | undefined;
  try {
    made = new RegExp(text, flags);
  } catch {
    made = undefined;
  }
  compiled.set(key, made);
  return made;
}

/** Pure: the path that rules are matched with: "/a%20b/../c//d?x=1" -> "/c/d". */
export function plainPath(target: string): string {
  const query = target.indexOf("?");
  const raw = query < 0 ? target : target.slice(0, query);
  if (raw.startsWith("/") && !/[%#]|\/\.|\/\//.test(raw)) return raw;
  try {
    const { pathname } = new URL(raw.startsWith("/") ? `http://host${raw}` : raw);
    return decodeURIComponent(pathname).replaceAll(/\/{2,}/g, "/");
  } catch {
    return raw;
  }
}
