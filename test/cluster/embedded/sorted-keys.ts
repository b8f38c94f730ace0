/** Keys in the order of the real server, "namespace/name" by their characters. Sorted once, when they are first asked for, and kept so from then on. */
export class SortedKeys {
  readonly #all: () => Iterable<string>;
  #sorted: string[] | undefined;

  /** `all`: the keys that there are, for the first sort. */
  constructor(all: () => Iterable<string>) {
    this.#all = all;
  }

  /** A copy; of one namespace, or of all where it is undefined. */
  of(namespace: string | undefined): string[] {
    const keys = (this.#sorted ??= [...this.#all()].toSorted());
    if (namespace === undefined) return [...keys];
    return keys.slice(placeOf(keys, `${namespace}/`), placeOf(keys, `${namespace}0`)); // "0" follows "/"
  }

  /** This one, which was not there, is there now. */
  add(key: string): void {
    this.#sorted?.splice(placeOf(this.#sorted, key), 0, key);
  }

  /** This one, which was there, is gone. */
  delete(key: string): void {
    this.#sorted?.splice(placeOf(this.#sorted, key), 1);
  }
}

/** Of the first key that is not before this one. */
function placeOf(keys: readonly string[], key: string): number {
  let [from, to] = [0, keys.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((keys[middle] ?? "") < key) from = middle + 1;
    else to = middle;
  }
  return from;
}
