import type { Clock } from "../../common/clock.ts";
import { isOver, type PodFact, podName } from "../../common/vocabulary.ts";
import type { Call } from "../domain/call.ts";
import { type LoadBalancer, type Place, placeKey, placesOf, type Slot, slotKey, targetKey } from "../domain/load-balancer.ts";
import { takesFrom } from "../domain/plan/address-holder.ts";
import { brake, type Parked, type Removal, removedSlots, withoutParked } from "../domain/safety/brake.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { PodChange, PodFacts } from "../state/pod-facts.ts";
import type { PodIndex } from "../state/pod-index.ts";
import { Releases } from "./releases.ts";
import { StableBackends } from "./stable-backends.ts";

export type RemovalGuardDeps = {
  readonly mirror: Mirror;
  readonly addressClaims: AddressClaims;
  readonly facts: PodFacts;
  readonly pods: PodIndex;
  readonly intents: Pick<Intents, "hasAskedFor">;
  readonly clock: Clock;
  /** UID of the Service that a listener belongs to; undefined where nobody knows. */
  readonly ownerOf: (loadBalancerId: string, listenerId: string) => string | undefined;
  /** Ids of removals that a person released at this load balancer. */
  readonly released: (loadBalancerId: string) => ReadonlySet<string>;
  /** Told once when a removal is parked. */
  readonly onParked: (loadBalancerId: string, parked: Parked) => void;
};

/** Names and labels remembered of Pods that are gone or were relabelled. */
const MAX_REMEMBERED = 20_000;

/** Services that select a Pod, or do no longer since its own labels were changed; by UID. */
export type SelectionChange = { readonly selecting: readonly string[]; readonly left: readonly string[] };

/** What the brake must know besides the plan: how many backends each place had, why each leaves, and what a person released. */
export class RemovalGuard {
  readonly #deps: RemovalGuardDeps;
  readonly #loads: StableBackends;
  readonly #releases = new Map<string, Releases>();
  readonly #parked = new Map<string, readonly Parked[]>();
  /**
   * By load balancer the slots that a person let go and that are not gone yet, and by which removal: half of a removal has another id than
   * the whole.
   */
  readonly #letGo = new Map<string, ReadonlyMap<string, LetGo>>();
  /** By UID of a live Pod: the Services that its own labels took it away from. */
  readonly #relabelled = new Map<string, Set<string>>();
  readonly #names = new Map<string, string>();

  constructor(deps: RemovalGuardDeps) {
    this.#deps = deps;
    this.#loads = new StableBackends(deps);
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
    for (const book of [this.#loads, this.#releases, this.#parked, this.#letGo]) book.delete(loadBalancerId);
  }

  healthRead(loadBalancerIds: readonly string[]): void {
    this.#loads.healthRead(loadBalancerIds);
  }

  isHealthRead(loadBalancerId: string): boolean {
    return this.#loads.isHealthRead(loadBalancerId);
  }

  /** What a person wrote on the owners of a load balancer may have changed. True: it has, so the next plan may be another one. */
  releasesChanged(loadBalancerId: string): boolean {
    return this.#releasesOf(loadBalancerId).look(this.#deps.released(loadBalancerId), this.#deps.clock.now());
  }

  podChanged({ before, after }: PodChange, { selecting, left }: SelectionChange): void {
    const pod = after ?? before;
    if (pod === undefined) return;
    if (after !== undefined) {
      this.#noteLabels(pod.uid, selecting, left);
      return;
    }
    this.#relabelled.delete(pod.uid);
    if (this.#names.size >= MAX_REMEMBERED) this.#names.delete(this.#names.keys().next().value ?? "");
    this.#names.set(pod.uid, podName(pod));
  }

  /**
   * The calls that may go; the others are parked. `acting` false: somebody only looks at what would come after the write that runs now,
   * so nothing is noted.
   */
  hold(actual: LoadBalancer, calls: readonly Call[], acting = true): readonly Call[] {
    const id = actual.loadBalancerId;
    const now = this.#deps.clock.now();
    const places = new Map(placesOf(actual).map((place) => [placeKey(place), place]));
    this.#loads.count(id, places);
    const weightOf = weightsOf(places);
    const slots = removedSlots(calls, (slot) => weightOf(slot) ?? 0);
    const { addressClaims } = this.#deps;
    const removals = slots.map((slot): Removal => ({ slot, podUid: addressClaims.podOf(id, slot.ip), confirmed: this.cause(id, slot) }));
    const doubted = removals.length === 0 ? [] : brake({ get: (key) => this.#loads.of(id, key, places.get(key)) }, removals, now);
    if (!acting) return withoutParked(calls, doubted);
    this.#noteCarriedOut(id, new Set(slots.map(slotKey)), weightOf);
    const parked = this.#release(id, doubted, now);
    this.#park(id, parked, places);
    return withoutParked(calls, parked);
  }

  /** Why a slot may be taken away: evidence, or a person's word, e.g. "Pod shop/web-1: a person released removal r-5e21c0ff". */
  cause(id: string, slot: Slot): string | undefined {
    const evidence = this.evidence(id, slot);
    const letGo = evidence === undefined ? this.#letGo.get(id)?.get(slotKey(slot)) : undefined;
    if (letGo === undefined) return evidence;
    const podUid = this.#deps.addressClaims.podOf(id, slot.ip);
    return `${podUid === undefined ? slot.ip : this.nameOf(podUid)}: a person released removal ${letGo.removal}`;
  }

  /** Why the Pod behind a bound slot is certainly to leave it, e.g. "Pod shop/web-1 was deleted"; undefined: it is merely missing. */
  evidence(id: string, slot: Slot): string | undefined {
    const { addressClaims, facts, pods } = this.#deps;
    const { ip } = slot;
    const present = pods.byIp(ip);
    const uid = addressClaims.podOf(id, ip) ?? present?.uid;
    if (uid === undefined) return undefined;
    if (present !== undefined && takesFrom(uid, present)) return `${ip} belongs to Pod ${podName(present)} now`;
    const pod = facts.pods.get(uid);
    if (pod !== undefined) return this.#whyLeaves(id, slot, pod);
    const end = facts.endOf(uid);
    if (end === "deleted") return `${this.nameOf(uid)} was deleted`;
    return end === "node-deleted" ? `${this.nameOf(uid)}: its Node was deleted` : undefined;
  }

  /** "Pod shop/web-1", also when it is gone; its UID where the name was never known. */
  nameOf(podUid: string): string {
    const pod = this.#deps.facts.pods.get(podUid);
    return `Pod ${pod === undefined ? (this.#names.get(podUid) ?? podUid) : podName(pod)}`;
  }

  /** What a Service asks for says nothing of a listener of another one, although both have the same Pods. */
  #whyLeaves(id: string, { listenerId, ip }: Slot, pod: PodFact): string | undefined {
    if (pod.deletionAtMs !== undefined) return `Pod ${podName(pod)} is being deleted`;
    if (isOver(pod)) return `the containers of Pod ${podName(pod)} are over`;
    // A Pod that is told without the address that it had: nobody asked for that.
    if (!pod.ips.includes(ip)) return undefined;
    const owner = this.#deps.ownerOf(id, listenerId);
    if (owner === undefined) return undefined;
    // A Pod that is as it was: the Service asks for other ones. One that was relabelled may be a mistake of many.
    if (this.#relabelled.get(pod.uid)?.has(owner) === true || !this.#deps.intents.hasAskedFor(owner, pod)) return undefined;
    return `Pod ${podName(pod)} is not asked for any more`;
  }

  #noteLabels(podUid: string, selecting: readonly string[], left: readonly string[]): void {
    const known = this.#relabelled.get(podUid);
    if (known === undefined && left.length === 0) return;
    const services = new Set([...(known ?? []), ...left].filter((uid) => !selecting.includes(uid)));
    this.#relabelled.delete(podUid); // moves it to the young end
    if (services.size > 0) this.#relabelled.set(podUid, services);
    const [oldest] = this.#relabelled.keys();
    if (this.#relabelled.size > MAX_REMEMBERED && oldest !== undefined) this.#relabelled.delete(oldest);
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
      if (!before.has(one.id) && place !== undefined && this.#loads.isKnown(id, place)) this.#deps.onParked(id, one);
    }
  }
}

type LetGo = { readonly slot: Slot; readonly removal: string };
type WeightOf = (slot: Slot) => number | undefined;

/** The weight of a bound slot; a place is looked at when it is first asked about. */
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
