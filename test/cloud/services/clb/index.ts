import type { Limits } from "../../runtime/options.ts";
import { otherServices, type Service } from "../index.ts";
import type { ActionTable } from "./action.ts";
import { backendActions } from "./backends.ts";
import { describeLoadBalancerActions } from "./describe-load-balancers.ts";
import { domainActions } from "./domains.ts";
import { listenerActions } from "./listeners.ts";
import { loadBalancerActions } from "./load-balancers.ts";
import { quotaActions } from "./quota.ts";
import { ruleActions } from "./rules.ts";
import { targetHealthActions } from "./target-health.ts";
import { targetActions } from "./targets.ts";
import { taskActions } from "./task-status.ts";
import { weightActions } from "./weights.ts";

/** Everything that this cloud can do, by service. */
export function makeServices(limits: Limits): ReadonlyMap<string, Service> {
  const clb = { version: "2018-03-17", perSecond: limits.clbPerSecond, actions: clbActions(limits) };
  return new Map([["clb", clb], ...otherServices(limits)]);
}

const clbActions = (limits: Limits): ActionTable => ({
  ...loadBalancerActions(limits),
  ...describeLoadBalancerActions(limits),
  ...listenerActions(limits),
  ...ruleActions(limits),
  ...domainActions(),
  ...targetActions(limits),
  ...weightActions(limits),
  ...backendActions(limits),
  ...targetHealthActions(limits),
  ...taskActions(),
  ...quotaActions(limits),
});
