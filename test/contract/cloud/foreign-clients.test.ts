/** Actions that other clients call and the product does not: Terraform's provider, other controllers. */
import "reflect-metadata";
import assert from "node:assert/strict";
import { test } from "node:test";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
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
    RewriteInfos: [{ SourceLocationId, TargetLocationId, RewriteCode: 302, TakeUrl: true, SourceDomain: "a.example" }],
  };
  await done(await sdk.ManualRewrite(redirection));
  await failsWith("InvalidParameterValue.Duplicate", sdk.ManualRewrite(redirection));
  const shown = { TargetListenerId: to, TargetLocationId, RewriteCode: 302, TakeUrl: true, RewriteType: "Manual" };
  assert.deepEqual((await ruleOf(80))?.RewriteTarget, shown);
  const found = async (request: object) =>
    (await sdk.DescribeRewrite({ ...lb, ...request })).RewriteSet?.map(({ LocationId }) => LocationId);
  assert.deepEqual(await found({ SourceListenerIds: [from] }), [SourceLocationId]);
  assert.deepEqual(await found({ SourceLocationIds: [TargetLocationId] }), []);
  // Neither end can go before the redirection does.
  for (const [ListenerId, id] of [
    [from, SourceLocationId],
    [to, TargetLocationId],
  ] as const) {
    await failsWith("FailedOperation", sdk.DeleteRule({ ...lb, ListenerId, LocationIds: [id] }));
    await failsWith("FailedOperation", sdk.DeleteLoadBalancerListeners({ ...lb, ListenerIds: [ListenerId] }));
  }
  await done(await sdk.DeleteRewrite(redirection));
  assert.deepEqual([await found({}), (await ruleOf(80))?.RewriteTarget?.TargetLocationId], [[], null]);
  await failsWith("InvalidParameter", sdk.DeleteRewrite(redirection));
  const withoutDomain = { ...redirection, RewriteInfos: [{ SourceLocationId, TargetLocationId, RewriteCode: 302 }] };
  await failsWith("InvalidParameterValue", sdk.ManualRewrite(withoutDomain));
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

const authority = await issueAuthority(Date.now());
/** As the ssl service takes it. */
async function aCertificate(name: string): Promise<{ CertificatePublicKey: string; CertificatePrivateKey: string; Alias: string }> {
  const { certPem, keyPem } = await issueServing(authority, [name], [], Date.now());
  return { CertificatePublicKey: certPem, CertificatePrivateKey: keyPem, Alias: name };
}

test("HTTP is redirected to HTTPS by itself: its listener and rules are made where they are missing", async (t) => {
  const { sdk, done, cloud } = await withCloud(t);
  const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
  const lb = { LoadBalancerId };
  const { CertificateId } = await cloud.call("ssl", "UploadCertificate", await aCertificate("a.example"), {});
  const Certificate = { SSLMode: "UNIDIRECTIONAL", CertId: String(CertificateId) };
  const made = await done(await sdk.CreateListener({ ...lb, Ports: [443], Protocol: "HTTPS", Certificate }));
  const https = { ...lb, ListenerId: made.ListenerIds?.[0] ?? "" };
  const rule = (Domain: string) => ({ Domain, Url: "/" });
  await done(await sdk.CreateRule({ ...https, Rules: [rule("a.example"), rule("b.example")] }));
  await failsWith("InvalidParameter.LocationNotFound", sdk.AutoRewrite({ ...https, Domains: ["c.example"] }));
  await done(await sdk.AutoRewrite({ ...https, Domains: ["a.example"], RewriteCodes: [302], TakeUrls: [false] }));
  const shown = async () =>
    (await sdk.DescribeRewrite(lb)).RewriteSet?.map(({ Domain, RewriteTarget: to }) => [
      Domain,
      to?.TargetListenerId === https.ListenerId,
      to?.RewriteCode,
      to?.TakeUrl,
      to?.RewriteType,
    ]);
  assert.deepEqual(await shown(), [["a.example", true, 302, false, "Auto"]]);
  await done(await sdk.AutoRewrite(https));
  assert.deepEqual(await shown(), [
    ["a.example", true, 301, true, "Auto"],
    ["b.example", true, 301, true, "Auto"],
  ]);
  const { Listeners = [] } = await sdk.DescribeListeners({ ...lb, Port: 80 });
  assert.deepEqual([Listeners.length, Listeners[0]?.Protocol], [1, "HTTP"]);
  await failsWith("InvalidParameterValue", sdk.AutoRewrite({ ...lb, ListenerId: Listeners[0]?.ListenerId ?? "" }));
});

test("a security group is put on several load balancers and taken off, in the order of those that are there", async (t) => {
  const { sdk, done, cloud } = await withCloud(t);
  const ids = [cloud.addLoadBalancer(), cloud.addLoadBalancer()].map(({ loadBalancerId }) => loadBalancerId);
  const [LoadBalancerId = ""] = ids;
  await done(await sdk.SetLoadBalancerSecurityGroups({ LoadBalancerId, SecurityGroups: ["sg-a"] }));
  const set = (OperationType: string, SecurityGroup: string) =>
    sdk.SetSecurityGroupForLoadbalancers({ OperationType, SecurityGroup, LoadBalancerIds: ids });
  const groups = async () =>
    new Map((await sdk.DescribeLoadBalancers({})).LoadBalancerSet?.map((one) => [one.LoadBalancerId, one.SecureGroups]));
  await set("ADD", "sg-b");
  assert.deepEqual([(await groups()).get(ids[0]), (await groups()).get(ids[1])], [["sg-a", "sg-b"], ["sg-b"]]);
  await set("DEL", "sg-a");
  assert.deepEqual([(await groups()).get(ids[0]), (await groups()).get(ids[1])], [["sg-b"], ["sg-b"]]);
  await failsWith("InvalidParameterValue", set("SWAP", "sg-a"));
});

test("bound targets get another tag, all or none", async (t) => {
  const { sdk, done, cloud } = await withCloud(t);
  const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
  const { ListenerIds } = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [80], Protocol: "TCP" }));
  const ListenerId = ListenerIds?.[0] ?? "";
  const target = { EniIp: "10.244.0.1", Port: 80 };
  await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: [{ ListenerId, ...target }] });
  await failsWith(
    "InvalidParameterValue",
    sdk.BatchModifyTargetTag({ LoadBalancerId, ModifyList: [{ ListenerId, Targets: [target, { ...target, Port: 81 }], Tag: "no" }] }),
  );
  const tag = async () => (await sdk.DescribeTargets({ LoadBalancerId })).Listeners?.[0]?.Targets?.[0]?.Tag;
  assert.equal(await tag(), null);
  await sdk.BatchModifyTargetTag({ LoadBalancerId, ModifyList: [{ ListenerId, Targets: [target], Tag: "blue" }] });
  assert.equal(await tag(), "blue");
});

test("a certificate is uploaded, found, put in the place of another one wherever that is used, and deleted when it is free", async (t) => {
  const { sdk, done, cloud } = await withCloud(t);
  const ssl = (action: string, request: object) => cloud.call("ssl", action, request, {});
  const first = await aCertificate("a.example");
  const id = String((await ssl("UploadCertificate", first))["CertificateId"]);
  assert.deepEqual((await ssl("UploadCertificate", { ...first, Repeatable: false }))["RepeatCertId"], id);
  await assert.rejects(ssl("UploadCertificate", { CertificatePublicKey: "no PEM", CertificatePrivateKey: "x" }), /no PEM|certificate/i);
  await assert.rejects(ssl("UploadCertificate", { CertificatePublicKey: first.CertificatePublicKey }), /needs its `CertificatePrivateKey`/);
  const other = String((await ssl("UploadCertificate", await aCertificate("b.example")))["CertificateId"]);
  const found = await ssl("DescribeCertificates", { SearchKey: "a.example" });
  assert.deepEqual([found["TotalCount"], Reflect.get(Object([found["Certificates"]].flat()[0]), "CertificateId")], [1, id]);
  assert.equal((await ssl("DescribeCertificateDetail", { CertificateId: id }))["CertificatePrivateKey"], first.CertificatePrivateKey);
  const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
  const Certificate = { SSLMode: "UNIDIRECTIONAL", CertId: id };
  await done(await sdk.CreateListener({ LoadBalancerId, Ports: [443], Protocol: "TCP_SSL", Certificate }));
  const used = async () => (await sdk.DescribeListeners({ LoadBalancerId })).Listeners?.[0]?.Certificate?.CertId;
  await assert.rejects(ssl("DeleteCertificate", { CertificateId: id }), /is used by listener/);
  await done(await sdk.ReplaceCertForLoadBalancers({ OldCertificateId: id, Certificate: { CertId: other } }));
  assert.equal(await used(), other);
  await failsWith("InvalidParameterValue", sdk.ReplaceCertForLoadBalancers({ OldCertificateId: id, Certificate: { CertId: other } }));
  assert.equal((await ssl("DeleteCertificate", { CertificateId: id }))["DeleteResult"], true);
  await assert.rejects(ssl("DescribeCertificateDetail", { CertificateId: id }), /does not exist/);
});

test("load balancers are told in flat rows, as deep as the fields that are asked for", async (t) => {
  const { sdk, done, cloud } = await withCloud(t);
  const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
  const { ListenerIds } = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [80, 81], Protocol: "TCP" }));
  const ListenerId = ListenerIds?.[0] ?? "";
  const targets = ["10.244.0.1", "10.244.0.2"].map((EniIp) => ({ ListenerId, EniIp, Port: 8080 }));
  await sdk.BatchRegisterTargets({ LoadBalancerId, Targets: targets });
  const rows = async (request: object) =>
    (await sdk.DescribeLoadBalancersDetail(request)).LoadBalancerDetailSet?.map((one) => [one.Port, one.TargetAddress]);
  assert.deepEqual(await rows({}), [[null, null]]);
  assert.deepEqual(await rows({ Fields: ["Port"] }), [
    [80, null],
    [81, null],
  ]);
  const deep = { Fields: ["Port", "TargetAddress"], TargetType: "NODE" };
  assert.equal((await rows(deep))?.length, 3);
  assert.deepEqual(await rows({ ...deep, Filters: [{ Name: "target-ip", Values: ["10.244.0.2"] }] }), [[80, "10.244.0.2"]]);
  assert.deepEqual(await rows({ Filters: [{ Name: "loadbalancer-id", Values: ["lb-other"] }] }), []);
  await failsWith("MissingParameter", sdk.DescribeLoadBalancersDetail({ Fields: ["TargetAddress"] }));
  await failsWith("InvalidParameter.InvalidFilter", sdk.DescribeLoadBalancersDetail({ Filters: [{ Name: "no", Values: [] }] }));
});
