import type { Eni } from "../domain/eni.ts";

/** `enis`: those that have the address, of several VPCs where the load balancers' is not known. `sinceMs`: since when no read has found any. */
type Known = { readonly enis: readonly Eni[]; readonly atMs: number; readonly sinceMs: number };

/** ENIs of the account by address and MAC, as last read; an address that no ENI has is known as well. */
export class Enis {
  readonly #clock: { now(): number };
  readonly #byIp = new Map<string, Known>();
  readonly #byMac = new Map<string, Eni>();
  #seen = false;

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  /** The account has ENIs at all: only then does it mean something that an address is on none. */
  get areKnown(): boolean {
    return this.#seen;
  }

  /** What a read of these addresses found. Several ENIs may have one address in different VPCs: `vpcId` decides, where it is known. */
  note(ips: readonly string[], found: readonly Eni[], vpcId: string | undefined): void {
    const atMs = this.#clock.now();
    this.#seen ||= found.length > 0;
    const byIp = new Map<string, Eni[]>(ips.map((ip) => [ip, []]));
    for (const eni of found) {
      if (vpcId !== undefined && eni.vpcId !== vpcId) continue;
      this.#byMac.set(eni.mac, eni);
      // Of an address that was not asked for, another VPC may have another ENI, which is not in the answer.
      for (const ip of eni.ips) if (vpcId !== undefined || byIp.has(ip)) byIp.set(ip, [...(byIp.get(ip) ?? []), eni]);
    }
    for (const [ip, enis] of byIp) {
      const before = this.#byIp.get(ip);
      const sinceMs = before === undefined || before.enis.length > 0 ? atMs : before.sinceMs;
      this.#byIp.set(ip, { enis, atMs, sinceMs });
    }
  }

  /** The ENIs with this address, empty: none; undefined: not read. */
  byIp(ip: string): Known | undefined {
    return this.#byIp.get(ip);
  }

  byMac(mac: string): Eni | undefined {
    return this.#byMac.get(mac);
  }

  /** The Pod with this address is over: the next one that gets it may be on another ENI. */
  forget(ip: string): void {
    this.#byIp.delete(ip);
  }
}
