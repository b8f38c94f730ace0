import assert from "node:assert/strict";
import { test } from "node:test";
import { carriersIn, type Route } from "../../../agent/domain/carrier.ts";

const aRoute = (dst: string, device: string, change: Partial<Route> = {}): Route => ({
  dst,
  device,
  type: "unicast",
  metric: 0,
  ...change,
});
const local = { type: "local" };

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
  { name: "IPv6 in short and long form", routes: [aRoute("fd00:0:0:1::/64", "eth1")], ip: "fd00::1:0:0:0:9", carrier: "eth1" },
  { name: "no family by the other's prefix", routes: [aRoute("0.0.0.0/1", "eth0")], ip: "::1", carrier: undefined },
  {
    name: "no route that cannot be read",
    routes: [aRoute("10.0.3/24", "eth0"), aRoute("10.0.3.0/33", "eth0")],
    ip: "10.0.3.7",
    carrier: undefined,
  },
  { name: "nothing that is no address", routes: [aRoute("10.0.0.0/8", "eth0")], ip: "10.0.3", carrier: undefined },
];
for (const { name, routes, ip, carrier } of cases)
  test(`an address is carried by ${name}`, () => assert.equal(carriersIn({ routes, addresses: [] })(ip), carrier));

test("an interface's subnet decides only where no route does", () => {
  const addresses = [
    { device: "eth0", address: "10.0.3.1", mask: "255.255.255.0" },
    { device: "eth1", address: "fd00::1", mask: "ffff:ffff:ffff:ffff::" },
    { device: "odd", address: "10.0.4.1", mask: "255.0.255.0" },
    { device: "none", address: "", mask: "" },
  ];
  const carrierOf = carriersIn({ routes: [aRoute("10.0.3.7", "veth1")], addresses });
  assert.deepEqual(["10.0.3.7", "10.0.3.8", "10.0.4.2", "fd00::77"].map(carrierOf), ["veth1", "eth0", undefined, "eth1"]);
});
