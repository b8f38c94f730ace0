import type { Limits } from "../options.ts";
import { otherServices, type Service } from "../services/index.ts";
import { backendActions } from "./backends.ts";
import { listenerActions } from "./listeners.ts";
import { loadBalancerActions } from "./load-balancers.ts";
import { targetActions } from "./targets.ts";

/** Everything that this cloud can do, by service. */
export function makeServices(limits: Limits): ReadonlyMap<string, Service> {
  const clb = { ...loadBalancerActions(limits), ...listenerActions(limits), ...targetActions(limits), ...backendActions(limits) };
  return new Map([["clb", { version: "2018-03-17", perSecond: limits.clbPerSecond, actions: clb }], ...otherServices(limits)]);
}
