import type { Call } from "../call.ts";
import type { DesiredLoadBalancer } from "../intent/desired-load-balancer.ts";
import type { LoadBalancer, LoadBalancerSettings } from "../load-balancer.ts";

/** Pure: what the load balancer itself has not as its owners wish it; security groups first, in a call of their own. */
export function settingCalls({ settings: wished = {} }: DesiredLoadBalancer, { settings: actual = {} }: LoadBalancer): Call[] {
  const differing = Object.entries(wished).filter(([name, value]) => !isSame(name, value, Reflect.get(actual, name)));
  const { securityGroups, ...others }: Partial<LoadBalancerSettings> = Object.fromEntries(differing);
  return [
    ...(securityGroups === undefined ? [] : [{ lane: "structure", loadBalancer: { securityGroups } } as const]),
    ...(Object.keys(others).length === 0 ? [] : [{ lane: "structure", loadBalancer: others } as const]),
  ];
}

/** The order of security groups counts: they are asked one after the other. */
const isSame = (name: string, wished: unknown, actual: unknown): boolean =>
  name === "securityGroups" ? JSON.stringify(wished) === JSON.stringify(actual ?? []) : wished === actual;
