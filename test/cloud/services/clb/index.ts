import type { Limits } from "../../runtime/options.ts";
import type { ActionTable } from "../table/action.ts";
import { backendActions } from "./backends.ts";
import { detailActions } from "./describe-details.ts";
import { describeLoadBalancerActions } from "./describe-load-balancers.ts";
import { domainActions } from "./domains.ts";
import { listenerActions } from "./listeners.ts";
import { loadBalancerActions } from "./load-balancers.ts";
import type { ClbPorts } from "./ports.ts";
import { quotaActions } from "./quota.ts";
import { replaceCertificateActions } from "./replace-certificates.ts";
import { rewriteActions } from "./rewrites.ts";
import { ruleActions } from "./rules.ts";
import { securityGroupActions } from "./security-groups.ts";
import { targetHealthActions } from "./target-health.ts";
import { targetPortActions } from "./target-port.ts";
import { targetTagActions } from "./target-tag.ts";
import { targetActions } from "./targets.ts";
import { taskActions } from "./task-status.ts";
import { weightActions } from "./weights.ts";

/** CLB service: load balancers, listeners, rules and targets. */
export const clbActions = (limits: Limits): ActionTable<ClbPorts> => ({
  ...loadBalancerActions(limits),
  ...describeLoadBalancerActions(limits),
  ...detailActions(),
  ...securityGroupActions(limits),
  ...listenerActions(limits),
  ...ruleActions(limits),
  ...domainActions(),
  ...replaceCertificateActions(),
  ...rewriteActions(),
  ...targetActions(limits),
  ...targetPortActions(limits),
  ...targetTagActions(limits),
  ...weightActions(limits),
  ...backendActions(limits),
  ...targetHealthActions(limits),
  ...taskActions(),
  ...quotaActions(limits),
});
