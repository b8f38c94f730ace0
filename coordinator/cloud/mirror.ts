import { applyCall } from "../domain/apply-call.ts";
import {
  type Call,
  type HealthState,
  type Listener,
  type LoadBalancer,
  placesOf,
  type Slot,
  slotKey,
  slotOf,
} from "../domain/load-balancer.ts";
import type { LoadBalancerFacts } from "./clb-api.ts";

/** Health of one slot and since when it is so; times in milliseconds since the epoch. */
export type SlotHealth = { readonly state: HealthState; readonly sinceMs: number };

/** What we know of one load balancer besides its shape. */
type Entry = {
  facts: LoadBalancerFacts;
  listeners: readonly Listener[];
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
    return entry && { ...entry.facts, listeners: entry.listeners };
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
      listeners,
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

  /** Folds a write that the cloud has confirmed at `nowMs`; `created` are the ids of new listeners or rules, in the order of the call. */
  fold(id: string, call: Call, created: readonly string[], nowMs: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.listeners = applyCall(entry.listeners, call, created);
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
  for (const place of placesOf(entry))
    for (const target of place.targets) {
      const key = slotKey(slotOf(place, target));
      present.add(key);
      if (!entry.boundAtMs.has(key)) entry.boundAtMs.set(key, nowMs);
      if (target.weight > 0) entry.drainedAtMs.delete(key);
      else if (!entry.drainedAtMs.has(key)) entry.drainedAtMs.set(key, nowMs);
    }
  for (const times of [entry.health, entry.boundAtMs, entry.drainedAtMs])
    for (const key of times.keys()) if (!present.has(key)) times.delete(key);
}
