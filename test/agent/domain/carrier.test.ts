import assert from "node:assert/strict";
import { test } from "node:test";
import { carriersIn } from "../../../agent/domain/carrier.ts";
import { type IpRule, type KernelView, kernelViewOf, type Link, type Route } from "../../../agent/domain/kernel-view.ts";

const aRoute = (dst: string, device: string, change: Partial<Route> = {}): Route => ({
  dst,
  device,
  type: "unicast",
  metric: 0,
  table: "main",
  ...change,
});
const aRule = (priority: number, change: Partial<IpRule>): IpRule => ({
  priority,
  from: undefined,
  to: undefined,
  table: "main",
  isPlain: true,
  ...change,
});
const aLink = (name: string, change: Partial<Link> = {}): [string, Link] => [
  name,
  { name, mac: `mac of ${name}`, kind: "", master: "", ...change },
];
const aView = (change: Partial<KernelView>): KernelView => ({ rules: [], routes: [], links: new Map(), addresses: [], ...change });
const local = { type: "local" };
const SYSTEM = [aRule(0, { table: "local" }), aRule(32_766, { table: "main" }), aRule(32_767, { table: "default" })];

const cases: readonly { name: string; routes: readonly Route[]; ip: string; carrier: string | undefined }[] = [
  { name: "a whole local range", routes: [aRoute("10.244.0.0/16", "lo", local)], ip: "10.244.3.7", carrier: "lo" },
  {
    name: "the longest prefix",
    routes: [aRoute("10.0.0.0/16", "eth0"), aRoute("10.0.3.7", "veth1"), aRoute("10.0.3.0/24", "eth1")],
    ip: "10.0.3.7",
    carrier: "veth1",
  },
  {
    name: "the local one of equal prefixes",
    routes: [aRoute("10.0.3.7", "eth0"), aRoute("10.0.3.7", "eth1", local)],
    ip: "10.0.3.7",
    carrier: "eth1",
  },
  {
    name: "the lower metric of equal prefixes",
    routes: [aRoute("10.0.3.0/24", "eth0", { metric: 100 }), aRoute("10.0.3.0/24", "eth1", { metric: 50 })],
    ip: "10.0.3.7",
    carrier: "eth1",
  },
  { name: "the first of equals", routes: [aRoute("10.0.3.0/24", "eth0"), aRoute("10.0.3.0/24", "eth1")], ip: "10.0.3.7", carrier: "eth0" },
  { name: "no default route", routes: [aRoute("default", "eth0"), aRoute("0.0.0.0/0", "eth0")], ip: "10.0.3.7", carrier: undefined },
  { name: "no broadcast", routes: [aRoute("10.0.3.255", "eth0", { type: "broadcast" })], ip: "10.0.3.255", carrier: undefined },
  {
    name: "no blackhole",
    routes: [aRoute("10.0.3.7", "", { type: "blackhole" }), aRoute("10.0.3.0/24", "eth0")],
    ip: "10.0.3.7",
    carrier: undefined,
  },
  { name: "IPv6 in short and long form", routes: [aRoute("fd00:0:0:1::/64", "eth1")], ip: "fd00::1:0:0:0:9", carrier: "eth1" },
  { name: "no family by the other's prefix", routes: [aRoute("0.0.0.0/1", "eth0")], ip: "::1", carrier: undefined },
  {
    name: "no route that cannot be read",
    routes: [aRoute("10.0.3/24", "eth0"), aRoute("10.0.3.0/33", "eth0")],
    ip: "10.0.3.7",
    carrier: undefined,
  },
  { name: "nothing that is no address", routes: [aRoute("10.0.0.0/8", "eth0")], ip: "10.0.3", carrier: undefined },
  {
    name: "no route of a table that no rule leads to",
    routes: [aRoute("10.0.3.7", "eth0", { table: "77" })],
    ip: "10.0.3.7",
    carrier: undefined,
  },
];
for (const { name, routes, ip, carrier } of cases)
  test(`an address is carried by ${name}`, () => assert.equal(carriersIn(aView({ routes }))(ip).hostInterface?.name, carrier));

test("an interface's subnet decides only where no route does", () => {
  const addresses = [
    { device: "eth0", subnet: "10.0.3.1/24" },
    { device: "eth1", subnet: "fd00::1/64" },
    { device: "odd", subnet: "10.0.4.1/99" },
    { device: "none", subnet: "/0" },
  ];
  const carrierOf = carriersIn(aView({ routes: [aRoute("10.0.3.7", "veth1")], addresses }));
  const names = ["10.0.3.7", "10.0.3.8", "10.0.4.2", "fd00::77"].map((ip) => carrierOf(ip).hostInterface?.name);
  assert.deepEqual(names, ["veth1", "eth0", undefined, "eth1"]);
});

/** One Pod as VPC-CNI lays it; the table and the priorities are the caller's. */
const vpcCni = (table: string, toPriority: number, fromPriority: number, links: [string, Link][] = []): KernelView =>
  aView({
    rules: [...SYSTEM, aRule(toPriority, { to: "10.0.3.7" }), aRule(fromPriority, { from: "10.0.3.7", table })],
    routes: [
      aRoute("10.0.3.7", "enia1b2c3"),
      aRoute("default", "eth0"),
      aRoute("default", "eth1", { table }),
      aRoute("10.0.3.0/24", "eth1", { table }),
    ],
    links: new Map([aLink("eth0"), aLink("eth1"), aLink("enia1b2c3"), ...links]),
  });

for (const [table, to, from] of [
  ["1", 512, 1536],
  ["2003", 512, 1536],
  ["4002", 512, 1536],
  ["88", 2048, 3000],
] as const)
  test(`the rule from a Pod leads over table ${table} to its ENI, whatever the priorities`, () => {
    const { hostInterface, note } = carriersIn(vpcCni(table, to, from))("10.0.3.7");
    assert.deepEqual(hostInterface, { name: "eth1", mac: "mac of eth1", kind: "eni", table: Number(table) });
    assert.equal(note, "");
  });

test("an ENI that is a VLAN of another is a sub-ENI", () => {
  const view = vpcCni("4002", 512, 1536, [aLink("eth1", { kind: "vlan" })]);
  assert.equal(carriersIn(view)("10.0.3.7").hostInterface?.kind, "sub-eni");
});

test("an ENI that was detached leaves a rule that leads nowhere: told, with the way to the Pod", () => {
  const view = vpcCni("4002", 512, 1536);
  const detached = { ...view, routes: view.routes.filter(({ table }) => table !== "4002") };
  const { hostInterface, note } = carriersIn(detached)("10.0.3.7");
  assert.deepEqual([hostInterface?.name, hostInterface?.kind], ["enia1b2c3", "route"]);
  assert.equal(note, "rule 1536 sends packets from 10.0.3.7 to table 4002, which leads nowhere: is its ENI detached?");
});

test("rules that fit some packets only, or any Pod, name no ENI", () => {
  const view = vpcCni("4002", 512, 1536);
  const rules = [
    ...SYSTEM,
    aRule(100, { from: "10.0.3.7", table: "66", isPlain: false }),
    aRule(1024, { table: "67", to: "10.0.0.0/16", isPlain: false }),
    aRule(1536, { from: "10.0.3.8", table: "4002" }),
  ];
  assert.equal(carriersIn({ ...view, rules })("10.0.3.7").hostInterface?.name, "enia1b2c3");
});

test("a rule from the node's own range counts after that of the Pod, by priority", () => {
  const view = vpcCni("4002", 512, 1536);
  const rules = [...view.rules, aRule(1_600, { from: "10.0.3.0/24", table: "4009" })];
  const routes = [...view.routes, aRoute("default", "eth2", { table: "4009" })];
  const carrierOf = carriersIn({ ...view, rules, routes });
  assert.deepEqual(
    ["10.0.3.7", "10.0.3.9"].map((ip) => carrierOf(ip).hostInterface?.name),
    ["eth1", "eth2"],
  );
});

const ways: readonly { name: string; kind: string; view: KernelView }[] = [
  {
    name: "over a bridge",
    kind: "bridge",
    view: aView({ routes: [aRoute("172.16.3.0/24", "cbr0")], links: new Map([aLink("cbr0", { kind: "bridge" })]) }),
  },
  {
    name: "over a port of a bridge",
    kind: "bridge",
    view: aView({
      routes: [aRoute("172.16.3.7", "veth1")],
      links: new Map([aLink("veth1", { master: "cbr0" }), aLink("cbr0", { kind: "bridge" })]),
    }),
  },
  { name: "to the node itself", kind: "node", view: aView({ routes: [aRoute("172.16.3.7", "eth0", { type: "local", table: "local" })] }) },
  {
    name: "over Cilium's devices, beside its tunnel",
    kind: "overlay",
    view: aView({ routes: [aRoute("172.16.0.0/16", "cilium_host")], links: new Map([aLink("cilium_vxlan")]) }),
  },
  { name: "over Cilium's devices, without a tunnel", kind: "route", view: aView({ routes: [aRoute("172.16.0.0/16", "cilium_host")] }) },
  {
    name: "over a tunnel",
    kind: "overlay",
    view: aView({ routes: [aRoute("172.16.0.0/16", "flannel.1")], links: new Map([aLink("flannel.1", { kind: "vxlan" })]) }),
  },
  { name: "over a veth that no rule is for", kind: "route", view: aView({ routes: [aRoute("172.16.3.7", "veth1")] }) },
];
for (const { name, kind, view } of ways)
  test(`a Pod that is reached ${name} is told so`, () => assert.equal(carriersIn(view)("172.16.3.7").hostInterface?.kind, kind));

test("an address that nothing carries is told", () => {
  const { hostInterface, note } = carriersIn(aView({ rules: SYSTEM }))("10.0.3.7");
  assert.deepEqual([hostInterface, note], [undefined, "no rule, route or subnet of this node carries 10.0.3.7"]);
});

test("entries that are none are left out; a list that is none is an error that names it", () => {
  const none = { rules: [[]], routes: [[]], links: [], linksOfKind: new Map() };
  const view = kernelViewOf({
    rules: [[{ priority: "x" }, null, 7, { priority: 5, src: "10.0.3.7", table: "4002", fwmark: "0x1" }]],
    routes: [[{ dst: 3 }, { dst: "10.0.0.0/8", nexthops: [{ dev: "a" }, { dev: "b" }] }]],
    links: [
      { ifname: "eth1", address: "20:90:6F:01:02:03", addr_info: [{ local: "10.0.3.2", prefixlen: 24 }, {}] },
      { ifname: "lo", address: "00:00:00:00:00:00" },
    ],
    linksOfKind: new Map([["vlan", [{}, { ifname: "eth1" }]]]),
  });
  assert.deepEqual(view.rules, [{ priority: 5, from: "10.0.3.7", to: undefined, table: "4002", isPlain: false }]);
  assert.deepEqual(
    view.routes.map(({ device }) => device),
    ["a", "b"],
  );
  assert.deepEqual(view.links.get("eth1"), { name: "eth1", mac: "20:90:6f:01:02:03", kind: "vlan", master: "" });
  assert.equal(view.links.get("lo")?.mac, "");
  assert.deepEqual(view.addresses, [{ device: "eth1", subnet: "10.0.3.2/24" }]);
  assert.throws(() => kernelViewOf({ ...none, rules: [{ error: 1 }] }), /`ip -j rule show` printed no list, but \{"error":1\}/);
});
