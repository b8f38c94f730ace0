import type { Clock } from "../../common/clock.ts";
import type { Call } from "../domain/call.ts";
import { type LoadBalancer, type Place, placeKey, placesOf, type Slot, slotKey, slotOf, targetKey } from "../domain/load-balancer.ts";
import { brake, floorOf, type Parked, type Removal, removedSlots, withoutParked } from "../domain/safety/brake.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Mirror } from "../state/mirror.ts";
import type { EndEvidence } from "./end-evidence.ts";
import { Releases } from "./releases.ts";
import { StableBackends } from "./stable-backends.ts";

export type RemovalGuardDeps = {
  readonly mirror: Mirror;
  readonly addressClaims: AddressClaims;
  readonly evidence: Pick<EndEvidence, "of" | "nameOf">;
  readonly clock: Clock;
  /** Ids of removals that a person released at this load balancer. */
  readonly released: (loadBalancerId: string) => ReadonlySet<string>;
  /** Told once when a removal is parked. */
  readonly onParked: (loadBalancerId: string, parked: Parked) => void;
};

/** What the brake must know besides the plan: how many backends each place had, why each leaves, and what a person released. */
export class RemovalGuard {
  readonly #deps: RemovalGuardDeps;
  readonly #stable: StableBackends;
  readonly #releases = new Map<string, Releases>();
  readonly #parked = new Map<string, readonly Parked[]>();
  /**
   * By load balancer the slots that a person let go and that are not gone yet, and by which removal: half of a removal has another id than
   * the whole.
   */
  readonly #letGo = new Map<string, ReadonlyMap<string, LetGo>>();

  constructor(deps: RemovalGuardDeps) {
    this.#deps = deps;
    this.#stable = new StableBackends(deps);
  }

  /** The removals that wait at one load balancer, as of its last plan. */
  parked(loadBalancerId: string): readonly Parked[] {
    return this.#parked.get(loadBalancerId) ?? [];
  }

  /** What a person let go at one load balancer by ids that no removal has. */
  strayReleases(loadBalancerId: string): readonly string[] {
    return this.#releases.get(loadBalancerId)?.strays ?? [];
  }

  get parkedCount(): number {
    return [...this.#parked.values()].reduce((sum, parked) => sum + parked.length, 0);
  }

  /** The load balancer is gone, or not ours any more. */
  forget(loadBalancerId: string): void {
    for (const memory of [this.#stable, this.#releases, this.#parked, this.#letGo]) memory.delete(loadBalancerId);
  }

  healthRead(loadBalancerIds: readonly string[]): void {
    this.#stable.healthRead(loadBalancerIds);
  }

  isHealthRead(loadBalancerId: string): boolean {
    return this.#stable.isHealthRead(loadBalancerId);
  }

  /** So many of the backends that serve in this place have to stay; undefined: what serves there is not known yet. */
  floorOf(loadBalancerId: string, place: Place): number | undefined {
    const load = this.#stable.of(loadBalancerId, placeKey(place), place);
    return load && floorOf(load.history, this.#deps.clock.now());
  }

  /** What a person wrote on the owners of a load balancer may have changed. True: it has, so the next plan may be another one. */
  releasesChanged(loadBalancerId: string): boolean {
    return this.#releasesOf(loadBalancerId).look(this.#deps.released(loadBalancerId), this.#deps.clock.now());
  }

  /**
   * The calls that may go; the others are parked. `acting` false: somebody only asks what would come after the write that runs now,
   * so nothing is noted.
   */
  hold(actual: LoadBalancer, calls: readonly Call[], acting = true): readonly Call[] {
    const id = actual.loadBalancerId;
    const now = this.#deps.clock.now();
    this.#stable.count(actual);
    if (calls.length === 0 && !this.#letGo.has(id)) {
      if (acting) this.#noteNothing(id);
      return calls;
    }
    const all = placesOf(actual);
    const places = new Map(all.map((place) => [placeKey(place), place]));
    const weightOf = weightsOf(places);
    const slots = removedSlots(calls, (slot) => weightOf(slot) ?? 0, boundIn(all));
    const { addressClaims } = this.#deps;
    const removals = slots.map((slot): Removal => ({ slot, podUid: addressClaims.podOf(id, slot.ip), confirmed: this.cause(id, slot) }));
    const doubted = removals.length === 0 ? [] : brake({ get: (key) => this.#stable.of(id, key, places.get(key)) }, removals, now);
    if (!acting) return withoutParked(calls, doubted);
    this.#noteCarriedOut(id, new Set(slots.map(slotKey)), weightOf);
    const parked = this.#release(id, doubted, now);
    this.#park(id, parked, places);
    return withoutParked(calls, parked);
  }

  /** Nothing goes, so nothing waits. */
  #noteNothing(id: string): void {
    this.releasesChanged(id);
    this.#parked.delete(id);
  }

  /** Why a slot may be taken away: evidence, or a person's word, e.g. "Pod shop/web-1: a person released removal r-5e21c0ff". */
  cause(id: string, slot: Slot): string | undefined {
    const evidence = this.#deps.evidence.of(id, slot);
    const letGo = evidence === undefined ? this.#letGo.get(id)?.get(slotKey(slot)) : undefined;
    if (letGo === undefined) return evidence;
    const podUid = this.#deps.addressClaims.podOf(id, slot.ip);
    return `${podUid === undefined ? slot.ip : this.#deps.evidence.nameOf(podUid)}: a person released removal ${letGo.removal}`;
  }

  #releasesOf(id: string): Releases {
    const releases = this.#releases.get(id) ?? new Releases();
    this.#releases.set(id, releases);
    return releases;
  }

  /** What was let go and has gone uses its release up; what is not to go any more is doubted anew, should it come to that. */
  #noteCarriedOut(id: string, planned: ReadonlySet<string>, weightOf: WeightOf): void {
    const letGo = this.#letGo.get(id);
    if (letGo === undefined) return;
    const left = [...letGo].filter(([key, { slot, removal }]) => {
      if (planned.has(key)) return true;
      if ((weightOf(slot) ?? 0) === 0) this.#releasesOf(id).use(removal);
      return false;
    });
    if (left.length === 0) this.#letGo.delete(id);
    else this.#letGo.set(id, new Map(left));
  }

  /** Lets go what a person has released; the rest stays doubted, with what has become of a release that names it. */
  #release(id: string, doubted: readonly Parked[], nowMs: number): readonly Parked[] {
    this.releasesChanged(id);
    const releases = this.#releasesOf(id);
    const letGo = new Map(this.#letGo.get(id));
    const parked = doubted.flatMap((one): readonly Parked[] => {
      const release = releases.judge(one.id, nowMs);
      if (release !== "good") return [release === undefined ? one : { ...one, spent: release }];
      for (const slot of one.slots) letGo.set(slotKey(slot), { slot, removal: one.id });
      return [];
    });
    if (letGo.size > 0) this.#letGo.set(id, letGo);
    return parked;
  }

  #park(id: string, parked: readonly Parked[], places: ReadonlyMap<string, Place>): void {
    const before = new Set(this.parked(id).map((one) => one.id));
    if (parked.length === 0) this.#parked.delete(id);
    else this.#parked.set(id, parked);
    for (const one of parked) {
      const place = places.get(one.place);
      // While health was not read yet it is only a matter of a moment.
      if (!before.has(one.id) && place !== undefined && this.#stable.isKnown(id, place)) this.#deps.onParked(id, one);
    }
  }
}

/** The slots of a listener, or of some of its rules. */
const boundIn =
  (places: readonly Place[]) =>
  (listenerId: string, locationIds?: readonly string[]): Slot[] =>
    places
      .filter((place) => place.listenerId === listenerId && (locationIds === undefined || locationIds.includes(place.locationId ?? "")))
      .flatMap((place) => place.targets.map((target) => slotOf(place, target)));

type LetGo = { readonly slot: Slot; readonly removal: string };
type WeightOf = (slot: Slot) => number | undefined;

/** The weight of a bound slot; a place is counted when it is first asked about. */
function weightsOf(places: ReadonlyMap<string, Place>): WeightOf {
  const known = new Map<string, ReadonlyMap<string, number>>();
  return (slot) => {
    const key = placeKey(slot);
    let weights = known.get(key);
    if (weights === undefined) {
      weights = new Map(places.get(key)?.targets.map((target) => [targetKey(target), target.weight]));
      known.set(key, weights);
    }
    return weights.get(targetKey(slot));
  };
}
