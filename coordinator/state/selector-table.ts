import { selects } from "../domain/intent/service.ts";

type Labels = Readonly<Record<string, string>>;
/** `label` and `value`: where it is found. */
type Entry = {
  readonly key: string;
  readonly namespace: string;
  readonly selector: Labels;
  readonly label: string;
  readonly value: string;
};

/**
 * Selectors by namespace and one of their labels: a look-up costs what the Pod has of labels, not what the cluster has of selectors.
 * An empty selector selects nothing and is not kept.
 */
export class SelectorTable {
  readonly #entries = new Map<string, Entry>();
  /**
   * By namespace, name of a label and its value. Step by step, because it is asked for each Pod that is reported: most labels lead nowhere, and
   * no text has to be made of them for that.
   */
  readonly #buckets = new Map<string, Map<string, Map<string, Set<Entry>>>>();

  /** `key` e.g. the UID of a Service. True: this is another selector than the one known under that key. */
  set(key: string, namespace: string, selector: Labels): boolean {
    const known = this.#entries.get(key);
    if (known !== undefined && known.namespace === namespace && isSame(known.selector, selector)) return false;
    const changed = this.delete(key);
    const labels = Object.entries(selector).map(([label, value]) => ({ label, value }));
    // The rarest label: many Services of one namespace share a label such as `app.kubernetes.io/part-of`.
    const rarest = labels.reduce<(typeof labels)[number] | undefined>(
      (found, one) => (found !== undefined && this.#sizeOf(namespace, found) <= this.#sizeOf(namespace, one) ? found : one),
      undefined,
    );
    if (rarest === undefined) return changed;
    const entry: Entry = { key, namespace, selector, ...rarest };
    this.#entries.set(key, entry);
    const byName = inside(this.#buckets, namespace);
    const byValue = inside(byName, entry.label);
    byValue.set(entry.value, (byValue.get(entry.value) ?? new Set()).add(entry));
    return true;
  }

  /** True: it was known. */
  delete(key: string): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#entries.delete(key);
    const { namespace, label, value } = entry;
    const byName = this.#buckets.get(namespace);
    const byValue = byName?.get(label);
    const bucket = byValue?.get(value);
    bucket?.delete(entry);
    if (bucket?.size === 0) byValue?.delete(value);
    if (byValue?.size === 0) byName?.delete(label);
    if (byName?.size === 0) this.#buckets.delete(namespace);
    return true;
  }

  /** Keys of the selectors that match these labels; in no particular order. */
  matching(namespace: string, labels: Labels): string[] {
    const keys: string[] = [];
    const byName = this.#buckets.get(namespace);
    if (byName === undefined) return keys;
    for (const name in labels) {
      const bucket = byName.get(name)?.get(labels[name] ?? "");
      if (bucket !== undefined) for (const { key, selector } of bucket) if (selects(selector, labels)) keys.push(key);
    }
    return keys;
  }

  #sizeOf(namespace: string, { label, value }: Pick<Entry, "label" | "value">): number {
    return this.#buckets.get(namespace)?.get(label)?.get(value)?.size ?? 0;
  }
}

/** The map under this key; made where there is none. */
function inside<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const known = maps.get(key);
  if (known !== undefined) return known;
  const made = new Map<string, V>();
  maps.set(key, made);
  return made;
}

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
