import { createHash } from "node:crypto";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { chooseDrainMode, type DrainChoice, type DrainMode, type DrainWish, type LandingNode } from "../domain/admission/drain-mode.ts";
import { type Placement, placementOf } from "../domain/admission/placement.ts";

export type DrainModesDeps = {
  /** Of the whole cluster. */
  readonly wish: DrainWish;
  readonly nodes: () => Iterable<LandingNode>;
  readonly proofOf: (node: string) => { readonly proven: boolean; readonly because: string } | undefined;
  /** Whether the API server knows preStop.sleep. */
  readonly hasSleep: () => boolean;
  readonly clock: Pick<Clock, "now">;
  readonly log: Logger;
};

/** Who selects a Pod, e.g. { name: "Service shop/web", wish: undefined }: a Service's own wish goes before that of the cluster. */
export type ModeAsker = { readonly uid: string; readonly name: string; readonly wish: DrainWish | undefined };

/** A mode lasts so long at least: one node that comes and goes must not change every Pod of a rollout. Milliseconds. Source: issue of the hold. */
const LASTS_MS = 600_000;
/** After the start of this process agents connect first; what is chosen until then binds nobody. Milliseconds. */
const SETTLE_MS = 60_000;
/** Choices remembered. */
const MOST = 20_000;

/** What the nodes allow is reckoned so often at most for Pods that may land on the same ones: a rollout creates many that are alike. Milliseconds. */
const RECKONED_MS = 1_000;
/** Characters of a placement's key that is not hashed for each Pod. */
const MOST_KEY = 512;

type Chosen = { choice: DrainChoice; readonly sinceMs: number };
/** `hash`: of the placement's key, which may have kilobytes. */
type Reckoned = { readonly hash: string; readonly choice: DrainChoice };

/**
 * The mode of the Pods of each Service, or of those that no Service selects, apart by where they may land: what is proven of some nodes says
 * nothing of others, and whoever creates a Pod, if only as a dry run, or sends a review of his own, decides nothing for the Pods of others.
 */
export class DrainModes {
  readonly #deps: DrainModesDeps;
  readonly #startedMs: number;
  /** By asker and placement. */
  readonly #chosen = new Map<string, Chosen>();
  /** By the key of a placement, or by its hash where it is long; of the last second. */
  readonly #reckoned = new Map<string, Reckoned>();
  #reckonedMs = Number.NEGATIVE_INFINITY;
  /** When each mode of an asker was logged last, milliseconds since the epoch. */
  readonly #logged = new Map<string, ReadonlyMap<DrainMode, number>>();

  constructor(deps: DrainModesDeps) {
    this.#deps = deps;
    this.#startedMs = deps.clock.now();
  }

  /** For a Pod as it is in a review; `askers`: who selects it. */
  of(pod: unknown, askers: readonly ModeAsker[]): DrainChoice {
    const { clock, wish } = this.#deps;
    const nowMs = clock.now();
    const asker = askers.find((one) => one.wish !== undefined) ?? askers[0];
    const asked = asker?.wish ?? wish;
    if (asked !== "auto") {
      const choice = this.#choose(asked, [], nowMs);
      this.#log(asker, choice, nowMs);
      return choice;
    }
    const placement = placementOf(pod);
    const { hash, choice } = this.#reckon(placement, nowMs);
    const key = `${asker?.uid ?? ""} ${hash}`;
    const known = this.#chosen.get(key);
    if (known?.choice.mode === choice.mode) {
      known.choice = choice;
      return choice;
    }
    // What agents have proven may come and go.
    if (known !== undefined && nowMs < known.sinceMs + LASTS_MS) return known.choice;
    if (nowMs < this.#startedMs + SETTLE_MS && choice.mode !== "hold") return choice;
    remember(this.#chosen, key, { choice, sinceMs: nowMs });
    this.#log(asker, choice, nowMs);
    return choice;
  }

  /** A usual placement has nothing but the tolerations that each Pod gets: to hash these costs more than all else here. */
  #reckon({ key, mayLand }: Placement, nowMs: number): Reckoned {
    if (nowMs >= this.#reckonedMs + RECKONED_MS) {
      this.#reckoned.clear();
      this.#reckonedMs = nowMs;
    }
    const short = key.length <= MOST_KEY ? key : hashOf(key);
    const known = this.#reckoned.get(short);
    if (known !== undefined) return known;
    const choice = this.#choose("auto", [...this.#deps.nodes()].filter(mayLand), nowMs);
    const reckoned = { hash: short === key ? hashOf(key) : short, choice };
    this.#reckoned.set(short, reckoned);
    return reckoned;
  }

  #choose(wish: DrainWish, nodes: readonly LandingNode[], nowMs: number): DrainChoice {
    const { proofOf, hasSleep } = this.#deps;
    return chooseDrainMode({ wish, nodes, proofOf, hasSleep: hasSleep(), nowMs });
  }

  /** Each mode of an asker at most once in ten minutes: its Pods may differ in where they land, those of a DaemonSet all do. */
  #log(asker: ModeAsker | undefined, { mode, because }: DrainChoice, nowMs: number): void {
    const uid = asker?.uid ?? "";
    const logged = this.#logged.get(uid);
    const last = logged?.get(mode);
    if (last !== undefined && nowMs < last + LASTS_MS) return;
    remember(this.#logged, uid, new Map(logged).set(mode, nowMs));
    this.#deps.log.info({ owner: asker?.name, mode, because }, "how Pods are drained");
  }
}

const hashOf = (key: string): string => createHash("sha1").update(key).digest("base64");

function remember<T>(all: Map<string, T>, key: string, value: T): void {
  all.delete(key);
  all.set(key, value);
  const [oldest] = all.keys();
  if (all.size > MOST && oldest !== undefined) all.delete(oldest);
}
