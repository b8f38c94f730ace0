import type { Call } from "./load-balancer.ts";

/** What the process may do: everything; everything but take backends and listeners away; nothing at all. */
export type Policy = "enforce" | "no-unbind" | "observe";
export const POLICIES = ["enforce", "no-unbind", "observe"] as const satisfies readonly Policy[];

/**
 * Pure: a target whose address passed to another Pod becomes that Pod's as it is. Where targets may be taken away it is unbound and bound
 * anew instead; where they may not, the new Pod would wait for that for ever, although the load balancer sends to it all the time.
 */
export const handsOver = (policy: Policy): boolean => policy === "no-unbind";

/** Pure: the calls of a plan that the policy lets pass, in their order. */
export function allowedCalls(policy: Policy, calls: readonly Call[]): readonly Call[] {
  switch (policy) {
    case "enforce":
      return calls;
    case "no-unbind":
      return calls.filter(({ lane }) => lane !== "conflict" && lane !== "drain" && lane !== "unbind" && lane !== "delete");
    case "observe":
      return [];
    default:
      return policy satisfies never;
  }
}
