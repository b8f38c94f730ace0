import type { Clock } from "../../common/clock.ts";
import { ClbApiError, isAccountWide, restedFor } from "../cloud/clb-error.ts";
import { UNSENT } from "../workqueue/unsent.ts";

/** After a failure its owner waits so long, twice as long each time; a refusal of the whole account lets all of them wait. Milliseconds. */
const REST_MS = { first: 1_000, most: 30_000 } as const;

/**
 * A load balancer that Create returned is shown by reads soon, but not at once: another order would make a second one. One that reads have
 * shown and show no more has been deleted, unless it is so young that a read of before may have been answered. Milliseconds.
 */
const SHOWN_MS = { first: 300_000, again: 60_000 } as const;
/** After a second load balancer that was never shown: until the next order, longer each time. Else each would be one more that is paid for. */
const UNSHOWN_MS = { second: 3_600_000, factor: 24, most: 86_400_000 } as const;
/** So long a new load balancer may take to run before that is told. Milliseconds. */
const RUNS_MS = 60_000;
/** Of the time since the order: the pause before the next look. */
const LOOK_MS = { least: 500, most: 10_000, share: 1 / 8 } as const;

const ACTIONS = ["DescribeLoadBalancers", "CreateLoadBalancer"] as const;
/** What is asked of the cloud for an owner. `wish`: whoever asks for something else than before need not wait. */
export type Errand = { readonly uid: string; readonly wish: string; readonly action: (typeof ACTIONS)[number] };
type Made = { readonly loadBalancerId: string; readonly atMs: number; readonly isShown: boolean };
/** One that Create returned and no read has ever shown; `untilMs`: nothing is ordered before. */
export type Unshown = { readonly loadBalancerId: string; readonly inRow: number; readonly untilMs: number };
type Failed = {
  readonly wish: string;
  readonly error: ClbApiError;
  readonly inRow: number;
  readonly notedMs: number;
  readonly untilMs: number;
};
/** `probe`: the owner that finds out whether the account is still refused. `tried`: those that have, until one of them tries again; UIDs. */
type Account = { refused: Failed; probe: string | undefined; readonly tried: Set<string> };

/**
 * Orders of load balancers, and the reads before them, of all owners: none is repeated at once for ever. What one of them is refused for
 * the account as a whole (arrears, quota, rights), all of them are: then one of them tries, and the others wait for what it comes to.
 */
export class Orders {
  readonly #clock: Clock;
  /** By action and UID of the owner. */
  readonly #failed = new Map<string, Failed>();
  /** By action. */
  readonly #accounts = new Map<string, Account>();
  /** Orders that came to nothing, by UID of the owner: part of the next order's ClientToken. */
  readonly #spent = new Map<string, number>();
  /** What Create returned, by UID of the owner. */
  readonly #made = new Map<string, Made>();
  /** By UID of the owner. */
  readonly #unshown = new Map<string, Unshown>();
  /** Since when the load balancer of an owner has been seen that does not run, or has no address, yet; by UID. */
  readonly #idleSinceMs = new Map<string, number>();
  /** Owners without a load balancer of ours, as of the last look; UIDs. */
  readonly #missing = new Set<string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** For the next order; at most 64 characters. */
  token(uid: string): string {
    return `cd-${uid}-${this.#spent.get(uid) ?? 0}`;
  }

  /** Create has returned this load balancer for the owner. */
  made(uid: string, loadBalancerId: string): void {
    this.#made.set(uid, { loadBalancerId, atMs: this.#clock.now(), isShown: false });
  }

  /** The load balancer that was made for the owner and may still come to be shown; `lookMs`: when to look again. */
  awaited(uid: string): { readonly loadBalancerId: string; readonly lookMs: number } | undefined {
    const made = this.#made.get(uid);
    if (made === undefined) return undefined;
    const nowMs = this.#clock.now();
    const passedMs = nowMs - made.atMs;
    if (passedMs < (made.isShown ? SHOWN_MS.again : SHOWN_MS.first))
      return { loadBalancerId: made.loadBalancerId, lookMs: nextLookMs(passedMs) };
    this.#made.delete(uid);
    if (!made.isShown) {
      const inRow = (this.#unshown.get(uid)?.inRow ?? 0) + 1;
      const restMs = inRow === 1 ? 0 : Math.min(UNSHOWN_MS.second * UNSHOWN_MS.factor ** (inRow - 2), UNSHOWN_MS.most);
      this.#unshown.set(uid, { loadBalancerId: made.loadBalancerId, inRow, untilMs: nowMs + restMs });
    }
    this.spend(uid);
    return undefined;
  }

  /** The last of those that were made for the owner and never shown. */
  unshown(uid: string): (Unshown & { readonly isResting: boolean }) | undefined {
    const last = this.#unshown.get(uid);
    return last && { ...last, isResting: last.untilMs > this.#clock.now() };
  }

  /** The owner's load balancer is shown and does not run, or has no address, yet; `isLate`: longer than creations take. */
  idle(uid: string): { readonly lookMs: number; readonly isLate: boolean } {
    const nowMs = this.#clock.now();
    const sinceMs = this.#idleSinceMs.get(uid) ?? nowMs;
    this.#idleSinceMs.set(uid, sinceMs);
    return { lookMs: nextLookMs(nowMs - sinceMs), isLate: nowMs - sinceMs > RUNS_MS };
  }

  /** The owner's load balancer runs, or has its address. */
  runs(uid: string): void {
    this.#idleSinceMs.delete(uid);
  }

  /** The token stands for an order that came to nothing, or whose load balancer is gone. */
  spend(uid: string): void {
    this.#spent.set(uid, (this.#spent.get(uid) ?? 0) + 1);
  }

  /** The owner wants no load balancer now, and its own is gone: should it want one again, that is another order. */
  end(uid: string): void {
    this.spend(uid);
    this.rest(uid);
  }

  /** There is no such owner any more. */
  forget(uid: string): void {
    this.#spent.delete(uid);
    this.rest(uid);
  }

  /** It is not for us to order anything for it, for now. */
  rest(uid: string): void {
    this.#made.delete(uid);
    this.#unshown.delete(uid);
    this.#idleSinceMs.delete(uid);
    this.#missing.delete(uid);
    for (const action of ACTIONS) this.#failed.delete(keyOf({ uid, action }));
  }

  /** How often in a row the last errand of the owner has failed for itself; 0: never, or because of the account. */
  failures(uid: string): number {
    return Math.max(...ACTIONS.map((action) => this.#failed.get(keyOf({ uid, action }))?.inRow ?? 0));
  }

  /** A look has shown whether the owner has a load balancer of ours. */
  looked(uid: string, isThere: boolean): void {
    if (!isThere) return void this.#missing.add(uid);
    this.#missing.delete(uid);
    this.#unshown.delete(uid);
    const made = this.#made.get(uid);
    if (made !== undefined) this.#made.set(uid, { ...made, isShown: true });
  }

  /** The last look has shown that it has none. */
  isMissing(uid: string): boolean {
    return this.#missing.has(uid);
  }

  /** What the errand came to, while it has to rest; the error's remedy says how long. */
  restOf(errand: Errand): ClbApiError | undefined {
    const nowMs = this.#clock.now();
    const account = this.#accounts.get(errand.action);
    const isProbed = account?.probe !== undefined && account.probe !== errand.uid;
    // Whoever has been refused lets those try first who have not: the refusal may be about what it alone asks for.
    const untilMs = (account?.refused.untilMs ?? 0) + (account?.tried.has(errand.uid) ? REST_MS.first : 0);
    if (account !== undefined && (isProbed || untilMs > nowMs)) return rested({ ...account.refused, untilMs }, nowMs);
    const own = this.#failed.get(keyOf(errand));
    return own !== undefined && own.wish === errand.wish && own.untilMs > nowMs ? rested(own, nowMs) : undefined;
  }

  /** Does the work unless it has to rest; rejects with what it came to, or what it came to last. */
  async run<T>(errand: Errand, work: () => Promise<T>): Promise<T> {
    const rest = this.restOf(errand);
    if (rest !== undefined) throw rest;
    const startedMs = this.#clock.now();
    const account = this.#accounts.get(errand.action);
    if (account !== undefined) account.probe = errand.uid;
    try {
      const result = await work();
      this.#failed.delete(keyOf(errand));
      this.#accounts.delete(errand.action);
      return result;
    } catch (err) {
      if (!(err instanceof ClbApiError) || err.call.code === UNSENT) throw err;
      throw this.#note(errand, err, startedMs);
    } finally {
      if (account?.probe === errand.uid) account.probe = undefined;
    }
  }

  #note(errand: Errand, error: ClbApiError, startedMs: number): ClbApiError {
    const nowMs = this.#clock.now();
    const key = keyOf(errand);
    if (!isAccountWide(error.call.code)) {
      const before = this.#failed.get(key);
      const own = failed(before?.wish === errand.wish ? before : undefined, errand.wish, error, nowMs);
      this.#failed.set(key, own);
      return rested(own, nowMs);
    }
    this.#failed.delete(key);
    const account = this.#accounts.get(errand.action);
    // Those that began before the refusal was known have met the same one.
    const isKnown = account !== undefined && startedMs < account.refused.notedMs;
    const refused = isKnown ? account.refused : failed(account?.refused, "", error, nowMs);
    if (account === undefined) {
      this.#accounts.set(errand.action, { refused, probe: undefined, tried: new Set([errand.uid]) });
    } else {
      account.refused = refused;
      if (account.tried.has(errand.uid)) account.tried.clear(); // a new round
      account.tried.add(errand.uid);
    }
    return rested({ ...refused, untilMs: refused.untilMs + REST_MS.first }, nowMs);
  }
}

const nextLookMs = (passedMs: number): number => Math.min(Math.max(passedMs * LOOK_MS.share, LOOK_MS.least), LOOK_MS.most);

const keyOf = ({ uid, action }: Pick<Errand, "uid" | "action">): string => `${action} ${uid}`;

const rested = ({ error, untilMs }: Failed, nowMs: number): ClbApiError => restedFor(error, Math.max(untilMs - nowMs, REST_MS.first));

function failed(before: Failed | undefined, wish: string, error: ClbApiError, nowMs: number): Failed {
  const inRow = (before?.inRow ?? 0) + 1;
  return { wish, error, inRow, notedMs: nowMs, untilMs: nowMs + Math.min(REST_MS.first * 2 ** (inRow - 1), REST_MS.most) };
}
