import type { Problem } from "../domain/problem.ts";
import { type RefusedCall, refusedCall } from "../domain/refused-call.ts";
import type { Intents } from "../state/intents.ts";
import type { RefusedCalls } from "../state/refused-calls.ts";

export type RefusalTellerDeps = {
  readonly refusedCalls: RefusedCalls;
  readonly intents: Pick<Intents, "of" | "loadBalancerIds">;
  readonly tell: (problem: Problem) => void;
  /** What Pods wait for has become something else. */
  readonly onChange: () => void;
};

/** An answer of the cloud about load balancers; `refused`: it is a refusal that nobody else tells; `askedAtMs`: when the call was sent. */
export type CloudAnswer = {
  readonly action: string;
  readonly loadBalancerIds: readonly string[];
  readonly refused: RefusedCall | undefined;
  readonly askedAtMs: number;
};

/** Made for owners: they say themselves what they are refused. Nothing waits for the quota. */
const TOLD_ELSEWHERE = new Set(["CreateLoadBalancer", "DescribeQuota"]);

/**
 * Keeps which calls the cloud refuses at load balancers, and tells their owners: at once what the key may not do, after a minute what
 * keeps failing. A cloud that is away is told by the conditions of the Pods that wait, not by an Event on every owner.
 */
export const makeRefusalTeller =
  ({ refusedCalls, intents, tell, onChange }: RefusalTellerDeps): ((answer: CloudAnswer) => void) =>
  ({ action, loadBalancerIds, refused, askedAtMs }) => {
    const isOfOwners = TOLD_ELSEWHERE.has(action) || (action === "DescribeLoadBalancers" && loadBalancerIds.length === 0);
    if (isOfOwners) return;
    if (refused === undefined) {
      if (refusedCalls.worked(loadBalancerIds, action)) onChange();
      return;
    }
    const standing = refusedCalls.note(loadBalancerIds, refused, askedAtMs);
    if (standing !== "passing" && refused.cause !== "unanswered")
      for (const id of loadBalancerIds.length === 0 ? intents.loadBalancerIds : loadBalancerIds)
        for (const { ref } of intents.of(id)) {
          const at = `${ref.kind} ${ref.namespace}/${ref.name}, load balancer ${id}`;
          tell({ object: ref, type: "Warning", ...refusedCall(at, refused) });
        }
    if (standing === "news") onChange();
  };
