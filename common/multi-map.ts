/**
 * Some values for each key, of which most have one: those cost no set of their own. A value is no Set and stands once under a key; the order of adding
 * is kept.
 */
export class MultiMap<K, V extends object> {
  readonly #values = new Map<K, V | Set<V>>();

  get size(): number {
    return this.#values.size;
  }

  add(key: K, value: V): void {
    const there = this.#values.get(key);
    if (there === undefined) this.#values.set(key, value);
    else if (there instanceof Set) there.add(value);
    else if (there !== value) this.#values.set(key, new Set([there, value]));
  }

  delete(key: K, value: V): void {
    const there = this.#values.get(key);
    if (there === value) this.#values.delete(key);
    else if (there instanceof Set) {
      there.delete(value);
      const [last, ...others] = there;
      if (last !== undefined && others.length === 0) this.#values.set(key, last);
    }
  }

  /** A copy; empty where there is none. */
  of(key: K): readonly V[] {
    const there = this.#values.get(key);
    if (there === undefined) return [];
    return there instanceof Set ? [...there] : [there];
  }
}
