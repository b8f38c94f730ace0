/**
 * Who waits, in a line of bounded length: served by turns of their addresses, and of each in the order of coming, so that thousands of one
 * address keep no other waiting, nor out of a line that they fill.
 */
export interface Line<T> {
  /**
   * False: there are too many, of this address or at all. Where it is too many at all the last one of the address that has the most is turned
   * away instead, unless that would have fewer than this one then.
   */
  add(address: string, one: T): boolean;
  delete(address: string, one: T): void;
  /** Takes the next one of an address that may; that address comes after the others then. Default: each may. */
  next(may?: (address: string) => boolean): T | undefined;
  readonly size: number;
  /** A copy, with the address of each. */
  all(): readonly (readonly [string, T])[];
  /** Whether one of such an address waits. */
  some(isSuch: (address: string) => boolean): boolean;
}

/** How many may wait: of one address, and of all. */
export type LineLimits = { readonly each: number; readonly all: number };

/** `turnAway` gets who makes way for another; it has left the line already. */
export function makeLine<T>(most: LineLimits, turnAway: (one: T) => void): Line<T> {
  const waiting = new Map<string, Set<T>>();
  let size = 0;
  const remove = (address: string, one: T): void => {
    const those = waiting.get(address);
    if (those?.delete(one) !== true) return;
    size -= 1;
    if (those.size === 0) waiting.delete(address);
  };
  /** For one of an address of which so many wait; false: nobody does. */
  const makeWay = (ofAddress: number): boolean => {
    let largest: readonly [string, ReadonlySet<T>] | undefined;
    for (const entry of waiting) if (entry[1].size > (largest?.[1].size ?? ofAddress + 1)) largest = entry;
    if (largest === undefined) return false;
    const [address, those] = largest;
    for (const last of [...those].slice(-1)) {
      remove(address, last);
      turnAway(last);
    }
    return true;
  };
  return {
    add(address, one) {
      const waits = waiting.get(address)?.size ?? 0;
      if (waits >= most.each || (size >= most.all && !makeWay(waits))) return false;
      const those = waiting.get(address) ?? new Set();
      waiting.set(address, those.add(one));
      size += 1;
      return true;
    },
    delete: remove,
    next(may = () => true) {
      for (const [address, those] of waiting) {
        if (!may(address)) continue;
        const [first] = those;
        if (first === undefined) continue;
        remove(address, first);
        if (waiting.delete(address)) waiting.set(address, those); // behind the others
        return first;
      }
      return undefined;
    },
    get size() {
      return size;
    },
    all: () => Array.from(waiting).flatMap(([address, those]) => Array.from(those, (one) => [address, one] as const)),
    some: (isSuch) => waiting.keys().some(isSuch),
  };
}
