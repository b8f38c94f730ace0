import type { Clock } from "../../common/clock.ts";
import { type Listener, type Place, placesOf, slotOf } from "../domain/load-balancer.ts";
import type { Awaited } from "../domain/pace/health-pace.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Mirror } from "../state/mirror.ts";
import type { PodFacts } from "../state/pod-facts.ts";

export type AwaitedDeps = {
  readonly mirror: Pick<Mirror, "listeners" | "health" | "boundAtMs">;
  readonly addressClaims: Pick<AddressClaims, "podOf">;
  readonly facts: Pick<PodFacts, "pods">;
  readonly clock: Clock;
  /** UIDs of Pods whose gates are still closed. */
  readonly waitingForGate: ReadonlySet<string>;
  /** The Pod was bound early: its health is found out at weight 0. Default: none was. */
  readonly isEarly?: (podUid: string) => boolean;
};

/** A target that has not become healthy for this long is waited for only by its Pod's gate. */
const PATIENCE_MS = 60_000;

/** A target that could become healthy. */
type Unproven = Awaited & { readonly ip: string; readonly weight: number };
type AllUnproven = { readonly targets: readonly Unproven[]; readonly youngestMs: number };

/**
 * Who waits for health at a load balancer: targets that are young, or whose Pod's gate is still closed. Asked all the time, so what the
 * mirror shows is remembered by its objects, which are others when anything of them has changed, health and times included.
 */
export function makeAwaited({
  mirror,
  addressClaims,
  facts,
  clock,
  waitingForGate,
  isEarly,
}: AwaitedDeps): (loadBalancerId: string) => Awaited[] {
  const byPlace = new WeakMap<Place, readonly Unproven[]>();
  const byListeners = new WeakMap<readonly Listener[], AllUnproven>();

  const unprovenAt = (id: string, place: Place): readonly Unproven[] => {
    const known = byPlace.get(place);
    if (known !== undefined) return known;
    const { enabled, intervalSeconds, healthyCount } = place.healthCheck;
    const found = place.targets.flatMap((target): Unproven[] => {
      const slot = slotOf(place, target);
      if (!enabled || (target.weight === 0 && isEarly === undefined) || mirror.health(id, slot)?.state === "Alive") return [];
      return [
        { ip: target.ip, weight: target.weight, boundAtMs: mirror.boundAtMs(id, slot) ?? clock.now(), intervalSeconds, healthyCount },
      ];
    });
    byPlace.set(place, found);
    return found;
  };
  const unproven = (id: string, listeners: readonly Listener[]): AllUnproven => {
    const known = byListeners.get(listeners);
    if (known !== undefined) return known;
    const targets = placesOf({ listeners }).flatMap((place) => unprovenAt(id, place));
    const found = { targets, youngestMs: targets.reduce((latest, { boundAtMs }) => Math.max(latest, boundAtMs), 0) };
    byListeners.set(listeners, found);
    return found;
  };

  return (id) => {
    const listeners = mirror.listeners(id);
    if (listeners === undefined) return [];
    const { targets, youngestMs } = unproven(id, listeners);
    if (targets.length === 0) return [];
    const oldMs = clock.now() - PATIENCE_MS;
    if (youngestMs <= oldMs && waitingForGate.size === 0) return [];
    return targets.filter(({ ip, boundAtMs, weight }) => {
      const podUid = addressClaims.podOf(id, ip);
      if (podUid === undefined || facts.pods.get(podUid) === undefined) return false;
      if (weight === 0 && isEarly?.(podUid) !== true) return false;
      return boundAtMs > oldMs || waitingForGate.has(podUid);
    });
  };
}
