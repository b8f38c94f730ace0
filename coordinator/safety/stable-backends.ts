import type { Clock } from "../../common/clock.ts";
import { type Listener, type LoadBalancer, type Place, placeKey, placesOf, slotKey, slotOf, type Target } from "../domain/load-balancer.ts";
import { type Level, noteLevel, type PlaceLoad } from "../domain/safety/brake.ts";
import type { Mirror } from "../state/mirror.ts";

/** `place` is the object that was last counted: it is another one when anything of it has changed. */
type Counted = { readonly place: Place; readonly history: readonly Level[] };

/** How many backends serve in each place, and how many did of late. */
export class StableBackends {
  readonly #mirror: Pick<Mirror, "health">;
  readonly #clock: Clock;
  readonly #healthRead = new Set<string>();
  /** By load balancer and place key. */
  readonly #counted = new Map<string, Map<string, Counted>>();
  /** Listeners all of whose places have been counted, as they are. */
  readonly #all = new Map<string, readonly Listener[]>();

  constructor({ mirror, clock }: { readonly mirror: Pick<Mirror, "health">; readonly clock: Clock }) {
    this.#mirror = mirror;
    this.#clock = clock;
  }

  /** The load balancer is gone; its health has to be read again should it come back. */
  delete(loadBalancerId: string): void {
    this.#counted.delete(loadBalancerId);
    this.#all.delete(loadBalancerId);
    this.#healthRead.delete(loadBalancerId);
  }

  healthRead(loadBalancerIds: readonly string[]): void {
    for (const id of loadBalancerIds) this.#healthRead.add(id);
  }

  isHealthRead(loadBalancerId: string): boolean {
    return this.#healthRead.has(loadBalancerId);
  }

  /** What serves in the place can be told: its health was read, or is not checked. */
  isKnown(id: string, { healthCheck }: Place): boolean {
    return !healthCheck.enabled || this.#healthRead.has(id);
  }

  /** Counts all places of a load balancer; a place in which nothing has changed is passed over. */
  count({ loadBalancerId: id, listeners }: Pick<LoadBalancer, "loadBalancerId" | "listeners">): void {
    if (this.#all.get(id) === listeners) return;
    const places = placesOf({ listeners });
    const counted = this.#counted.get(id) ?? new Map<string, Counted>();
    this.#counted.set(id, counted);
    const now = this.#clock.now();
    let isAll = true;
    for (const place of places) {
      const key = placeKey(place);
      const known = counted.get(key);
      if (known?.place === place) continue;
      if (!this.isKnown(id, place)) {
        isAll = false;
        continue;
      }
      counted.set(key, { place, history: noteLevel(known?.history ?? [], this.#serving(id, place).length, now) });
    }
    if (isAll) this.#all.set(id, listeners);
    if (counted.size <= places.length) return;
    const present = new Set(places.map(placeKey));
    for (const key of counted.keys()) if (!present.has(key)) counted.delete(key);
  }

  /** Undefined while it cannot be told. */
  of(id: string, key: string, place: Place | undefined): PlaceLoad | undefined {
    if (place === undefined || !this.isKnown(id, place)) return undefined;
    const stable = new Set(this.#serving(id, place).map((target) => slotKey(slotOf(place, target))));
    const history = this.#counted.get(id)?.get(key)?.history ?? [];
    return { history: noteLevel(history, stable.size, this.#clock.now()), stable };
  }

  #serving(id: string, place: Place): Target[] {
    const isHealthy = (target: Target): boolean =>
      !place.healthCheck.enabled || this.#mirror.health(id, slotOf(place, target))?.state === "Alive";
    return place.targets.filter((target) => target.weight > 0 && isHealthy(target));
  }
}
