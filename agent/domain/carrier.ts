import { cut, type Prefix, parseAddress, parsePrefix, prefixOfMask } from "./address.ts";

/** As `ip -j route show table all` has it, e.g. { dst: "10.244.0.0/16", device: "lo", type: "local", metric: 0 }; dst may be "default". */
export type Route = { readonly dst: string; readonly device: string; readonly type: string; readonly metric: number };

/** One address with its mask, e.g. { device: "eth1", address: "10.0.3.1", mask: "255.255.255.0" }. */
export type InterfaceAddress = { readonly device: string; readonly address: string; readonly mask: string };

/** What the kernel knows of the way to addresses. */
export type NetworkView = { readonly routes: readonly Route[]; readonly addresses: readonly InterfaceAddress[] };

/** Routes of other types (broadcast, multicast, unreachable, …) lead to no Pod. */
const CARRYING = new Set(["local", "unicast"]);

type Way = { readonly device: string; readonly rank: number };

/**
 * Which interface carries an address: the longest prefix over all routes, else over the interfaces' subnets; undefined where none does.
 * Among equal prefixes a local route wins, then the lower metric, then the first. A default route carries nothing: it leads away from the node.
 */
export function carriersIn(view: NetworkView): (ip: string) => string | undefined {
  const routes = makeTable();
  const subnets = makeTable();
  for (const { dst, device, type, metric } of view.routes)
    if (CARRYING.has(type)) routes.add(parsePrefix(dst), { device, rank: type === "local" ? -1 : metric });
  for (const { device, address, mask } of view.addresses) subnets.add(prefixOfMask(address, mask), { device, rank: 0 });
  return (ip) => routes.find(ip) ?? subnets.find(ip);
}

/** One map per prefix length, so that a look-up costs as many steps as there are lengths, not routes. */
function makeTable() {
  const byLength = new Map<string, { readonly length: number; readonly width: number; readonly ways: Map<bigint, Way> }>();
  let ordered: readonly { length: number; width: number; ways: Map<bigint, Way> }[] | undefined;
  return {
    add(prefix: Prefix | undefined, way: Way): void {
      if (prefix === undefined || prefix.length === 0) return;
      const { bits, length, width } = prefix;
      const key = `${width}/${length}`;
      const row = byLength.get(key) ?? { length, width, ways: new Map<bigint, Way>() };
      byLength.set(key, row);
      if (way.rank < (row.ways.get(bits)?.rank ?? Number.POSITIVE_INFINITY)) row.ways.set(bits, way);
      ordered = undefined;
    },
    find(ip: string): string | undefined {
      const address = parseAddress(ip);
      if (address === undefined) return undefined;
      ordered ??= [...byLength.values()].sort((one, other) => other.length - one.length);
      for (const { length, width, ways } of ordered) {
        const way = width === address.width ? ways.get(cut(address.bits, length, width)) : undefined;
        if (way !== undefined) return way.device;
      }
      return undefined;
    },
  };
}
