import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { suite, test } from "node:test";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import { makeCloud } from "../../cloud/cloud.ts";
import { addressesOf, backendAt } from "../../cloud/model/network.ts";
import { readScenario } from "../../cloud/scenario/scenario.ts";

const read = (text: string) => readScenario(text, "scenario.yaml", 1_790_000_000_000);

/** A file that has everything another one may refer to; its last line is 8. */
const GOOD = `vpcs: [{ id: vpc-1, cidr: 10.0.0.0/16 }, { id: vpc-2, cidr: 10.1.0.0/16 }]
subnets:
  - { id: subnet-1, vpc: vpc-1, cidr: 10.0.1.0/24, zone: z }
  - { id: subnet-2, vpc: vpc-2, cidr: 10.1.1.0/24, zone: z }
securityGroups: [{ id: sg-1 }]
addressTemplates: [{ id: ipm-1, members: [10.0.0.1] }]
serviceTemplates: [{ id: ppm-1, members: ["tcp:80"] }]
`;
const node = (...enis: string[]): string => `${GOOD}instances: [{ id: ins-1, enis: [${enis.join(", ")}] }]`;
const rule = (policy: string): string => GOOD.replace("{ id: sg-1 }", `{ id: sg-1, ingress: [{ ${policy} }] }`);

test("the example of the documentation is a scenario", async () => {
  const page = await readFile(new URL("../../../docs/emulated-cloud.md", import.meta.url), "utf8");
  const [, example = ""] = /## Scenario\n[^]*?```yaml\n([^]*?)```/.exec(page) ?? [];
  const { options, prepare } = read(example);
  const { network } = options;
  assert.deepEqual([network?.vpcs.size, network?.instances.size, network?.enis.size, network?.securityGroups.size], [1, 1, 3, 1]);
  assert.deepEqual([options.limits, options.reregisterUpdatesWeight, options.profile], [{ listenersPerLoadBalancer: 100 }, true, "fast"]);
  const cloud = makeCloud({ ...options, dataPlane: false });
  prepare(cloud);
  assert.deepEqual(
    cloud.state().loadBalancers.map(({ id, vip, tags }) => [id, vip, tags]),
    [["lb-shop", "127.198.0.10", { owner: "shop" }]],
  );
  await cloud.stop();
});

test("an empty file is a cloud without a network", () => {
  const { options } = read("# nothing yet\n");
  assert.deepEqual([options.network?.enis.size, options.limits, options.certificates], [0, {}, []]);
});

test("rows of addresses, primary ENIs, MACs and times are filled in, the same ones every time", () => {
  const text = node(
    "{ id: eni-1, subnet: subnet-1, ip: 10.0.1.2 }",
    "{ id: eni-2, subnet: subnet-1, ip: 10.0.1.3, secondaryIps: [10.0.1.254, 10.0.1.9-10.0.1.11] }",
  );
  const { network } = read(text).options;
  const [first, second] = network?.enis.values() ?? [];
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual(addressesOf(second), ["10.0.1.3", "10.0.1.254", "10.0.1.9", "10.0.1.10", "10.0.1.11"]);
  assert.deepEqual([first.primary, first.type, second.primary, second.type], [true, 1, false, 0]);
  assert.match(second.mac, /^20:90:6f(:[0-9a-f]{2}){3}$/);
  assert.equal(second.createdMs, 1_790_000_000_000);
  assert.deepEqual(read(text).options.network, network);
});

test("certificates come with their keys; that of an authority has none", async () => {
  const authority = await issueAuthority(Date.now());
  const { certPem, keyPem } = await issueServing(authority, ["shop.example"], [], Date.now());
  const entry = (id: string, cert: string, key: string): object => ({ id, cert, ...(key !== "" && { key }) });
  const fileOf = (...entries: object[]): string => JSON.stringify({ certificates: entries }); // JSON is YAML
  const { certificates } = read(fileOf(entry("leaf", certPem, keyPem), entry("ca", authority.certPem, ""))).options;
  assert.deepEqual(
    certificates?.map(({ id, keyPem: key }) => [id, key === keyPem]),
    [
      ["leaf", true],
      ["ca", false],
    ],
  );
  assert.throws(() => read(fileOf(entry("leaf", certPem, authority.keyPem))), /certificates\[0\]\.key: is not the key of this certificate/);
  assert.throws(() => read(fileOf(entry("leaf", certPem, "secret"))), /certificates\[0\]\.key: is no PEM private key/);
});

test("what may be bound follows the network as a test changes it", () => {
  const { network } = read(`${node("{ id: eni-1, subnet: subnet-1, ip: 10.0.1.2 }")}\nglobalRouter: [172.16.0.0/16]`).options;
  assert.ok(network !== undefined);
  const eni = network.enis.get("eni-1");
  const at = (ip: string) => backendAt(network, "vpc-1", { EniIp: ip });
  assert.deepEqual(
    [typeof at("10.0.1.2"), typeof at("172.16.9.9"), at("10.0.1.7")],
    ["object", "object", "EniIp 10.0.1.7 is no IP of an ENI of this account"],
  );
  eni?.secondaryIps.add("10.0.1.7");
  assert.deepEqual(
    [typeof at("10.0.1.7"), backendAt(network, "vpc-1", { InstanceId: "ins-2" })],
    ["object", "InstanceId ins-2 does not exist"],
  );
  if (eni !== undefined) eni.attachment = undefined;
  assert.equal(at("10.0.1.7"), "EniIp 10.0.1.7 is on eni-1, which is attached to no instance");
});

const FAULTS: readonly (readonly [what: string, text: string, fault: string])[] = [
  ["no YAML", "vpcs: [", "scenario.yaml:1: "],
  ["an unknown field", "colour: red", "scenario.yaml:1: no such field: colour"],
  ["an unknown limit", "region: x\nlimits: { listeners: 5 }", "scenario.yaml:2: limits: no such field: listeners"],
  ["an unknown switch", "assumed: { colour: true }", "scenario.yaml:1: assumed: no such field: colour"],
  ["a profile that is none", "profile: quick", "scenario.yaml:1: profile: must be fast, tke2020, or all times of a profile"],
  [
    "an id of another kind",
    "vpcs: [{ id: subnet-1, cidr: 10.0.0.0/8 }]",
    'vpcs[0].id: must be vpc- and digits or small letters, e.g. vpc-1a2b3c4d, got "subnet-1"',
  ],
  ["a range that is none", "globalRouter: [10.0.0.0]", 'globalRouter[0]: must be an IPv4 range, e.g. 10.0.1.0/24, got "10.0.0.0"'],
  [
    "a row that goes back",
    node("{ id: eni-1, subnet: subnet-1, ip: 10.0.1.2, secondaryIps: [10.0.1.9-10.0.1.8] }"),
    'secondaryIps[0]: must be an IPv4 address or a row of at most 1024, e.g. 10.0.1.10-10.0.1.39, got "10.0.1.9-10.0.1.8"',
  ],
  ["an instance without an ENI", `${GOOD}instances: [{ id: ins-1, enis: [] }]`, "scenario.yaml:8: instances[0].enis: "],
  [
    "an id twice",
    `${GOOD}enis: [{ id: eni-1, subnet: subnet-1, ip: 10.0.1.2 }, { id: eni-1, subnet: subnet-1, ip: 10.0.1.3 }]`,
    'scenario.yaml:8: enis[1].id: "eni-1" is given twice; give each its own',
  ],
  [
    "an address twice",
    node("{ id: eni-1, subnet: subnet-1, ip: 10.0.1.2, secondaryIps: [10.0.1.2] }"),
    'instances[0].enis[0].secondaryIps[0]: "10.0.1.2" is given twice',
  ],
  [
    "a VPC that is not there",
    "subnets:\n  - { id: subnet-1, vpc: vpc-9, cidr: 10.0.1.0/24, zone: z }",
    'scenario.yaml:2: subnets[0].vpc: "vpc-9" is not in vpcs; add it there',
  ],
  [
    "a subnet outside its VPC",
    GOOD.replace("10.1.1.0/24", "10.2.1.0/24"),
    'scenario.yaml:4: subnets[1].cidr: "10.2.1.0/24" is outside vpc-2, which has 10.1.0.0/16',
  ],
  [
    "an address outside its subnet",
    node("{ id: eni-1, subnet: subnet-1, ip: 10.0.2.2 }"),
    "instances[0].enis[0].ip: 10.0.2.2 is outside subnet-1, which has 10.0.1.0/24",
  ],
  [
    "ENIs of one node in two VPCs",
    node("{ id: eni-1, subnet: subnet-1, ip: 10.0.1.2 }", "{ id: eni-2, subnet: subnet-2, ip: 10.1.1.2 }"),
    'enis[1].subnet: "subnet-2" is in vpc-2, the instance in vpc-1',
  ],
  [
    "a security group that is not there",
    node("{ id: eni-1, subnet: subnet-1, ip: 10.0.1.2, securityGroups: [sg-9] }"),
    'enis[0].securityGroups[0]: "sg-9" is not in securityGroups; there are sg-1',
  ],
  [
    "a rule without a source",
    rule("action: DROP, protocol: ALL"),
    "securityGroups[0].ingress[0]: needs one of cidr, ipv6Cidr, securityGroup and addresses, has none",
  ],
  ["a rule with two sources", rule("action: DROP, protocol: ALL, cidr: 10.0.0.0/8, addresses: ipm-1"), "has cidr and addresses"],
  [
    "a service with a protocol",
    rule("action: DROP, protocol: TCP, port: 80, service: ppm-1, cidr: 10.0.0.0/8"),
    "service goes without protocol and port",
  ],
  ["TCP without a port", rule("action: DROP, protocol: TCP, cidr: 10.0.0.0/8"), "TCP needs a port"],
  [
    "all protocols on one port",
    rule("action: DROP, protocol: ALL, port: 80, cidr: 10.0.0.0/8"),
    'protocol ALL goes with port ALL only, got "80"',
  ],
  ["a port that is none", rule('action: DROP, protocol: TCP, port: "80-", cidr: 10.0.0.0/8'), 'ingress[0].port: must be like 80, "80,443"'],
  ["a rule with no protocol", rule("action: DROP, cidr: 10.0.0.0/8"), "needs a protocol, or a service"],
  ["a template that is not there", rule("action: DROP, service: ppmg-9, addresses: ipm-9"), '"ppmg-9" is not in serviceTemplateGroups'],
  [
    "a group of nothing",
    `${GOOD}addressTemplateGroups: [{ id: ipmg-1, members: [ipm-9] }]`,
    'addressTemplateGroups[0].members[0]: "ipm-9" is not in addressTemplates; there are ipm-1',
  ],
  [
    "a private load balancer without a subnet",
    "loadBalancers: [{ type: INTERNAL }]",
    "scenario.yaml:1: loadBalancers[0]: an INTERNAL load balancer needs vpc and subnet",
  ],
  [
    "two load balancers at one address",
    "loadBalancers:\n  - { vip: 127.198.0.9 }\n  - { vip: 127.198.0.9 }",
    'scenario.yaml:3: loadBalancers[1].vip: "127.198.0.9" is given twice',
  ],
  [
    "a certificate that is none",
    "certificates:\n  - id: one\n    cert: abc",
    "scenario.yaml:3: certificates[0].cert: is no PEM certificate",
  ],
];

suite("refused, with line, field, value and what would be right:", () => {
  for (const [what, text, fault] of FAULTS)
    test(what, () => {
      assert.throws(
        () => read(text),
        (error: unknown) => {
          assert.ok(error instanceof TypeError);
          assert.ok(error.message.includes(fault), error.message);
          assert.match(error.message, /^(scenario\.yaml:\d+: .+\n?)+$/);
          return true;
        },
      );
    });

  test("an address that the cloud has not: known only where its range is, but named all the same", async () => {
    const cloud = makeCloud({ dataPlane: false });
    const { prepare } = read("loadBalancers: [{ id: lb-1 }, { id: lb-2, vip: 10.1.1.1 }]");
    assert.throws(() => prepare(cloud), /^TypeError: scenario\.yaml: loadBalancers\[1\]: Vip 10\.1\.1\.1 is taken or outside /);
    await cloud.stop();
  });

  test("all faults at once", () => {
    assert.throws(
      () => read("colour: red\nvpcs: [{ id: vpc-1, cidr: x }]"),
      /:1: no such field: colour[^]*:2: vpcs|:2: vpcs[^]*:1: no such field: colour/,
    );
  });
});
