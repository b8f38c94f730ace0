/** Addresses of one node's Pods. The one given back longest ago is given out next, so that a late connection meets nobody. */
export class AddressPool {
  readonly #free: string[];

  constructor(addresses: readonly string[]) {
    this.#free = [...addresses];
  }

  /** `preferred` if it is free (a Pod that had it before), else the next; undefined when all are in use. */
  take(preferred?: string): string | undefined {
    const index = preferred === undefined ? -1 : this.#free.indexOf(preferred);
    return this.#free.splice(Math.max(index, 0), 1)[0];
  }

  giveBack(address: string): void {
    this.#free.push(address);
  }
}
