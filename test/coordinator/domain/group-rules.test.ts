import assert from "node:assert/strict";
import { test } from "node:test";
import { groupRules, type Policy } from "../../../coordinator/domain/group-rules.ts";

const aPolicy = (change: Partial<Policy>): Policy => ({
  index: 0,
  accept: true,
  protocol: "TCP",
  port: "80",
  serviceTemplate: "",
  cidr: "",
  securityGroup: "",
  addressTemplate: "",
  ...change,
});
const MEMBERS: ReadonlyMap<string, readonly string[] | string> = new Map<string, readonly string[] | string>([
  ["ipm-a", ["10.0.0.0/8", "10.1.0.1-10.1.0.9"]],
  ["ipm-b", ["192.168.0.1"]],
  ["ipmg-all", ["ipm-a", "ipm-b"]],
  ["ipmg-self", ["ipm-a", "ipmg-self"]],
  ["ipmg-round", ["ipmg-back"]],
  ["ipmg-back", ["ipmg-round"]],
  ["ipmg-broken", ["ipm-a", "ipm-gone"]],
  ["ipm-gone", "ipm-gone does not exist"],
  ["ppm-web", ["tcp:80,443", "udp:53"]],
  ["ppmg-web", ["ppm-web"]],
  ["sg-nodes", ["10.0.1.2", "10.0.1.3"]],
  ["sg-many", "sg-many has more than 512 members"],
  ["ipm-many", Array.from({ length: 513 }, (_, index) => `10.0.${index >> 8}.${index & 255}`)],
]);
const first = (change: Partial<Policy>) => {
  const [rule] = groupRules([aPolicy(change)], { members: MEMBERS });
  assert.ok(rule !== undefined);
  return rule;
};

test("protocol and port become the syntax of templates, and a text for people", () => {
  const { services, sources, text, unresolved } = first({ cidr: "0.0.0.0/0", accept: false, port: "8000-9000" });
  assert.deepEqual([services, sources, text, unresolved], [["tcp:8000-9000"], ["0.0.0.0/0"], "DROP TCP 8000-9000 from 0.0.0.0/0", ""]);
  assert.deepEqual(first({ protocol: "ALL", port: "ALL", cidr: "::/0" }).services, ["all"]);
  assert.equal(first({ protocol: "ALL", port: "all", cidr: "10.0.0.0/8" }).text, "ACCEPT ALL from 10.0.0.0/8");
  assert.deepEqual(first({ protocol: "", port: "", cidr: "10.0.0.0/8" }).services, ["all"]);
  assert.deepEqual(first({ protocol: "ICMP", port: "ALL", cidr: "10.0.0.0/8" }).services, ["icmp"]);
});

const resolved: readonly [
  name: string,
  change: Partial<Policy>,
  services: readonly string[],
  sources: readonly string[],
  unresolved: string,
][] = [
  ["an address template", { addressTemplate: "ipm-a" }, ["tcp:80"], ["10.0.0.0/8", "10.1.0.1-10.1.0.9"], ""],
  ["a group of address templates", { addressTemplate: "ipmg-all" }, ["tcp:80"], ["10.0.0.0/8", "10.1.0.1-10.1.0.9", "192.168.0.1"], ""],
  ["a service template", { serviceTemplate: "ppm-web", cidr: "10.0.0.0/8" }, ["tcp:80,443", "udp:53"], ["10.0.0.0/8"], ""],
  ["a group of service templates", { serviceTemplate: "ppmg-web", cidr: "10.0.0.0/8" }, ["tcp:80,443", "udp:53"], ["10.0.0.0/8"], ""],
  ["another group", { securityGroup: "sg-nodes" }, ["tcp:80"], ["10.0.1.2", "10.0.1.3"], ""],
  ["a group with too many members", { securityGroup: "sg-many" }, ["tcp:80"], [], "sg-many has more than 512 members"],
  ["a template with too many", { addressTemplate: "ipm-many" }, ["tcp:80"], [], "ipm-many has 513 members, more than 512"],
  [
    "a group of templates that refers to itself",
    { addressTemplate: "ipmg-self" },
    ["tcp:80"],
    ["10.0.0.0/8", "10.1.0.1-10.1.0.9"],
    "ipmg-self refers to itself",
  ],
  ["two that refer to each other", { addressTemplate: "ipmg-round" }, ["tcp:80"], [], "ipmg-round refers to itself"],
  ["a part that is gone", { addressTemplate: "ipmg-broken" }, ["tcp:80"], ["10.0.0.0/8", "10.1.0.1-10.1.0.9"], "ipm-gone does not exist"],
  ["a service template that nobody knows", { serviceTemplate: "ppm-x", cidr: "10.0.0.0/8" }, [], ["10.0.0.0/8"], "ppm-x is not known"],
  ["a rule without a source", {}, ["tcp:80"], [], "the rule names no source"],
];
for (const [name, change, services, sources, unresolved] of resolved)
  test(`a rule with ${name}`, () => {
    const rule = first(change);
    assert.deepEqual([rule.services, rule.sources, rule.unresolved], [services, sources, unresolved]);
  });

test("a group whose rules stand for more addresses than a message takes is sent in part, and says of the rest that it is not known", () => {
  const many = Array.from({ length: 512 }, (_, index) => `fd00:0000:0000:0000:0000:0000:0001:${index.toString(16).padStart(4, "0")}`);
  const policies = Array.from({ length: 1_000 }, (_, index) => aPolicy({ index, addressTemplate: "ipm-many" }));
  const rules = groupRules([...policies, aPolicy({ index: 1_000, cidr: "10.0.0.0/8" })], { members: new Map([["ipm-many", many]]) });
  assert.ok(JSON.stringify(rules).length < 2_500_000, "an agent takes 4 MiB");
  assert.match(rules[999]?.unresolved ?? "", /more is not sent to nodes/);
  assert.deepEqual([rules[999]?.sources, rules[1_000]?.unresolved], [[], ""]);
});
