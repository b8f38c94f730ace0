import { accessDenied, type DeniedCall } from "../domain/access-denied.ts";
import type { Problem } from "../domain/problem.ts";
import type { AccessDenials } from "../state/access-denials.ts";
import type { Intents } from "../state/intents.ts";

export type DenialsDeps = {
  readonly denials: AccessDenials;
  readonly intents: Pick<Intents, "of" | "loadBalancerIds">;
  readonly tell: (problem: Problem) => void;
  /** What Pods wait for has become something else. */
  readonly onChange: () => void;
};

/** An answer of the cloud about load balancers; `denied`: the key may not make the call. */
export type CloudAnswer = { readonly action: string; readonly loadBalancerIds: readonly string[]; readonly denied: DeniedCall | undefined };

/** Made for owners: they say themselves what they are denied. Nothing waits for the quota. */
const TOLD_ELSEWHERE = new Set(["CreateLoadBalancer", "DescribeQuota"]);

/** Keeps what the cloud's key may not do at load balancers, and tells their owners. */
export const makeDenialTeller =
  ({ denials, intents, tell, onChange }: DenialsDeps): ((answer: CloudAnswer) => void) =>
  ({ action, loadBalancerIds, denied }) => {
    const isOfOwners = TOLD_ELSEWHERE.has(action) || (action === "DescribeLoadBalancers" && loadBalancerIds.length === 0);
    if (isOfOwners) return;
    if (denied === undefined) {
      if (denials.worked(loadBalancerIds, action)) onChange();
      return;
    }
    for (const id of loadBalancerIds.length === 0 ? intents.loadBalancerIds : loadBalancerIds)
      for (const { ref } of intents.of(id)) {
        const at = `${ref.kind} ${ref.namespace}/${ref.name}, load balancer ${id}`;
        tell({ object: ref, type: "Warning", ...accessDenied(at, denied) });
      }
    if (denials.note(loadBalancerIds, denied)) onChange();
  };
