import { RELEASE } from "../../common/names.ts";
import type { Spent } from "../domain/safety/brake.ts";
import type { Intents } from "../state/intents.ts";
import type { State } from "../state/state.ts";

/**
 * So long a release waits for the removal that it names: a coordinator that has just begun must first hear of every Pod and read health
 * before it plans the removal again. Milliseconds.
 */
const FRESH_MS = 300_000;

/** `named`: a removal of that id has waited. */
type Release = { readonly sinceMs: number; used: boolean; named: boolean };

/** The ids in the annotation as a person wrote it, e.g. "R-5E21C0FF; r-92b0680c" -> ["r-5e21c0ff", "r-92b0680c"]. */
export const releaseIds = (written = ""): readonly string[] => written.toLowerCase().match(/[^\s,;]+/g) ?? [];

/**
 * The releases that people wrote at one load balancer. Each lets one removal go, once, and not long after it was written: what is left
 * standing there says nothing of the next time the same Pods are missed. Nothing is stored: a new coordinator takes what it finds for new,
 * but by then the removal that it named is over.
 */
export class Releases {
  readonly #known = new Map<string, Release>();

  /** `written`: the ids that stand there now. One that was taken away and written again is a new release. True: something has changed. */
  look(written: ReadonlySet<string>, nowMs: number): boolean {
    const gone = [...this.#known.keys()].filter((id) => !written.has(id));
    const come = [...written].filter((id) => !this.#known.has(id));
    for (const id of gone) this.#known.delete(id);
    for (const id of come) this.#known.set(id, { sinceMs: nowMs, used: false, named: false });
    return gone.length > 0 || come.length > 0;
  }

  /** Ids that no removal has had since they were written, perhaps for a slip of the pen. */
  get strays(): readonly string[] {
    return [...this.#known].flatMap(([id, { named }]) => (named ? [] : id));
  }

  /** The removal was carried out, or a part of it. */
  use(id: string): void {
    const release = this.#known.get(id);
    if (release !== undefined) release.used = true;
  }

  /** Of a removal that waits. "good": it may go. Undefined: nobody released it. */
  judge(id: string, nowMs: number): "good" | Spent | undefined {
    const release = this.#known.get(id);
    if (release === undefined) return undefined;
    release.named = true;
    if (release.used) return "used";
    return nowMs - release.sinceMs < FRESH_MS ? "good" : "late";
  }
}

/** Where the ids of released removals are read: the annotations of every owner of a load balancer. */
export type ReleasesDeps = {
  readonly intents: Pick<Intents, "of">;
  readonly object: State["object"];
};

/** Removals that a person let go, by an annotation on any owner of the load balancer. */
export const releasedAt =
  ({ intents, object }: ReleasesDeps) =>
  (loadBalancerId: string): ReadonlySet<string> => {
    const ids = new Set<string>();
    for (const { ref } of intents.of(loadBalancerId)) {
      const written = object(ref.uid)?.annotations[RELEASE];
      if (written !== undefined) for (const id of releaseIds(written)) ids.add(id);
    }
    return ids;
  };
