import type { Eni } from "../domain/eni.ts";

type Known = { readonly eni: Eni | undefined; readonly atMs: number };

/** ENIs of the account by address and MAC, as last read; an address that no ENI has is known as well. */
export class Enis {
  readonly #clock: { now(): number };
  readonly #byIp = new Map<string, Known>();
  readonly #byMac = new Map<string, Known>();
  #seen = false;
  #readAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  /** The account has ENIs at all: only then does it mean something that an address is on none. */
  get areKnown(): boolean {
    return this.#seen;
  }

  /** Somebody read within this time, whatever was found. */
  isReadWithin(ms: number): boolean {
    return this.#readAtMs + ms > this.#clock.now();
  }

  /** What a read of these addresses found. Several ENIs may have one address in different VPCs: `vpcId` decides, where it is known. */
  note(ips: readonly string[], found: readonly Eni[], vpcId: string | undefined): void {
    const atMs = this.#clock.now();
    this.#readAtMs = atMs;
    this.#seen ||= found.length > 0;
    for (const ip of ips) this.#byIp.set(ip, { eni: undefined, atMs });
    const ours = found.filter((eni) => vpcId === undefined || eni.vpcId === vpcId);
    for (const eni of ours) {
      this.#byMac.set(eni.mac, { eni, atMs });
      for (const ip of eni.ips) this.#byIp.set(ip, { eni, atMs });
    }
  }

  /** The ENI with this address; `undefined` inside: none has it. Outside: not read, or longer ago than `maxAgeMs`. */
  byIp(ip: string, maxAgeMs: number): { readonly eni: Eni | undefined } | undefined {
    const known = this.#byIp.get(ip);
    return known !== undefined && known.atMs + maxAgeMs > this.#clock.now() ? known : undefined;
  }

  byMac(mac: string): Eni | undefined {
    return this.#byMac.get(mac)?.eni;
  }

  /** The Pod with this address is over. */
  forget(ip: string): void {
    this.#byIp.delete(ip);
  }
}
