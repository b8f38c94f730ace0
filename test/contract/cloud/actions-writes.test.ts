import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { changing, contract, EMULATED_ONLY } from "./contract.ts";
import { failsWith, QUICK, UNHURRIED, withCloud } from "./fixture.ts";

suite("checks", () => {
  contract("are made in the documented order: missing, wrong, unknown, ids", async ({ sdk }) => {
    const create = (request: object): Promise<{ RequestId?: string }> => sdk.request("CreateListener", request);
    const bad = { LoadBalancerId: "lb-00000000", Ports: "80", Colour: "red" };
    assert.match(await failsWith("MissingParameter", create(bad)), /`Protocol`/);
    await failsWith("InvalidParameter", create({ ...bad, Protocol: "TCP" }));
    await failsWith("InvalidParameterValue.Range", create({ ...bad, Protocol: "TCP", Ports: [65_536] }));
    assert.match(await failsWith("UnknownParameter", create({ ...bad, Protocol: "TCP", Ports: [80] })), /`Colour`/);
    await failsWith("InvalidParameter.LBIdNotFound", create({ LoadBalancerId: "lb-00000000", Protocol: "TCP", Ports: [80] }));
  });

  contract("look into lists and objects, and name the place", async ({ sdk }) => {
    const register = (...Targets: object[]) => sdk.request("BatchRegisterTargets", { LoadBalancerId: "lb-00000000", Targets });
    const good = { ListenerId: "lbl-00000000", EniIp: "10.0.0.1", Port: 80 };
    assert.match(await failsWith("MissingParameter", register(good, { ...good, Port: null })), /`Targets\.1\.Port`/);
    assert.match(await failsWith("InvalidParameter", register(good, { ...good, Weight: "1" })), /`Targets\.1\.Weight`/);
    assert.match(await failsWith("UnknownParameter", register({ ...good, Colour: "red" })), /`Targets\.0\.Colour`/);
    await failsWith("InvalidParameter", register(good, []));
  });

  contract("an action that does not exist is refused as such", async ({ sdk }) => {
    await failsWith("InvalidAction", sdk.request("DescribeColours", {}));
  });
});

suite("tasks", () => {
  contract("one that nobody knows is refused, and one must be named", async ({ sdk }) => {
    await failsWith("InvalidParameterValue", sdk.DescribeTaskStatus({ TaskId: "00000000-0000-4000-8000-000000000000" }));
    await failsWith("MissingParameter", sdk.DescribeTaskStatus({}));
  });

  changing("ids are given at once, and every write is a task by its RequestId", async ({ sdk, task, loadBalancer, backends }) => {
    const LoadBalancerId = await loadBalancer();
    const created = await sdk.CreateListener({ LoadBalancerId, Ports: [80], Protocol: "TCP" });
    const [ListenerId = ""] = created.ListenerIds ?? [];
    assert.match(ListenerId, /^lbl-/);
    assert.equal((await task(created)).Status, 0);
    const place = { LoadBalancerId, ListenerId };
    const Targets = [{ EniIp: backends[0], Port: 80 }];
    for (const write of [
      () => sdk.RegisterTargets({ ...place, Targets }),
      () => sdk.ModifyTargetWeight({ ...place, Targets, Weight: 1 }),
      () => sdk.DeregisterTargets({ ...place, Targets }),
      () => sdk.ModifyListener({ ...place, ListenerName: "new" }),
      () => sdk.SetLoadBalancerSecurityGroups({ LoadBalancerId }),
      () => sdk.ModifyLoadBalancerAttributes({ LoadBalancerId, LoadBalancerName: "new" }),
      () => sdk.DeleteListener(place),
    ])
      assert.deepEqual((await task(await write())).Status, 0, String(write));
  });
});

suite("tasks of the emulated cloud", EMULATED_ONLY, () => {
  for (const [failedTaskApplies, names] of [
    [false, []],
    [true, ["web"]],
  ] as const)
    test(`one that fails ${failedTaskApplies ? "may have made its change, if the option says so" : "leaves everything as it was"}`, async (t) => {
      const { sdk, task, cloud } = await withCloud(t, { dataPlane: false, failedTaskApplies });
      const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
      cloud.faults.add({ kind: "task-failed", message: "device busy", count: 1 });
      const request = { LoadBalancerId, Ports: [80], Protocol: "TCP", ListenerNames: ["web"] };
      const { Status, Message } = await task(await sdk.CreateListener(request));
      assert.deepEqual([Status, Message], [1, "device busy"]);
      assert.deepEqual(
        (await sdk.DescribeListeners({ LoadBalancerId })).Listeners?.map((one) => one.ListenerName),
        names,
      );
      assert.equal(cloud.state().loadBalancers[0]?.lock, null, "the lock is free again");
    });

  test("each rule on the load balancer makes its writes slower", async (t) => {
    const profile = { ...QUICK, taskMs: { base: 0, perRuleOnLb: 20, perTarget: 0 } };
    const { sdk, done, cloud } = await withCloud(t, { dataPlane: false, profile });
    const [slow, quick] = [cloud.addLoadBalancer().loadBalancerId, cloud.addLoadBalancer().loadBalancerId];
    const [ListenerId = ""] =
      (await done(await sdk.CreateListener({ LoadBalancerId: slow, Ports: [80], Protocol: "HTTP" }))).ListenerIds ?? [];
    const Rules = Array.from({ length: 20 }, (_, index) => ({ Domain: "a.example", Url: `/${index}` }));
    await done(await sdk.CreateRule({ LoadBalancerId: slow, ListenerId, Rules }));
    const time = async (LoadBalancerId: string): Promise<number> => {
      const { RequestId } = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [81], Protocol: "TCP" }));
      const [accepted, over] = cloud.journal.of("task").filter(({ taskId }) => taskId === RequestId);
      return (over?.timeMs ?? 0) - (accepted?.timeMs ?? 0);
    };
    const [withRules, without] = [await time(slow), await time(quick)];
    assert.ok(withRules >= 395, `20 rules of 20 ms, it took ${withRules}`);
    assert.ok(without < withRules, `the rules of another load balancer do not count, it took ${without}`);
  });
});

suite("the lock", EMULATED_ONLY, () => {
  test("comes before the quota", async (t) => {
    const { sdk, cloud, done } = await withCloud(t, { limits: { listenersPerLoadBalancer: 1 }, dataPlane: false, profile: UNHURRIED });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const create = (...Ports: number[]) => sdk.CreateListener({ LoadBalancerId, Protocol: "TCP", Ports });
    const running = await create(80);
    await failsWith("FailedOperation.ResourceInOperating", create(81, 82));
    await done(running);
    await failsWith("LimitExceeded", create(81, 82));
  });

  test("meets every write, and no read", async (t) => {
    const { sdk, done, cloud } = await withCloud(t, { dataPlane: false, health: "scripted" });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const made = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [80], Protocol: "HTTP" }));
    const [ListenerId = ""] = made.ListenerIds ?? [];
    const [tcp = ""] = (await done(await sdk.CreateListener({ LoadBalancerId, Ports: [81], Protocol: "TCP" }))).ListenerIds ?? [];
    const rules = { LoadBalancerId, ListenerId };
    const place = { LoadBalancerId, ListenerId: tcp };
    const Targets = [{ EniIp: "10.244.0.1", Port: 80 }];
    const batch = { LoadBalancerId, Targets: [{ ListenerId: tcp, EniIp: "10.244.0.1", Port: 80 }] };
    const { LocationIds = [] } = await done(await sdk.CreateRule({ ...rules, Rules: [{ Domain: "a.example", Url: "/" }] }));
    const [LocationId = ""] = LocationIds;
    await done(await sdk.RegisterTargets({ ...place, Targets }));
    cloud.faults.add({ kind: "task-stuck", count: 1 });
    await sdk.ModifyListener({ ...place, ListenerName: "running" });
    const writes: readonly (readonly [action: string, request: object])[] = [
      ["CreateListener", { LoadBalancerId, Ports: [82], Protocol: "TCP" }],
      ["ModifyListener", { ...place, ListenerName: "x" }],
      ["DeleteListener", place],
      ["DeleteLoadBalancerListeners", { LoadBalancerId }],
      ["CreateRule", { ...rules, Rules: [{ Domain: "b.example", Url: "/" }] }],
      ["ModifyRule", { ...rules, LocationId, Url: "/x" }],
      ["DeleteRule", { ...rules, LocationIds }],
      ["ModifyDomainAttributes", { ...rules, Domain: "a.example", NewDomain: "c.example" }],
      ["RegisterTargets", { ...place, Targets }],
      ["DeregisterTargets", { ...place, Targets }],
      ["BatchRegisterTargets", batch],
      ["BatchDeregisterTargets", batch],
      ["ModifyTargetWeight", { ...place, Targets, Weight: 1 }],
      ["BatchModifyTargetWeight", { LoadBalancerId, ModifyList: [{ ListenerId: tcp, Targets }] }],
      ["ModifyLoadBalancerAttributes", { LoadBalancerId, LoadBalancerName: "x" }],
      ["SetLoadBalancerSecurityGroups", { LoadBalancerId }],
      ["DeleteLoadBalancer", { LoadBalancerIds: [LoadBalancerId] }],
    ];
    const answers = await Promise.allSettled(writes.map(([action, request]) => sdk.request(action, request)));
    assert.deepEqual(
      answers.map((answer, index) => [writes[index]?.[0], answer.status === "rejected" && errorCode(answer.reason)]),
      writes.map(([action]) => [action, "FailedOperation.ResourceInOperating"]),
    );
    await Promise.all([
      sdk.DescribeLoadBalancers({ LoadBalancerIds: [LoadBalancerId] }),
      sdk.DescribeListeners({ LoadBalancerId }),
      sdk.DescribeTargets({ LoadBalancerId }),
      sdk.DescribeTargetHealth({ LoadBalancerIds: [LoadBalancerId] }),
      sdk.DescribeLBListeners({ Backends: [{ VpcId: "vpc-default", PrivateIp: "10.244.0.1" }] }),
    ]);
  });

  test("a second write on the same load balancer fails at once and is counted; reads and other load balancers go on", async (t) => {
    const { sdk, done, cloud } = await withCloud(t, { profile: UNHURRIED, dataPlane: false });
    const [one, two] = [cloud.addLoadBalancer().loadBalancerId, cloud.addLoadBalancer().loadBalancerId];
    const create = (LoadBalancerId: string, port: number) => sdk.CreateListener({ LoadBalancerId, Ports: [port], Protocol: "TCP" });
    const running = await create(one, 80);
    const message = await failsWith("FailedOperation.ResourceInOperating", create(one, 81));
    assert.equal(message, `Loadbalancer(${one}) is not in normal desState, maybe some tasks are being processed, please try later.`);
    await failsWith("FailedOperation.ResourceInOperating", sdk.DeleteLoadBalancer({ LoadBalancerIds: [two, one] }));
    await sdk.DescribeListeners({ LoadBalancerId: one });
    await create(two, 80);
    await done(running);
    await create(one, 81);
    assert.deepEqual(
      cloud.state().loadBalancers.map(({ overlaps }) => overlaps),
      [2, 0],
    );
    assert.equal(cloud.counts().overlaps, 2);
    const [refused] = cloud.journal.of("call").filter(({ code }) => code === "FailedOperation.ResourceInOperating");
    assert.ok(refused !== undefined && refused.lockWaitMs > 100 && refused.lockWaitMs <= 300, `waited ${refused?.lockWaitMs}`);
  });

  for (const mode of ["sync", "async"] as const)
    test(`a batch call in ${mode} mode keeps the lock for the busy time after its task`, async (t) => {
      const profile = { ...UNHURRIED, batchTargets: { mode, busyAfterReturnMs: 150 } };
      const { sdk, done, listener, cloud } = await withCloud(t, { profile, dataPlane: false, health: "scripted" });
      const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
      const ListenerId = await listener(LoadBalancerId, 80);
      const startedMs = Date.now();
      const register = (EniIp: string) => sdk.BatchRegisterTargets({ LoadBalancerId, Targets: [{ ListenerId, EniIp, Port: 80 }] });
      const accepted = await register("10.244.0.1");
      assert.equal(Date.now() - startedMs >= 295, mode === "sync");
      await done(accepted);
      await failsWith("FailedOperation.ResourceInOperating", register("10.244.0.2"));
      assert.equal(cloud.counts().overlaps, 0, "nothing was being written");
      while (Date.now() - startedMs < 600) await sdk.DescribeListeners({ LoadBalancerId });
      await register("10.244.0.2");
    });
});

const errorCode = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : error);
