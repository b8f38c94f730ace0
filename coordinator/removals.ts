import type { Clock } from "../common/clock.ts";
import { isOver, type PodFact, podName } from "../common/vocabulary.ts";
import type { Mirror } from "./cloud/mirror.ts";
import { brake, type Level, noteLevel, type Parked, type PlaceLoad, removedSlots, withoutParked } from "./domain/brake.ts";
import { type Call, type LoadBalancer, type Place, placeKey, placesOf, type Slot, slotKey, slotOf } from "./domain/load-balancer.ts";
import type { Journal } from "./journal.ts";
import type { Ledger } from "./ledger.ts";
import type { PodIndex } from "./pod-index.ts";
import type { PodChange, PodFacts } from "./ports.ts";

export type RemovalsDeps = {
  readonly mirror: Mirror;
  readonly journal: Journal;
  readonly facts: PodFacts;
  readonly pods: PodIndex;
  readonly ledger: Pick<Ledger, "hasAskedFor">;
  readonly clock: Clock;
  /** Ids of removals that a person released at this load balancer. */
  readonly released: (loadBalancerId: string) => ReadonlySet<string>;
  /** Told once when a removal is parked. */
  readonly onParked: (loadBalancerId: string, parked: Parked) => void;
};

/** Names and labels remembered of Pods that are gone or were relabelled. */
const MAX_REMEMBERED = 20_000;

/** What the brake must know besides the plan: how many backends each place had, why each leaves, and what a person released. */
export class Removals {
  readonly #deps: RemovalsDeps;
  readonly #history = new Map<string, readonly Level[]>();
  /** The place as it was last counted, by load balancer and place: it is another object when anything of it has changed. */
  readonly #counted = new Map<string, Place>();
  readonly #healthRead = new Set<string>();
  readonly #parked = new Map<string, readonly Parked[]>();
  /** Slot keys by load balancer that a person let go and that are not gone yet: half of a removal has another id than the whole. */
  readonly #letGo = new Map<string, ReadonlySet<string>>();
  /** Live Pods whose own labels took them out of a selection. */
  readonly #relabelled = new Set<string>();
  readonly #names = new Map<string, string>();

  constructor(deps: RemovalsDeps) {
    this.#deps = deps;
  }

  /** The removals that wait at one load balancer, as of its last plan. */
  parked(loadBalancerId: string): readonly Parked[] {
    return this.#parked.get(loadBalancerId) ?? [];
  }

  get parkedCount(): number {
    return [...this.#parked.values()].reduce((sum, parked) => sum + parked.length, 0);
  }

  healthRead(loadBalancerIds: readonly string[]): void {
    for (const id of loadBalancerIds) this.#healthRead.add(id);
  }

  isHealthRead(loadBalancerId: string): boolean {
    return this.#healthRead.has(loadBalancerId);
  }

  /** `wasSelected` and `isSelected`: by a Service that we serve, before and after the change. */
  podChanged({ before, after }: PodChange, wasSelected: boolean, isSelected: boolean): void {
    const pod = after ?? before;
    if (pod === undefined) return;
    if (after === undefined || isSelected) this.#relabelled.delete(pod.uid);
    else if (wasSelected) remember(this.#relabelled, pod.uid);
    if (after !== undefined) return;
    if (this.#names.size >= MAX_REMEMBERED) this.#names.delete(this.#names.keys().next().value ?? "");
    this.#names.set(pod.uid, podName(pod));
  }

  /** The calls that may go; the others are parked. */
  hold(actual: LoadBalancer, calls: readonly Call[]): readonly Call[] {
    const { clock, released, onParked } = this.#deps;
    const id = actual.loadBalancerId;
    const now = clock.now();
    const places = placesOf(actual);
    for (const place of places) this.#count(id, place, now);
    const weights = new Map<string, number>();
    const involved = new Set(
      calls.flatMap((call) => ("slots" in call ? call.slots.map(placeKey) : call.lane === "drain" ? call.weights.map(placeKey) : [])),
    );
    const loads = new Map<string, PlaceLoad>();
    for (const place of places) {
      if (!involved.has(placeKey(place))) continue;
      for (const target of place.targets) weights.set(slotKey(slotOf(place, target)), target.weight);
      if (place.healthCheck.enabled && !this.#healthRead.has(id)) continue;
      const stable = this.#stable(id, place);
      const history = noteLevel(this.#history.get(`${id} ${placeKey(place)}`) ?? [], stable.size, now);
      loads.set(placeKey(place), { history, stable });
    }
    const slots = removedSlots(calls, (slot) => weights.get(slotKey(slot)) ?? 0);
    const letGo = this.#letGo.get(id);
    const byPerson = (slot: Slot): string | undefined => (letGo?.has(slotKey(slot)) === true ? "a person let it go" : undefined);
    const removals = slots.map((slot) => ({ slot, confirmed: this.evidence(id, slot.ip) ?? byPerson(slot) }));
    const ids = released(id);
    const doubted = brake(loads, removals, now);
    const parked = doubted.filter((one) => !ids.has(one.id));
    const goes = [...slots.filter(byPerson), ...doubted.filter((one) => ids.has(one.id)).flatMap((one) => one.slots)];
    if (goes.length === 0) this.#letGo.delete(id);
    else this.#letGo.set(id, new Set(goes.map(slotKey)));
    const before = new Set(this.parked(id).map((one) => one.id));
    if (parked.length === 0) this.#parked.delete(id);
    else this.#parked.set(id, parked);
    // While health was not read yet it is only a matter of a moment.
    for (const one of parked) if (!before.has(one.id) && loads.has(one.place)) onParked(id, one);
    return withoutParked(calls, parked);
  }

  /** Why the Pod behind a bound address is certainly to leave, e.g. "Pod shop/web-1 was deleted"; undefined: it is merely missing. */
  evidence(id: string, ip: string): string | undefined {
    const { journal, facts, pods } = this.#deps;
    const present = pods.byIp(ip);
    const uid = journal.podOf(id, ip) ?? present?.uid;
    if (uid === undefined) return undefined;
    if (present !== undefined && present.uid !== uid && !isOver(present)) return `${ip} belongs to Pod ${podName(present)} now`;
    const pod = facts.pods.get(uid);
    if (pod !== undefined) return this.#whyLeaves(id, pod);
    const end = facts.endOf(uid);
    if (end === "deleted") return `${this.nameOf(uid)} was deleted`;
    return end === "node-deleted" ? `${this.nameOf(uid)}: its Node was deleted` : undefined;
  }

  /** "Pod shop/web-1", also when it is gone; its UID where the name was never known. */
  nameOf(podUid: string): string {
    const pod = this.#deps.facts.pods.get(podUid);
    return `Pod ${pod === undefined ? (this.#names.get(podUid) ?? podUid) : podName(pod)}`;
  }

  #whyLeaves(id: string, pod: PodFact): string | undefined {
    if (pod.deletionAtMs !== undefined) return `Pod ${podName(pod)} is being deleted`;
    if (isOver(pod)) return `the containers of Pod ${podName(pod)} are over`;
    // A Pod that is as it was: the Service asks for other ones. One that was relabelled may be a mistake of many.
    if (this.#relabelled.has(pod.uid) || !this.#deps.ledger.hasAskedFor(id, pod)) return undefined;
    return `Pod ${podName(pod)} is not asked for any more`;
  }

  #count(id: string, place: Place, nowMs: number): void {
    const key = `${id} ${placeKey(place)}`;
    if (this.#counted.get(key) === place || (place.healthCheck.enabled && !this.#healthRead.has(id))) return;
    this.#counted.set(key, place);
    this.#history.set(key, noteLevel(this.#history.get(key) ?? [], this.#stable(id, place).size, nowMs));
  }

  #stable(id: string, place: Place): Set<string> {
    const serving = place.targets
      .map((target) => ({ slot: slotOf(place, target), weight: target.weight }))
      .filter(({ weight }) => weight > 0);
    const isStable = (slot: Slot): boolean => !place.healthCheck.enabled || this.#deps.mirror.health(id, slot)?.state === "Alive";
    return new Set(serving.filter(({ slot }) => isStable(slot)).map(({ slot }) => slotKey(slot)));
  }
}

function remember(uids: Set<string>, uid: string): void {
  uids.add(uid);
  const [oldest] = uids;
  if (uids.size > MAX_REMEMBERED && oldest !== undefined) uids.delete(oldest);
}
