import { CloudError } from "./errors.ts";
import { toAddress, toNumber } from "./ranges.ts";

export interface Vips {
  /** The lowest free address from .1 upwards, or the wanted one. Throws ResourceInsufficient, InvalidParameterValue. */
  take(wanted?: string): string;
  release(vip: string): void;
}

export function makeVips(range: { readonly address: string; readonly prefix: number }): Vips {
  const size = 2 ** (32 - range.prefix);
  const first = Math.floor(toNumber(range.address) / size) * size + 1;
  const last = first + size - 3; // without the broadcast address
  const used = new Set<number>();
  let next = first;
  const free = (): number | undefined => {
    for (let tried = 0; tried < size - 2; tried++) {
      const candidate = next;
      // Addresses go round before one is used again: a stale client of a deleted CLB must not reach its successor.
      next = next === last ? first : next + 1;
      if (!used.has(candidate)) return candidate;
    }
    return undefined;
  };
  return {
    take: (wanted) => {
      const chosen = wanted === undefined ? free() : toNumber(wanted);
      if (chosen === undefined)
        throw new CloudError("ResourceInsufficient", "no free address is left in the range of load balancer addresses");
      if (chosen < first || chosen > last || used.has(chosen))
        throw new CloudError("InvalidParameterValue", `Vip ${wanted} is taken or outside ${range.address}/${range.prefix}`);
      used.add(chosen);
      return toAddress(chosen);
    },
    release: (vip) => void used.delete(toNumber(vip)),
  };
}
