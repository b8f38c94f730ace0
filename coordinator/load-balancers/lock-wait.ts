import { Durations, firstAskMs, pauseMs } from "../cloud/task-wait.ts";

/**
 * Nobody queues at the server, so a locked load balancer is tried again. While its tail is not known: soon, because the tail of a batch is
 * short, then more rarely, because a stuck task would eat the calls of all others. Milliseconds. Source: clb-api.md §3.3, §7.5.
 */
const UNKNOWN_MS = { first: 80, growth: 1.5 } as const;
const PAUSE_MS = { shortest: 40, longest: 1_000 } as const;
/** A try this long after its time has come tells nothing of the tail: nobody had tried before; one that follows a refusal a little more. */
const INFORMATIVE_MS = { first: 60, again: 1_000 } as const;
/** A lock that is met this long after our own write is another writer's: a public client tries for 15.5 s, no tail is known that long (clb-api.md §3.3). */
const OWN_TAIL_MS = 15_500;
/** So many refusals in a row are no tail of ours: somebody else writes, and the load balancer must be re-read afterwards. */
const FOREIGN_TRIES = 6;

type Waiting = { endedMs: number; kind: string; size: number; refusedMs: number | undefined; tries: number; notBeforeMs: number };

/**
 * How long a load balancer stays locked after our own write has returned: learned for all of them, so that the next write comes when the
 * lock is gone and not a refusal later. Times are milliseconds since the epoch.
 */
export class LockWait {
  readonly #tails = new Durations();
  readonly #waiting = new Map<string, Waiting>();

  /** How long a write to this load balancer is still in vain; 0: try. */
  waitMs(id: string, nowMs: number): number {
    return Math.max(0, (this.#waiting.get(id)?.notBeforeMs ?? 0) - nowMs);
  }

  /** The load balancer is gone, or not ours any more. What was learned of tails stays. */
  forget(id: string): void {
    this.#waiting.delete(id);
  }

  /** A write of so many items has returned well. `kind` e.g. "batch": synchronous calls have a tail of their own. */
  ended(id: string, kind: string, items: number, nowMs: number): void {
    const size = Math.floor(Math.log2(Math.max(items, 1)));
    const estimate = this.#tails.of(kind, size);
    const notBeforeMs = estimate === undefined ? nowMs : nowMs + firstAskMs(estimate);
    this.#waiting.set(id, { endedMs: nowMs, kind, size, refusedMs: undefined, tries: 0, notBeforeMs });
  }

  /** A write that was sent at `sentMs` met the lock. */
  refused(id: string, sentMs: number, nowMs: number): void {
    const present = this.#waiting.get(id);
    const foreign: Waiting = { endedMs: sentMs, kind: "other", size: 0, refusedMs: undefined, tries: 0, notBeforeMs: 0 };
    const known = present === undefined || sentMs - present.endedMs > OWN_TAIL_MS ? { ...foreign, tries: present?.tries ?? 0 } : present;
    const estimate = this.#tails.of(known.kind, known.size);
    const pause = estimate === undefined ? UNKNOWN_MS.first * UNKNOWN_MS.growth ** known.tries : pauseMs(estimate, nowMs - known.endedMs);
    const notBeforeMs = nowMs + Math.min(Math.max(pause, PAUSE_MS.shortest), PAUSE_MS.longest);
    this.#waiting.set(id, { ...known, refusedMs: sentMs, tries: known.tries + 1, notBeforeMs });
  }

  /** A write that was sent at `sentMs` met no lock. True: somebody else had held it before: re-read the load balancer. */
  passed(id: string, sentMs: number): boolean {
    const known = this.#waiting.get(id);
    if (known === undefined) return false;
    this.#waiting.delete(id);
    if (known.tries >= FOREIGN_TRIES) return true;
    if (sentMs - known.notBeforeMs > (known.refusedMs === undefined ? INFORMATIVE_MS.first : INFORMATIVE_MS.again)) return false;
    const runningAtMs = known.refusedMs === undefined ? undefined : known.refusedMs - known.endedMs;
    this.#tails.note(known.kind, { runningAtMs, overAtMs: sentMs - known.endedMs }, known.size);
    return false;
  }
}
