import { isDeepStrictEqual } from "node:util";
import type { Call } from "../domain/call.ts";
import type { SharedRules } from "../domain/intent/shared-rules.ts";
import type { LoadBalancerFacts } from "../domain/load-balancer.ts";
import {
  type HealthCheck,
  type HealthState,
  type Listener,
  type LoadBalancer,
  type Place,
  placeKey,
  placesOf,
  type Slot,
  targetKey,
} from "../domain/load-balancer.ts";
import { proofMs } from "../domain/pace/health-pace.ts";
import { applyCall } from "../domain/plan/apply-call.ts";
import { asOwnersSee } from "../domain/shared-listeners.ts";
import { keepKnown, renewed } from "../domain/structural-sharing.ts";

/** Health of one slot and since when it is so; times in milliseconds since the epoch. */
export type SlotHealth = { readonly state: HealthState; readonly sinceMs: number };

/**
 * What a read of the place does not tell: when the target was first seen bound, since when it has weight 0, and its health.
 * `believedFromMs`: answers to questions that were asked before speak of somebody else; `aliveFromMs`: so do those that say "Alive".
 */
type SlotMemory = {
  readonly boundAtMs: number;
  readonly believedFromMs: number;
  readonly aliveFromMs: number;
  drainedAtMs: number | undefined;
  /** When its weight became 0 last, also where it has one again. */
  loweredAtMs: number | undefined;
  health: SlotHealth | undefined;
};
/** `place` is the one that `slots` was last brought in step with. */
type PlaceMemory = { place: Place; readonly slots: Map<string, SlotMemory> };

/** What we know of one load balancer. */
type Entry = {
  facts: LoadBalancerFacts;
  listeners: readonly Listener[];
  /** Why it must be read again before it is believed; undefined while it is current. */
  staleBecause: string | undefined;
  readAtMs: number;
  /** By place key. */
  readonly memory: Map<string, PlaceMemory>;
};

/** What has changed of a load balancer: targets with these addresses, or anything. */
export type MirrorChange = { readonly kind: "all" } | { readonly kind: "targets"; readonly ips: ReadonlySet<string> };
/** The listeners as their owners see them; the same objects as long as nothing of them has changed. */
type AsSeen = (id: string, actual: LoadBalancer) => readonly Listener[];
const NOTHING: MirrorChange = { kind: "targets", ips: new Set() };

/**
 * What each load balancer looks like, as far as we know. Filled by Describe, kept by our own successful writes, and read again after
 * any ambiguous answer. It holds no opinion: what should be is decided elsewhere.
 * A listener or rule is the same object as long as nothing of it has changed, its health and times included, so that whoever compares
 * objects knows what has changed.
 */
export class Mirror {
  readonly #entries = new Map<string, Entry>();
  readonly #gone = new Set<string>();
  /** Addresses that have a weight in all their places, found when it is asked for: listeners in which anything has changed are another list. */
  readonly #weighted = new WeakMap<readonly Listener[], ReadonlySet<string>>();
  readonly #onChange: (loadBalancerId: string, change: MirrorChange) => void;
  readonly #asSeen: AsSeen;

  /** `asSeen`: default: owners see listeners as the cloud has them. */
  constructor(onChange: (loadBalancerId: string, change: MirrorChange) => void, asSeen: AsSeen = (_, { listeners }) => listeners) {
    this.#onChange = onChange;
    this.#asSeen = asSeen;
  }

  get ids(): readonly string[] {
    return [...this.#entries.keys()];
  }

  read(id: string): LoadBalancer | undefined {
    const entry = this.#entries.get(id);
    return entry && { ...entry.facts, listeners: this.#asSeen(id, { ...entry.facts, listeners: entry.listeners }) };
  }

  /** Its listeners; undefined while it is not known. */
  listeners(id: string): readonly Listener[] | undefined {
    const entry = this.#entries.get(id);
    return entry && this.#asSeen(id, { ...entry.facts, listeners: entry.listeners });
  }

  /** What the load balancer is besides its listeners. */
  facts(id: string): LoadBalancerFacts | undefined {
    return this.#entries.get(id)?.facts;
  }

  /** Why it must be read before the next decision; undefined if it is current. */
  staleBecause(id: string): string | undefined {
    const entry = this.#entries.get(id);
    return entry === undefined ? "never read" : entry.staleBecause;
  }

  /** When it was last read as a whole, milliseconds since the epoch. */
  readAtMs(id: string): number | undefined {
    return this.#entries.get(id)?.readAtMs;
  }

  /** Seconds since the load balancer that was not read for longest was read as a whole; 0 if there is none. */
  oldestReadSeconds(nowMs: number): number {
    return Math.max(0, ...[...this.#entries.values()].map(({ readAtMs }) => (nowMs - readAtMs) / 1000));
  }

  markStale(id: string, because: string): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) entry.staleBecause = because;
  }

  /** We have nothing to do with it any more. */
  drop(id: string): void {
    this.#entries.delete(id);
    this.#gone.delete(id);
  }

  /** It does not exist (any more). */
  forget(id: string): void {
    const news = this.#entries.delete(id) || !this.#gone.has(id);
    this.#gone.add(id);
    if (news) this.#onChange(id, { kind: "all" }); // else the read that this causes would cause the next one
  }

  /** A read found that it does not exist. */
  isGone(id: string): boolean {
    return this.#gone.has(id);
  }

  /** A complete read of the load balancer, ended at `nowMs`. Keeps what the read cannot tell: health and times of slots that still exist. */
  fill(facts: LoadBalancerFacts, listeners: readonly Listener[], nowMs: number): void {
    const old = this.#entries.get(facts.loadBalancerId);
    const entry: Entry = {
      facts,
      listeners: old === undefined ? listeners : keepKnown(old.listeners, listeners),
      staleBecause: undefined,
      readAtMs: nowMs,
      memory: old?.memory ?? new Map(),
    };
    this.#entries.set(facts.loadBalancerId, entry);
    this.#gone.delete(facts.loadBalancerId);
    remember(entry, nowMs);
    const isSame = old !== undefined && old.staleBecause === undefined && isUnchanged(old, entry);
    this.#onChange(facts.loadBalancerId, isSame ? NOTHING : { kind: "all" });
  }

  /** Folds a write that the cloud has confirmed at `nowMs`; `created` are the ids of new listeners or rules, in the order of the call. */
  fold(id: string, call: Call, created: readonly string[], nowMs: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.listeners = applyCall(entry.listeners, call, created);
    if ("loadBalancer" in call) entry.facts = { ...entry.facts, settings: { ...entry.facts.settings, ...call.loadBalancer } };
    remember(entry, nowMs, boundNow);
    this.#onChange(id, changeBy(call));
  }

  /**
   * Takes over what DescribeTargetHealth said; slots without data are left out of `states`. An answer to a question asked before the
   * slot was bound speaks of a former binding and is not believed. An answer may be older than its question: a target that we have bound
   * ourselves cannot be "Alive" before its check has succeeded often enough. Returns the addresses that are "Alive" now and were not.
   */
  noteHealth(
    id: string,
    states: ReadonlyMap<string, HealthState>,
    times: { readonly askedMs: number; readonly nowMs: number },
  ): ReadonlySet<string> {
    const entry = this.#entries.get(id);
    const alive = new Set<string>();
    if (entry === undefined) return alive;
    const changed = new Set<string>();
    const ips = new Set<string>();
    for (const [key, state] of states) {
      const at = key.indexOf(" ");
      const slot = entry.memory.get(key.slice(0, at))?.slots.get(key.slice(at + 1));
      if (slot === undefined || slot.health?.state === state) continue;
      if (times.askedMs < (state === "Alive" ? Math.max(slot.believedFromMs, slot.aliveFromMs) : slot.believedFromMs)) continue;
      slot.health = { state, sinceMs: times.nowMs };
      changed.add(key.slice(0, at));
      ips.add(ipOf(key.slice(at + 1)));
      if (state === "Alive") alive.add(ipOf(key.slice(at + 1)));
    }
    this.#renew(id, entry, { places: changed, ips }, times.nowMs);
    return alive;
  }

  /**
   * These addresses belong to other Pods now, and were not bound anew: what was said of their health was said of the former ones. The check
   * finds a target dead within its window (clb-api.md §4.3), so one that is still alive after that has answered for itself.
   */
  passOn(id: string, ips: ReadonlySet<string>, nowMs: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const changed = new Set<string>();
    for (const place of placesOf(entry)) {
      const { unhealthyCount, intervalSeconds, timeoutSeconds } = place.healthCheck;
      const believedFromMs = nowMs + (unhealthyCount * intervalSeconds + timeoutSeconds) * 1_000;
      const slots = entry.memory.get(placeKey(place))?.slots;
      for (const target of place.targets) {
        const slot = ips.has(target.ip) ? slots?.get(targetKey(target)) : undefined;
        if (slot === undefined) continue;
        slots?.set(targetKey(target), { ...slot, boundAtMs: nowMs, believedFromMs, health: undefined });
        changed.add(placeKey(place));
      }
    }
    this.#renew(id, entry, { places: changed, ips }, nowMs);
  }

  health(id: string, slot: Slot): SlotHealth | undefined {
    return this.#slot(id, slot)?.health;
  }

  boundAtMs(id: string, slot: Slot): number | undefined {
    return this.#slot(id, slot)?.boundAtMs;
  }

  drainedAtMs(id: string, slot: Slot): number | undefined {
    return this.#slot(id, slot)?.drainedAtMs;
  }

  /** Targets with this address are there, and each has a weight. */
  hasWeight(id: string, ip: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    const known = this.#weighted.get(entry.listeners) ?? weightedAddresses(entry);
    this.#weighted.set(entry.listeners, known);
    return known.has(ip);
  }

  /** When the weight became 0 last, whoever did it; undefined: it has not since the target is known. */
  loweredAtMs(id: string, slot: Slot): number | undefined {
    return this.#slot(id, slot)?.loweredAtMs;
  }

  /** The places are other objects from now on. */
  #renew(
    id: string,
    entry: Entry,
    { places, ips }: { readonly places: ReadonlySet<string>; readonly ips: ReadonlySet<string> },
    nowMs: number,
  ): void {
    if (places.size === 0) return;
    entry.listeners = renewed(entry.listeners, places);
    remember(entry, nowMs);
    this.#onChange(id, { kind: "targets", ips });
  }

  #slot(id: string, slot: Slot): SlotMemory | undefined {
    return this.#entries.get(id)?.memory.get(placeKey(slot))?.slots.get(targetKey(slot));
  }
}

/** How long after it appeared a target cannot be healthy, milliseconds. */
type UnprovenMs = (check: HealthCheck) => number;
const boundNow: UnprovenMs = (check) => (check.enabled ? proofMs(check) : 0);
/** Nobody knows how long it has been bound. */
const foundBound: UnprovenMs = () => 0;

/** Slots that are gone lose their health and times; new ones start theirs. Places that are the same objects as before are passed over. */
function remember({ listeners, memory }: Entry, nowMs: number, unprovenMs = foundBound): void {
  const present = new Set<string>();
  for (const place of placesOf({ listeners })) {
    const key = placeKey(place);
    present.add(key);
    const known = memory.get(key);
    if (known?.place === place) continue;
    const slots = known?.slots ?? new Map<string, SlotMemory>();
    if (known === undefined) memory.set(key, { place, slots });
    else known.place = place;
    noteTimes(place, slots, nowMs, unprovenMs(place.healthCheck));
  }
  for (const key of memory.keys()) if (!present.has(key)) memory.delete(key);
}

function noteTimes({ targets }: Place, slots: Map<string, SlotMemory>, nowMs: number, unprovenMs: number): void {
  const present = new Set<string>();
  for (const target of targets) {
    const key = targetKey(target);
    present.add(key);
    const slot = slots.get(key);
    const drainedAtMs = target.weight > 0 ? undefined : (slot?.drainedAtMs ?? nowMs);
    if (slot === undefined) {
      const memory = { boundAtMs: nowMs, believedFromMs: nowMs, aliveFromMs: nowMs + unprovenMs, drainedAtMs };
      slots.set(key, { ...memory, loweredAtMs: drainedAtMs, health: undefined });
      continue;
    }
    slot.drainedAtMs = drainedAtMs;
    slot.loweredAtMs = drainedAtMs ?? slot.loweredAtMs;
  }
  if (slots.size > present.size) for (const key of slots.keys()) if (!present.has(key)) slots.delete(key);
}

function changeBy(call: Call): MirrorChange {
  const slots = "slots" in call ? call.slots : "weights" in call ? call.weights : "targets" in call ? call.targets : undefined;
  return slots === undefined ? { kind: "all" } : { kind: "targets", ips: new Set(slots.map(({ ip }) => ip)) };
}

/** A read has found nothing new; listeners in which nothing has changed are the same objects. */
const isUnchanged = (old: Entry, now: Entry): boolean =>
  isDeepStrictEqual(old.facts, now.facts) &&
  old.listeners.length === now.listeners.length &&
  old.listeners.every((listener, index) => listener === now.listeners[index]);

function weightedAddresses({ listeners }: Pick<Entry, "listeners">): ReadonlySet<string> {
  const [weighted, atZero] = [new Set<string>(), new Set<string>()];
  for (const { targets } of placesOf({ listeners })) for (const { ip, weight } of targets) (weight > 0 ? weighted : atZero).add(ip);
  return weighted.difference(atZero);
}

/** "10.0.3.7:8080" -> "10.0.3.7". */
const ipOf = (target: string): string => target.slice(0, target.lastIndexOf(":"));

/** How owners see listeners that Ingresses of a group share. Asked all the time, so the same listeners are cut up once for the same owners. */
export function ownersView(sharedAt: (loadBalancerId: string) => SharedRules | undefined, clusterId: string) {
  type Seen = { readonly listeners: readonly Listener[]; readonly shared: SharedRules; readonly views: readonly Listener[] };
  const seen = new Map<string, Seen>();
  return (id: string, actual: LoadBalancer): readonly Listener[] => {
    const { listeners } = actual;
    const shared = sharedAt(id);
    if (shared === undefined) {
      seen.delete(id);
      return listeners;
    }
    const known = seen.get(id);
    if (known?.listeners === listeners && known.shared === shared) return known.views;
    const views = asOwnersSee(listeners, clusterId, shared, actual);
    seen.set(id, { listeners, shared, views });
    return views;
  };
}
