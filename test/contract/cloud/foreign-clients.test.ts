/** Actions that other clients call and the product does not: Terraform's provider, other controllers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { filter, withAccount } from "./account.ts";
import { failsWith, withCloud } from "./fixture.ts";
import { call } from "./signer.ts";

test("a rule is redirected to another one by hand, shown so, and freed again", async (t) => {
  const { sdk, done, cloud } = await withCloud(t);
  const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
  const lb = { LoadBalancerId };
  const listeners = await done(await sdk.CreateListener({ ...lb, Ports: [80, 81], Protocol: "HTTP" }));
  const [from = "", to = ""] = (await sdk.DescribeListeners(lb)).Listeners?.map(({ ListenerId }) => ListenerId ?? "") ?? [];
  assert.ok(listeners);
  for (const ListenerId of [from, to]) await done(await sdk.CreateRule({ ...lb, ListenerId, Rules: [{ Domain: "a.example", Url: "/" }] }));
  const ruleOf = async (port: number) => (await sdk.DescribeListeners({ ...lb, Port: port })).Listeners?.[0]?.Rules?.[0];
  const [SourceLocationId = "", TargetLocationId = ""] = [(await ruleOf(80))?.LocationId, (await ruleOf(81))?.LocationId];
  const redirection = {
    ...lb,
    SourceListenerId: from,
    TargetListenerId: to,
    RewriteInfos: [{ SourceLocationId, TargetLocationId, RewriteCode: 302 }],
  };
  await done(await sdk.ManualRewrite(redirection));
  await failsWith("InvalidParameterValue.Duplicate", sdk.ManualRewrite(redirection));
  const shown = { TargetListenerId: to, TargetLocationId, RewriteCode: 302, TakeUrl: true, RewriteType: "Manual" };
  assert.deepEqual((await ruleOf(80))?.RewriteTarget, shown);
  const found = async (request: object) =>
    (await sdk.DescribeRewrite({ ...lb, ...request })).RewriteSet?.map(({ LocationId }) => LocationId);
  assert.deepEqual(await found({ SourceListenerIds: [from] }), [SourceLocationId]);
  assert.deepEqual(await found({ SourceLocationIds: [TargetLocationId] }), []);
  await done(await sdk.DeleteRewrite(redirection));
  assert.deepEqual([await found({}), (await ruleOf(80))?.RewriteTarget?.TargetLocationId], [[], null]);
  await failsWith("InvalidParameter", sdk.DeleteRewrite(redirection));
  const unknown = { ...redirection, RewriteInfos: [{ SourceLocationId: "loc-none", TargetLocationId }] };
  await failsWith("InvalidParameter.LocationNotFound", sdk.ManualRewrite(unknown));
});

test("a target moves to another port with its weight, and not onto another target", async (t) => {
  const { sdk, done, cloud } = await withCloud(t);
  const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
  const accepted = await sdk.CreateListener({ LoadBalancerId, Ports: [80], Protocol: "TCP" });
  await done(accepted);
  const place = { LoadBalancerId, ListenerId: accepted.ListenerIds?.[0] ?? "" };
  const [one, other] = [
    { EniIp: "10.244.0.1", Port: 80 },
    { EniIp: "10.244.0.1", Port: 81 },
  ];
  await done(await sdk.RegisterTargets({ ...place, Targets: [{ ...one, Weight: 7 }, other] }));
  await failsWith("InvalidParameterValue.Duplicate", sdk.ModifyTargetPort({ ...place, Targets: [one], NewPort: 81 }));
  await failsWith("InvalidParameter", sdk.ModifyTargetPort({ ...place, Targets: [{ ...one, Port: 9 }], NewPort: 90 }));
  await done(await sdk.ModifyTargetPort({ ...place, Targets: [one], NewPort: 8080 }));
  const bound = (await sdk.DescribeTargets({ LoadBalancerId })).Listeners?.[0]?.Targets?.map(({ Port, Weight }) => [Port, Weight]);
  assert.deepEqual(bound, [
    [81, 10],
    [8080, 7],
  ]);
});

test("VPCs, subnets and public addresses are found by id and filter", async (t) => {
  const { vpc } = await withAccount(t);
  const vpcs = async (request: object) => (await vpc.DescribeVpcs(request)).VpcSet?.map(({ VpcId, CidrBlock }) => [VpcId, CidrBlock]);
  assert.deepEqual(await vpcs({ Filters: [filter("is-default", "true")] }), [["vpc-1", "10.0.0.0/16"]]);
  assert.deepEqual(await vpcs({ VpcIds: ["vpc-2"] }), [["vpc-2", "10.1.0.0/16"]]);
  const { SubnetSet: [subnet] = [], TotalCount } = await vpc.DescribeSubnets({ Filters: [filter("vpc-id", "vpc-1")] });
  assert.deepEqual([TotalCount, subnet?.SubnetId, subnet?.Zone, subnet?.VpcId], [1, "subnet-a", "ap-guangzhou-3", "vpc-1"]);
  assert.deepEqual([subnet?.TotalIpAddressCount, subnet?.AvailableIpAddressCount], [253, 253 - 6]);
  await failsWith("ResourceNotFound", vpc.DescribeSubnets({ SubnetIds: ["subnet-none"] }));
  await failsWith("InvalidParameter.Coexist", vpc.DescribeVpcs({ VpcIds: ["vpc-1"], Filters: [filter("vpc-id", "vpc-1")] }));
  assert.equal((await vpc.DescribeAddresses({})).TotalCount, 0);
});

test("STS tells who calls, and gives keys for a role that it is asked for by a signed call", async (t) => {
  const { endpoint } = await withAccount(t);
  const ask = async (action: string, payload: object) =>
    (await call(endpoint, { action, version: "2018-08-13", payload: JSON.stringify(payload) })).response;
  const who = await ask("GetCallerIdentity", {});
  assert.deepEqual([who["Type"], who["AccountId"]], ["CAMUser", "100000000001"]);
  const keys = await ask("AssumeRole", { RoleArn: "qcs::cam::uin/100000000001:roleName/reader", RoleSessionName: "s" });
  assert.match(String(keys["Expiration"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
});
