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
 * balancer are not in the cloud's answer (clb-api.md §2.1).
 */
export function quotaShortages(desired: DesiredLoadBalancer, actual: LoadBalancer, quotas: Quotas): QuotaShortage[] {
  const shortages: QuotaShortage[] = [];
  const check = (found: Omit<QuotaShortage, "limit">, limit: number | undefined): void => {
    if (limit !== undefined && found.needed > limit) shortages.push({ ...found, limit });
  };
  const names = new Set([...actual.listeners, ...desired.listeners].map(({ name, sharedName = name, port }) => `${sharedName} ${port}`));
  const youngest = desired.listeners.at(-1);
  if (youngest !== undefined)
    check(
      { owner: youngest.owner, quota: "TOTAL_LISTENER_QUOTA", needed: names.size, where: "the load balancer" },
      quotas.listenersPerLoadBalancer,
    );
  const distinct = new Map<string, Set<string>>();
  for (const { owner, name, sharedName = name, protocol, port, backends, rules = [] } of desired.listeners) {
    const listener = `${protocol}:${port}`;
    // The youngest of those that share a listener is the first for whom there is no room.
    const here = distinct.get(sharedName) ?? new Set();
    for (const rule of rules) here.add(ruleKey(rule));
    distinct.set(sharedName, here);
    if (rules.length > 0) check({ owner, quota: "TOTAL_LISTENER_RULE_QUOTA", needed: here.size, where: listener }, quotas.rulesPerListener);
    check({ owner, quota: "TOTAL_TARGET_BIND_QUOTA", needed: backends.length, where: listener }, quotas.targetsPerPlace);
    for (const rule of rules) {
      const where = `rule ${rule.domain}${rule.url} of ${listener}`;
      check({ owner, quota: "TOTAL_TARGET_BIND_QUOTA", needed: rule.backends.length, where }, quotas.targetsPerPlace);
    }
  }
  return shortages;
}
