import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { Logger } from "../../common/log.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { WantedBackend } from "../domain/intent/backends.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import { type LoadBalancer, type Place, type PlaceId, type Target, targetKey } from "../domain/load-balancer.ts";
import { placePairs } from "../domain/plan/plan-structure.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import type { PodIndex } from "../state/pod-index.ts";
import { pauseAfterFailedClaim } from "./failed-call.ts";
import type { Lanes } from "./lanes.ts";
import type { RefusedItems } from "./refused-items.ts";
import type { Writer } from "./writer.ts";

export type AdoptDeps = {
  readonly writer: Pick<Writer, "claim">;
  readonly addressClaims: Pick<AddressClaims, "podOf" | "version">;
  /** Default: every place is looked at. */
  readonly claimed?: ClaimedPlaces;
  /**
   * A wanted backend gets the target that is claimed for the Pod `claimed` at its address, because nothing is ever unbound, or because nothing
   * can come of it that the claim prevents; default: none does. `isAllWanted`: every place that has this address wants this backend.
   */
  readonly takesOver?: (backend: WantedBackend, claimed: string, isAllWanted: () => boolean) => boolean;
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

/** Places with nothing to adopt: every target is claimed, and whoever is wanted has his own. Only what is compared here decides that. */
export class ClaimedPlaces {
  readonly #known = new WeakMap<Place, { readonly wanted: readonly WantedBackend[] | undefined; readonly version: number }>();

  readonly #all = new WeakMap<DesiredLoadBalancer["listeners"], { readonly actual: LoadBalancer; readonly version: number }>();

  /** Of all places of the load balancer: these listeners, and these wishes. */
  areAll({ listeners }: DesiredLoadBalancer, actual: LoadBalancer, version: number): boolean {
    const known = this.#all.get(listeners);
    if (known?.version !== version || known.actual.listeners !== actual.listeners) return false;
    return known.actual.vips === actual.vips && known.actual.domain === actual.domain;
  }

  noteAll({ listeners }: DesiredLoadBalancer, actual: LoadBalancer, version: number): void {
    this.#all.set(listeners, { actual, version });
  }

  /** `version`: of the claims at the load balancer, which `podOf` looks up. */
  are(place: Place, wanted: readonly WantedBackend[] | undefined, version: number, podOf: (ip: string) => string | undefined): boolean {
    const known = this.#known.get(place);
    if (known?.version === version && known.wanted === wanted) return true;
    if (place.targets.some(({ ip }) => podOf(ip) === undefined)) return false;
    const others = wanted?.filter(({ ip, podUid }) => podOf(ip) !== podUid) ?? [];
    if (others.some(({ ip }) => podOf(ip) !== undefined)) return false; // who may take over is not for ever
    this.#known.set(place, { wanted, version }); // who has no claim is not bound here: every target has one
    return true;
  }
}

/** Address -> UID of the Pod that it is to be claimed for. */
function adoptable(
  { addressClaims, takesOver, former, claimed: known = new ClaimedPlaces() }: AdoptDeps,
  desired: DesiredLoadBalancer,
  actual: LoadBalancer,
): Map<string, string> {
  const claims = new Map<string, string>();
  const version = addressClaims.version(actual.loadBalancerId);
  if (known.areAll(desired, actual, version)) return claims;
  const pairs = placePairs(desired, actual);
  const isAllWanted = (backend: WantedBackend): boolean =>
    pairs.every(({ place, wanted }) => {
      const isWanted = (target: Target): boolean =>
        wanted?.backends.some((one) => one.podUid === backend.podUid && targetKey(one) === targetKey(target)) === true;
      return place.targets.every((target) => target.ip !== backend.ip || isWanted(target));
    });
  const mayClaim = (backend: WantedBackend): boolean => {
    const claimed = addressClaims.podOf(actual.loadBalancerId, backend.ip);
    if (claimed === undefined) return true;
    return claimed !== backend.podUid && backend.bindable && takesOver?.(backend, claimed, () => isAllWanted(backend)) === true;
  };
  const podOf = (ip: string): string | undefined => addressClaims.podOf(actual.loadBalancerId, ip);
  let areAll = true;
  for (const { place, wanted, ownerUid } of pairs) {
    if (place.targets.length === 0 || known.are(place, wanted?.backends, version, podOf)) continue;
    areAll = false;
    for (const { ip } of place.targets) {
      const podUid = addressClaims.podOf(actual.loadBalancerId, ip) === undefined ? former?.(ip, ownerUid, place) : undefined;
      if (podUid !== undefined) claims.set(ip, podUid);
    }
    const unclaimed = wanted?.backends.filter(mayClaim) ?? [];
    if (unclaimed.length === 0) continue;
    const bound = new Set(place.targets.map(targetKey));
    for (const backend of unclaimed) if (bound.has(targetKey(backend))) claims.set(backend.ip, backend.podUid);
  }
  if (areAll) known.noteAll(desired, actual, version);
  return claims;
}

/**
 * An address that passed to another Pod is unbound and bound anew, so that no gate opens on what was found of the former one. Where the gate is
 * open, or the Pod has none and nobody saw the claimed one end, that would only take a live Pod's traffic: somebody has edited the record.
 */
const nobodyWaitsFor = ({ gate, hasGate }: PodFact, claimed: string, facts: Pick<PodFacts, "endOf">): boolean =>
  gate === "True" || (!hasGate && facts.endOf(claimed) === undefined);

/** `keepsAll`: nothing is ever unbound. */
export const takingOver =
  (
    { pods, facts }: { readonly pods: Pick<PodIndex, "byIp">; readonly facts: Pick<PodFacts, "endOf"> },
    keepsAll: boolean,
  ): NonNullable<AdoptDeps["takesOver"]> =>
  ({ ip, podUid }, claimed, isAllWanted) => {
    const pod = pods.byIp(ip);
    return pod?.uid === podUid && (keepsAll || (nobodyWaitsFor(pod, claimed, facts) && isAllWanted()));
  };
