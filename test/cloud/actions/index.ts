import type { Limits } from "../options.ts";
import type { ActionTable } from "./action.ts";
import { backendActions } from "./backends.ts";
import { listenerActions } from "./listeners.ts";
import { loadBalancerActions } from "./load-balancers.ts";
import { tagActions } from "./tags.ts";
import { targetActions } from "./targets.ts";

/** One service of the cloud; `perSecond` is the rate limit of each of its actions. */
export type Service = { readonly version: string; readonly perSecond: number; readonly actions: ActionTable };

/** Everything that this cloud can do, by service. */
export function makeServices(limits: Limits): ReadonlyMap<string, Service> {
  const clb = { ...loadBalancerActions(limits), ...listenerActions(limits), ...targetActions(limits), ...backendActions(limits) };
  return new Map([
    ["clb", { version: "2018-03-17", perSecond: limits.clbPerSecond, actions: clb }],
    ["tag", { version: "2018-08-13", perSecond: limits.tagPerSecond, actions: tagActions() }],
  ]);
}
