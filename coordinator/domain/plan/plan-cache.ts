import type { WantedBackend } from "../intent/backends.ts";
import { type Place, placeKey } from "../load-balancer.ts";
import type { PlacePair } from "./place-pair.ts";
import type { TargetChanges } from "./plan-targets.ts";
import { StructureCache } from "./structure-cache.ts";

type Entry = {
  readonly place: Place;
  readonly wanted: readonly WantedBackend[] | undefined;
  readonly changes: TargetChanges;
  /** UIDs of the Pods behind the bound targets, and their addresses. */
  readonly names: ReadonlySet<string>;
  /** It was found in it that there is nothing to do or to tell. */
  idle?: PlacePair;
};

/** More changes than this are not told apart. */
const MAX_CHANGED = 10_000;

/**
 * What was planned for the places of one load balancer, so that a pass plans only places in which something has changed: what is
 * wanted and what is there are compared as objects, changes of Pods are told by `podsChanged`. A plan that depends on time, or on a Pod
 * of which no fact is held, is not kept.
 */
export class PlanCache {
  readonly structure = new StructureCache();
  readonly #entries = new Map<string, Entry>();
  /** Keys of entries by the names in them. */
  readonly #byName = new Map<string, Set<string>>();
  /** A pair is another object when its place or what is wanted there is. */
  readonly #idle = new Set<PlacePair>();
  readonly #changed = new Set<string>();

  /** UIDs and addresses of Pods about which something has changed. */
  podsChanged(keys: Iterable<string>): void {
    for (const key of keys) this.#changed.add(key);
    if (this.#changed.size <= MAX_CHANGED) return;
    for (const key of this.#entries.keys()) this.#forget(key); // nobody has planned for long
    this.#changed.clear();
  }

  recall(place: Place, wanted: readonly WantedBackend[] | undefined): TargetChanges | undefined {
    const entry = this.#entries.get(placeKey(place));
    return entry?.place === place && entry.wanted === wanted ? entry.changes : undefined;
  }

  /** `holders`: UIDs of the Pods behind the bound targets. */
  keep({ holders, ...entry }: Pick<Entry, "place" | "wanted" | "changes"> & { readonly holders: ReadonlySet<string> }): void {
    const key = placeKey(entry.place);
    const names = new Set(holders);
    for (const { ip } of entry.place.targets) names.add(ip);
    this.#forget(key);
    this.#entries.set(key, { ...entry, names });
    for (const name of names) {
      const keys = this.#byName.get(name);
      if (keys === undefined) this.#byName.set(name, new Set([key]));
      else keys.add(key);
    }
  }

  /** What is kept of the pair's place is that there is nothing to do, nor to tell. */
  isIdle(pair: PlacePair): boolean {
    return this.#idle.has(pair);
  }

  /** There is nothing to do at the pair's place, nor to tell; noted only if that was kept, so that it is forgotten with it. */
  noteIdle(pair: PlacePair): void {
    const entry = this.#entries.get(placeKey(pair.place));
    if (entry?.place !== pair.place || entry.wanted !== pair.wanted?.backends) return;
    if (entry.idle !== undefined) this.#idle.delete(entry.idle);
    entry.idle = pair;
    this.#idle.add(pair);
  }

  /** Forgets what concerns changed Pods; before each plan. */
  beginPass(): void {
    for (const name of this.#changed) for (const key of this.#byName.get(name) ?? []) this.#forget(key);
    this.#changed.clear();
  }

  /** Forgets places that are not there any more; after each plan. */
  endPass(pairs: readonly { readonly place: Place }[]): void {
    if (this.#entries.size <= pairs.length) return;
    const present = new Set(pairs.map(({ place }) => placeKey(place)));
    for (const key of this.#entries.keys()) if (!present.has(key)) this.#forget(key);
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    if (entry.idle !== undefined) this.#idle.delete(entry.idle);
    for (const name of entry.names) {
      const keys = this.#byName.get(name);
      keys?.delete(key);
      if (keys?.size === 0) this.#byName.delete(name);
    }
  }
}
