import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import {
  chooseDrainMode,
  type DrainChoice,
  type DrainWish,
  type LandingNode,
  mayLand,
  placementOf,
} from "../domain/admission/drain-mode.ts";

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
/** Askers remembered. */
const MOST = 20_000;

/** What the nodes allow is reckoned so often at most for Pods that may land on the same ones: a rollout creates many that are alike. Milliseconds. */
const RECKONED_MS = 1_000;

type Chosen = DrainChoice & { readonly asked: DrainWish; readonly sinceMs: number };

/** The mode of the Pods of each Service, or of those that no Service selects. */
export class DrainModes {
  readonly #deps: DrainModesDeps;
  readonly #startedMs: number;
  readonly #chosen = new Map<string, Chosen>();
  /** By what decides where a Pod may land; of the last second. */
  readonly #reckoned = new Map<string, DrainChoice>();
  #reckonedMs = Number.NEGATIVE_INFINITY;

  constructor(deps: DrainModesDeps) {
    this.#deps = deps;
    this.#startedMs = deps.clock.now();
  }

  /** For a Pod as it is in a review; `askers`: who selects it. */
  of(pod: unknown, askers: readonly ModeAsker[]): DrainChoice {
    const { clock, log, wish } = this.#deps;
    const nowMs = clock.now();
    const asker = askers.find((one) => one.wish !== undefined) ?? askers[0];
    const asked = asker?.wish ?? wish;
    const choice = this.#reckon(pod, asked, nowMs);
    const key = asker?.uid ?? "";
    const known = this.#chosen.get(key);
    if (known?.mode === choice.mode && known.asked === asked) {
      this.#chosen.set(key, { ...choice, asked, sinceMs: known.sinceMs });
      return choice;
    }
    // What somebody asks for counts at once; what agents have proven may come and go.
    if (known?.asked === "auto" && asked === "auto" && nowMs < known.sinceMs + LASTS_MS) return known;
    if (asked === "auto" && nowMs < this.#startedMs + SETTLE_MS && choice.mode !== "hold") return choice;
    this.#remember(key, { ...choice, asked, sinceMs: nowMs });
    log.info({ owner: asker?.name, mode: choice.mode, formerly: known?.mode, because: choice.because }, "how Pods are drained");
    return choice;
  }

  /** What was chosen last for the Pods of a Service (UID). */
  chosenFor(uid: string): DrainChoice | undefined {
    return this.#chosen.get(uid);
  }

  #reckon(pod: unknown, wish: DrainWish, nowMs: number): DrainChoice {
    const { nodes, proofOf, hasSleep } = this.#deps;
    if (wish !== "auto") return chooseDrainMode({ wish, nodes: [], proofOf, hasSleep: hasSleep(), nowMs });
    if (nowMs >= this.#reckonedMs + RECKONED_MS) {
      this.#reckoned.clear();
      this.#reckonedMs = nowMs;
    }
    const placement = placementOf(pod);
    const known = this.#reckoned.get(placement);
    if (known !== undefined) return known;
    const landing = [...nodes()].filter((node) => mayLand(pod, node));
    const choice = chooseDrainMode({ wish, nodes: landing, proofOf, hasSleep: hasSleep(), nowMs });
    this.#reckoned.set(placement, choice);
    return choice;
  }

  #remember(key: string, choice: Chosen): void {
    this.#chosen.delete(key);
    this.#chosen.set(key, choice);
    const [oldest] = this.#chosen.keys();
    if (this.#chosen.size > MOST && oldest !== undefined) this.#chosen.delete(oldest);
  }
}
