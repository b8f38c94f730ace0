/** The passes of waiting Pods against the emulated VPC, with an agent's answers played by hand, in virtual time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { aListener, aPod } from "../../builders.ts";
import { editPolicies } from "../../cloud/model/network.ts";
import { ACCEPT_ALL, aScene, KEY, never } from "./scene.ts";

const DROP_8080 = { action: "DROP", protocol: "TCP", port: "8080", cidr: "0.0.0.0/0" } as const;

test("the agent is asked about the Pod's port with the groups of its ENI, and is told their rules first", async (t) => {
  const scene = aScene(t);
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  await scene.run();
  assert.deepEqual(
    scene.groups().map(({ id, rules }) => [id, rules[0]?.text]),
    [["sg-pods", "ACCEPT ALL from 0.0.0.0/0"]],
  );
  assert.deepEqual(scene.task(), {
    uid: "pod-1",
    ip: "10.244.1.1",
    ports: [
      {
        key: KEY,
        protocol: "TCP",
        port: 8080,
        groups: ["sg-pods"],
        unjudged: "",
        sources: [{ kind: "clients", addresses: ["0.0.0.0/0", "::/0"], admittedBy: [], protocol: "TCP", port: 80 }],
      },
    ],
  });
  assert.equal(scene.pass.networkOf("pod-1")?.eni?.id, "eni-0");
});

test("denied: told with the rule, delays the bind for 30 s from when the containers were ready, never longer", async (t) => {
  const scene = aScene(t);
  scene.pods.set("pod-1", aPod({ gate: "False", containersReadyAtMs: scene.clock.now() }));
  await scene.run();
  scene.answer("denied", "sg-pods rule 3 (DROP TCP 8080 from 0.0.0.0/0)");
  await scene.run();
  const message = "Pod demo/web-1: sg-pods rule 3 (DROP TCP 8080 from 0.0.0.0/0) blocks clients of lb-1:80 on port 8080";
  assert.deepEqual(
    scene.told.map(({ reason, message: text }) => [reason, text]),
    [["SecurityGroupDenies", message]],
  );
  assert.deepEqual([scene.hindrances.holdsBack("pod-1"), scene.judged], [true, ["pod-1"]]);
  await scene.advance(29_000);
  assert.equal(scene.hindrances.holdsBack("pod-1"), true);
  const outcome = await scene.run();
  assert.ok(outcome.kind === "again" && outcome.afterMs <= 1_000, "comes back when the delay ends");
  await scene.advance(1_100);
  assert.equal(scene.hindrances.holdsBack("pod-1"), false);
  await scene.run();
  assert.equal(scene.judged.length, 2, "who planned without the Pod hears that it may be bound");
  assert.equal(scene.hindrances.at("pod-1", KEY)?.reason, "SecurityGroupDenies", "and it is still told");
});

test("the delay is switched off by the Service's own word; a port that nobody listens on delays nothing", async (t) => {
  const off = aScene(t, { annotations: { "clb-direct.io/verdict-delay": "false" } });
  off.pods.set("pod-1", aPod({ gate: "False" }));
  await off.run();
  off.answer("denied", "sg-pods rule 0 (…)");
  await off.run();
  assert.deepEqual([off.hindrances.holdsBack("pod-1"), off.told[0]?.reason], [false, "SecurityGroupDenies"]);
  const refused = aScene(t);
  refused.pods.set("pod-1", aPod({ gate: "False" }));
  await refused.run();
  refused.answer("allowed", "", "refused");
  await refused.run();
  assert.deepEqual([refused.hindrances.holdsBack("pod-1"), refused.told.map(({ reason }) => reason)], [false, ["PortNotListening"]]);
});

test("partly and unknown delay and tell nothing", async (t) => {
  const scene = aScene(t);
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  await scene.run();
  for (const verdict of ["partly", "unknown", "allowed"] as const) {
    scene.answer(verdict, "sg-pods rule 1 (…)");
    await scene.run();
  }
  assert.deepEqual([scene.told, scene.judged], [[], []]);
});

test("a rule that changes is pushed within 10 s, and an unchanged group is read and not pushed", async (t) => {
  const scene = aScene(t);
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  await scene.run();
  await scene.advance(10_000);
  await scene.run();
  assert.equal(scene.groups().length, 1);
  editPolicies(scene.network, "sg-pods", { ingress: [DROP_8080, ACCEPT_ALL] }, 0);
  await scene.advance(10_000);
  await scene.run();
  assert.deepEqual(
    scene
      .groups()
      .at(-1)
      ?.rules.map(({ text }) => text),
    ["DROP TCP 8080 from 0.0.0.0/0", "ACCEPT ALL from 0.0.0.0/0"],
  );
});

test("an address on no ENI is told after 15 s, never for an account that shows no ENIs", async (t) => {
  const scene = aScene(t);
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  scene.pods.set("pod-9", aPod({ uid: "pod-9", name: "web-9", ips: ["10.244.9.9"], gate: "False" }));
  await scene.run();
  await scene.run("pod-9");
  assert.deepEqual(scene.told, []);
  await scene.advance(15_000);
  await scene.run("pod-9");
  assert.deepEqual(
    scene.told.map(({ reason }) => reason),
    ["AddressNotOnEni"],
  );
  const empty = aScene(t, { withoutEnis: true });
  empty.pods.set("pod-1", aPod({ gate: "False" }));
  for (let times = 0; times < 4; times++) {
    await empty.run();
    await empty.advance(10_000);
  }
  assert.deepEqual([empty.told, new Set(empty.calls)], [[], new Set(["DescribeNetworkInterfaces"])]);
});

test("5 000 Pods on 50 ENIs that start at once cost a few calls", async (t) => {
  const scene = aScene(t);
  for (let eni = 0; eni < 50; eni++)
    scene.network.enis.set(`eni-n${eni}`, {
      name: "",
      vpcId: "vpc-1",
      subnetId: "subnet-1",
      zone: "z",
      tags: new Map(),
      createdMs: 0,
      type: 0,
      primary: false,
      id: `eni-n${eni}`,
      mac: `20:90:6f:00:01:${eni.toString(16).padStart(2, "0")}`,
      primaryIp: `10.1.${eni}.254`,
      secondaryIps: new Set(Array.from({ length: 100 }, (_, index) => `10.1.${eni}.${index}`)),
      securityGroupIds: ["sg-pods"],
      attachment: { instanceId: `ins-${eni}`, deviceIndex: 1 },
    });
  for (let index = 0; index < 5_000; index++) {
    const ip = `10.1.${index % 50}.${Math.floor(index / 50)}`;
    scene.pods.set(`p${index}`, aPod({ uid: `p${index}`, name: `web-${index}`, ips: [ip], gate: "False" }));
  }
  await scene.clock.run(Promise.all(Array.from({ length: 5_000 }, (_, index) => scene.pass.reconcile(`p${index}`, never))));
  const reads = scene.calls.filter((action) => action === "DescribeNetworkInterfaces").length;
  assert.ok(reads <= 51, `${reads} reads of ENIs`);
  assert.equal(scene.calls.filter((action) => action === "DescribeSecurityGroupPolicies").length, 1);
});

test("GlobalRouter: refused where TKE's ConfigMap does not permit it, else judged by the node's groups; its neighbours go on", async (t) => {
  const networks = { asked: ["tke-bridge"], statusName: "", statusMac: "", fault: "" };
  const scene = aScene(t, { configMaps: { "tke-service-controller-config": { data: { GlobalRouteDirectAccess: "false" } } } });
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  scene.pods.set("pod-2", aPod({ uid: "pod-2", name: "web-2", ips: ["172.16.0.7"], gate: "False", networks }));
  await scene.run("pod-2");
  await scene.run();
  assert.deepEqual([scene.hindrances.holdsBack("pod-2"), scene.hindrances.holdsBack("pod-1")], [true, false]);
  assert.deepEqual(
    scene.told.map(({ object, reason }) => [object.kind, reason]),
    [
      ["Pod", "NetworkModeUnsupported"],
      ["Service", "NetworkModeUnsupported"],
    ],
  );
  const permitted = aScene(t, { configMaps: { "tke-service-controller-config": { data: { GlobalRouteDirectAccess: "true" } } } });
  permitted.pods.set("pod-1", aPod({ gate: "False", hostInterface: { name: "eth1", mac: "", kind: "eni", table: 4_001 } }));
  permitted.pods.set("pod-2", aPod({ uid: "pod-2", ips: ["172.16.0.7"], gate: "False", networks }));
  await permitted.run("pod-2");
  assert.deepEqual([permitted.hindrances.holdsBack("pod-2"), permitted.task()?.ports[0]?.groups], [false, ["sg-node"]]);
  assert.deepEqual(permitted.told, []);
  await permitted.run();
  assert.deepEqual(
    permitted.told.map(({ reason }) => reason),
    ["NetworkModesMixed"],
  );
});

test("pass-to-target asks no group of the Pod; without a group at the load balancer that is told", async (t) => {
  const scene = aScene(t, { lb: { settings: { passToTarget: true } } });
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  await scene.run();
  assert.deepEqual(scene.task()?.ports[0]?.groups, []);
  assert.match(scene.task()?.ports[0]?.unjudged ?? "", /pass-to-target/);
  assert.deepEqual(
    scene.told.map(({ object, reason }) => [object.kind, reason]),
    [["Service", "BackendSecurityGroupBypassed"]],
  );
  const grouped = aScene(t, { lb: { settings: { passToTarget: true, securityGroups: ["sg-lb"] } } });
  grouped.pods.set("pod-1", aPod({ gate: "False" }));
  await grouped.run();
  assert.deepEqual(grouped.told, []);
});

test("the load balancer's own groups and the source of its checks go with the task", async (t) => {
  const scene = aScene(t, { lb: { settings: { securityGroups: ["sg-node"] }, listeners: [aListener({ checkedByVip: true })] } });
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  await scene.run();
  assert.deepEqual(
    scene.task()?.ports[0]?.sources.map(({ kind, addresses, admittedBy }) => [kind, addresses, admittedBy]),
    [
      ["health-check", ["198.18.0.1"], []],
      ["clients", ["0.0.0.0/0", "::/0"], ["sg-node"]],
    ],
  );
  assert.deepEqual(new Set(scene.groups().map(({ id }) => id)), new Set(["sg-pods", "sg-node"]));
});

test("a Pod whose gate is open, or that ends, is held back no more", async (t) => {
  const scene = aScene(t);
  scene.pods.set("pod-1", aPod({ gate: "False" }));
  await scene.run();
  scene.answer("denied", "x");
  await scene.run();
  scene.pods.set("pod-1", aPod({ gate: "True" }));
  await scene.run();
  assert.equal(scene.hindrances.holdsBack("pod-1"), false);
  scene.pods.delete("pod-1");
  await scene.run();
  assert.equal(scene.pass.networkOf("pod-1"), undefined);
});
