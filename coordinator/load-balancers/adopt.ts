import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { Logger } from "../../common/log.ts";
import type { WantedBackend } from "../domain/intent/backends.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import { type LoadBalancer, targetKey } from "../domain/load-balancer.ts";
import { placePairs } from "../domain/plan/plan-structure.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import { pauseAfterFailedClaim } from "./failed-call.ts";
import type { Lanes } from "./lanes.ts";
import type { RefusedItems } from "./refused-items.ts";
import type { Writer } from "./writer.ts";

export type AdoptDeps = {
  readonly writer: Pick<Writer, "claim">;
  readonly addressClaims: Pick<AddressClaims, "podOf">;
  /** A wanted backend gets the target that is bound for the former Pod of its address, because nothing is ever unbound; default: none does. */
  readonly takesOver?: (backend: WantedBackend) => boolean;
  readonly refusedItems: RefusedItems;
  readonly lanes: Lanes;
  readonly clock: Clock;
  readonly log: Logger;
};

/**
 * A target that is wanted and was bound by somebody else is ours from now on: else nobody would unbind it when its Pod ends. A claim that
 * cannot be stored is tried again by a later pass.
 */
export async function adopt(deps: AdoptDeps, desired: DesiredLoadBalancer, actual: LoadBalancer, signal: AbortSignal): Promise<void> {
  const { lanes } = deps;
  const id = actual.loadBalancerId;
  if (lanes.pauses(id, "adopt", deps.clock.now())) return;
  const claims = adoptable(deps, desired, actual);
  if (claims.size === 0) return;
  try {
    await deps.writer.claim(id, claims, signal);
    lanes.worked(id, "adopt");
  } catch (err) {
    if (!(err instanceof KubeApiError)) throw err;
    pauseAfterFailedClaim(deps, id, "adopt", err);
  }
}

/** Address -> UID of the Pod that it is to be claimed for. */
function adoptable({ addressClaims, takesOver }: AdoptDeps, desired: DesiredLoadBalancer, actual: LoadBalancer): Map<string, string> {
  const claims = new Map<string, string>();
  const mayClaim = (backend: WantedBackend): boolean => {
    const former = addressClaims.podOf(actual.loadBalancerId, backend.ip);
    return former === undefined || (former !== backend.podUid && backend.bindable && takesOver?.(backend) === true);
  };
  for (const { place, wanted } of placePairs(desired, actual)) {
    if (place.targets.length === 0) continue;
    const unclaimed = wanted?.backends.filter(mayClaim) ?? [];
    if (unclaimed.length === 0) continue;
    const bound = new Set(place.targets.map(targetKey));
    for (const backend of unclaimed) if (bound.has(targetKey(backend))) claims.set(backend.ip, backend.podUid);
  }
  return claims;
}
