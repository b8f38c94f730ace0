/** Each reply of the emulated cloud against the vendor's example of that action: types, null or absent, the spelling of constants. */
import "reflect-metadata";
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import { makeCloud } from "../../cloud/cloud.ts";
import { actionNames } from "../../cloud/services/index.ts";
import { accountPlan } from "./account.ts";
import { QUICK } from "./fixture.ts";
import { differences, PUBLISHED } from "./shapes.ts";

const unused = (name: string, list: string) => ({
  [`vpc.DescribeSecurityGroupPolicies SecurityGroupPolicySet.${list}[].${name}: absent`]:
    "all rules of the example use it; what is unused is absent",
});

/** What is otherwise here, and why. A line that is no longer true fails the test. */
const OTHERWISE: Readonly<Record<string, string>> = {
  "clb.DescribeTargets Listeners[].Targets[].Type: CVM, published is cvm": "the example of layer 7 has CVM",
  "clb.DescribeLBListeners LoadBalancers[].Listeners[].Rules: list, published is null": "the example has layer 4 only",
  "clb.DescribeLBListeners LoadBalancers[].Listeners[].Targets: null, published is a list": "the example has layer 4 only",
  "clb.DescribeLoadBalancers LoadBalancerSet[].MasterZone: null, published is an object": "no zone was asked for; the model allows null",
  "clb.DescribeLoadBalancers LoadBalancerSet[].ExpireTime: null, published is string": "of prepaid ones only; the model allows null",
  "cvm.DescribeInstances InstanceSet[].ExpiredTime: null, published is string": "of prepaid ones only; the model allows null",
  "ssl.DeleteCertificate: has no shape": "no example was found; the reply is that of the model",
  ...unused("ServiceTemplate", "Ingress"),
  ...unused("AddressTemplate", "Ingress"),
  ...unused("ServiceTemplate", "Egress"),
  ...unused("AddressTemplate", "Egress"),
};

type Ask = (action: string, request: object, as?: string) => Promise<Readonly<Record<string, unknown>>>;

test("the comparison finds what differs, and nothing else", () => {
  const shape = { A: "string|null", "B?": "integer", C: [{ D: { type: "string", spelt: ["get"] } }], E: { orNull: { F: "boolean" } } };
  assert.deepEqual(differences({ A: null, C: [{ D: "get" }, { D: "post" }], E: null, more: 1 }, shape), []);
  assert.deepEqual(differences({ A: 1, B: null, C: [{ D: "GET" }, {}], E: { F: "yes" } }, shape), [
    "A: integer, published is string|null",
    "B: null, published is integer",
    "C[].D: GET, published is get",
    "C[].D: absent",
    "E.F: string, published is boolean",
  ]);
});

/** Asks for every action once, at least; gives every reply with the name of its shape. */
async function everyReply(t: TestContext): Promise<{ readonly shape: string; readonly reply: object }[]> {
  const plan = accountPlan();
  const cloud = makeCloud({ ...plan.options, profile: QUICK, limits: { clbPerSecond: 10_000 }, dataPlane: false, health: "scripted" });
  plan.prepare(cloud);
  t.after(() => cloud.stop());
  const replies: { shape: string; reply: object }[] = [];
  const asking =
    (service: string): Ask =>
    async (action, request, as = action) => {
      const reply = JSON.parse(JSON.stringify(await cloud.call(service, action, request, {}))) as Readonly<Record<string, unknown>>;
      replies.push({ shape: `${service}.${as}`, reply });
      if (service !== "clb" || action.startsWith("Describe")) return reply;
      for (let status: unknown = 2; status === 2; ) {
        const task = await cloud.call("clb", "DescribeTaskStatus", { TaskId: reply["RequestId"] }, {});
        status = task["Status"];
        if (status === 2) await new Promise((next) => setTimeout(next, 5));
        else replies.push({ shape: "clb.DescribeTaskStatus", reply: JSON.parse(JSON.stringify(task)) as object });
      }
      return reply;
    };
  await askClb(asking("clb"), await askSsl(asking("ssl")));
  const vpc = asking("vpc");
  for (const action of ["DescribeNetworkInterfaces", "DescribeSecurityGroups", "DescribeAddressTemplates", "DescribeAddressTemplateGroups"])
    await vpc(action, {});
  for (const action of ["DescribeServiceTemplates", "DescribeServiceTemplateGroups"]) await vpc(action, {});
  for (const action of ["DescribeVpcs", "DescribeSubnets", "DescribeAddresses"]) await vpc(action, {});
  await vpc("DescribeSecurityGroupPolicies", { SecurityGroupId: "sg-1" });
  await asking("cvm")("DescribeInstances", {});
  const tag = asking("tag");
  const resource = "qcs::clb:ap-guangzhou:uin/100000000001:clb/lb-old";
  await tag("TagResources", { ResourceList: [resource], Tags: [{ TagKey: "a", TagValue: "b" }] });
  await tag("GetResources", {});
  const ask = { ServiceType: "clb", ResourcePrefix: "clb", ResourceIds: ["lb-old"], ResourceRegion: "ap-guangzhou" };
  await tag("DescribeResourceTagsByResourceIds", ask);
  await tag("ModifyResourceTags", { Resource: resource, ReplaceTags: [{ TagKey: "c", TagValue: "d" }], DeleteTags: [{ TagKey: "c" }] });
  await tag("UnTagResources", { ResourceList: [resource], TagKeys: ["a"] });
  const RoleArn = "qcs::cam::uin/100000000001:roleName/reader";
  const identity = { ProviderId: "cls-1", WebIdentityToken: "e30.e30.e30", RoleArn, RoleSessionName: "s" };
  await asking("sts")("AssumeRoleWithWebIdentity", identity);
  await asking("sts")("AssumeRole", { RoleArn, RoleSessionName: "s" });
  await asking("sts")("GetCallerIdentity", {});
  return replies;
}

/** Ids of two certificates that were uploaded. */
type Uploaded = readonly [string, string];

async function askHttps(ask: Ask, lb: { readonly LoadBalancerId: string }, [first, second]: Uploaded): Promise<void> {
  const Certificate = { SSLMode: "UNIDIRECTIONAL", CertId: first };
  const { ListenerIds } = await ask("CreateListener", { ...lb, Ports: [443], Protocol: "HTTPS", Certificate });
  const https = { ...lb, ListenerId: String([ListenerIds].flat()[0]) };
  await ask("CreateRule", { ...https, Rules: [{ Domain: "shop.example", Url: "/" }] });
  await ask("ReplaceCertForLoadBalancers", { OldCertificateId: first, Certificate: { CertId: second } });
  await ask("AutoRewrite", https);
}

async function askSsl(ask: Ask): Promise<Uploaded> {
  const { certPem, keyPem } = await issueServing(await issueAuthority(Date.now()), ["shop.example"], [], Date.now());
  const sent = { CertificatePublicKey: certPem, CertificatePrivateKey: keyPem, Alias: "shop" };
  const [first, second, third] = [
    String((await ask("UploadCertificate", sent))["CertificateId"]),
    String((await ask("UploadCertificate", sent))["CertificateId"]),
    String((await ask("UploadCertificate", sent))["CertificateId"]),
  ];
  await ask("DescribeCertificates", { CertIds: [first] });
  await ask("DescribeCertificateDetail", { CertificateId: first });
  await ask("DeleteCertificate", { CertificateId: third });
  return [first, second];
}

async function askClb(ask: Ask, uploaded: Uploaded): Promise<void> {
  const idOf = (reply: Readonly<Record<string, unknown>>, field: string): string => String([reply[field]].flat()[0]);
  const made = await ask("CreateLoadBalancer", { LoadBalancerType: "OPEN", VpcId: "vpc-1", Tags: [{ TagKey: "k", TagValue: "v" }] });
  const LoadBalancerId = idOf(made, "LoadBalancerIds");
  const lb = { LoadBalancerId };
  await ask("ModifyLoadBalancerAttributes", { ...lb, LoadBalancerName: "n" });
  await ask("SetLoadBalancerSecurityGroups", { ...lb, SecurityGroups: ["sg-1"] });
  const ListenerId = idOf(await ask("CreateListener", { ...lb, Ports: [82], Protocol: "TCP" }), "ListenerIds");
  await ask("ModifyListener", { ...lb, ListenerId, HealthCheck: { HealthNum: 4 } });
  const target = { EniIp: "10.0.1.10", Port: 80 };
  const node = { InstanceId: "ins-1", Port: 80 };
  await ask("BatchRegisterTargets", { ...lb, Targets: [{ ListenerId, ...target }] });
  await ask("RegisterTargets", { ...lb, ListenerId, Targets: [node] });
  await ask("ModifyTargetWeight", { ...lb, ListenerId, Targets: [node], Weight: 0 });
  await ask("BatchModifyTargetWeight", { ...lb, ModifyList: [{ ListenerId, Targets: [target], Weight: 5 }] });
  await ask("DescribeListeners", lb); // the present example has layer 4 only
  const http = { ...lb, ListenerId: idOf(await ask("CreateListener", { ...lb, Ports: [81], Protocol: "HTTP" }), "ListenerIds") };
  const rule = { Domain: "www.123.com", Url: "/", HealthCheck: { HttpCheckMethod: "GET" } };
  const LocationId = idOf(await ask("CreateRule", { ...http, Rules: [rule] }), "LocationIds");
  await ask("ModifyRule", { ...http, LocationId, Scheduler: "LEAST_CONN" });
  await ask("ModifyDomain", { ...http, Domain: "www.123.com", NewDomain: "www.456.com" });
  await ask("ModifyDomainAttributes", { ...http, Domain: "www.456.com", DefaultServer: true });
  await ask("RegisterTargets", { ...http, LocationId, Targets: [target] });
  await ask("ModifyTargetPort", { ...http, LocationId, Targets: [target], NewPort: 8080 });
  await ask("DescribeListeners", lb, "DescribeListeners@2021-06");
  const to = idOf(await ask("CreateRule", { ...http, Rules: [{ ...rule, Url: "/to" }] }), "LocationIds");
  const RewriteInfos = [{ SourceLocationId: LocationId, TargetLocationId: to }];
  const redirection = { ...lb, SourceListenerId: http.ListenerId, TargetListenerId: http.ListenerId, RewriteInfos };
  await ask("ManualRewrite", redirection);
  await ask("DescribeRewrite", lb, "DescribeRewrite@2020-11");
  await ask("DeleteRewrite", redirection);
  await askHttps(ask, lb, uploaded);
  await ask("DescribeTargets", lb);
  await ask("DescribeTargetHealth", { LoadBalancerIds: [LoadBalancerId] });
  await ask("DescribeLBListeners", { Backends: [{ VpcId: "vpc-1", PrivateIp: "10.0.1.10" }] });
  await ask("DescribeLoadBalancers", {});
  await ask("DescribeLoadBalancersDetail", {});
  await ask("SetSecurityGroupForLoadbalancers", { SecurityGroup: "sg-1", OperationType: "DEL", LoadBalancerIds: [LoadBalancerId] });
  await ask("BatchModifyTargetTag", { ...lb, ModifyList: [{ ListenerId, Targets: [{ ...target, Tag: "blue" }] }] });
  await ask("DescribeQuota", {});
  await ask("BatchDeregisterTargets", { ...lb, Targets: [{ ListenerId, ...target }] });
  await ask("DeregisterTargets", { ...lb, ListenerId, Targets: [node] });
  await ask("DeleteRule", { ...http, LocationIds: [LocationId] });
  await ask("DeleteListener", http);
  await ask("DeleteLoadBalancerListeners", { ...lb, ListenerIds: [ListenerId] });
  await ask("DeleteLoadBalancer", { LoadBalancerIds: [LoadBalancerId] });
}

test("every action answers in the published shape", async (t) => {
  const replies = await everyReply(t);
  const asked = new Set(replies.map(({ shape }) => shape.replace(/^\w+\.|@.*/g, "")));
  assert.deepEqual(
    actionNames().filter((action) => !asked.has(action)),
    [],
  );
  const found = replies.flatMap(({ shape, reply }) => {
    const published = PUBLISHED[shape];
    return published === undefined ? [`${shape}: has no shape`] : differences(reply, published.response).map((one) => `${shape} ${one}`);
  });
  const unknown = [...new Set(found)].filter((one) => OTHERWISE[one] === undefined);
  assert.deepEqual(unknown, []);
  assert.deepEqual(
    Object.keys(OTHERWISE).filter((one) => !found.includes(one)),
    [],
  );
});
