/** Which ENI an address is on, where the account does not make it easy: late lists, several VPCs, IPv6, rights that are missing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { aPod } from "../../builders.ts";
import { aScene, KEY, never } from "./scene.ts";

const READS = "DescribeNetworkInterfaces";
const bridged = { asked: ["tke-bridge"], statusName: "", statusMac: "", fault: "" };

test("an address on no ENI says nothing about the others, and is asked about ever more rarely", async (t) => {
  const scene = aScene(t);
  scene.pods.set("pod-9", aPod({ uid: "pod-9", name: "web-9", ips: ["172.16.9.9"], gate: "False" }));
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  await scene.run("pod-9");
  await scene.run();
  assert.equal(scene.pass.networkOf("pod-1")?.eni?.id, "eni-0");
  const before = scene.calls.filter((action) => action === READS).length;
  for (let times = 0; times < 60; times++) {
    await scene.advance(10_000);
    await scene.run("pod-9");
  }
  const reads = scene.calls.filter((action) => action === READS).length - before;
  assert.ok(reads <= 14, `${reads} reads in ten minutes`);
});

test("an address that several VPCs have is the one of the Pod's own interface or instance; where nobody says, it is not judged", async (t) => {
  const scene = aScene(t);
  scene.eni("eni-x", { vpcId: "vpc-2", secondaryIps: new Set(["10.244.1.1", "10.244.1.2"]), securityGroupIds: ["sg-node"] });
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  scene.pods.set("pod-2", aPod({ uid: "pod-2", name: "web-2", ips: ["10.244.1.2"], gate: "False" }));
  await scene.run();
  assert.deepEqual([scene.pass.networkOf("pod-1")?.eni, scene.task()?.ports[0]?.groups], [undefined, []]);
  assert.match(scene.pass.networkOf("pod-1")?.unjudged ?? "", /eni-0 in vpc-1, eni-x in vpc-2.*set VPC_ID/);
  await scene.advance(20_000);
  await scene.run();
  assert.deepEqual(scene.told, [], "it is on an ENI");
  scene.pods.set("pod-1", aPod({ gate: "False", hostInterface: { name: "eth1", mac: "20:90:6f:00:00:00", kind: "eni", table: 4_001 } }));
  await scene.run();
  assert.equal(scene.pass.networkOf("pod-1")?.eni?.id, "eni-0", "by the MAC");
  scene.stream.nodeFacts({ instanceId: "ins-1", region: "r", zone: "z", macs: [] });
  await scene.run("pod-2");
  assert.equal(scene.pass.networkOf("pod-2")?.eni?.id, "eni-0", "by the instance");
  const told = aScene(t, { vpcId: "vpc-1" });
  told.eni("eni-x", { vpcId: "vpc-2", secondaryIps: new Set(["10.244.1.1"]) });
  told.pods.set("pod-1", aPod({ gate: "False" }));
  await told.run();
  assert.equal(told.pass.networkOf("pod-1")?.eni?.id, "eni-0", "by VPC_ID");
});

test("more ENIs than one page has are all read", async (t) => {
  const scene = aScene(t);
  const ips = Array.from({ length: 90 }, (_, index) => `10.3.0.${index}`);
  for (const vpcId of ["vpc-1", "vpc-2"]) for (const ip of ips) scene.eni(`eni-${vpcId}-${ip}`, { vpcId, secondaryIps: new Set([ip]) });
  for (const ip of ips) scene.pods.set(ip, aPod({ uid: ip, name: ip, ips: [ip], gate: "False" }));
  await scene.all(ips);
  const unclear = ips.filter((ip) => /several ENIs/.test(scene.pass.networkOf(ip)?.unjudged ?? ""));
  assert.equal(unclear.length, ips.length, "both ENIs of each address");
});

test("IPv6 addresses have a filter of their own, and their clients are everybody", async (t) => {
  const scene = aScene(t, { families: ["ipv6"] });
  scene.eni("eni-six", { ipv6: ["fd00::7", "fd00::8"] });
  scene.pods.set("pod-7", aPod({ uid: "pod-7", ips: ["fd00::7"], gate: "False" }));
  await scene.run("pod-7");
  assert.equal(scene.pass.networkOf("pod-7")?.eni?.id, "eni-six");
  assert.ok(scene.task()?.ports[0]?.sources[0]?.addresses.includes("::/0"));
  const both = await scene.clock.run(scene.api.enisByIp(() => ["fd00::8", "10.244.1.1", "fd00::7"], undefined, never));
  assert.deepEqual(both.map(({ id }) => id).toSorted(), ["eni-0", "eni-six"], "both families in one question");
});

test("a Pod to which load balancers of both families send: no place is told what was found of the other address", async (t) => {
  const scene = aScene(t, { families: ["ipv4", "ipv6"] });
  scene.pods.set("pod-1", aPod({ ips: ["10.244.1.1", "fd00::7"], gate: "False" }));
  await scene.run();
  assert.deepEqual([scene.task()?.ip, scene.task()?.ports.map(({ key }) => key)], ["10.244.1.1", [KEY]]);
});

test("an address that passes to another Pod is looked up anew: it may have moved to another ENI", async (t) => {
  const scene = aScene(t);
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  await scene.run();
  scene.network.enis.get("eni-0")?.secondaryIps.delete("10.244.1.1");
  scene.eni("eni-new", { secondaryIps: new Set(["10.244.1.1"]), securityGroupIds: ["sg-node"] });
  scene.pods.delete("pod-1");
  await scene.run();
  scene.pods.set("pod-2", aPod({ uid: "pod-2", gate: "False" }));
  await scene.run("pod-2");
  assert.equal(scene.pass.networkOf("pod-2")?.eni?.id, "eni-new");
});

test("an address that its own interface's ENI does not have is told, and judged by that ENI's groups", async (t) => {
  const scene = aScene(t);
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  await scene.run();
  const hostInterface = { name: "eth1", mac: "20:90:6f:00:00:00", kind: "eni", table: 4_001 } as const;
  scene.pods.set("pod-9", aPod({ uid: "pod-9", name: "web-9", ips: ["10.244.1.9"], gate: "False", hostInterface }));
  await scene.run("pod-9");
  assert.deepEqual(scene.task()?.ports[0]?.groups, ["sg-pods"]);
  await scene.advance(16_000);
  await scene.run("pod-9");
  assert.deepEqual(
    scene.told.map(({ reason }) => reason),
    ["AddressNotOnEni"],
  );
});

test("GlobalRouter: another group of the node's ENI is seen within a minute, though its MAC is known", async (t) => {
  const configMaps = { "tke-service-controller-config": { data: { GlobalRouteDirectAccess: "true" } } };
  const scene = aScene(t, { configMaps });
  scene.stream.nodeFacts({ instanceId: "ins-1", region: "r", zone: "z", macs: ["20:90:6f:00:00:01"] });
  scene.pods.set("pod-1", aPod({ ips: ["172.16.0.7"], gate: "False", networks: bridged }));
  await scene.run();
  assert.deepEqual(scene.task()?.ports[0]?.groups, ["sg-node"]);
  const eni = scene.network.enis.get("eni-1");
  assert.ok(eni !== undefined);
  eni.securityGroupIds = ["sg-pods"];
  await scene.advance(61_000);
  await scene.run();
  assert.deepEqual(scene.task()?.ports[0]?.groups, ["sg-pods"]);
});

test("a Service whose last Pod of the other kind is over is mixed no more", async (t) => {
  const scene = aScene(t, { configMaps: { "tke-service-controller-config": { data: { GlobalRouteDirectAccess: "true" } } } });
  scene.pods.set("pod-2", aPod({ uid: "pod-2", ips: ["172.16.0.7"], gate: "False", networks: bridged }));
  await scene.run("pod-2");
  scene.pods.delete("pod-2");
  await scene.run("pod-2");
  scene.pods.set("pod-1", aPod({ gate: "False", networks: { ...bridged, asked: ["tke-route-eni"] } }));
  await scene.run();
  assert.deepEqual(scene.told, []);
});

test("what the cloud refuses to tell is said in its own words, and later answers count", async (t) => {
  for (const action of [READS, "DescribeSecurityGroupPolicies"]) {
    const refused = new Map([[action, "UnauthorizedOperation"]]);
    const scene = aScene(t, { refused });
    scene.pods.set("pod-1", aPod({ gate: "False" }));
    await scene.run();
    assert.match(scene.pass.networkOf("pod-1")?.unjudged ?? "", new RegExp(`${action} failed: UnauthorizedOperation`));
    assert.match(scene.task()?.ports[0]?.unjudged ?? "", /UnauthorizedOperation/);
    for (let times = 0; times < 30; times++) {
      await scene.advance(10_000);
      await scene.run();
    }
    assert.ok(scene.calls.filter((one) => one === action).length <= 11, "in five minutes");
    refused.clear();
    await scene.advance(30_000);
    await scene.run();
    assert.deepEqual([scene.pass.networkOf("pod-1")?.unjudged, scene.task()?.ports[0]?.groups], ["", ["sg-pods"]]);
  }
});

test("a load balancer that was not read yet may pass everything: nobody is said to be denied there", async (t) => {
  const scene = aScene(t, { lb: { settings: { passToTarget: true, securityGroups: ["sg-lb"] } } });
  scene.read.isDone = false;
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  await scene.run();
  scene.answer("denied", "sg-pods rule 0 (…)");
  await scene.run();
  assert.deepEqual([scene.told, scene.hindrances.holdsBack("pod-1")], [[], false]);
  scene.read.isDone = true;
  await scene.run(); // its agent has not heard yet that no group is asked
  scene.answer("denied", "sg-pods rule 0 (…)"); // was under way
  await scene.run();
  assert.deepEqual([scene.told, scene.hindrances.holdsBack("pod-1")], [[], false]);
});

test("a delay is counted from when the containers were ready, whoever leads", async (t) => {
  const scene = aScene(t);
  const readyAtMs = scene.clock.now() - 25_000;
  scene.pods.set("pod-1", aPod({ gate: "False", containersReadyAtMs: readyAtMs }));
  await scene.run();
  scene.answer("denied", "sg-pods rule 0 (…)");
  await scene.run();
  assert.equal(scene.hindrances.holdsBack("pod-1"), true);
  await scene.advance(5_100);
  assert.equal(scene.hindrances.holdsBack("pod-1"), false, "a leader before this one has counted as well");
});
