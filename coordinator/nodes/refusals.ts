import type { Logger } from "../../common/log.ts";

/**
 * Why a reported Pod does not count. `name`: something in it cannot be. `foreign`: the API server has it on another node. `unknown`: the API
 * server has no such Pod. `contradicts`: it says of a Pod what the API server does not. `limit`: more Pods than a node can have.
 */
export type Refusal = "name" | "foreign" | "unknown" | "contradicts" | "limit";

/** One line a minute for each node and reason, with how many there were. */
const TELL_EVERY_MS = 60_000;
/** Lines remembered; twice the nodes that a cluster may have (5 000: Kubernetes' own limit). */
const MOST_REMEMBERED = 10_000;

type Told = { atMs: number; since: number };

/** Counts what agents are not believed, and logs it at a bounded rate. */
export class Refusals {
  readonly #deps: { readonly now: () => number; readonly log: Logger; readonly onRefused: (why: Refusal) => void };
  readonly #told = new Map<string, Told>();

  constructor(deps: { readonly now: () => number; readonly log: Logger; readonly onRefused: (why: Refusal) => void }) {
    this.#deps = deps;
  }

  note(node: string, why: Refusal, what: { readonly pod: string; readonly uid: string; readonly because: string }): void {
    const { now, log, onRefused } = this.#deps;
    onRefused(why);
    const key = `${node} ${why}`;
    const told = this.#told.get(key);
    if (told !== undefined && now() - told.atMs < TELL_EVERY_MS) {
      told.since += 1;
      return;
    }
    log.warn({ node, why, ...what, unsaid: told?.since ?? 0 }, "refused what an agent reported of a Pod");
    this.#told.delete(key);
    this.#told.set(key, { atMs: now(), since: 0 });
    for (const oldest of this.#told.keys()) {
      if (this.#told.size <= MOST_REMEMBERED) break;
      this.#told.delete(oldest);
    }
  }
}
