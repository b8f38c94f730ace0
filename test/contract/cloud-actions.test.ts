import assert from "node:assert/strict";
import { createServer } from "node:net";
import { suite, test } from "node:test";
import { Client as TagClient } from "tencentcloud-sdk-nodejs/tencentcloud/services/tag/v20180813/tag_client.js";
import { TEST_KEY } from "../cloud/options.ts";
import { FAST_CHECK, failsWith, UNHURRIED, withCloud } from "./cloud-fixture.ts";

suite("load balancers", () => {
  test("one is created by a task and appears when the task has succeeded", async (t) => {
    const { sdk, done } = await withCloud(t, { profile: UNHURRIED });
    const Tags = [{ TagKey: "owner", TagValue: "me" }];
    const accepted = await sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", LoadBalancerName: "web", Tags });
    assert.equal((await sdk.DescribeTaskStatus({ TaskId: accepted.RequestId ?? "" })).Status, 2);
    assert.equal((await sdk.DescribeLoadBalancers({})).TotalCount, 0);
    await done(accepted);
    const [made] = (await sdk.DescribeLoadBalancers({ LoadBalancerIds: accepted.LoadBalancerIds ?? [] })).LoadBalancerSet ?? [];
    assert.equal(made?.LoadBalancerName, "web");
    assert.equal(made?.Status, 1);
    assert.match(made?.LoadBalancerVips?.[0] ?? "", /^127\.198\./);
    assert.deepEqual(made?.Tags, Tags);
  });

  test("the same ClientToken makes one load balancer, and its task is known by both requests", async (t) => {
    const { sdk, done } = await withCloud(t);
    const request = { LoadBalancerType: "OPEN", ClientToken: "token-1" };
    const [first, second] = [await sdk.CreateLoadBalancer(request), await sdk.CreateLoadBalancer(request)];
    assert.deepEqual(first.LoadBalancerIds, second.LoadBalancerIds);
    assert.notEqual(first.RequestId, second.RequestId);
    await done(second);
    assert.equal((await sdk.DescribeLoadBalancers({})).TotalCount, 1);
  });

  test("a failed order leaves nothing, and its ClientToken is used up", async (t) => {
    const { sdk, task, cloud } = await withCloud(t);
    cloud.faults.add({ kind: "task-failed", message: "sold out", count: 1 });
    const request = { LoadBalancerType: "OPEN", ClientToken: "token-1" };
    const accepted = await sdk.CreateLoadBalancer(request);
    assert.deepEqual(
      { ...(await task(accepted)), RequestId: "" },
      { Status: 1, LoadBalancerIds: accepted.LoadBalancerIds, Message: "sold out", RequestId: "" },
    );
    assert.equal((await sdk.DescribeLoadBalancers({})).TotalCount, 0);
    await failsWith("InvalidParameter.ClientTokenLimitExceeded", sdk.CreateLoadBalancer(request));
  });

  test("they are found by id, tag and name, page by page", async (t) => {
    const { sdk, cloud } = await withCloud(t);
    const made = Array.from({ length: 5 }, (_, index) => cloud.addLoadBalancer({ name: `web-${index}`, tags: { owner: `o${index % 2}` } }));
    const idsOf = async (request: object): Promise<(string | undefined)[]> =>
      ((await sdk.DescribeLoadBalancers(request)).LoadBalancerSet ?? []).map((one) => one.LoadBalancerId);
    const all = made.map(({ loadBalancerId }) => loadBalancerId);
    assert.deepEqual(await idsOf({ Filters: [{ Name: "tag:owner", Values: ["o1"] }] }), [all[3], all[1]], "newest first");
    assert.deepEqual(await idsOf({ LoadBalancerIds: [all[2], "lb-none"] }), [all[2]]);
    assert.deepEqual(await idsOf({ LoadBalancerName: "b-4" }), [all[4]]);
    assert.deepEqual(await idsOf({ Offset: 2, Limit: 2 }), [all[2], all[1]]);
    assert.equal((await sdk.DescribeLoadBalancers({ Offset: 2, Limit: 2 })).TotalCount, 5);
    await failsWith("InvalidParameterValue.Range", sdk.DescribeLoadBalancers({ Limit: 101 }));
    await failsWith("InvalidParameter.InvalidFilter", sdk.DescribeLoadBalancers({ Filters: [{ Name: "colour", Values: ["red"] }] }));
  });

  test("one with 20 backends is deleted only by force, and its address is not given out again at once", async (t) => {
    const { sdk, done, listener, cloud } = await withCloud(t, { health: "scripted", dataPlane: false });
    const { loadBalancerId: LoadBalancerId, vip } = cloud.addLoadBalancer();
    const ListenerId = await listener(LoadBalancerId, 80);
    const Targets = Array.from({ length: 20 }, (_, index) => ({ ListenerId, EniIp: `127.244.0.${index + 1}`, Port: 80 }));
    await sdk.BatchRegisterTargets({ LoadBalancerId, Targets });
    await failsWith("FailedOperation.TargetNumCheckRisk", sdk.DeleteLoadBalancer({ LoadBalancerIds: [LoadBalancerId] }));
    await done(await sdk.DeleteLoadBalancer({ LoadBalancerIds: [LoadBalancerId], ForceDelete: true }));
    assert.equal((await sdk.DescribeLoadBalancers({})).TotalCount, 0);
    assert.notEqual(cloud.addLoadBalancer().vip, vip);
  });

  test("tags are written and read through the tag service; one bad resource does not stop the others", async (t) => {
    const { endpoint, cloud } = await withCloud(t);
    const { loadBalancerId } = cloud.addLoadBalancer();
    const credential = { secretId: TEST_KEY.secretId, secretKey: TEST_KEY.secretKey };
    const tags = new TagClient({ credential, profile: { httpProfile: { protocol: "http://", endpoint } } });
    const name = (id: string): string => `qcs::clb:ap-guangzhou:uin/1:clb/${id}`;
    const Tags = [
      { TagKey: "a", TagValue: "1" },
      { TagKey: "b", TagValue: "2" },
    ];
    const { FailedResources } = await tags.TagResources({ ResourceList: [name("lb-none"), name(loadBalancerId)], Tags });
    assert.deepEqual(
      FailedResources?.map(({ Resource }) => Resource),
      [name("lb-none")],
    );
    await tags.UnTagResources({ ResourceList: [name(loadBalancerId)], TagKeys: ["a"] });
    const request = { ServiceType: "clb", ResourcePrefix: "clb", ResourceIds: [loadBalancerId], ResourceRegion: "ap-guangzhou" };
    const read = await tags.DescribeResourceTagsByResourceIds(request);
    assert.deepEqual(
      read.Tags?.map(({ TagKey, TagValue }) => [TagKey, TagValue]),
      [["b", "2"]],
    );
  });
});

suite("listeners", () => {
  test("they are created in the order of the ports, changed, described and deleted", async (t) => {
    const { sdk, done, cloud } = await withCloud(t);
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const names = { Ports: [8001, 8002], ListenerNames: ["one", "two"], Protocol: "TCP" };
    const { ListenerIds = [] } = await done(await sdk.CreateListener({ LoadBalancerId, ...names }));
    const [first = "", second = ""] = ListenerIds;
    const described = (await sdk.DescribeListeners({ LoadBalancerId })).Listeners ?? [];
    assert.deepEqual(
      described.map((one) => [one.ListenerId, one.ListenerName, one.Port]),
      [
        [first, "one", 8001],
        [second, "two", 8002],
      ],
    );
    assert.equal(described[0]?.HealthCheck?.IntervalTime, 5);
    await done(await sdk.ModifyListener({ LoadBalancerId, ListenerId: first, ListenerName: "new", HealthCheck: FAST_CHECK }));
    const [changed] = (await sdk.DescribeListeners({ LoadBalancerId, ListenerIds: [first] })).Listeners ?? [];
    assert.deepEqual([changed?.ListenerName, changed?.HealthCheck?.IntervalTime, changed?.HealthCheck?.HealthSwitch], ["new", 2, 1]);
    await failsWith("InvalidParameter", sdk.DeleteLoadBalancerListeners({ LoadBalancerId, ListenerIds: [first, "lbl-none"] }));
    await done(await sdk.DeleteListener({ LoadBalancerId, ListenerId: first }));
    await failsWith("InvalidParameter.ListenerIdNotFound", sdk.DeleteListener({ LoadBalancerId, ListenerId: first }));
    await done(await sdk.DeleteLoadBalancerListeners({ LoadBalancerId })); // none named: all
    assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 0);
  });

  test("a port is taken once per transport protocol", async (t) => {
    const { sdk, done, listener, cloud } = await withCloud(t);
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    await listener(LoadBalancerId, 8001);
    await failsWith("InvalidParameter.PortCheckFailed", sdk.CreateListener({ LoadBalancerId, Ports: [8000, 8001], Protocol: "TCP" }));
    await failsWith("InvalidParameterValue.Duplicate", sdk.CreateListener({ LoadBalancerId, Ports: [8000, 8000], Protocol: "TCP" }));
    await done(await sdk.CreateListener({ LoadBalancerId, Ports: [8001], Protocol: "UDP" }));
  });

  test("a port that cannot be listened on fails the task, which says why and leaves nothing", async (t) => {
    const { sdk, task, cloud } = await withCloud(t);
    const { loadBalancerId: LoadBalancerId, vip } = cloud.addLoadBalancer();
    const squatter = createServer();
    t.after(() => squatter.close());
    await new Promise<void>((resolve) => void squatter.listen(8002, vip, resolve));
    const { Status, Message } = await task(await sdk.CreateListener({ LoadBalancerId, Ports: [8001, 8002], Protocol: "TCP" }));
    assert.equal(Status, 1);
    assert.match(Message ?? "", /cannot listen on 127\.198\.\d+\.\d+:8002: EADDRINUSE/);
    assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 0);
  });

  test("an address range that is not local fails the task with the fix", async (t) => {
    const { sdk, task, cloud } = await withCloud(t, { vipCidr: "203.0.113.0/24" });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const { Message } = await task(await sdk.CreateListener({ LoadBalancerId, Ports: [8001], Protocol: "TCP" }));
    assert.match(Message ?? "", /cannot listen on 203\.0\.113\.1:8001: EADDRNOTAVAIL \(the range of VIPs is not local here/);
  });

  test("health checks keep to their ranges", async (t) => {
    const { sdk, cloud } = await withCloud(t);
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const create = (HealthCheck: object): Promise<unknown> =>
      sdk.CreateListener({ LoadBalancerId, Ports: [80], Protocol: "TCP", HealthCheck });
    for (const bad of [{ IntervalTime: 1 }, { IntervalTime: 301 }, { HealthNum: 1 }, { UnHealthNum: 11 }, { TimeOut: 61 }])
      await failsWith("InvalidParameterValue.Range", create(bad));
    await failsWith("InvalidParameterValue", create({ IntervalTime: 5, TimeOut: 6 }));
    await failsWith("InvalidParameterValue", create({ CheckType: "HTTP" }));
  });
});

suite("targets", () => {
  const start = async (t: Parameters<typeof withCloud>[0], options: Parameters<typeof withCloud>[1] = {}) => {
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
    const { sdk, done, LoadBalancerId, ListenerId, bound } = await start(t, { profile: UNHURRIED });
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

  test("one bad target in a batch fails its whole listener and no other", async (t) => {
    const { sdk, LoadBalancerId, ListenerId, other, bound } = await start(t);
    const good = { EniIp: "10.244.0.1", Port: 80 };
    const Targets = [
      { ListenerId, ...good },
      { ListenerId, EniIp: "192.168.0.1", Port: 80 },
      { ListenerId: other, ...good },
    ];
    const reply = await sdk.BatchRegisterTargets({ LoadBalancerId, Targets });
    assert.deepEqual(reply.FailListenerIdSet, [ListenerId]);
    assert.match(reply.Message ?? "", /192\.168\.0\.1/);
    assert.deepEqual(await bound(), ["81 10.244.0.1:80 10"]);
    const off = await sdk.BatchDeregisterTargets({
      LoadBalancerId,
      Targets: [
        { ListenerId, ...good },
        { ListenerId: other, ...good },
      ],
    });
    assert.deepEqual(off.FailListenerIdSet, [ListenerId], "it is not bound there");
    assert.deepEqual(await bound(), []);
  });

  test("the good targets of a failed listener are bound where the option says so", async (t) => {
    const { sdk, LoadBalancerId, ListenerId, bound } = await start(t, { keepGoodTargetsOfFailedListener: true });
    const Targets = ["10.244.0.1", "192.168.0.1"].map((EniIp) => ({ ListenerId, EniIp, Port: 80 }));
    assert.deepEqual((await sdk.BatchRegisterTargets({ LoadBalancerId, Targets })).FailListenerIdSet, [ListenerId]);
    assert.deepEqual(await bound(), ["80 10.244.0.1:80 10"]);
  });

  test("the calls for one listener refuse what cannot be bound, unbound or weighed", async (t) => {
    const { sdk, LoadBalancerId, ListenerId } = await start(t);
    const place = { LoadBalancerId, ListenerId };
    const [foreign, free] = [
      { EniIp: "192.168.0.1", Port: 80 },
      { EniIp: "10.244.0.1", Port: 80 },
    ];
    await failsWith("InvalidParameterValue", sdk.RegisterTargets({ ...place, Targets: [foreign] }));
    await failsWith("InvalidParameterValue", sdk.RegisterTargets({ ...place, Targets: [{ Port: 80 }] }));
    await failsWith("InvalidParameterValue.Duplicate", sdk.RegisterTargets({ ...place, Targets: [free, free] }));
    await failsWith("InvalidParameterValue", sdk.DeregisterTargets({ ...place, Targets: [free] }));
    await failsWith("InvalidParameterValue", sdk.ModifyTargetWeight({ ...place, Targets: [free], Weight: 0 }));
    await failsWith("InvalidParameter.LocationNotFound", sdk.RegisterTargets({ ...place, LocationId: "loc-1", Targets: [free] }));
    await failsWith(
      "InvalidParameter.ListenerIdNotFound",
      sdk.BatchRegisterTargets({ LoadBalancerId, Targets: [{ ...free, ListenerId: "lbl-none" }] }),
    );
  });
});

test("requests are checked in the documented order: missing, wrong, unknown, ids, lock, quota", async (t) => {
  const { sdk, cloud, done } = await withCloud(t, { limits: { listenersPerLoadBalancer: 1 }, dataPlane: false, profile: UNHURRIED });
  const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
  const create = (request: object): Promise<{ RequestId?: string }> => sdk.request("CreateListener", request);
  const bad = { LoadBalancerId: "lb-none", Ports: "80", Colour: "red" };
  assert.match(await failsWith("MissingParameter", create(bad)), /`Protocol`/);
  await failsWith("InvalidParameter", create({ ...bad, Protocol: "TCP" }));
  await failsWith("InvalidParameterValue.Range", create({ ...bad, Protocol: "TCP", Ports: [65_536] }));
  assert.match(await failsWith("UnknownParameter", create({ ...bad, Protocol: "TCP", Ports: [80] })), /`Colour`/);
  await failsWith("InvalidParameter.LBIdNotFound", create({ LoadBalancerId: "lb-none", Protocol: "TCP", Ports: [80] }));
  const tooMany = { LoadBalancerId, Protocol: "TCP", Ports: [81, 82] };
  const running = await create({ LoadBalancerId, Protocol: "TCP", Ports: [80] });
  await failsWith("FailedOperation.ResourceInOperating", create(tooMany));
  await done(running);
  await failsWith("LimitExceeded", create(tooMany));
});

suite("the lock", () => {
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
