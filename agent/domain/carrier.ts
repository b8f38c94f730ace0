import type { HostInterface, InterfaceKind } from "../../common/vocabulary.ts";
import { cut, type Prefix, parseAddress, parsePrefix } from "./address.ts";
import type { IpRule, KernelView, Link, Route } from "./kernel-view.ts";

/** Where an address is, or why that is not known; both where only a part is known. */
export type Carrier = { readonly hostInterface: HostInterface | undefined; readonly note: string };

/** Tables that rules of the system itself name; they say nothing of an ENI. */
const SYSTEM_TABLES = new Set(["local", "main", "default", "255", "254", "253"]);
/** The rules that every kernel has when nobody changed them; used where rules could not be read. */
const DEFAULT_RULES: readonly IpRule[] = ["local", "main", "default"].map((table, index) => {
  return { priority: index === 0 ? 0 : 32_765 + index, from: undefined, to: undefined, table, isPlain: true };
});
/** Devices of Cilium's dataplane, which also runs over ENIs; only with its tunnel beside them a Pod is on an overlay. */
const CILIUM_DEVICE = /^(cilium_|lxc)/;
const CILIUM_TUNNEL = /^cilium_(vxlan|geneve)$/;

/**
 * Which interface carries an address, as VPC-CNI lays it: a rule `from <address>` names a table, and the table's route to the outside leads
 * to the ENI. Priorities and table numbers are followed, never assumed. Where no such rule exists, the way *to* the address decides: over a
 * bridge (GlobalRouter), to this node itself (hostNetwork), or over some other route. The addresses of interfaces count last.
 */
export function carriersIn(view: KernelView): (ip: string) => Carrier {
  const tables = tablesOf(view.routes);
  const ruled = rulesBySource(view.rules);
  const rules = [...(view.rules.length > 0 ? view.rules : DEFAULT_RULES)].sort((one, other) => one.priority - other.priority);
  const toAll = rules.filter(({ from, isPlain }) => from === undefined && isPlain);
  const toRules = toAll.filter(({ to }) => to !== undefined);
  const destinations = rulesByDestination(toRules);
  const general = toAll.filter(({ to }) => to === undefined);
  const subnets = makeTable();
  for (const { device, subnet } of view.addresses) subnets.add(parsePrefix(subnet), { device, type: "unicast", rank: 0 });
  const linkOf = (name: string): Link => view.links.get(name) ?? { name, mac: "", kind: "", master: "" };

  const hasTunnel = [...view.links.keys()].some((name) => CILIUM_TUNNEL.test(name));
  const interfaceOf = (device: string, kind: InterfaceKind, table: string): HostInterface => {
    const number = /^\d+$/.test(table) ? Number(table) : 0;
    return { name: device, mac: linkOf(device).mac, kind, table: number };
  };
  /** The way to it, as the kernel would look it up for a packet of its own. */
  const wayTo = (ip: string): Way | undefined => {
    for (const { table } of inOrder(destinations(ip), general)) {
      if (table === "") return undefined;
      const way = tables.get(canonical(table))?.find(ip);
      if (way !== undefined) return CARRYING.has(way.type) && way.device !== "" ? way : undefined;
    }
    const device = subnets.find(ip);
    return device;
  };
  return (ip) => {
    if (parseAddress(ip) === undefined) return { hostInterface: undefined, note: `"${ip}" is no address` };
    let note = "";
    for (const { priority, table } of ruled(ip)) {
      const device = tables.get(canonical(table))?.outside;
      const kind = device === undefined ? undefined : linkOf(device).kind === "vlan" ? "sub-eni" : "eni";
      if (device !== undefined && kind !== undefined) return { hostInterface: interfaceOf(device, kind, table), note: "" };
      note ||= `rule ${priority} sends packets from ${ip} to table ${table}, which leads nowhere: is its ENI detached?`;
    }
    const way = wayTo(ip);
    if (way === undefined) return { hostInterface: undefined, note: note || `no rule, route or subnet of this node carries ${ip}` };
    return { hostInterface: interfaceOf(way.device, kindOf(way, linkOf, hasTunnel), ""), note };
  };
}

/** How a Pod is reached over a device that no rule for its address names. */
function kindOf({ device, type }: Way, linkOf: (name: string) => Link, hasTunnel: boolean): InterfaceKind {
  const link = linkOf(device);
  if (link.kind === "vxlan" || (CILIUM_DEVICE.test(device) && hasTunnel)) return "overlay";
  if (link.kind === "bridge" || linkOf(link.master).kind === "bridge") return "bridge";
  return type === "local" ? "node" : "route";
}

/** Routes of other types (broadcast, multicast, unreachable, …) lead to no Pod. */
const CARRYING = new Set(["local", "unicast"]);

type Way = { readonly device: string; readonly type: string; readonly rank: number };
type Table = ReturnType<typeof makeTable> & { readonly outside: string | undefined };

/** iproute2 prints well-known tables by name, unless /etc/iproute2 is missing. */
const canonical = (table: string): string => ({ "255": "local", "254": "main", "253": "default" })[table] ?? table;

function tablesOf(routes: readonly Route[]): ReadonlyMap<string, Table> {
  const tables = new Map<string, { readonly table: ReturnType<typeof makeTable>; readonly routes: Route[] }>();
  for (const route of routes) {
    const name = canonical(route.table);
    const one = tables.get(name) ?? { table: makeTable(), routes: [] };
    tables.set(name, one);
    one.routes.push(route);
    const { dst, device, type, metric } = route;
    if (type !== "broadcast" && type !== "multicast" && type !== "anycast")
      one.table.add(parsePrefix(dst), { device, type, rank: type === "local" ? -1 : metric });
  }
  return new Map(Array.from(tables, ([name, one]) => [name, { ...one.table, outside: outsideOf(one.routes) }]));
}

/** Where packets to the outside go: the default route, else the first route to anything. */
function outsideOf(routes: readonly Route[]): string | undefined {
  const leading = routes.filter(({ type, device }) => type === "unicast" && device !== "").sort((one, other) => one.metric - other.metric);
  return (leading.find(({ dst }) => dst === "default" || /^(0\.0\.0\.0|::)\/0$/.test(dst)) ?? leading[0])?.device;
}

/** Rules for one address or range of Pods that lead to a table of their own, in order of priority. */
function rulesBySource(rules: readonly IpRule[]): (ip: string) => readonly IpRule[] {
  const own = rules.filter(({ from, table, isPlain }) => from !== undefined && isPlain && table !== "" && !SYSTEM_TABLES.has(table));
  const indexed = indexedBy(own, ({ from }) => from);
  return (ip) => indexed(ip).toSorted((one, other) => one.priority - other.priority);
}

const rulesByDestination = (rules: readonly IpRule[]): ((ip: string) => readonly IpRule[]) => indexedBy(rules, ({ to }) => to);

/** One map per prefix length: a node has one rule per Pod and more. */
function indexedBy(rules: readonly IpRule[], prefixOf: (rule: IpRule) => string | undefined): (ip: string) => readonly IpRule[] {
  const byLength = new Map<string, { readonly prefix: Prefix; readonly rules: Map<bigint, IpRule[]> }>();
  for (const rule of rules) {
    const prefix = parsePrefix(prefixOf(rule) ?? "");
    if (prefix === undefined) continue;
    const key = `${prefix.width}/${prefix.length}`;
    const row = byLength.get(key) ?? { prefix, rules: new Map<bigint, IpRule[]>() };
    byLength.set(key, row);
    row.rules.set(prefix.bits, [...(row.rules.get(prefix.bits) ?? []), rule]);
  }
  return (ip) => {
    const address = parseAddress(ip);
    if (address === undefined) return [];
    return [...byLength.values()].flatMap(({ prefix: { length, width }, rules: found }) =>
      width === address.width ? (found.get(cut(address.bits, length, width)) ?? []) : [],
    );
  };
}

function inOrder(some: readonly IpRule[], others: readonly IpRule[]): readonly IpRule[] {
  return some.length === 0 ? others : [...some, ...others].sort((one, other) => one.priority - other.priority);
}

/**
 * A routing table: the longest prefix wins, then a local route, then the lower metric, then the first. A default route carries nothing: it
 * leads away from the node. One map per prefix length, so that a look-up costs as many steps as there are lengths, not routes.
 */
function makeTable() {
  type Row = { readonly length: number; readonly width: number; readonly ways: Map<bigint, Way> };
  const byLength = new Map<string, Row>();
  let ordered: readonly Row[] | undefined;
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
    find(ip: string): Way | undefined {
      const address = parseAddress(ip);
      if (address === undefined) return undefined;
      ordered ??= [...byLength.values()].sort((one, other) => other.length - one.length);
      for (const { length, width, ways } of ordered) {
        const way = width === address.width ? ways.get(cut(address.bits, length, width)) : undefined;
        if (way !== undefined) return way;
      }
      return undefined;
    },
  };
}
