import type { Call } from "../call.ts";

/** What the process may do: everything; everything but take backends and listeners away; nothing at all. */
export type Policy = "enforce" | "no-unbind" | "observe";
export const POLICIES = ["enforce", "no-unbind", "observe"] as const satisfies readonly Policy[];

/** What is about to happen to the installation: nothing; it goes; it goes and what the load balancers have stays without an owner. */
export type Retire = "off" | "on" | "keep-traffic";
export const RETIRE = ["off", "on", "keep-traffic"] as const satisfies readonly Retire[];

/**
 * Pure: what is bound or listens stays for ever, although other things are written. So a target whose address passed to another Pod becomes
 * that Pod's as it is: it would wait for ever for the former binding to be removed, although the load balancer sends to it all the time.
 */
export const keepsAll = (policy: Policy): boolean => policy === "no-unbind";

/** A drain may raise the weights of others; a weight of 0 takes traffic away whatever its lane. */
function withoutRemovals(call: Call): readonly Call[] {
  if ("weights" in call) {
    const weights = call.weights.filter(({ weight }) => weight > 0);
    if (call.lane !== "drain" && weights.length === call.weights.length) return [call];
    return weights.length === 0 ? [] : [{ lane: call.lane === "drain" ? "bind" : call.lane, weights }];
  }
  return call.lane === "conflict" || call.lane === "unbind" || call.lane === "delete" ? [] : [call];
}

/** Pure: the calls of a plan that the policy lets pass, in their order. */
export function allowedCalls(policy: Policy, calls: readonly Call[]): readonly Call[] {
  switch (policy) {
    case "enforce":
      return calls;
    case "no-unbind":
      return calls.flatMap(withoutRemovals);
    case "observe":
      return [];
    default:
      return policy satisfies never;
  }
}
