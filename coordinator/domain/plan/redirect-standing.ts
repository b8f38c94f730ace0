import { domainOf } from "../intent/asked-places.ts";
import type { WantedRedirect, WantedRule } from "../intent/desired-load-balancer.ts";
import { type LoadBalancer, type Redirect, type Rule, ruleKey } from "../load-balancer.ts";

/** How far a rule is that is to send its clients elsewhere. `to`: the rule there; undefined: it is not there yet. */
export type RedirectStanding = { readonly wish: WantedRedirect; readonly to: Rule | undefined; readonly isMade: boolean };

/** Pure: undefined for a rule that is to serve. A code that the cloud does not tell is taken for the one that is wished. */
export function redirectStanding(
  { redirect: made }: Rule,
  wanted: Pick<WantedRule, "redirect"> | undefined,
  actual: LoadBalancer,
): RedirectStanding | undefined {
  const wish = wanted?.redirect;
  if (wish === undefined || wish === "none") return undefined;
  const key = ruleKey({ domain: domainOf(wish.domain, actual), url: wish.url });
  const to = actual.listeners.find(({ name }) => name === wish.listener)?.rules.find((rule) => ruleKey(rule) === key);
  const isMade = to !== undefined && made !== undefined && leadsTo(made, to) && (made.code === 0 || made.code === wish.code);
  return { wish, to, isMade };
}

const leadsTo = (made: Redirect, { listenerId, locationId }: Rule): boolean =>
  made.listenerId === listenerId && made.locationId === locationId;
