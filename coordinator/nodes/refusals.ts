import type { Logger } from "../../common/log.ts";
import type { Refusal, RefusedNode } from "../state/agent-refusal.ts";

/** One line a minute for each node and reason, with how many there were. */
const TELL_EVERY_MS = 60_000;
/** Lines remembered; twice the nodes that a cluster may have (5 000: Kubernetes' own limit). */
const MOST_REMEMBERED = 10_000;

/** So many within a minute are told to people: a Pod that ends while it is read is unknown as well. */
const TOLD_FROM: Readonly<Record<Refusal, number>> = { name: 1, foreign: 1, limit: 1, contradicts: 3, unknown: 10 };

/** What was said of so many Pods within a minute, and was asked about in vain, makes a node suspect: an invented Pod costs the API server a question. */
const SUSPECT_FROM = 10;
const ASKED_IN_VAIN = ["unknown", "foreign"] as const satisfies readonly Refusal[];

/** `atMs`: of the last line. `since`: how many more there were. `isTold`: people know of this minute's. */
type Told = { atMs: number; since: number; isTold: boolean };

type RefusalListener = (node: RefusedNode, why: Refusal) => void;

export type RefusalsDeps = {
  readonly now: () => number;
  readonly log: Logger;
  readonly onRefused: (why: Refusal) => void;
  readonly nodeUid: (node: string) => string | undefined;
};

/** Counts what agents are not believed, and logs it at a bounded rate. */
export class Refusals {
  readonly #deps: RefusalsDeps;
  readonly #told = new Map<string, Told>();
  readonly #listeners = new Set<RefusalListener>();

  constructor(deps: RefusalsDeps) {
    this.#deps = deps;
  }

  /** Told of a node and reason at most once a minute; must not throw. Returns the way to unsubscribe. */
  follow(listener: RefusalListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Much of what the node has said of Pods within this minute was not so. */
  isSuspect(node: string): boolean {
    const fromMs = this.#deps.now() - TELL_EVERY_MS;
    return ASKED_IN_VAIN.some((why) => {
      const told = this.#told.get(`${node} ${why}`);
      return told !== undefined && told.atMs > fromMs && told.since + 1 >= SUSPECT_FROM;
    });
  }

  note(node: string, why: Refusal, what: { readonly pod: string; readonly uid: string; readonly because: string }): void {
    const { now, log, onRefused } = this.#deps;
    onRefused(why);
    const key = `${node} ${why}`;
    const told = this.#told.get(key);
    if (told !== undefined && now() - told.atMs < TELL_EVERY_MS) {
      told.since += 1;
      return this.#tell(node, why, told);
    }
    log.warn({ node, why, ...what, unsaid: told?.since ?? 0 }, "refused what an agent reported of a Pod");
    this.#told.delete(key);
    const begun: Told = { atMs: now(), since: 0, isTold: false };
    this.#told.set(key, begun);
    this.#tell(node, why, begun);
    for (const oldest of this.#told.keys()) {
      if (this.#told.size <= MOST_REMEMBERED) break;
      this.#told.delete(oldest);
    }
  }

  #tell(node: string, why: Refusal, told: Told): void {
    if (this.#listeners.size === 0 || told.isTold || told.since + 1 < TOLD_FROM[why]) return;
    told.isTold = true;
    for (const listener of this.#listeners) listener({ name: node, uid: this.#deps.nodeUid(node) ?? "" }, why);
  }
}
