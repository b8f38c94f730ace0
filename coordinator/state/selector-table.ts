import { selects } from "../domain/intent/service.ts";

type Labels = Readonly<Record<string, string>>;
type Entry = {
  readonly key: string;
  readonly namespace: string;
  readonly selector: Labels;
  readonly label: string;
  readonly bucket: string;
};

/**
 * Selectors by namespace and one of their labels: a look-up costs what the Pod has of labels, not what the cluster has of selectors.
 * An empty selector selects nothing and is not kept.
 */
export class SelectorTable {
  readonly #entries = new Map<string, Entry>();
  /** By namespace and one label, e.g. "shop app=web". */
  readonly #buckets = new Map<string, Set<Entry>>();
  /** By namespace, the names of labels that any bucket has: most labels of a Pod lead nowhere, and cost no look-up then. */
  readonly #names = new Map<string, Map<string, number>>();

  /** `key` e.g. the UID of a Service. True: this is another selector than the one known under that key. */
  set(key: string, namespace: string, selector: Labels): boolean {
    const known = this.#entries.get(key);
    if (known !== undefined && known.namespace === namespace && isSame(known.selector, selector)) return false;
    const changed = this.delete(key);
    const labels = Object.entries(selector).map(([label, value]) => ({ label, bucket: bucketOf(namespace, label, value) }));
    // The rarest label: many Services of one namespace share a label such as `app.kubernetes.io/part-of`.
    const rarest = labels.reduce<(typeof labels)[number] | undefined>(
      (found, one) => (found !== undefined && this.#sizeOf(found.bucket) <= this.#sizeOf(one.bucket) ? found : one),
      undefined,
    );
    if (rarest === undefined) return changed;
    const { label, bucket } = rarest;
    const entry: Entry = { key, namespace, selector, label, bucket };
    this.#entries.set(key, entry);
    this.#count(entry, 1);
    const bucketed = this.#buckets.get(bucket);
    if (bucketed === undefined) this.#buckets.set(bucket, new Set([entry]));
    else bucketed.add(entry);
    return true;
  }

  /** True: it was known. */
  delete(key: string): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#entries.delete(key);
    const bucketed = this.#buckets.get(entry.bucket);
    bucketed?.delete(entry);
    if (bucketed?.size === 0) this.#buckets.delete(entry.bucket);
    this.#count(entry, -1);
    return true;
  }

  /** Keys of the selectors that match these labels; in no particular order. */
  matching(namespace: string, labels: Labels): string[] {
    const keys: string[] = [];
    const names = this.#names.get(namespace);
    if (names === undefined) return keys;
    for (const name in labels) {
      if (!names.has(name)) continue;
      for (const { key, selector } of this.#buckets.get(bucketOf(namespace, name, labels[name] ?? "")) ?? [])
        if (selects(selector, labels)) keys.push(key);
    }
    return keys;
  }

  #count({ namespace, label }: Entry, change: 1 | -1): void {
    const names = this.#names.get(namespace) ?? new Map<string, number>();
    const count = (names.get(label) ?? 0) + change;
    if (count > 0) names.set(label, count);
    else names.delete(label);
    if (names.size > 0) this.#names.set(namespace, names);
    else this.#names.delete(namespace);
  }

  #sizeOf(bucket: string): number {
    return this.#buckets.get(bucket)?.size ?? 0;
  }
}

const bucketOf = (namespace: string, name: string, value: string): string => `${namespace} ${name}=${value}`;

function isSame(a: Labels, b: Labels): boolean {
  const entries = Object.entries(a);
  return entries.length === Object.keys(b).length && entries.every(([name, value]) => b[name] === value);
}

/** The same for keys with several selectors each, e.g. an Ingress that leads to several Services. */
export class SelectorLists {
  readonly #table = new SelectorTable();
  /** How many selectors a key has, where it is not one; with one its own key is used. */
  readonly #counts = new Map<string, number>();
  readonly #keys = new Map<string, string>();

  /** True: at least one of them is another one than before. */
  set(key: string, namespace: string, selectors: readonly Labels[]): boolean {
    const before = this.#counts.get(key) ?? 0;
    let isChanged = before !== selectors.length;
    for (const [at, selector] of selectors.entries()) {
      const entry = entryKey(key, at);
      this.#keys.set(entry, key);
      if (this.#table.set(entry, namespace, selector)) isChanged = true;
    }
    for (let at = selectors.length; at < before; at += 1) this.#drop(entryKey(key, at));
    this.#counts.set(key, selectors.length);
    return isChanged;
  }

  delete(key: string): void {
    for (let at = 0; at < (this.#counts.get(key) ?? 0); at += 1) this.#drop(entryKey(key, at));
    this.#counts.delete(key);
  }

  /** Keys with a selector that matches these labels, each once; in no particular order. */
  matching(namespace: string, labels: Labels): string[] {
    const found = this.#table.matching(namespace, labels).map((entry) => this.#keys.get(entry) ?? entry);
    return found.length < 2 ? found : [...new Set(found)];
  }

  #drop(entry: string): void {
    this.#table.delete(entry);
    this.#keys.delete(entry);
  }
}

const entryKey = (key: string, at: number): string => (at === 0 ? key : `${key} ${at}`);
