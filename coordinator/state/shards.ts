/** Entries of text under keys, spread over pieces ("shards") of a few kB: what is in which, and what of it is stored. No word is spoken to anybody here. */

/** One piece holds so much, in bytes of keys and values: one write of a bind is a few kB, and 29 000 addresses are 500 pieces. */
const SHARD_BYTES = 8_192;

export type Shard = {
  readonly scope: string;
  readonly index: number;
  readonly keys: Set<string>;
  bytes: number;
  /** Stored there although it is not to be any more. */
  readonly stale: Set<string>;
  exists: boolean;
  /** Somebody else has changed it, or it is another cluster's: it is written whole. */
  isDamaged: boolean;
  /** resourceVersion of our last write, or of what was read. */
  version: string;
  /** Of the state of somebody else's that was mended last; "": none was. */
  mended: string;
  /** What somebody else has changed again and again is not put back before; 0: nobody has. Milliseconds since the epoch. */
  restsUntilMs: number;
  wroteAtMs: number;
  /** Writes that have not ended, and the last one of them. */
  writes: number;
  tail: Promise<unknown>;
};
/** `value` undefined: its place is kept, and it is not stored yet. */
type Entry = { value: string | undefined; size: number; readonly shard: Shard };

/** Everything of one scope, e.g. of the load balancer "lb-1". */
export class Shards {
  readonly #scope: string;
  readonly #entries = new Map<string, Entry>();
  readonly #shards = new Map<number, Shard>();
  /** Where keys lie that are to go. */
  readonly #staleIn = new Map<string, Shard>();
  /** Takes new entries until it is full. */
  #open: Shard | undefined;

  constructor(scope: string) {
    this.#scope = scope;
  }

  get all(): Iterable<Shard> {
    return this.#shards.values();
  }

  at(index: number): Shard | undefined {
    return this.#shards.get(index);
  }

  get(key: string): string | undefined {
    return this.#entries.get(key)?.value;
  }

  *stored(): Iterable<readonly [key: string, value: string]> {
    for (const [key, { value }] of this.#entries) if (value !== undefined) yield [key, value];
  }

  /** What is to be in a shard, as far as it was stored once. */
  valuesOf({ keys }: Shard): Record<string, string> {
    return Object.fromEntries(
      [...keys].flatMap((key) => {
        const value = this.get(key);
        return value === undefined ? [] : [[key, value]];
      }),
    );
  }

  /** Where the entry is or will be: where its key lies already, else in the shard that is being filled, so that a batch changes few of them. */
  place(key: string, value: string): Shard {
    const known = this.#entries.get(key);
    if (known !== undefined) return known.shard;
    const size = sizeOf(key, value);
    const shard = this.#staleIn.get(key) ?? this.#withRoom(size);
    this.#staleIn.delete(key);
    shard.stale.delete(key);
    shard.keys.add(key);
    shard.bytes += size;
    this.#entries.set(key, { value: undefined, size, shard });
    return shard;
  }

  /** The entry has been stored; one that was forgotten meanwhile is to go again. */
  noteStored(shard: Shard, key: string, value: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return this.#markStale(shard, key);
    const size = sizeOf(key, value);
    shard.bytes += size - entry.size;
    entry.size = size;
    entry.value = value;
  }

  /** The key is in the shard no more, unless it was asked for again meanwhile. */
  noteGone(shard: Shard, key: string): void {
    if (shard.keys.has(key)) return;
    shard.stale.delete(key);
    if (this.#staleIn.get(key) === shard) this.#staleIn.delete(key);
  }

  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    entry.shard.keys.delete(key);
    entry.shard.bytes -= entry.size;
    this.#markStale(entry.shard, key);
  }

  /** What was found stored. `isOurs` false: all of it is to go. */
  takeIn(
    index: number,
    { data, version, isOurs }: { readonly data: Readonly<Record<string, string>>; readonly version: string; readonly isOurs: boolean },
  ): void {
    const shard = this.#shards.get(index) ?? newShard(this.#scope, index);
    this.#shards.set(index, shard);
    Object.assign(shard, { exists: true, version, isDamaged: !isOurs });
    for (const [key, value] of Object.entries(data)) {
      if (!isOurs || this.#entries.has(key)) {
        shard.stale.add(key);
        continue;
      }
      const size = sizeOf(key, value);
      this.#entries.set(key, { value, size, shard });
      shard.keys.add(key);
      shard.bytes += size;
    }
  }

  /** It is not stored any more, and nothing is to be. */
  remove(shard: Shard): void {
    for (const key of shard.stale) this.noteGone(shard, key);
    if (shard.keys.size === 0 && this.#shards.get(shard.index) === shard) this.#shards.delete(shard.index);
  }

  #markStale(shard: Shard, key: string): void {
    shard.stale.add(key);
    this.#staleIn.set(key, shard);
  }

  #withRoom(size: number): Shard {
    const open = this.#open;
    const fits = ({ keys, bytes }: Shard): boolean => keys.size === 0 || bytes + size <= SHARD_BYTES;
    if (open !== undefined && fits(open) && this.#shards.get(open.index) === open) return open;
    let emptiest: Shard | undefined;
    for (const one of this.all) if (emptiest === undefined || one.bytes < emptiest.bytes) emptiest = one;
    if (emptiest === undefined || !fits(emptiest) || emptiest.bytes * 2 > SHARD_BYTES) {
      let index = 0;
      while (this.#shards.has(index)) index += 1;
      emptiest = newShard(this.#scope, index);
      this.#shards.set(index, emptiest);
    }
    this.#open = emptiest;
    return emptiest;
  }
}

const newShard = (scope: string, index: number): Shard => ({
  scope,
  index,
  keys: new Set(),
  bytes: 0,
  stale: new Set(),
  exists: false,
  isDamaged: false,
  version: "0",
  mended: "",
  restsUntilMs: 0,
  wroteAtMs: 0,
  writes: 0,
  tail: Promise.resolve(),
});

const sizeOf = (key: string, value: string): number => key.length + value.length;
