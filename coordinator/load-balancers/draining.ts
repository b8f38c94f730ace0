import { type LoadBalancer, type Place, placesOf, type Slot, slotOf } from "../domain/load-balancer.ts";

/** The targets at weight 0, found once for each place: one in which something has changed is another object. */
export class DrainingTargets {
  readonly #byPlace = new WeakMap<Place, readonly Slot[]>();

  of(actual: Pick<LoadBalancer, "listeners">): readonly Slot[] {
    const all: Slot[] = [];
    for (const place of placesOf(actual)) for (const slot of this.#at(place)) all.push(slot);
    return all;
  }

  #at(place: Place): readonly Slot[] {
    const known = this.#byPlace.get(place);
    if (known !== undefined) return known;
    const found = place.targets.filter(({ weight }) => weight === 0).map((target) => slotOf(place, target));
    this.#byPlace.set(place, found);
    return found;
  }
}
