import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { Logger } from "../../common/log.ts";
import type { WantedBackend } from "../domain/intent/backends.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import { type LoadBalancer, type PlaceId, targetKey } from "../domain/load-balancer.ts";
import { placePairs } from "../domain/plan/plan-structure.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import { pauseAfterFailedClaim } from "./failed-call.ts";
import type { Lanes } from "./lanes.ts";
import type { RefusedItems } from "./refused-items.ts";
import type { Writer } from "./writer.ts";

export type AdoptDeps = {
  readonly writer: Pick<Writer, "claim">;
  readonly addressClaims: Pick<AddressClaims, "podOf">;
  /**
   * A wanted backend gets the target that is claimed for the Pod `claimed` at its address, because nothing is ever unbound, or because that
   * claim cannot be true; default: none does.
   */
  readonly takesOver?: (backend: WantedBackend, claimed: string) => boolean;
  /** The Pod that is over, had that address and was selected by that owner; default: nobody is remembered. */
  readonly former?: (ip: string, ownerUid: string, place: PlaceId) => string | undefined;
  readonly refusedItems: RefusedItems;
  readonly lanes: Lanes;
  readonly clock: Clock;
  readonly log: Logger;
};

/**
 * A target that is wanted, or whose Pod was until it ended, is ours from now on, whoever bound it: else nobody would unbind it. A claim that
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
function adoptable(
  { addressClaims, takesOver, former }: AdoptDeps,
  desired: DesiredLoadBalancer,
  actual: LoadBalancer,
): Map<string, string> {
  const claims = new Map<string, string>();
  const mayClaim = (backend: WantedBackend): boolean => {
    const claimed = addressClaims.podOf(actual.loadBalancerId, backend.ip);
    return claimed === undefined || (claimed !== backend.podUid && backend.bindable && takesOver?.(backend, claimed) === true);
  };
  for (const { place, wanted, ownerUid } of placePairs(desired, actual)) {
    if (place.targets.length === 0) continue;
    for (const { ip } of place.targets) {
      const podUid = addressClaims.podOf(actual.loadBalancerId, ip) === undefined ? former?.(ip, ownerUid, place) : undefined;
      if (podUid !== undefined) claims.set(ip, podUid);
    }
    const unclaimed = wanted?.backends.filter(mayClaim) ?? [];
    if (unclaimed.length === 0) continue;
    const bound = new Set(place.targets.map(targetKey));
    for (const backend of unclaimed) if (bound.has(targetKey(backend))) claims.set(backend.ip, backend.podUid);
  }
  return claims;
}
