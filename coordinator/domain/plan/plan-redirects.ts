import { ownerMarkOf } from "../../../common/names.ts";
import { CALL_LIMITS, type Call, type RedirectedRule, type Redirects } from "../call.ts";
import { chunks } from "../chunks.ts";
import type { Listener, LoadBalancer, Redirect, Rule } from "../load-balancer.ts";
import type { PlacePair } from "./place-pair.ts";

export type RedirectInput = {
  readonly pairs: readonly PlacePair[];
  /** What is wanted in this place serves, and something does. */
  readonly serves: (pair: PlacePair) => boolean;
  /** What is wanted in this place serves, but for what nobody has to wait for. */
  readonly isReady: (pair: PlacePair) => boolean;
};

/**
 * Pure: redirects that are made, and those that end. A redirect takes all requests from its rule, so it is made when the rule that it leads
 * to serves, or where its own rule serves nobody; it ends when its own rule has the backends that are to serve instead. One that is to
 * lead elsewhere ends first, because a rule has one only; what it is to lead to is there by then.
 */
export function planRedirects({ pairs, serves, isReady }: RedirectInput): Call[] {
  const byRule = new Map(pairs.flatMap((pair) => (pair.rule === undefined ? [] : [[pair.rule, pair] as const])));
  const [make, end]: [Link[], Link[]] = [[], []];
  for (const pair of pairs) {
    const { rule, wanted, redirect } = pair;
    if (rule === undefined) continue;
    if (redirect === undefined) {
      if (rule.redirect !== undefined && isUnwished(wanted) && isReady(pair)) end.push(linkOf(rule, rule.redirect));
      continue;
    }
    const { wish, to, isMade } = redirect;
    const target = to && byRule.get(to);
    if (isMade || to === undefined) continue;
    const isIdle = rule.redirect === undefined && rule.targets.every(({ weight }) => weight === 0);
    if (!isIdle && (target === undefined || !serves(target))) continue;
    if (rule.redirect === undefined) make.push(linkOf(rule, { ...to, code: wish.code }));
    else end.push(linkOf(rule, rule.redirect));
  }
  return [
    ...grouped(end).map((redirects): Call => ({ lane: "delete", redirects })),
    ...grouped(make).map((redirects): Call => ({ lane: "structure", redirects })),
  ];
}

const isUnwished = (wanted: PlacePair["wanted"]): boolean => wanted !== undefined && "redirect" in wanted && wanted.redirect === "none";

/**
 * Pure: the ends of redirects from rules that are to go, and to them from listeners of ours: the cloud deletes neither before. Empty: nothing
 * is in the way. `isGoing`: of a rule.
 */
export function endsBefore({ listeners }: LoadBalancer, clusterId: string, isGoing: (rule: Rule) => boolean): Call[] {
  const going = new Set(listeners.flatMap(({ rules }) => rules.filter(isGoing)).map(({ locationId }) => locationId));
  const isOurs = ({ name }: Listener): boolean => ownerMarkOf(name, clusterId) !== undefined;
  const links = listeners.filter(isOurs).flatMap(({ rules }) =>
    rules.flatMap((rule) => {
      const { redirect } = rule;
      return redirect !== undefined && (going.has(rule.locationId) || going.has(redirect.locationId)) ? [linkOf(rule, redirect)] : [];
    }),
  );
  return grouped(links).map((redirects) => ({ lane: "delete", redirects }));
}

type Link = Pick<Redirects, "listenerId" | "targetListenerId"> & { readonly rule: RedirectedRule };

const linkOf = ({ listenerId, locationId, domain, url }: Rule, to: Redirect & Partial<Pick<Rule, "url">>): Link => ({
  listenerId,
  targetListenerId: to.listenerId,
  rule: { locationId, targetLocationId: to.locationId, domain, code: to.code, keepsPath: url === to.url },
});

function grouped(links: readonly Link[]): Redirects[] {
  const groups = Map.groupBy(links, ({ listenerId, targetListenerId }) => `${listenerId} ${targetListenerId}`);
  return [...groups.values()].flatMap((group) =>
    chunks(group, CALL_LIMITS.redirects).flatMap((part) => {
      const [first] = part;
      if (first === undefined) return [];
      const { listenerId, targetListenerId } = first;
      return [{ listenerId, targetListenerId, rules: part.map(({ rule }) => rule) }];
    }),
  );
}
