/** A binary heap: `pop` gives the item that is before all others. */
export interface Heap<T> {
  readonly size: number;
  push(item: T): void;
  /** The first item, which stays; undefined: there is none. */
  peek(): T | undefined;
  pop(): T | undefined;
}

export function makeHeap<T>(isBefore: (left: T, right: T) => boolean): Heap<T> {
  const items: T[] = [];
  const before = (left: number, right: number): boolean => {
    const [one, other] = [items[left], items[right]];
    return one !== undefined && other !== undefined && isBefore(one, other);
  };
  const swap = (left: number, right: number): void => {
    const [one, other] = [items[left], items[right]];
    if (one !== undefined && other !== undefined) [items[left], items[right]] = [other, one];
  };
  return {
    get size() {
      return items.length;
    },
    peek: () => items[0],
    push(item) {
      let at = items.push(item) - 1;
      for (let parent = (at - 1) >> 1; at > 0 && before(at, parent); at = parent, parent = (at - 1) >> 1) swap(at, parent);
    },
    pop() {
      swap(0, items.length - 1);
      const first = items.pop();
      for (let at = 0; ; ) {
        const [left, right] = [2 * at + 1, 2 * at + 2];
        const child = before(right, left) ? right : left;
        if (!before(child, at)) return first;
        swap(at, child);
        at = child;
      }
    },
  };
}
