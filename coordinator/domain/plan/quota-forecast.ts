import type { DesiredLoadBalancer } from "../intent/desired-load-balancer.ts";
import { type LoadBalancer, ruleKey } from "../load-balancer.ts";
import type { ObjectRef } from "../problem.ts";

/** The account's limits, e.g. { listenersPerLoadBalancer: 50, rulesPerListener: 50, targetsPerPlace: 200 }; undefined: the cloud does not say. */
export type Quotas = {
  readonly listenersPerLoadBalancer: number | undefined;
  readonly rulesPerListener: number | undefined;
  readonly targetsPerPlace: number | undefined;
};

/** More is wanted than the account may have. `quota` is the cloud's name for it, `where` e.g. "rule example.com/ of HTTP:80". */
export type QuotaShortage = {
  readonly owner: ObjectRef;
  readonly quota: "TOTAL_LISTENER_QUOTA" | "TOTAL_LISTENER_RULE_QUOTA" | "TOTAL_TARGET_BIND_QUOTA";
  readonly limit: number;
  readonly needed: number;
  readonly where: string;
};

/**
 * Pure: what will be refused when everything that is wanted is there. A forecast, never a reason to do less: quotas raised for one load
 * balancer are not in the cloud's answer (clb-api.md §2.1). `isAllThere`: no listener that is wanted has still to be made.
 */
export function quotaShortages(desired: DesiredLoadBalancer, actual: LoadBalancer, quotas: Quotas, isAllThere = false): QuotaShortage[] {
  const shortages: QuotaShortage[] = [];
  // A text is made for what is told only: this is asked at every pass.
  const check = (needed: number, limit: number | undefined, found: () => Omit<QuotaShortage, "limit" | "needed">): void => {
    if (limit !== undefined && needed > limit) shortages.push({ ...found(), needed, limit });
  };
  const { listenersPerLoadBalancer, rulesPerListener, targetsPerPlace } = quotas;
  const youngest = desired.listeners.at(-1);
  const isRoom = listenersPerLoadBalancer === undefined || (isAllThere && actual.listeners.length <= listenersPerLoadBalancer);
  if (youngest !== undefined && !isRoom)
    check(listenersNeeded(desired, actual), listenersPerLoadBalancer, () => {
      return { owner: youngest.owner, quota: "TOTAL_LISTENER_QUOTA", where: "the load balancer" };
    });
  const distinct = new Map<string, Set<string>>();
  for (const { owner, name, sharedName = name, protocol, port, backends, rules = [] } of desired.listeners) {
    const bound = (where: string) => ({ owner, quota: "TOTAL_TARGET_BIND_QUOTA", where }) as const;
    check(backends.length, targetsPerPlace, () => bound(`${protocol}:${port}`));
    if (rules.length === 0) continue;
    // The youngest of those that share a listener is the first for whom there is no room.
    const here = distinct.get(sharedName) ?? new Set();
    for (const rule of rules) here.add(ruleKey(rule));
    distinct.set(sharedName, here);
    check(here.size, rulesPerListener, () => ({ owner, quota: "TOTAL_LISTENER_RULE_QUOTA", where: `${protocol}:${port}` }));
    for (const rule of rules)
      check(rule.backends.length, targetsPerPlace, () => bound(`rule ${rule.domain}${rule.url} of ${protocol}:${port}`));
  }
  return shortages;
}

/** Listeners that are there or wanted, by their names and ports; nearly always what is there is what is wanted. */
function listenersNeeded(desired: DesiredLoadBalancer, actual: LoadBalancer): number {
  const wanted = new Map<string, number>();
  const others = new Set<string>();
  for (const { name, sharedName = name, port } of [...desired.listeners, ...actual.listeners]) {
    const known = wanted.get(sharedName);
    if (known === undefined) wanted.set(sharedName, port);
    else if (known !== port) others.add(`${sharedName} ${port}`);
  }
  return wanted.size + others.size;
}
