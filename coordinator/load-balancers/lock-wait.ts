/**
 * Nobody queues at the server, so a locked load balancer is tried again. While its tail is not known: soon, because the tail of a batch is
 * short, then more rarely, because a stuck task would eat the calls of all others. Milliseconds. Source: clb-api.md §3.3, §7.5.
 */
const UNKNOWN_MS = { first: 80, growth: 1.5 } as const;
const PAUSE_MS = { shortest: 40, longest: 1_000 } as const;
/** Of a lock that lasts: the share of the time since its first refusal, up to the rate at which anything may be tried for ever (design.md §3). */
const LASTING = { share: 1 / 16, longestMs: 30_000 } as const;
/**
 * What is believed of a batch's tail before it is known: half a second, after which public clients try (clb-api.md §3.3). None after a
 * call that lasted as long as a whole write did when no tail was seen (3.9 s, §7.2), nor after one that was quicker than any service is (§7.5).
 */
const PRIOR = { tailMs: 500, fromMs: 100, toMs: 2_000 } as const;
/** A try this long after its time has come tells nothing of the tail: nobody had tried before; one that follows a refusal a little more. */
const INFORMATIVE_MS = { first: 60, again: 1_000 } as const;
/** A lock that is met this long after our own write is another writer's: a public client tries for 15.5 s, no tail is known that long (clb-api.md §3.3). */
const OWN_TAIL_MS = 15_500;
/** So many refusals in a row are no tail of ours: somebody else writes, and the load balancer must be re-read afterwards. */
const FOREIGN_TRIES = 6;
/** Calls take a little less or more time to arrive. */
const ARRIVAL_MS = 20;
/**
 * A shorter tail is tried for after so many writes that met no lock, and after twice as many each time that it was in vain: a tail that has
 * gone is found out, and one that stays costs hardly a refusal. A tail that is known this well is let be. Own choice.
 */
const SHORTER = { afterWrites: 30, mostWrites: 10_000, knownWithinMs: 40 } as const;

/** A tail lasts longer than `lockedMs` and not longer than `freeMs`; `well`: writes in a row that met no lock; `wantWell`: when to try for a shorter one. */
type Tail = { readonly lockedMs: number; readonly freeMs: number; readonly well: number; readonly wantWell: number };
type Waiting = {
  readonly endedMs: number;
  readonly kind: string;
  readonly size: number;
  /** How long after the end the first try was to come, milliseconds. */
  readonly planMs: number;
  readonly refusedMs: number | undefined;
  /** Since when every try has been refused. */
  readonly sinceMs: number | undefined;
  readonly tries: number;
  readonly notBeforeMs: number;
};

/** A write that ended well. `kind` e.g. "batch": synchronous calls have a tail of their own. */
export type EndedWrite = { readonly kind: string; readonly items: number; readonly startedMs: number; readonly endedMs: number };

/**
 * How long a load balancer stays locked after our own write has returned: learned for all of them, so that the next write comes when the
 * lock is gone, and inside a lock that is known nothing is tried. Times are milliseconds since the epoch.
 */
export class LockWait {
  /** By kind and size, e.g. "batch 4" for 16 to 31 items. */
  readonly #tails = new Map<string, Tail>();
  readonly #waiting = new Map<string, Waiting>();

  /** How long a write to this load balancer is still in vain; 0: try. */
  waitMs(id: string, nowMs: number): number {
    return Math.max(0, (this.#waiting.get(id)?.notBeforeMs ?? 0) - nowMs);
  }

  /** When the last known lock ends or ended, milliseconds since the epoch; 0: none is known. */
  freeMs(id: string): number {
    return this.#waiting.get(id)?.notBeforeMs ?? 0;
  }

  /** The load balancer is gone, or not ours any more. What was learned of tails stays. */
  forget(id: string): void {
    this.#waiting.delete(id);
  }

  ended(id: string, { kind, items, startedMs, endedMs }: EndedWrite): void {
    const size = Math.floor(Math.log2(Math.max(items, 1)));
    const planMs = firstTryMs(this.#known(kind, size) ?? priorOf(kind, endedMs - startedMs));
    this.#waiting.set(id, {
      endedMs,
      kind,
      size,
      planMs,
      refusedMs: undefined,
      sinceMs: undefined,
      tries: 0,
      notBeforeMs: endedMs + planMs,
    });
  }

  /** A write that was sent at `sentMs` met the lock. */
  refused(id: string, sentMs: number, nowMs: number): void {
    const present = this.#waiting.get(id);
    const sinceMs = present?.sinceMs ?? sentMs;
    const none = { kind: "other", size: 0, planMs: 0, refusedMs: undefined, sinceMs, tries: 0, notBeforeMs: 0 };
    const foreign: Waiting = { endedMs: sentMs, ...none };
    const known = present === undefined || sentMs - present.endedMs > OWN_TAIL_MS ? { ...foreign, tries: present?.tries ?? 0 } : present;
    const free = this.#known(known.kind, known.size);
    const leftMs = free === undefined ? 0 : known.endedMs + free.freeMs + ARRIVAL_MS - nowMs;
    const pause = leftMs > 0 ? leftMs : UNKNOWN_MS.first * UNKNOWN_MS.growth ** known.tries * scattered(known.tries);
    const longestMs = Math.min(Math.max(PAUSE_MS.longest, (nowMs - sinceMs) * LASTING.share), LASTING.longestMs);
    const notBeforeMs = nowMs + Math.min(Math.max(pause, PAUSE_MS.shortest), longestMs);
    this.#waiting.set(id, { ...known, refusedMs: sentMs, sinceMs, tries: known.tries + 1, notBeforeMs });
  }

  /** A write that was sent at `sentMs` met no lock. True: somebody else had held it before: re-read the load balancer. */
  passed(id: string, sentMs: number): boolean {
    const known = this.#waiting.get(id);
    if (known === undefined) return false;
    this.#waiting.delete(id);
    if (known.tries >= FOREIGN_TRIES) return true;
    if (sentMs - known.notBeforeMs > (known.refusedMs === undefined ? INFORMATIVE_MS.first : INFORMATIVE_MS.again)) return false;
    this.#learn(known, sentMs - known.endedMs);
    return false;
  }

  /** A try `overMs` after the end met no lock. */
  #learn({ kind, size, planMs, refusedMs, endedMs }: Waiting, overMs: number): void {
    const before = this.#known(kind, size);
    const wantWell = before?.wantWell ?? SHORTER.afterWrites;
    const key = `${kind} ${size}`;
    if (refusedMs !== undefined) {
      const wasTried = before !== undefined && planMs < before.freeMs;
      const next = Math.min(wasTried ? wantWell * 2 : wantWell, SHORTER.mostWrites);
      // What has proved right is not given up for one lock that may have been another writer's.
      if (before !== undefined && !wasTried && before.well > 0) return void this.#tails.set(key, { ...before, well: 0 });
      this.#tails.set(key, { lockedMs: refusedMs - endedMs, freeMs: overMs + ARRIVAL_MS, well: 0, wantWell: next });
      return;
    }
    const lockedMs = Math.min(before?.lockedMs ?? 0, overMs);
    // A shorter tail was tried for, and was there: the next one is tried for at once.
    const isShorter = before !== undefined && planMs < before.freeMs;
    const freeMs = isShorter ? overMs : Math.max(before?.freeMs ?? 0, planMs);
    this.#tails.set(key, { lockedMs, freeMs, well: (before?.well ?? 0) + 1, wantWell: isShorter ? SHORTER.afterWrites : wantWell });
  }

  /** Of this kind and size; else of the nearest size of the kind. */
  #known(kind: string, size: number): Tail | undefined {
    for (let away = 0; away <= 10; away++) {
      const near = this.#tails.get(`${kind} ${size - away}`) ?? this.#tails.get(`${kind} ${size + away}`);
      if (near !== undefined) return near;
    }
    return undefined;
  }
}

/** How long after the end the next write is tried. */
function firstTryMs({ lockedMs, freeMs, well, wantWell }: Tail): number {
  if (well < wantWell || freeMs - lockedMs <= SHORTER.knownWithinMs) return freeMs > SHORTER.knownWithinMs ? freeMs : 0;
  const betweenMs = (lockedMs + freeMs) / 2;
  return betweenMs > SHORTER.knownWithinMs ? betweenMs : 0;
}

function priorOf(kind: string, tookMs: number): Tail {
  const hasTail = kind === "batch" && tookMs >= PRIOR.fromMs && tookMs <= PRIOR.toMs;
  return { lockedMs: 0, freeMs: hasTail ? PRIOR.tailMs : 0, well: 0, wantWell: SHORTER.afterWrites };
}

/** Between 0.75 and 1, another for each try: writers that try in step would keep each other out for ever. */
const scattered = (tries: number): number => 0.75 + ((tries * 0.618) % 1) / 4;
