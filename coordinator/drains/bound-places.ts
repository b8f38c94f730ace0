import type { Call } from "../domain/call.ts";
import { type Listener, type LoadBalancer, placesOf, type Slot, slotKey, slotOf } from "../domain/load-balancer.ts";
import type { HeldAt } from "../domain/readiness/drain-end.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Mirror } from "../state/mirror.ts";
import type { KeptWeights } from "./kept-weights.ts";

export type BoundPlacesDeps = {
  readonly addressClaims: Pick<AddressClaims, "loadBalancersOf" | "podOf">;
  readonly mirror: Pick<Mirror, "listeners" | "staleBecause" | "isGone">;
  /** The write that runs at a load balancer. */
  readonly running: (loadBalancerId: string) => Call | undefined;
  readonly kept: Pick<KeptWeights, "why">;
};

type Bound = { readonly slot: Slot; readonly weight: number; readonly name: string };
/** What is bound at a load balancer, by address; made once for each state of it. */
type ByAddress = ReadonlyMap<string, readonly Bound[]>;

/**
 * Where a Pod is bound, behind however many places. A claim is written before its bind, so where nothing is claimed for the Pod nothing is
 * bound. `unknown`: what has to be known first.
 */
export class BoundPlaces {
  readonly #deps: BoundPlacesDeps;
  readonly #byListeners = new WeakMap<readonly Listener[], ByAddress>();

  constructor(deps: BoundPlacesDeps) {
    this.#deps = deps;
  }

  /** `ips`: where they are known. */
  of(podUid: string, ips: readonly string[] | undefined): { readonly places: readonly HeldAt[]; readonly unknown: string | undefined } {
    const { addressClaims, mirror, running, kept } = this.#deps;
    const places: HeldAt[] = [];
    let unknown: string | undefined;
    for (const id of addressClaims.loadBalancersOf([podUid])) {
      const listeners = mirror.listeners(id);
      if (mirror.isGone(id)) continue;
      if (listeners === undefined || mirror.staleBecause(id) !== undefined) unknown ??= `${id} is to be read`;
      const call = running(id);
      if (call !== undefined && "targets" in call && call.targets.some((target) => target.podUid === podUid))
        unknown ??= `a bind at ${id} runs`;
      const byAddress = this.#at(listeners ?? []);
      for (const ip of ips ?? byAddress.keys())
        if (addressClaims.podOf(id, ip) === podUid)
          for (const { slot, weight, name } of byAddress.get(ip) ?? [])
            places.push({ place: `${id} ${name}`, weight, kept: weight > 0 ? kept.why(id, slotKey(slot)) : undefined });
    }
    return { places, unknown };
  }

  #at(listeners: LoadBalancer["listeners"]): ByAddress {
    const known = this.#byListeners.get(listeners);
    if (known !== undefined) return known;
    const byAddress = new Map<string, Bound[]>();
    for (const listener of listeners)
      for (const place of placesOf({ listeners: [listener] })) {
        const rule = listener.rules.find(({ locationId }) => locationId === place.locationId);
        const name = `${listener.protocol}:${listener.port}${rule === undefined ? "" : ` ${rule.domain}${rule.url}`}`;
        for (const target of place.targets) {
          const bound = { slot: slotOf(place, target), weight: target.weight, name };
          const same = byAddress.get(target.ip);
          if (same === undefined) byAddress.set(target.ip, [bound]);
          else same.push(bound);
        }
      }
    this.#byListeners.set(listeners, byAddress);
    return byAddress;
  }
}
