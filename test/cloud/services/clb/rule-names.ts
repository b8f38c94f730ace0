import type { RuleRecord } from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";

/** Lengths: clb-api.md §2.2. */
export const domainName = { type: "string", min: 1, max: 80 } as const;
export const urlPath = { type: "string", min: 1, max: 200 } as const;

/** The domains of a rule as asked for; none: the load balancer's address stands for one. */
export const domainsOf = ({ Domain, Domains }: { readonly Domain?: string; readonly Domains?: readonly string[] }): readonly string[] =>
  Domains ?? (Domain === undefined ? [] : [Domain]);

/** E.g. "app.example.com", "*.example.com", "www.example.*", "~^app[0-9]+\.example\.com$". Throws InvalidParameter.FormatError, Duplicate. */
export function requireDomains(domains: readonly string[]): void {
  for (const domain of domains) {
    if (domain.startsWith("~")) requireExpression(domain.slice(1), domain);
    else if (!/^(?:\*\.?)?[a-z0-9._-]+(?:\.?\*)?$/.test(domain) || domain.indexOf("*") !== domain.lastIndexOf("*"))
      throw formatError(
        `domain ${domain} must consist of a-z, 0-9, ".", "-" and "_", with at most one "*" at its beginning or end, or begin with "~"`,
      );
  }
  if (new Set(domains).size < domains.length)
    throw new CloudError("InvalidParameterValue.Duplicate", `a domain is named twice: ${domains.join(", ")}`);
}

/** "/api", "= /exact", "^~ /prefix", "~ expression", "~* caseless expression". Throws InvalidParameter.FormatError. */
export function requireUrl(url: string): void {
  const [, mark = "", rest = ""] = /^(=|\^~|~\*|~)?\s*(.*)$/s.exec(url) ?? [];
  if (mark.startsWith("~")) return requireExpression(rest, url);
  if (!rest.startsWith("/") || /[\s\u0080-\uffff]/.test(rest))
    throw formatError(`url ${url} must begin with "/" (or with "=", "^~", "~" or "~*") and have no blanks`);
}

function requireExpression(source: string, whole: string): void {
  try {
    void new RegExp(source);
  } catch (error) {
    throw formatError(`${whole} is no regular expression: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const formatError = (message: string): CloudError => new CloudError("InvalidParameter.FormatError", message);

/** A rule is unique by domain and URL within its listener. Throws InvalidParameterValue.Duplicate. */
export function requireUnique(rules: readonly Pick<RuleRecord, "domains" | "url" | "listenerId">[]): void {
  const seen = new Set<string>();
  for (const { domains, url, listenerId } of rules)
    for (const domain of domains) {
      const key = `${domain} ${url}`;
      if (seen.has(key))
        throw new CloudError("InvalidParameterValue.Duplicate", `listener ${listenerId} has a rule for ${domain}${url} already`);
      seen.add(key);
    }
}
