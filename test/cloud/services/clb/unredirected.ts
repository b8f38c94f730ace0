import type { LoadBalancerRecord, RuleRecord } from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";

/** Throws while one of the rules is redirected, or another one to it: redirections have to be deleted first. Source: tke-contract.md §7, E4006. */
export function requireUnredirected({ listeners }: LoadBalancerRecord, leaving: readonly RuleRecord[]): void {
  for (const { rules } of listeners.values())
    for (const rule of rules.values()) {
      const { rewrite } = rule;
      if (rewrite === undefined || !(leaving.includes(rule) || leaving.includes(rewrite.to.rule))) continue;
      throw new CloudError(
        "FailedOperation",
        `rule ${rule.locationId} is redirected to ${rewrite.locationId}: delete the redirection first`,
      );
    }
}
