import { isOlder } from "../../common/kubernetes/watched-store.ts";
import type { PodFact } from "../../common/vocabulary.ts";

/** What was told and what was known then. `known`: resourceVersion, undefined where the Pod was deleted; `isOpen`: not answered yet. */
type Contradiction = { readonly told: PodFact; readonly known: string | undefined; readonly atMs: number; readonly isOpen: boolean };

/** UIDs remembered, of some 1 kB each. */
const MOST = 5_000;
/** One Pod is asked about at once, and again for this reason no sooner than this. */
const AGAIN_MS = 5_000;

/**
 * Tellings of Pods that are older than what is known, or of Pods that were deleted. Either the teller lags behind, or the cluster's database
 * was restored from a backup: then versions go back, and deleted Pods are there again. Versions of two list-and-watches cannot tell one from
 * the other, but the API server can: a read that began after the contradiction is never older than what was known, unless its data was set back.
 */
export class Contradictions {
  readonly #byUid = new Map<string, Contradiction>();

  /** Gives whether to ask the API server at once, or soon. */
  note(told: PodFact, known: string | undefined, nowMs: number): "at once" | "soon" {
    const last = this.#byUid.get(told.uid);
    const isSame = last?.isOpen === true && last.known === known; // its question is under way already
    this.#byUid.delete(told.uid);
    this.#byUid.set(told.uid, { told, known, atMs: isSame ? last.atMs : nowMs, isOpen: true });
    for (const oldest of this.#byUid.keys()) {
      if (this.#byUid.size <= MOST) break;
      this.#byUid.delete(oldest);
    }
    return last === undefined || last.atMs + AGAIN_MS < nowMs ? "at once" : "soon";
  }

  /** The API server has answered a question of that time. Gives the telling that it confirms, else undefined. */
  confirmedBy(read: PodFact, askedAtMs: number): PodFact | undefined {
    const one = this.#byUid.get(read.uid);
    if (one?.isOpen !== true || askedAtMs < one.atMs) return undefined;
    this.#byUid.set(read.uid, { ...one, isOpen: false });
    const isSetBack = one.known === undefined || isOlder(read.resourceVersion, one.known);
    return isSetBack && one.told.nodeName === read.nodeName ? one.told : undefined;
  }
}
