import {
  type BoundSlot,
  type Call,
  DEFAULT_HEALTH_CHECK,
  type HealthState,
  type Listener,
  type LoadBalancer,
  type NewListeners,
  type Slot,
  slotKey,
  type Target,
  targetKey,
  type WeightedSlot,
} from "../domain/load-balancer.ts";
import type { LoadBalancerFacts } from "./clb-api.ts";

/** Health of one slot and since when it is so; times in milliseconds since the epoch. */
export type SlotHealth = { readonly state: HealthState; readonly sinceMs: number };

/** What we know of one load balancer besides its shape. */
type Entry = {
  facts: LoadBalancerFacts;
  listeners: Map<string, Listener>;
  /** Why it must be read again before it is believed; undefined while it is current. */
  staleBecause: string | undefined;
  readAtMs: number;
  readonly health: Map<string, SlotHealth>;
  /** When a slot was first seen bound, by slot key. */
  readonly boundAtMs: Map<string, number>;
  /** Since when a slot has weight 0, by slot key. */
  readonly drainedAtMs: Map<string, number>;
};

/**
 * What each load balancer looks like, as far as we know. Filled by Describe, kept by our own successful writes, and read again after
 * any ambiguous answer. It holds no opinion: what should be is decided elsewhere.
 */
export class Mirror {
  readonly #entries = new Map<string, Entry>();
  readonly #gone = new Set<string>();
  readonly #onChange: (loadBalancerId: string) => void;

  constructor(onChange: (loadBalancerId: string) => void) {
    this.#onChange = onChange;
  }

  get ids(): readonly string[] {
    return [...this.#entries.keys()];
  }

  read(id: string): LoadBalancer | undefined {
    const entry = this.#entries.get(id);
    return entry && { ...entry.facts, listeners: [...entry.listeners.values()] };
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
    if (news) this.#onChange(id); // else the look that this causes would cause the next one
  }

  /** A look found that it does not exist. */
  isGone(id: string): boolean {
    return this.#gone.has(id);
  }

  /** A complete look at the load balancer, taken at `nowMs`. Keeps what the look cannot tell: health and times of slots that still exist. */
  fill(facts: LoadBalancerFacts, listeners: readonly Listener[], nowMs: number): void {
    const old = this.#entries.get(facts.loadBalancerId);
    const entry: Entry = {
      facts,
      listeners: new Map(listeners.map((listener) => [listener.listenerId, listener])),
      staleBecause: undefined,
      readAtMs: nowMs,
      health: old?.health ?? new Map(),
      boundAtMs: old?.boundAtMs ?? new Map(),
      drainedAtMs: old?.drainedAtMs ?? new Map(),
    };
    this.#entries.set(facts.loadBalancerId, entry);
    this.#gone.delete(facts.loadBalancerId);
    noteTimes(entry, nowMs);
    this.#onChange(facts.loadBalancerId);
  }

  /** Folds a write that the cloud has confirmed at `nowMs`; `created` are the ids of new listeners, in the order of the call. */
  fold(id: string, call: Call, created: readonly string[], nowMs: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    applyCall(entry.listeners, call, created);
    noteTimes(entry, nowMs);
    this.#onChange(id);
  }

  /**
   * Takes over what DescribeTargetHealth said; slots without data are left out of `states`. An answer to a question asked before the
   * slot was bound speaks of a former binding and is not believed.
   */
  noteHealth(id: string, states: ReadonlyMap<string, HealthState>, times: { readonly askedMs: number; readonly nowMs: number }): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    let changed = false;
    for (const [key, state] of states) {
      const boundAtMs = entry.boundAtMs.get(key);
      if (boundAtMs === undefined || boundAtMs > times.askedMs || entry.health.get(key)?.state === state) continue;
      entry.health.set(key, { state, sinceMs: times.nowMs });
      changed = true;
    }
    if (changed) this.#onChange(id);
  }

  health(id: string, slot: Slot): SlotHealth | undefined {
    return this.#entries.get(id)?.health.get(slotKey(slot));
  }

  boundAtMs(id: string, slot: Slot): number | undefined {
    return this.#entries.get(id)?.boundAtMs.get(slotKey(slot));
  }

  drainedAtMs(id: string, slot: Slot): number | undefined {
    return this.#entries.get(id)?.drainedAtMs.get(slotKey(slot));
  }
}

/** Slots that are gone lose their health and times; new ones start theirs. */
function noteTimes(entry: Entry, nowMs: number): void {
  const present = new Set<string>();
  for (const listener of entry.listeners.values())
    for (const target of listener.targets) {
      const key = slotKey({ listenerId: listener.listenerId, ip: target.ip, port: target.port });
      present.add(key);
      if (!entry.boundAtMs.has(key)) entry.boundAtMs.set(key, nowMs);
      if (target.weight > 0) entry.drainedAtMs.delete(key);
      else if (!entry.drainedAtMs.has(key)) entry.drainedAtMs.set(key, nowMs);
    }
  for (const times of [entry.health, entry.boundAtMs, entry.drainedAtMs])
    for (const key of times.keys()) if (!present.has(key)) times.delete(key);
}

function applyCall(listeners: Map<string, Listener>, call: Call, created: readonly string[]): void {
  switch (call.lane) {
    case "conflict":
    case "unbind":
      return removeTargets(listeners, call.slots);
    case "bind":
      return addTargets(listeners, call.targets);
    case "drain":
      return setWeights(listeners, call.weights);
    case "tune":
      if ("weights" in call) return setWeights(listeners, call.weights);
      return update(listeners, call.listenerId, (listener) => ({ ...listener, healthCheck: call.healthCheck }));
    case "structure":
      return addListeners(listeners, call.create, created);
    case "delete":
      for (const listenerId of call.listenerIds) listeners.delete(listenerId);
      return;
    default:
      return call satisfies never;
  }
}

function update(listeners: Map<string, Listener>, listenerId: string, change: (listener: Listener) => Listener): void {
  const listener = listeners.get(listenerId);
  if (listener !== undefined) listeners.set(listenerId, change(listener));
}

function byListener<S extends Slot>(slots: readonly S[]): Map<string, S[]> {
  const groups = new Map<string, S[]>();
  for (const slot of slots) {
    const group = groups.get(slot.listenerId);
    if (group === undefined) groups.set(slot.listenerId, [slot]);
    else group.push(slot);
  }
  return groups;
}

function removeTargets(listeners: Map<string, Listener>, slots: readonly Slot[]): void {
  for (const [listenerId, group] of byListener(slots)) {
    const gone = new Set(group.map(targetKey));
    update(listeners, listenerId, (listener) => ({
      ...listener,
      targets: listener.targets.filter((target) => !gone.has(targetKey(target))),
    }));
  }
}

function addTargets(listeners: Map<string, Listener>, targets: readonly BoundSlot[]): void {
  for (const [listenerId, group] of byListener(targets)) {
    update(listeners, listenerId, (listener) => {
      const all = new Map<string, Target>(listener.targets.map((target) => [targetKey(target), target]));
      for (const { ip, port, weight } of group) all.set(targetKey({ ip, port }), { ip, port, weight });
      return { ...listener, targets: [...all.values()] };
    });
  }
}

function setWeights(listeners: Map<string, Listener>, weights: readonly WeightedSlot[]): void {
  for (const [listenerId, group] of byListener(weights)) {
    const weightOf = new Map(group.map((slot) => [targetKey(slot), slot.weight]));
    const reweigh = (target: Target): Target => ({ ...target, weight: weightOf.get(targetKey(target)) ?? target.weight });
    update(listeners, listenerId, (listener) => ({ ...listener, targets: listener.targets.map(reweigh) }));
  }
}

function addListeners(listeners: Map<string, Listener>, create: NewListeners, created: readonly string[]): void {
  const healthCheck = { ...DEFAULT_HEALTH_CHECK, ...create.healthCheck };
  for (const [index, { name, port }] of create.listeners.entries()) {
    const listenerId = created[index];
    if (listenerId !== undefined)
      listeners.set(listenerId, { listenerId, name, protocol: create.protocol, port, healthCheck, targets: [] });
  }
}
