import type { WantedBackend } from "../intent/backends.ts";
import { type Place, placeKey } from "../load-balancer.ts";
import type { TargetChanges } from "./plan-targets.ts";

type Entry = {
  readonly place: Place;
  readonly wanted: readonly WantedBackend[] | undefined;
  readonly changes: TargetChanges;
  /** UIDs of the Pods behind the bound targets. */
  readonly holders: ReadonlySet<string>;
};

/** More changes than this are not told apart. */
const MAX_CHANGED = 10_000;

/**
 * What was planned for the places of one load balancer, so that a pass plans only places in which something has changed: what is
 * wanted and what is there are compared as objects, changes of Pods are told by `podsChanged`. A plan that depends on time, or on a Pod
 * of which no fact is held, is not kept.
 */
export class PlanCache {
  readonly #entries = new Map<string, Entry>();
  readonly #changed = new Set<string>();

  /** UIDs and addresses of Pods about which something has changed. */
  podsChanged(keys: Iterable<string>): void {
    for (const key of keys) this.#changed.add(key);
    if (this.#changed.size <= MAX_CHANGED) return;
    this.#entries.clear(); // nobody has planned for long
    this.#changed.clear();
  }

  recall(place: Place, wanted: readonly WantedBackend[] | undefined): TargetChanges | undefined {
    const entry = this.#entries.get(placeKey(place));
    return entry?.place === place && entry.wanted === wanted ? entry.changes : undefined;
  }

  keep(entry: Entry): void {
    this.#entries.set(placeKey(entry.place), entry);
  }

  /** Forgets what concerns changed Pods; before each plan. */
  beginPass(): void {
    if (this.#changed.size === 0) return;
    const changed = (key: string): boolean => this.#changed.has(key);
    for (const [key, { place, holders }] of this.#entries)
      if (place.targets.some(({ ip }) => changed(ip)) || [...this.#changed].some((uid) => holders.has(uid))) this.#entries.delete(key);
    this.#changed.clear();
  }

  /** Forgets places that are not there any more; after each plan. */
  endPass(present: ReadonlySet<string>): void {
    if (this.#entries.size > present.size) for (const key of this.#entries.keys()) if (!present.has(key)) this.#entries.delete(key);
  }
}
