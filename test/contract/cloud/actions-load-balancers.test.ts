import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Client as TagClient } from "tencentcloud-sdk-nodejs/tencentcloud/services/tag/v20180813/tag_client.js";
import { TEST_KEY } from "../../cloud/runtime/options.ts";
import { changing, contract, EMULATED_ONLY } from "./contract.ts";
import { failsWith, UNHURRIED, withCloud } from "./fixture.ts";

suite("load balancers", () => {
  changing("one is created, changed and deleted", async ({ sdk, done, loadBalancer }) => {
    const LoadBalancerId = await loadBalancer();
    const one = { LoadBalancerIds: [LoadBalancerId] };
    const seen = async () => (await sdk.DescribeLoadBalancers(one)).LoadBalancerSet?.[0];
    const made = await seen();
    assert.deepEqual(
      [made?.LoadBalancerId, made?.LoadBalancerType, made?.Status, made?.Forward, made?.AddressIPVersion?.toLowerCase()],
      [LoadBalancerId, "OPEN", 1, 1, "ipv4"],
    );
    assert.deepEqual([made?.LoadBalancerPassToTarget, made?.SecureGroups, made?.AttributeFlags], [false, [], []]);
    const change = { LoadBalancerName: "clb-direct-contract", LoadBalancerPassToTarget: true, DeleteProtect: true };
    await done(await sdk.ModifyLoadBalancerAttributes({ LoadBalancerId, ...change }));
    const changed = await seen();
    assert.deepEqual([changed?.LoadBalancerName, changed?.LoadBalancerPassToTarget], ["clb-direct-contract", true]);
    assert.ok(changed?.AttributeFlags?.includes("DeleteProtect"));
    await done(await sdk.ModifyLoadBalancerAttributes({ LoadBalancerId, DeleteProtect: false }));
    assert.equal((await seen())?.LoadBalancerPassToTarget, true, "what is not given stays");
    await done(await sdk.DeleteLoadBalancer(one));
    assert.equal(await seen(), undefined);
    await failsWith("InvalidParameter.LBIdNotFound", sdk.DeleteLoadBalancer(one));
  });

  changing("the same ClientToken makes one load balancer, and its task is known by both requests", async ({ sdk, done }) => {
    const request = { LoadBalancerType: "OPEN", ClientToken: `token-${Date.now()}` };
    const [first, second] = [await sdk.CreateLoadBalancer(request), await sdk.CreateLoadBalancer(request)];
    assert.deepEqual(first.LoadBalancerIds, second.LoadBalancerIds);
    assert.notEqual(first.RequestId, second.RequestId);
    await done(second);
    const LoadBalancerIds = first.LoadBalancerIds ?? [];
    assert.equal((await sdk.DescribeLoadBalancers({ LoadBalancerIds })).TotalCount, 1);
    await done(await sdk.DeleteLoadBalancer({ LoadBalancerIds }));
  });

  contract("an order that cannot be filled is refused", async ({ sdk }) => {
    const order = (more: object) => sdk.request("CreateLoadBalancer", { LoadBalancerType: "OPEN", ...more });
    await failsWith("MissingParameter", order({ LoadBalancerType: "INTERNAL" }));
    await failsWith("MissingParameter", order({ LoadBalancerType: "INTERNAL", VpcId: "vpc-00000000" }));
    await failsWith("MissingParameter", order({ LBChargeType: "PREPAID" }));
    await failsWith("InvalidParameterValue", order({ LoadBalancerType: "PRIVATE" }));
    await failsWith("InvalidParameterValue", order({ SubnetId: "subnet-00000000" }));
    await failsWith("InvalidParameterValue", order({ AddressIPVersion: "IPV5" }));
    await failsWith("InvalidParameterValue", order({ VipIsp: "CMCC" }));
    await failsWith("InvalidParameterValue", order({ BandwidthPackageId: "bwp-00000000" }));
    await failsWith("InvalidParameterValue", order({ ClientToken: "é" }));
  });

  contract("a filter that does not exist is refused, those that do are taken", async ({ sdk }) => {
    const ask = (Name: string) => sdk.DescribeLoadBalancers({ Filters: [{ Name, Values: ["no such value"] }] });
    for (const name of ["charge-type", "internet-charge-type", "master-zone-id", "tag-key", "tag:x", "vip-isp", "sla-type", "exclusive"])
      assert.equal((await ask(name)).TotalCount, 0, name);
    await failsWith("InvalidParameter.InvalidFilter", ask("colour"));
  });
});

suite("load balancers of the emulated cloud", EMULATED_ONLY, () => {
  test("one is created by a task, shown meanwhile with Status 0 and without an address", async (t) => {
    const { sdk, done } = await withCloud(t, { profile: UNHURRIED });
    const Tags = [{ TagKey: "owner", TagValue: "me" }];
    const accepted = await sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", LoadBalancerName: "web", Tags });
    assert.equal((await sdk.DescribeTaskStatus({ TaskId: accepted.RequestId ?? "" })).Status, 2);
    assert.match(accepted.DealName ?? "", /^20\d{21}$/);
    assert.equal((await sdk.DescribeTaskStatus({ DealName: accepted.DealName ?? "" })).Status, 2);
    const [making] = (await sdk.DescribeLoadBalancers({ Filters: [{ Name: "tag:owner", Values: ["me"] }] })).LoadBalancerSet ?? [];
    assert.deepEqual(
      [making?.LoadBalancerId, making?.Status, making?.LoadBalancerVips, making?.Tags],
      [accepted.LoadBalancerIds?.[0], 0, [], Tags],
    );
    await done(accepted);
    const [made] = (await sdk.DescribeLoadBalancers({ LoadBalancerIds: accepted.LoadBalancerIds ?? [] })).LoadBalancerSet ?? [];
    assert.equal(made?.LoadBalancerName, "web");
    assert.equal(made?.Status, 1);
    assert.match(made?.LoadBalancerVips?.[0] ?? "", /^127\.198\./);
    assert.deepEqual(made?.Tags, Tags);
  });

  test("one that is being created may also be hidden", async (t) => {
    const { sdk, done } = await withCloud(t, { profile: UNHURRIED, underCreation: "hidden" });
    const accepted = await sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN" });
    assert.equal((await sdk.DescribeLoadBalancers({})).TotalCount, 0);
    await done(accepted);
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

  test("they are found by what they are, and by what is bound to them", async (t) => {
    const { sdk, done, cloud } = await withCloud(t, { dataPlane: false, health: "scripted" });
    const [plain = "", busy = ""] = ["plain", "busy"].map((name) => cloud.addLoadBalancer({ name }).loadBalancerId);
    const order = { LoadBalancerType: "INTERNAL", VpcId: "vpc-1", SubnetId: "subnet-1", ProjectId: 7, MasterZoneId: "ap-guangzhou-1" };
    const [internal = ""] = (await done(await sdk.CreateLoadBalancer({ ...order, SlaType: "clb.c2.medium" }))).LoadBalancerIds ?? [];
    const [ListenerId = ""] =
      (await done(await sdk.CreateListener({ LoadBalancerId: busy, Ports: [80], Protocol: "TCP" }))).ListenerIds ?? [];
    await sdk.BatchRegisterTargets({ LoadBalancerId: busy, Targets: [{ ListenerId, EniIp: "10.244.0.1", Port: 80 }] });
    await sdk.SetLoadBalancerSecurityGroups({ LoadBalancerId: plain, SecurityGroups: ["sg-1"] });
    const found = async (request: object) =>
      ((await sdk.DescribeLoadBalancers(request)).LoadBalancerSet ?? []).map((one) => one.LoadBalancerId);
    const by = (Name: string, value: string) => found({ Filters: [{ Name, Values: [value] }] });
    assert.deepEqual(await found({ LoadBalancerType: "INTERNAL" }), [internal]);
    assert.deepEqual(await found({ Forward: 0 }), []);
    assert.deepEqual(await found({ WithRs: 1 }), [busy]);
    assert.deepEqual(await found({ WithRs: 0 }), [internal, plain]);
    assert.deepEqual(await found({ SecurityGroup: "sg-1" }), [plain]);
    assert.deepEqual(await found({ ProjectId: 7 }), [internal]);
    assert.deepEqual(await found({ VpcId: "vpc-1" }), [internal]);
    assert.deepEqual(await found({ MasterZone: "ap-guangzhou-1" }), [internal]);
    assert.deepEqual(await found({ SearchKey: "usy" }), [busy]);
    assert.deepEqual(await found({ BackendPublicIps: ["1.1.1.1"] }), []);
    assert.deepEqual(await found({ OrderBy: "LoadBalancerName", OrderType: 0, LoadBalancerType: "OPEN" }), [busy, plain]);
    assert.deepEqual(await by("vip-isp", "INTERNAL"), [internal]);
    assert.deepEqual(await by("sla-type", "clb.c2.medium"), [internal]);
    assert.deepEqual(await by("internet-charge-type", "BANDWIDTH_PACKAGE"), []);
    const counts = async (request: object) =>
      ((await sdk.DescribeLoadBalancers({ LoadBalancerIds: [busy], ...request })).LoadBalancerSet ?? []).map((one) => one.TargetCount);
    assert.deepEqual([await counts({}), await counts({ AdditionalFields: ["TargetCount"] })], [[null], [1]]);
  });

  test("a name that another one has is not given again, nor one for several", async (t) => {
    const { sdk, cloud } = await withCloud(t, { dataPlane: false });
    cloud.addLoadBalancer({ name: "web" });
    const names = async () => ((await sdk.DescribeLoadBalancers({})).LoadBalancerSet ?? []).map((one) => one.LoadBalancerName);
    cloud.addLoadBalancer({ name: "web" });
    assert.equal((await names()).filter((name) => name === "web").length, 1);
  });

  test("security groups are set as a whole, at once, and not while something else is written", async (t) => {
    const { sdk, task, cloud } = await withCloud(t, { profile: UNHURRIED, dataPlane: false });
    const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
    const groups = async () => (await sdk.DescribeLoadBalancers({})).LoadBalancerSet?.[0]?.SecureGroups;
    const set = (SecurityGroups?: string[]) =>
      sdk.SetLoadBalancerSecurityGroups({ LoadBalancerId, ...(SecurityGroups !== undefined && { SecurityGroups }) });
    const accepted = await set(["sg-2", "sg-1"]);
    assert.deepEqual(await groups(), ["sg-2", "sg-1"], "in the order in which they are asked");
    assert.equal((await task(accepted)).Status, 0);
    const [begun, over] = cloud.journal.of("task").map(({ timeMs }) => timeMs);
    assert.ok((over ?? 0) - (begun ?? 0) < 300, "other writes take 300 ms");
    await set();
    assert.deepEqual(await groups(), []);
    await sdk.CreateListener({ LoadBalancerId, Ports: [80], Protocol: "TCP" });
    await failsWith("FailedOperation.ResourceInOperating", set(["sg-1"]));
  });

  test("an order that finds too few addresses takes none", async (t) => {
    const { sdk } = await withCloud(t, { dataPlane: false, vipCidr: "127.198.255.0/30" });
    const order = (Number: number) => sdk.CreateLoadBalancer({ LoadBalancerType: "OPEN", Number });
    await failsWith("ResourceInsufficient", order(3));
    assert.equal((await order(2)).LoadBalancerIds?.length, 2);
    await failsWith("ResourceInsufficient", order(1));
  });

  test("an address that a deleted load balancer had is not given out again at once", async (t) => {
    const { sdk, done, cloud } = await withCloud(t, { dataPlane: false });
    const { loadBalancerId, vip } = cloud.addLoadBalancer();
    await done(await sdk.DeleteLoadBalancer({ LoadBalancerIds: [loadBalancerId] }));
    assert.notEqual(cloud.addLoadBalancer().vip, vip);
  });
});
