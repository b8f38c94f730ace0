import { backoffMs } from "../backoff.ts";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import { OVER, withEither } from "../signals.ts";
import { type ApiFailures, againMs, NO_FAILURES, withFailure } from "./api-backoff.ts";
import { KubeApiError, type KubeFailure } from "./api-error.ts";
import { member } from "./json-member.ts";
import type { KubeClient, Query, WatchEventType } from "./requests.ts";
import { type Change, identityOf, isOlder, type Listed, makeWatchedStore, type Watched } from "./watched-store.ts";

export type { Change, Watched } from "./watched-store.ts";

/** Why a watch or list was begun anew. A closed set, fit for a metric label. */
export type RestartCause = "closed" | "silent" | KubeFailure;

export interface WatchedSet<R> {
  /** True after the first complete list, and for ever. */
  readonly synced: boolean;
  /** By UID; never emptied by an error. */
  readonly records: ReadonlyMap<string, R>;
  /** When the last event, bookmark or page arrived, on the injected clock; creation time before the first. */
  readonly lastByteAtMs: number;
  /** Lists and watches until the signal aborts, then resolves; never rejects. Once per set. */
  run(signal: AbortSignal): Promise<void>;
}

export type ListWatchOptions<R extends Watched> = {
  /** e.g. "/api/v1/pods" */
  readonly path: string;
  /** Selectors, e.g. { fieldSelector: "spec.nodeName=node-a" }. */
  readonly query?: Query;
  /** The one form for listed and watched objects. undefined or a throw: not understood; logged once per UID, and the last good record stays. */
  readonly decode: (raw: unknown) => R | undefined;
  /** False: none of ours (yet), as if the server had not told of it; once true it must stay so. Default: all are. */
  readonly wanted?: (raw: unknown) => boolean;
  readonly onChange: (change: Change<R>) => void;
  /** Once, after onChange has told all of the first list. */
  readonly onSynced?: () => void;
  /** 403 on list or watch: once per row of refusals, of one that worked before only when it lasts some seconds. Tried again ever more slowly meanwhile. */
  readonly onDenied?: () => void;
  /** The kind may not be installed (a CRD): then 404 counts as a first list that is complete and empty. Tried again all the same. */
  readonly optional?: boolean;
  /** Rests between pages for as long as the page took: a list of the whole cluster leaves the API server, and us, half of the time for others. */
  readonly gentle?: boolean;
  /** Objects per page, default 500. */
  readonly pageSize?: number;
};

export type ListWatchDeps = {
  readonly client: Pick<KubeClient, "list" | "watch">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random?: () => number;
  /** Metric hooks. */
  readonly onRelist?: () => void;
  readonly onRestart?: (cause: RestartCause) => void;
};

/** Source of the limits: client-go's reflector waits 800 ms … 30 s; the first retry may be earlier, since one broken connection is the common case. */
const BACKOFF = { baseMs: 250, maxMs: 30_000 };
/**
 * Rights get fixed by people; but a server that has just begun refuses everybody until it has read its roles, for a second or two, on a busy
 * machine for five: what it answered before is asked for twice at each delay.
 */
const DENIED_BACKOFF = { baseMs: 1_000, maxMs: 30_000 };
/** Of one that has answered before, so many refusals in a row are no start of a server any more. */
const DENIED_ROW = 4;
/** Client-go's default page; 6 MB of Pods as parsed. */
const PAGE_SIZE = 500;
/** A list that would remove most objects is read again after that time: long enough for a server that just started to catch up. */
const REREAD_MS = 1_000;
/** The server ends a watch after 5 to 10 minutes, spread, as client-go asks for. */
const WATCH_SECONDS = { least: 300, most: 600 };
/** A watch that ended in order after that time worked, even if nothing happened, and may be followed by the next one at once. */
const STEADY_MS = 5_000;

/** How a list and watch ended. `heard`: the server told something on the watch. `watchedMs`: 0 if only the list was tried. */
type End = { readonly cause: RestartCause; readonly heard: boolean; readonly watchedMs: number; readonly error?: unknown };

/** A list + watch of one resource that never stops silently (kubernetes.md §6). */
export const makeListWatch = <R extends Watched>(deps: ListWatchDeps, options: ListWatchOptions<R>): WatchedSet<R> =>
  new ListWatch(deps, options);

class ListWatch<R extends Watched> implements WatchedSet<R> {
  readonly records: ReadonlyMap<string, R>;
  readonly #deps: ListWatchDeps;
  readonly #options: ListWatchOptions<R>;
  readonly #log: Logger;
  readonly #random: () => number;
  readonly #store: ReturnType<typeof makeWatchedStore<R>>;
  #synced = false;
  #lastByteAtMs: number;
  /** Where the watch goes on; undefined: a list is needed. */
  #position: string | undefined;
  /** How far we ever were; a list below it was answered by a server that is behind, or restored. */
  #furthest = "0";
  /** Where the watch that runs began: the server tells only what is newer. */
  #begunAt = "0";
  /** The server may be another one now, with older data: it is asked how far it is before a watch goes on from `#position`. */
  #isDoubted = false;

  constructor(deps: ListWatchDeps, options: ListWatchOptions<R>) {
    this.#deps = deps;
    this.#options = options;
    this.#log = deps.log.child({ path: options.path });
    this.#random = deps.random ?? Math.random;
    this.#store = makeWatchedStore(makeCarefulDecode(options.decode, this.#log));
    this.records = this.#store.records;
    this.#lastByteAtMs = deps.clock.now();
  }

  get synced(): boolean {
    return this.#synced;
  }

  get lastByteAtMs(): number {
    return this.#lastByteAtMs;
  }

  async run(signal: AbortSignal): Promise<void> {
    let failures = NO_FAILURES;
    let last: { readonly cause: RestartCause; readonly inRow: number } = { cause: "closed", inRow: 0 };
    for (;;) {
      const end = await this.#listAndWatch(signal);
      if (signal.aborted) return;
      const worked = end.heard || (end.cause === "closed" && end.watchedMs >= STEADY_MS);
      failures = worked ? NO_FAILURES : withFailure(failures, end.error);
      last = { cause: end.cause, inRow: end.cause === last.cause && !worked ? last.inRow + 1 : 1 };
      if (needsList(end.cause, worked ? 0 : last.inRow)) this.#position = undefined;
      this.#isDoubted ||= isSuspicious(end.cause); // until it is answered, whatever fails in between
      this.#report(end, last.inRow);
      try {
        await this.#deps.clock.sleep(delayMs(end, failures, this.#synced, this.#random), signal);
      } catch {
        return; // the signal
      }
    }
  }

  #tell(changes: readonly Change<R>[]): void {
    for (const change of changes) guard(this.#log, () => this.#options.onChange(change));
  }

  #move(resourceVersion: string): void {
    this.#position = resourceVersion;
    if (isOlder(this.#furthest, resourceVersion)) this.#furthest = resourceVersion;
  }

  /** All pages. resourceVersion stays unset, which is the consistent read; a cached one could miss what exists. */
  async #readAll(signal: AbortSignal): Promise<{ listed: Listed<R>; resourceVersion: string }> {
    const { path, query, wanted, gentle = false, pageSize = PAGE_SIZE } = this.#options;
    const { client, clock } = this.#deps;
    const listed: Listed<R> = new Map();
    for (let next: string | undefined; ; ) {
      const beganMs = clock.now();
      const page = await client.list(path, { ...query, limit: pageSize, continue: next }, { signal });
      this.#lastByteAtMs = clock.now();
      this.#store.stage(listed, wanted === undefined ? page.items : page.items.filter(wanted));
      next = page.continue;
      if (next === undefined) return { listed, resourceVersion: page.resourceVersion };
      if (gentle) await clock.sleep(clock.now() - beganMs, signal);
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const store = this.#store;
    if (this.#synced) this.#deps.onRelist?.();
    let read = await this.#readAll(signal);
    if (store.isDoubtful(read.listed) || isOlder(read.resourceVersion, this.#furthest)) {
      this.#log.warn(
        { known: store.records.size, listed: read.listed.size, resourceVersion: read.resourceVersion },
        "list would remove most objects or goes back; reading it again",
      );
      await this.#deps.clock.sleep(REREAD_MS, signal);
      read = await this.#readAll(signal);
      this.#furthest = read.resourceVersion; // believed now, even if the server was restored from a backup
    }
    this.#isDoubted = false;
    this.#tell(store.accept(read.listed));
    this.#move(read.resourceVersion);
    this.#finishFirstList();
    return read.resourceVersion;
  }

  #finishFirstList(): void {
    if (this.#synced) return;
    this.#synced = true;
    guard(this.#log, () => this.#options.onSynced?.());
  }

  /** False: the server is behind where this watch began, so it has other data than before. */
  #receive(type: WatchEventType, object: unknown): boolean {
    this.#lastByteAtMs = this.#deps.clock.now();
    const told = member(member(object, "metadata"), "resourceVersion");
    if (typeof told === "string" && isOlder(told, this.#begunAt)) return false;
    const isWanted = type !== "BOOKMARK" && (this.#options.wanted?.(object) ?? true);
    if (isWanted) this.#tell(this.#store.fold(type, object));
    if (typeof told === "string" && !(this.#position !== undefined && isOlder(told, this.#position))) this.#move(told);
    return true;
  }

  /**
   * A server that was restored from a backup answers a position that it has not reached with silence for as long as it takes to get there, and by
   * then it has told nothing of what is different: so it is asked how far it is, by a list of one, and a position beyond that is given up.
   * Rejects where there is no answer: a server that has just begun refuses, throttles or takes long, and a watch on trust would be that silence.
   */
  async #checkPosition(position: string, signal: AbortSignal): Promise<void> {
    const { path, query } = this.#options;
    const { resourceVersion } = await this.#deps.client.list(path, { ...query, limit: 1 }, { signal });
    this.#isDoubted = false;
    if (!isOlder(resourceVersion, position)) return;
    this.#log.warn({ position, resourceVersion }, "the server is behind where it was: its data was restored from a backup; listing anew");
    this.#position = undefined;
  }

  async #listAndWatch(signal: AbortSignal): Promise<End> {
    const { client, clock } = this.#deps;
    let sinceMs: number | undefined;
    let heard = false;
    const watchedMs = (): number => (sinceMs === undefined ? 0 : clock.now() - sinceMs);
    try {
      if (this.#isDoubted && this.#position !== undefined) await this.#checkPosition(this.#position, signal);
      const from = this.#position ?? (await this.#list(signal));
      this.#begunAt = from;
      sinceMs = clock.now();
      const timeoutSeconds = Math.round(WATCH_SECONDS.least + this.#random() * (WATCH_SECONDS.most - WATCH_SECONDS.least));
      const behind = new AbortController();
      const hear = (type: WatchEventType, object: unknown): void => {
        if (behind.signal.aborted) return;
        heard = true;
        if (!this.#receive(type, object)) behind.abort(OVER);
      };
      const { path, query } = this.#options;
      const end = await withEither([signal, behind.signal], (either) =>
        client.watch(path, { ...query, resourceVersion: from, timeoutSeconds }, hear, either),
      );
      if (behind.signal.aborted) return { cause: "gone", heard, watchedMs: watchedMs() };
      if (end.kind === "failed") throw end.error;
      return { cause: end.kind === "silent" ? "silent" : "closed", heard, watchedMs: watchedMs() };
    } catch (error) {
      return { cause: error instanceof KubeApiError ? error.failure : "server", heard, watchedMs: watchedMs(), error };
    }
  }

  /** What others are to know of an end: metric, log, listeners. `inRow` counts ends of this cause. */
  #report(end: End, inRow: number): void {
    this.#deps.onRestart?.(end.cause);
    const isMissingKind = end.cause === "notFound" && this.#options.optional === true;
    if (end.error === undefined || isMissingKind) this.#log.debug({ cause: end.cause }, "watch ended; going on");
    else this.#log.warn({ cause: end.cause, inRow, err: end.error }, "list or watch failed; trying again");
    if (isMissingKind) this.#finishFirstList();
    if (end.cause === "denied" && inRow === (this.#synced ? DENIED_ROW : 1)) guard(this.#log, () => this.#options.onDenied?.());
  }
}

/** After these ends another server may answer, or the same one with other data. */
function isSuspicious(cause: RestartCause): boolean {
  return cause === "transport" || cause === "server" || cause === "silent" || cause === "timeout";
}

/**
 * Whether going on from the last position makes sense. A position that was compacted shows sometimes as 5xx; a server that is merely away
 * must not cause lists by everybody.
 */
function needsList(cause: RestartCause, inRow: number): boolean {
  switch (cause) {
    case "gone":
    case "badRequest":
    case "invalid":
    case "notFound":
    case "conflict":
      return true;
    case "silent":
      return inRow >= 2;
    case "server":
      return inRow >= 5;
    case "closed":
    case "denied":
    case "unauthenticated":
    case "throttled":
    case "timeout":
    case "transport":
      return false;
    default:
      return cause satisfies never;
  }
}

function delayMs({ cause, error, watchedMs }: End, failures: ApiFailures, hasWorked: boolean, random: () => number): number {
  if (error === undefined && watchedMs >= STEADY_MS) return 0;
  if (cause === "denied") {
    const attempt = Math.max(0, failures.refused - 1);
    const slowly = hasWorked ? Math.floor(attempt / 2) : attempt;
    return (backoffMs(slowly, DENIED_BACKOFF, () => 1) + backoffMs(slowly, DENIED_BACKOFF, random)) / 2;
  }
  const asked = error instanceof KubeApiError ? (error.retryAfterMs ?? (cause === "throttled" ? 1_000 : 0)) : 0;
  return asked + againMs(failures, error, BACKOFF, random);
}

/** Runs what others gave us: their mistake is logged, and does not stop the watch. */
function guard(log: Logger, run: () => void): void {
  try {
    run();
  } catch (err) {
    log.error({ err }, "a listener of the watch failed");
  }
}

/** How many UIDs are remembered as already logged. Own choice. */
const LOGGED_MOST = 1_000;

/** `decode` that never throws; what it does not understand is logged once per UID. */
function makeCarefulDecode<R>(decode: (raw: unknown) => R | undefined, log: Logger): (raw: unknown) => R | undefined {
  const logged = new Set<string>();
  return (raw) => {
    let err: unknown;
    try {
      const record = decode(raw);
      if (record !== undefined) return record;
    } catch (error) {
      err = error;
    }
    const { uid = "", name } = identityOf(raw) ?? {};
    if (!logged.has(uid) && logged.size < LOGGED_MOST) log.warn({ uid, object: name, err }, "object not understood; skipped");
    logged.add(uid);
    return undefined;
  };
}
