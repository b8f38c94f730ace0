import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { member } from "../../common/kubernetes/json-member.ts";
import { type Change, makeListWatch, type WatchedSet } from "../../common/kubernetes/list-watch.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { isOlder } from "../../common/kubernetes/watched-store.ts";
import type { Logger } from "../../common/log.ts";
import { FORMER_RECORD_PREFIX, RECORD_LABEL, RECORD_PREFIX } from "../../common/names.ts";
import { PutBacks } from "./put-backs.ts";
import { type Shard, Shards } from "./shards.ts";
import { ConfigMap, decodeStored, type Stored } from "./stored-record.ts";

export type RecordsDeps = {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  readonly clusterId: string;
};

/**
 * What has to outlive a leader: entries of text under keys, by scope, which is a load balancer's id or "nodes". They lie in ConfigMaps of a
 * few kB each, so that no write grows with what is stored. An entry is there once it is stored, and gone at once when it is forgotten.
 */
export interface Records {
  /** Everything that a former leader stored has been read. */
  readonly synced: boolean;
  readonly scopes: Iterable<string>;
  entries(scope: string): Iterable<readonly [key: string, value: string]>;
  get(scope: string, key: string): string | undefined;
  /** Resolves when all of it is stored. Rejects with KubeApiError; what is not stored is not there. */
  put(scope: string, entries: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void>;
  /** Stored soon after, or with the next entries. */
  forget(scope: string, keys: Iterable<string>): void;
  /** A person has written this annotation ("true") on the first ConfigMap of the scope. */
  isMarked(scope: string, annotation: string): boolean;
  /** Nothing of the scope is needed any more. */
  drop(scope: string, signal: AbortSignal): Promise<void>;
  /** What a version before this one stored for a load balancer: address -> UID of the Pod; by scope. Complete once it is `synced`. */
  readonly former: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** Reads, watches and mends until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** What was forgotten, or could not be mended at once, is written so often. Milliseconds. */
const FLUSH_MS = 5_000;
/** ConfigMaps written at once by that. */
const FLUSHED_AT_ONCE = 10;
const RETRY_MS = 1_000;
/** ConfigMaps of a few kB per page: a page is parsed and decoded in one run, 500 of them in a third of a second. */
const PAGE_SIZE = 100;
const EMPTY: ReadonlyMap<string, string> = new Map();

const NAME = new RegExp(`^${RECORD_PREFIX}(.+)-(\\d+)$`);

export const makeRecords = (deps: RecordsDeps): Records => new StoredRecords(deps);

class StoredRecords implements Records {
  readonly former = new Map<string, Readonly<Record<string, string>>>();
  readonly #deps: RecordsDeps;
  readonly #collection: string;
  readonly #scopes = new Map<string, Shards>();
  /** What the watch told last, by the ConfigMap's name. */
  readonly #seen = new Map<string, Stored>();
  readonly #watched: WatchedSet<Stored>;
  readonly #putBacks: PutBacks;
  #isFormerRead = false;
  #stop: AbortSignal | undefined;

  constructor(deps: RecordsDeps) {
    this.#deps = deps;
    this.#putBacks = new PutBacks(deps.clock);
    this.#collection = kubePath`/api/v1/namespaces/${deps.namespace}/configmaps`;
    this.#watched = makeListWatch<Stored>(deps, {
      path: this.#collection,
      query: { labelSelector: RECORD_LABEL },
      pageSize: PAGE_SIZE,
      decode: decodeStored,
      onChange: (change) => this.#hear(change),
    });
  }

  get synced(): boolean {
    return this.#watched.synced && this.#isFormerRead;
  }

  get scopes(): Iterable<string> {
    return this.#scopes.keys();
  }

  entries(scope: string): Iterable<readonly [string, string]> {
    return this.#scopes.get(scope)?.stored() ?? [];
  }

  get(scope: string, key: string): string | undefined {
    return this.#scopes.get(scope)?.get(key);
  }

  async put(scope: string, entries: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> {
    const shards = this.#scope(scope);
    const writes = new Map<Shard, Map<string, string>>();
    for (const [key, value] of entries) {
      if (shards.get(key) === value) continue;
      const shard = shards.place(key, value);
      const fresh = writes.get(shard) ?? new Map<string, string>();
      writes.set(shard, fresh.set(key, value));
    }
    await Promise.all([...writes].map(([shard, fresh]) => this.#write(shard, signal, () => this.#send(shards, shard, fresh, signal))));
  }

  forget(scope: string, keys: Iterable<string>): void {
    const shards = this.#scopes.get(scope);
    for (const key of keys) shards?.forget(key);
  }

  isMarked(scope: string, annotation: string): boolean {
    return this.#seen.get(nameOf({ scope, index: 0 }))?.annotations[annotation] === "true";
  }

  async drop(scope: string, signal: AbortSignal): Promise<void> {
    const shards = [...(this.#scopes.get(scope)?.all ?? [])];
    this.#scopes.delete(scope);
    this.former.delete(scope);
    await Promise.all(shards.map(({ tail }) => tail)); // what is written after its deletion would stay
    const names = [...shards.map(nameOf), `${FORMER_RECORD_PREFIX}${scope}`];
    await Promise.all(names.map((name) => this.#delete(name, signal)));
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#stop = signal;
    await Promise.all([this.#watched.run(signal), this.#readFormer(signal), this.#flushNowAndThen(signal)]);
  }

  #pathOf(name: string): string {
    return kubePath`/api/v1/namespaces/${this.#deps.namespace}/configmaps/${name}`;
  }

  async #delete(name: string, signal: AbortSignal): Promise<void> {
    await absentAsUndefined(this.#deps.client.delete(this.#pathOf(name), undefined, { signal }));
  }

  #scope(scope: string): Shards {
    const known = this.#scopes.get(scope) ?? new Shards(scope);
    this.#scopes.set(scope, known);
    return known;
  }

  /** One write at a time for each ConfigMap, in their order. */
  async #write(shard: Shard, signal: AbortSignal, send: () => Promise<void>): Promise<void> {
    shard.writes += 1;
    const before = shard.tail;
    const write = (async () => {
      try {
        await orAborted(before, signal);
        await send();
      } finally {
        shard.writes -= 1;
        shard.wroteAtMs = this.#deps.clock.now();
      }
      this.#compare(shard);
    })();
    shard.tail = write.catch(() => undefined);
    await write;
  }

  async #send(shards: Shards, shard: Shard, fresh: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> {
    const { client, clusterId, namespace } = this.#deps;
    const path = this.#pathOf(nameOf(shard));
    const labels = { [RECORD_LABEL]: clusterId };
    const whole = (): Record<string, string> => ({ ...shards.valuesOf(shard), ...Object.fromEntries(fresh) });
    let stale: readonly string[] = [];
    const patch = async (): Promise<unknown> => {
      stale = [...shard.stale].filter((key) => !fresh.has(key) && !shard.keys.has(key));
      const gone = Object.fromEntries(stale.map((key) => [key, null]));
      const data = { ...gone, ...(shard.isDamaged ? whole() : Object.fromEntries(fresh)) };
      return await absentAsUndefined(client.patch<unknown>(path, { metadata: { labels }, data }, "merge", { signal }));
    };
    let answer = shard.exists ? await patch() : undefined;
    if (answer === undefined) {
      const metadata = { name: nameOf(shard), namespace, labels };
      const body = { apiVersion: "v1", kind: "ConfigMap", metadata, data: whole() };
      answer = await client.create<unknown>(this.#collection, body, { signal }).catch(async (err: unknown) => {
        if (!(err instanceof KubeApiError && err.failure === "conflict")) throw err;
        const { data } = decodeStored(await client.get<unknown>(path, { signal }));
        for (const key of Object.keys(data)) if (!shard.keys.has(key)) shard.stale.add(key);
        shard.isDamaged = true;
        return await patch();
      });
    }
    shard.exists = true;
    shard.isDamaged = false;
    const version = member(member(answer, "metadata"), "resourceVersion");
    if (typeof version === "string") shard.version = version;
    for (const key of stale) shards.noteGone(shard, key);
    for (const [key, value] of fresh) shards.noteStored(shard, key, value);
  }

  #hear(change: Change<Stored>): void {
    const { record } = change;
    const [, scope, index] = NAME.exec(record.name) ?? [];
    if (scope === undefined || index === undefined) return;
    if (change.kind === "removed") this.#seen.delete(record.name);
    else this.#seen.set(record.name, record);
    if (!this.#watched.synced) {
      const { data, resourceVersion: version, clusterId } = record;
      if (change.kind !== "removed")
        this.#scope(scope).takeIn(Number(index), { data, version, isOurs: clusterId === this.#deps.clusterId });
      return;
    }
    const shards = this.#scopes.get(scope);
    const shard = shards?.at(Number(index));
    if (shards === undefined || shard === undefined) return;
    if (change.kind !== "removed") this.#compare(shard);
    else if (shard.keys.size > 0) {
      this.#deps.log.warn({ configMap: record.name }, "record deleted by somebody else; writing it again");
      shard.exists = false;
      this.#putBack(shards, shard, record.resourceVersion);
    }
  }

  /**
   * A change that is not ours is mended. An older version than that of our last write is an event that comes late, unless nothing younger
   * comes for a while (`isLate`): then the API server's store was set back.
   */
  #compare(shard: Shard, isLate = false): void {
    const seen = this.#seen.get(nameOf(shard));
    const shards = this.#scopes.get(shard.scope);
    if (seen === undefined || shard.writes > 0 || shards?.at(shard.index) !== shard) return;
    if (seen.resourceVersion === shard.version || (!isLate && isOlder(seen.resourceVersion, shard.version))) return;
    if (!isLate && seen.resourceVersion === shard.mended) return; // not told anew since: after each write it would be mended again
    shard.version = seen.resourceVersion;
    const values = shards.valuesOf(shard);
    const strange = Object.keys(seen.data).filter((key) => !(key in values) && !shard.stale.has(key));
    for (const key of strange) shard.stale.add(key);
    if (strange.length === 0 && Object.entries(values).every(([key, value]) => seen.data[key] === value)) return;
    this.#deps.log.warn({ configMap: nameOf(shard) }, "record changed by somebody else; writing it again");
    shard.isDamaged = true;
    shard.mended = seen.resourceVersion;
    this.#putBack(shards, shard, seen.resourceVersion);
  }

  /** At once, and ever more rarely where somebody changes it again and again: then with one of the flushes. */
  #putBack(shards: Shards, shard: Shard, version: string): void {
    const name = nameOf(shard);
    const restMs = this.#putBacks.restMs(name, "", version);
    if (restMs !== "unseen" && restMs > 0) {
      shard.restsUntilMs = this.#deps.clock.now() + restMs;
      return;
    }
    if (this.#putBacks.isToBeTold(name, ""))
      this.#deps.log.error({ configMap: name }, "somebody changes the record again and again; from now on it is put back once in 30 s");
    this.#putBacks.wrote(name, "", version);
    this.#mend(shards, shard);
  }

  #mend(shards: Shards, shard: Shard): void {
    this.#writeBeside(shard, (signal) => this.#send(shards, shard, EMPTY, signal));
  }

  /** Nothing is left in it. */
  #remove(shards: Shards, shard: Shard): void {
    this.#writeBeside(shard, async (signal) => {
      if (shard.keys.size > 0) return; // it has been filled meanwhile
      if (shard.exists) await this.#delete(nameOf(shard), signal);
      shard.exists = false;
      shards.remove(shard);
    });
  }

  /** A write that nobody waits for; what fails is tried again before long. */
  #writeBeside(shard: Shard, send: (signal: AbortSignal) => Promise<void>): void {
    const signal = this.#stop;
    if (signal === undefined || signal.aborted) return;
    this.#write(shard, signal, () => send(signal)).catch((err: unknown) => {
      shard.isDamaged = true;
      if (!signal.aborted) this.#deps.log.warn({ err, configMap: nameOf(shard) }, "record not written, trying again");
    });
  }

  async #flushNowAndThen(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      await clock.sleep(FLUSH_MS, signal).catch(() => undefined);
      if (signal.aborted || !this.synced) continue;
      const all = [...this.#scopes.values()].flatMap((shards) => [...shards.all].map((shard) => ({ shards, shard })));
      for (const { shard } of all) if (shard.wroteAtMs <= clock.now() - FLUSH_MS) this.#compare(shard, true);
      for (const { shards, shard } of all.filter((one) => needsWrite(one, clock.now())).slice(0, FLUSHED_AT_ONCE)) {
        if (shard.restsUntilMs > 0) this.#putBacks.wrote(nameOf(shard), "", shard.version);
        shard.restsUntilMs = 0;
        if (shard.keys.size > 0) this.#mend(shards, shard);
        else this.#remove(shards, shard);
      }
    }
  }

  async #readFormer(signal: AbortSignal): Promise<void> {
    const { client, clock, log } = this.#deps;
    while (!signal.aborted && !this.#isFormerRead)
      try {
        for (let next: string | undefined; ; ) {
          const page = await client.list<unknown>(
            this.#collection,
            { labelSelector: `!${RECORD_LABEL}`, limit: 500, continue: next },
            { signal },
          );
          for (const item of page.items) {
            const { success, data } = ConfigMap.safeParse(item);
            if (success && data.metadata.name.startsWith(FORMER_RECORD_PREFIX))
              this.former.set(data.metadata.name.slice(FORMER_RECORD_PREFIX.length), data.data ?? {});
          }
          next = page.continue;
          if (next === undefined) break;
        }
        this.#isFormerRead = true;
      } catch (err) {
        if (signal.aborted) return;
        log.warn({ err }, "records of former versions not read, trying again");
        await clock.sleep(RETRY_MS, signal).catch(() => undefined);
      }
  }
}

const nameOf = ({ scope, index }: Pick<Shard, "scope" | "index">): string => `${RECORD_PREFIX}${scope}-${index}`;
const needsWrite = ({ shard }: { readonly shard: Shard }, nowMs: number): boolean =>
  shard.writes === 0 && shard.restsUntilMs <= nowMs && isBehind(shard);
const isBehind = ({ keys, stale, exists, isDamaged }: Shard): boolean => keys.size === 0 || stale.size > 0 || isDamaged || !exists;

/** Resolves when that is over, which never rejects; rejects with the signal's reason as soon as it aborts. */
function orAborted(over: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    void over.finally(() => signal.removeEventListener("abort", abort)).then(() => resolve(), reject);
  });
}

async function absentAsUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (err) {
    if (err instanceof KubeApiError && err.failure === "notFound") return undefined;
    throw err;
  }
}
