import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { emptyNetwork, type Network } from "../../cloud/model/network.ts";
import { changing, EMULATED_ONLY, type World } from "./contract.ts";
import { failsWith, UNHURRIED, withCloud } from "./fixture.ts";

/** Two TCP listeners on a load balancer of its own; `bound` e.g. ["80 10.244.0.1:8080 10"]: port, target, weight. */
async function start(world: World) {
  const { sdk, done } = world;
  const LoadBalancerId = await world.loadBalancer();
  const made = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [80, 81], Protocol: "TCP" }));
  const [ListenerId = "", other = ""] = made.ListenerIds ?? [];
  const bound = async (): Promise<string[]> =>
    ((await sdk.DescribeTargets({ LoadBalancerId })).Listeners ?? []).flatMap((one) =>
      (one.Targets ?? []).map((target) => `${one.Port} ${target.PrivateIpAddresses?.[0]}:${target.Port} ${target.Weight}`),
    );
  return { ...world, LoadBalancerId, ListenerId, other, place: { LoadBalancerId, ListenerId }, bound };
}

suite("targets", () => {
  changing("one IP may be bound with several ports, and in several listeners", async (world) => {
    const { sdk, bound, LoadBalancerId, ListenerId, other, backends } = await start(world);
    const [EniIp] = backends;
    const Targets = [
      { ListenerId, EniIp, Port: 8080 },
      { ListenerId, EniIp, Port: 8081, Weight: 0 },
      { ListenerId: other, EniIp, Port: 8080, Weight: 100 },
    ];
    const reply = await sdk.BatchRegisterTargets({ LoadBalancerId, Targets });
    assert.deepEqual(reply.FailListenerIdSet, []);
    assert.deepEqual(await bound(), [`80 ${EniIp}:8080 10`, `80 ${EniIp}:8081 0`, `81 ${EniIp}:8080 100`]);
    await sdk.BatchDeregisterTargets({ LoadBalancerId, Targets: Targets.slice(0, 1) });
    assert.deepEqual(await bound(), [`80 ${EniIp}:8081 0`, `81 ${EniIp}:8080 100`]);
  });

  changing("what is bound is shown with all that is known of it", async (world) => {
    const { sdk, LoadBalancerId, ListenerId, backends, done, place } = await start(world);
    await done(await sdk.RegisterTargets({ ...place, Targets: [{ EniIp: backends[0], Port: 8080, Tag: "uid-1" }] }));
    const { Listeners = [] } = await sdk.DescribeTargets({ LoadBalancerId, ListenerIds: [ListenerId] });
    assert.deepEqual(
      Listeners.map((one) => [one.ListenerId, one.Protocol, one.Port, one.EndPort, one.Rules]),
      [[ListenerId, "TCP", 80, 0, null]],
    );
    const [target] = Listeners[0]?.Targets ?? [];
    assert.deepEqual([target?.Type, target?.PrivateIpAddresses, target?.Port, target?.Weight], ["ENI", [backends[0]], 8080, 10]);
    assert.match(target?.RegisteredTime ?? "", /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    const tagged = async (value: string) =>
      (await sdk.DescribeTargets({ LoadBalancerId, Filters: [{ Name: "tag", Values: [value] }] })).Listeners?.[0]?.Targets?.length;
    assert.deepEqual([await tagged("uid-1"), await tagged("uid-2")], [1, 0]);
    await failsWith(
      "InvalidParameter.InvalidFilter",
      sdk.DescribeTargets({ LoadBalancerId, Filters: [{ Name: "colour", Values: ["red"] }] }),
    );
  });

  changing("layer 4 tells its health through one rule without domain and path, which has an id all the same", async (world) => {
    const { sdk, LoadBalancerId, ListenerId, backends, done, place } = await start(world);
    await done(await sdk.RegisterTargets({ ...place, Targets: [{ EniIp: backends[0], Port: 8080 }] }));
    const { LoadBalancers = [] } = await sdk.DescribeTargetHealth({ LoadBalancerIds: [LoadBalancerId], ListenerIds: [ListenerId] });
    const [listener] = LoadBalancers[0]?.Listeners ?? [];
    assert.deepEqual([listener?.ListenerId, listener?.Protocol, listener?.Port, listener?.Rules?.length], [ListenerId, "TCP", 80, 1]);
    const [rule] = listener?.Rules ?? [];
    assert.match(rule?.LocationId ?? "", /^loc-\w{8}$/);
    assert.deepEqual([rule?.Domain, rule?.Url], [null, null]);
    const [target] = rule?.Targets ?? [];
    assert.deepEqual(
      [target?.IP, target?.Port, target?.HealthStatus, target?.HealthStatusDetail, target?.HealthStatusDetial],
      [backends[0], 8080, false, "Unknown", "Unknown"],
    );
    await failsWith("InvalidParameter.LBIdNotFound", sdk.DescribeTargetHealth({ LoadBalancerIds: ["lb-00000000"] }));
  });

  changing("one bad target in a batch fails its whole listener and no other", async (world) => {
    const { sdk, LoadBalancerId, ListenerId, other, bound, backends } = await start(world);
    const good = { EniIp: backends[0], Port: 8080 };
    const both = [ListenerId, other].map((one) => ({ ListenerId: one, ...good }));
    const reply = await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: [...both, { ListenerId, EniIp: "203.0.113.1", Port: 80 }] });
    assert.deepEqual(reply.FailListenerIdSet, [ListenerId]);
    assert.match(reply.Message ?? "", /203\.0\.113\.1/);
    assert.deepEqual(await bound(), [`81 ${good.EniIp}:8080 10`]);
    const off = await sdk.BatchDeregisterTargets({ LoadBalancerId, Targets: both });
    assert.deepEqual(off.FailListenerIdSet, [ListenerId], "it is not bound there");
    assert.deepEqual(await bound(), []);
  });

  changing("the calls for one listener refuse what cannot be bound, unbound or weighed, and change nothing", async (world) => {
    const { sdk, bound, place, backends } = await start(world);
    const [foreign, free] = [
      { EniIp: "203.0.113.1", Port: 80 },
      { EniIp: backends[0], Port: 80 },
    ];
    await failsWith("InvalidParameterValue", sdk.RegisterTargets({ ...place, Targets: [free, foreign] }));
    await failsWith("InvalidParameterValue", sdk.RegisterTargets({ ...place, Targets: [{ Port: 80 }] }));
    await failsWith("InvalidParameterValue", sdk.RegisterTargets({ ...place, Targets: [{ ...free, InstanceId: "ins-00000000" }] }));
    await failsWith("InvalidParameterValue.Duplicate", sdk.RegisterTargets({ ...place, Targets: [free, free] }));
    await failsWith("InvalidParameter", sdk.DeregisterTargets({ ...place, Targets: [free] }));
    await failsWith("InvalidParameterValue", sdk.ModifyTargetWeight({ ...place, Targets: [free], Weight: 0 }));
    assert.deepEqual(await bound(), []);
  });

  changing("unknown listeners refuse a whole batch", async (world) => {
    const { sdk, bound, LoadBalancerId, ListenerId, backends } = await start(world);
    const target = { EniIp: backends[0], Port: 80 };
    const Targets = [ListenerId, "lbl-00000000"].map((one) => ({ ListenerId: one, ...target }));
    await failsWith("InvalidParameter.ListenerIdNotFound", sdk.BatchRegisterTargets({ LoadBalancerId, Targets }));
    await failsWith("InvalidParameter.LBIdNotFound", sdk.BatchRegisterTargets({ LoadBalancerId: "lb-00000000", Targets }));
    assert.deepEqual(await bound(), []);
  });
});

suite("targets of the emulated cloud", EMULATED_ONLY, () => {
  const startOwn = async (t: Parameters<typeof withCloud>[0], options: Parameters<typeof withCloud>[1] = {}) => {
    const started = await withCloud(t, { health: "scripted", dataPlane: false, ...options });
    const { loadBalancerId: LoadBalancerId } = started.cloud.addLoadBalancer();
    const [ListenerId, other] = [await started.listener(LoadBalancerId, 80), await started.listener(LoadBalancerId, 81)];
    const bound = async (): Promise<string[]> =>
      ((await started.sdk.DescribeTargets({ LoadBalancerId })).Listeners ?? []).flatMap((one) =>
        (one.Targets ?? []).map((target) => `${one.Port} ${target.PrivateIpAddresses?.[0]}:${target.Port} ${target.Weight}`),
      );
    return { ...started, LoadBalancerId, ListenerId, other, bound };
  };

  test("they are registered, weighed and deregistered; the change shows when the task is over", async (t) => {
    const { sdk, done, LoadBalancerId, ListenerId, bound } = await startOwn(t, { profile: UNHURRIED });
    const place = { LoadBalancerId, ListenerId };
    const Targets = [
      { EniIp: "10.244.0.1", Port: 80 },
      { EniIp: "10.244.0.1", Port: 81, Weight: 20 },
    ];
    const accepted = await sdk.RegisterTargets({ ...place, Targets });
    assert.deepEqual(await bound(), []);
    await done(accepted);
    assert.deepEqual(await bound(), ["80 10.244.0.1:80 10", "80 10.244.0.1:81 20"]);
    const [first, second] = [
      { EniIp: "10.244.0.1", Port: 80, Weight: 5 },
      { EniIp: "10.244.0.1", Port: 81 },
    ];
    await done(await sdk.ModifyTargetWeight({ ...place, Targets: [first, second], Weight: 0 }));
    assert.deepEqual(await bound(), ["80 10.244.0.1:80 5", "80 10.244.0.1:81 0"]);
    await done(await sdk.BatchModifyTargetWeight({ LoadBalancerId, ModifyList: [{ ListenerId, Targets: [first], Weight: 7 }] }));
    assert.deepEqual(await bound(), ["80 10.244.0.1:80 5", "80 10.244.0.1:81 0"], "a target's own weight wins");
    await done(await sdk.DeregisterTargets({ ...place, Targets: [{ EniIp: "10.244.0.1", Port: 80 }] }));
    assert.deepEqual(await bound(), ["80 10.244.0.1:81 0"]);
    const filtered = await sdk.DescribeTargets({ LoadBalancerId, Filters: [{ Name: "private-ip-address", Values: ["10.244.0.9"] }] });
    assert.deepEqual(
      filtered.Listeners?.flatMap((one) => one.Targets),
      [],
    );
  });

  test("the good targets of a failed listener are bound where the option says so", async (t) => {
    const { sdk, LoadBalancerId, ListenerId, bound } = await startOwn(t, { keepGoodTargetsOfFailedListener: true });
    const Targets = ["10.244.0.1", "192.168.0.1"].map((EniIp) => ({ ListenerId, EniIp, Port: 80 }));
    assert.deepEqual((await sdk.BatchRegisterTargets({ LoadBalancerId, Targets })).FailListenerIdSet, [ListenerId]);
    assert.deepEqual(await bound(), ["80 10.244.0.1:80 10"]);
  });

  for (const [reregisterUpdatesWeight, weight] of [
    [false, 10],
    [true, 50],
  ] as const)
    test(`registering a bound target again ${reregisterUpdatesWeight ? "changes" : "leaves"} its weight, as the option says`, async (t) => {
      const { sdk, LoadBalancerId, ListenerId, bound } = await startOwn(t, { reregisterUpdatesWeight });
      const register = (Weight: number) =>
        sdk.BatchRegisterTargets({ LoadBalancerId, Targets: [{ ListenerId, EniIp: "10.244.0.1", Port: 80, Weight }] });
      await register(10);
      assert.deepEqual((await register(50)).FailListenerIdSet, []);
      assert.deepEqual(await bound(), [`80 10.244.0.1:80 ${weight}`]);
    });

  test("where the network is described, only IPs of attached ENIs of the VPC are bound, nodes as CVM and Pods as ENI", async (t) => {
    const { sdk, done, LoadBalancerId, ListenerId, other } = await startOwn(t, { network: twoNodes() });
    const [eni, cvm, free, far, nobody, global] = ["10.0.0.11", "10.0.0.10", "10.0.0.30", "10.9.0.10", "10.0.0.99", "172.16.0.5"];
    const register = async (EniIp: string) =>
      (await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: [{ ListenerId, EniIp, Port: 80 }] })).Message ?? "";
    for (const ip of [eni, cvm, global]) assert.equal(await register(ip), "");
    assert.match(await register(free), /attached to no instance/);
    assert.match(await register(far), /in vpc-far, the load balancer is in vpc-1/);
    assert.match(await register(nobody), /no IP of an ENI/);
    const shown = async () =>
      ((await sdk.DescribeTargets({ LoadBalancerId })).Listeners ?? [])
        .flatMap((one) => one.Targets ?? [])
        .map((one) => [one.PrivateIpAddresses?.[0], one.Type, one.InstanceId, one.EniId, one.InstanceName, one.Zone]);
    assert.deepEqual(await shown(), [
      [eni, "ENI", "ins-1", "eni-1", "node-1", "ap-guangzhou-1"],
      [cvm, "CVM", "ins-1", "eni-1", "node-1", "ap-guangzhou-1"],
      [global, "GLOBALROUTE", "", "", "", null],
    ]);
    const node = { LoadBalancerId, ListenerId: other, Targets: [{ InstanceId: "ins-1", Port: 30_080 }] };
    await done(await sdk.RegisterTargets(node));
    assert.deepEqual((await shown()).at(-1), [cvm, "CVM", "ins-1", "eni-1", "node-1", "ap-guangzhou-1"]);
    assert.equal((await sdk.DescribeLoadBalancers({ BackendPrivateIps: [cvm] })).TotalCount, 1);
    assert.equal((await sdk.DescribeLoadBalancers({ BackendPrivateIps: [eni] })).TotalCount, 0, "only nodes are looked for");
    await done(await sdk.DeregisterTargets(node));
    assert.equal((await shown()).length, 3);
  });
});

/** Node 1 with a Pod's IP, an ENI without an instance, a node in another VPC. */
function twoNodes(): Network {
  const network = emptyNetwork();
  const eni = (id: string, vpcId: string, primaryIp: string, secondaryIps: string[], instanceId?: string): void =>
    void network.enis.set(id, {
      id,
      name: id,
      vpcId,
      subnetId: "subnet-1",
      zone: "ap-guangzhou-1",
      mac: "20:90:6f:00:00:01",
      primary: instanceId !== undefined,
      type: instanceId === undefined ? 0 : 1,
      primaryIp,
      secondaryIps: new Set(secondaryIps),
      tags: new Map(),
      createdMs: 0,
      securityGroupIds: [],
      attachment: instanceId === undefined ? undefined : { instanceId, deviceIndex: 0 },
    });
  network.vpcs.set("vpc-1", { id: "vpc-1", name: "own", cidr: "10.0.0.0/16" });
  network.instances.set("ins-1", {
    id: "ins-1",
    name: "node-1",
    uuid: "uuid-1",
    vpcId: "vpc-1",
    subnetId: "subnet-1",
    zone: "ap-guangzhou-1",
    role: undefined,
    tags: new Map(),
    createdMs: 0,
    state: "RUNNING",
  });
  eni("eni-1", "vpc-1", "10.0.0.10", ["10.0.0.11"], "ins-1");
  eni("eni-2", "vpc-1", "10.0.0.30", []);
  eni("eni-3", "vpc-far", "10.9.0.10", [], "ins-9");
  network.globalRouterCidrs.push("172.16.0.0/16");
  return network;
}
