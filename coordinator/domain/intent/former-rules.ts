import { canonicalDomain, type Listener, type LoadBalancer, type PlaceWish, type Rule, ruleKey, targetKey } from "../load-balancer.ts";
import type { Selection } from "./backends.ts";
import { type IntentPort, portOfRule, servingRules } from "./intent-port.ts";

type FormerRule = PlaceWish & Selection & { readonly domain: string; readonly url: string };
/** A backend that an owner asks for somewhere, with what it selects; `key` e.g. "shop.example.com /cart". */
type Candidate = { readonly key: string; readonly selection: Selection };

/**
 * Rules that their owner asks for no more, with the Pods that they go on serving until they go: those of the backend, among all that the
 * owner asks for now, that most of the rule's targets belong to, else of the same domain and path. A rule for which nobody can tell is left
 * out; one that is to redirect serves them until it does. `asked`: what the owner asks for of this listener.
 */
export function formerRules(
  { rules }: Listener,
  asked: IntentPort | undefined,
  ports: readonly IntentPort[],
  selected: (port: IntentPort) => Selection,
  address?: OwnAddress,
): FormerRule[] {
  const left = leftRules({ rules }, asked, address);
  if (left.length === 0) return [];
  const candidates = ports.flatMap((port) =>
    servingRules(port).map((rule): Candidate => ({ key: keyOf(rule), selection: selected(portOfRule(port, rule)) })),
  );
  const bySelection = new Map(candidates.map(({ selection }) => [selection, new Set(selection.backends.map(targetKey))]));
  return left.flatMap((rule): FormerRule[] => {
    const found = mostOf(rule, bySelection) ?? candidates.find(({ key }) => namesOf(rule, address).includes(key))?.selection;
    return found === undefined ? [] : [{ domain: rule.domain, url: rule.url, healthCheck: {}, ...found }];
  });
}

/** Rules of a listener that are not asked for, or are to redirect. */
export function leftRules({ rules }: Pick<Listener, "rules">, asked: IntentPort | undefined, address?: OwnAddress): readonly Rule[] {
  const wanted = new Set(asked === undefined ? [] : servingRules(asked).map(keyOf));
  return rules.filter((rule) => !namesOf(rule, address).some((name) => wanted.has(name)));
}

/** An IPv4 or IPv6 address, which no host of an Ingress may be. */
const ADDRESS = /^[\d.]+$|:/;

/** By which the cloud names the rules of a load balancer that have no host: its VIP, or the name that it has instead of one. */
export type OwnAddress = Pick<LoadBalancer, "vips" | "domain">;

/** As an owner may have asked for it: the load balancer's own address stands for no domain. */
export const namesOf = ({ domain, url }: Pick<Rule, "domain" | "url">, address?: OwnAddress): string[] =>
  [ruleKey({ domain, url }), ADDRESS.test(domain) || isNameOf(address, domain) ? ruleKey({ domain: "", url }) : []].flat();

const isNameOf = (address: OwnAddress | undefined, domain: string): boolean =>
  address?.vips.length === 0 && address.domain !== undefined && canonicalDomain(address.domain) === canonicalDomain(domain);

const keyOf = ({ domain, url }: { readonly domain: string; readonly url: string }): string =>
  ruleKey({ domain: canonicalDomain(domain), url });

function mostOf({ targets }: Rule, bySelection: ReadonlyMap<Selection, ReadonlySet<string>>): Selection | undefined {
  let [most, best]: [number, Selection | undefined] = [0, undefined];
  for (const [selection, keys] of bySelection) {
    const count = targets.filter((target) => keys.has(targetKey(target))).length;
    if (count > most) [most, best] = [count, selection];
  }
  return best;
}
