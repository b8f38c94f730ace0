/** What `ip -j` says of rules, routes and links, as plain data. Shapes as iproute2 6.1 prints them. */

/**
 * A rule of the routing policy: packets `from` and `to` these prefixes ("all" or undefined: any) look into this table. `isPlain`: nothing else
 * must fit (mark, incoming interface, protocol, a negation). E.g. { priority: 1536, from: "10.0.3.7", to: undefined, table: "4002", isPlain: true }
 */
export type IpRule = {
  readonly priority: number;
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** "" where the rule ends the search: blackhole, unreachable, prohibit. */
  readonly table: string;
  readonly isPlain: boolean;
};

/** E.g. { dst: "10.244.0.0/16", device: "lo", type: "local", metric: 0, table: "local" }; dst may be "default"; device "" where it leads nowhere. */
export type Route = {
  readonly dst: string;
  readonly device: string;
  readonly type: string;
  readonly metric: number;
  readonly table: string;
};

/** E.g. { name: "eth1", mac: "20:90:6f:01:02:03", kind: "", master: "" }; kind "bridge", "vlan" or "vxlan" where it is one. */
export type Link = { readonly name: string; readonly mac: string; readonly kind: string; readonly master: string };

/** One address with its subnet, e.g. { device: "eth1", subnet: "10.0.3.1/24" }. */
export type InterfaceAddress = { readonly device: string; readonly subnet: string };

/** What the kernel knows of the way to addresses, and from them. */
export type KernelView = {
  readonly rules: readonly IpRule[];
  readonly routes: readonly Route[];
  readonly links: ReadonlyMap<string, Link>;
  readonly addresses: readonly InterfaceAddress[];
};

/** The lists that `ip` printed, each as parsed JSON: of IPv4 and IPv6, of all links with their addresses, and of the links of each kind. */
export type KernelLists = {
  readonly rules: readonly unknown[];
  readonly routes: readonly unknown[];
  readonly links: unknown;
  readonly linksOfKind: ReadonlyMap<string, unknown>;
};

export const EMPTY_VIEW: KernelView = { rules: [], routes: [], links: new Map(), addresses: [] };

/** What is no list throws an Error that says which; what is no entry of its list is left out. */
export function kernelViewOf({ rules, routes, links, linksOfKind }: KernelLists): KernelView {
  const kinds = new Map<string, string>();
  for (const [kind, list] of linksOfKind) for (const { ifname } of entriesOf("link", list)) if (isText(ifname)) kinds.set(ifname, kind);
  const devices = entriesOf("address", links);
  return {
    rules: rules.flatMap((list) => entriesOf("rule", list).flatMap(ruleOf)),
    routes: routes.flatMap((list) => entriesOf("route", list).flatMap(routesOf)),
    links: new Map(devices.flatMap((entry) => linkOf(entry, kinds)).map((link) => [link.name, link])),
    addresses: devices.flatMap(addressesOf),
  };
}

type Entry = Readonly<Record<string, unknown>>;

const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
const textOf = (value: unknown): string => (isText(value) ? value : "");
const isEntry = (value: unknown): value is Entry => typeof value === "object" && value !== null && !Array.isArray(value);

function entriesOf(what: string, list: unknown): readonly Entry[] {
  if (!Array.isArray(list)) throw new Error(`\`ip -j ${what} show\` printed no list, but ${JSON.stringify(list)?.slice(0, 60)}`);
  return list.filter(isEntry);
}

/** Whatever a rule has besides these makes it fit some packets only. */
const PLAIN_KEYS = new Set(["priority", "src", "srclen", "dst", "dstlen", "table", "action", "protocol"]);
/** Actions of rules that end the search. */
const ENDING = new Set(["blackhole", "unreachable", "prohibit"]);

function ruleOf(entry: Entry): IpRule[] {
  const { priority, src, srclen, dst, dstlen, table, action } = entry;
  const ends = isText(action) && ENDING.has(action);
  if (typeof priority !== "number" || (!isText(table) && !ends)) return [];
  const from = prefixText(src, srclen);
  const to = prefixText(dst, dstlen);
  return [{ priority, from, to, table: ends ? "" : textOf(table), isPlain: Object.keys(entry).every((key) => PLAIN_KEYS.has(key)) }];
}

function prefixText(address: unknown, length: unknown): string | undefined {
  if (!isText(address) || address === "all") return undefined;
  return typeof length === "number" ? `${address}/${length}` : address;
}

/** A route over several next hops is one route for each. */
function routesOf({ dst, dev, type, metric, table, nexthops }: Entry): Route[] {
  if (!isText(dst)) return [];
  const route = {
    dst,
    type: isText(type) ? type : "unicast",
    metric: typeof metric === "number" ? metric : 0,
    table: isText(table) ? table : "main",
  };
  const hops = Array.isArray(nexthops) ? nexthops.filter(isEntry).flatMap((hop) => (isText(hop["dev"]) ? [hop["dev"]] : [])) : [];
  return (isText(dev) ? [dev] : hops.length > 0 ? hops : [""]).map((device) => ({ ...route, device }));
}

function linkOf({ ifname, address, master }: Entry, kinds: ReadonlyMap<string, string>): Link[] {
  if (!isText(ifname)) return [];
  const mac = textOf(address).toLowerCase();
  // The loopback device has zeros for a MAC.
  return [{ name: ifname, mac: /^[0:]*$/.test(mac) ? "" : mac, kind: kinds.get(ifname) ?? "", master: textOf(master) }];
}

function addressesOf({ ifname, addr_info: infos }: Entry): InterfaceAddress[] {
  if (!isText(ifname) || !Array.isArray(infos)) return [];
  return infos.filter(isEntry).flatMap(({ local, prefixlen }) => {
    return isText(local) && typeof prefixlen === "number" ? [{ device: ifname, subnet: `${local}/${prefixlen}` }] : [];
  });
}
