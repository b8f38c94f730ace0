import assert from "node:assert/strict";
import { test } from "node:test";
import { editPolicies } from "../../cloud/model/network.ts";
import { filter, withAccount } from "./account.ts";
import { failsWith } from "./fixture.ts";

test("DescribeNetworkInterfaces: an ENI with all its fields", async (t) => {
  const { vpc } = await withAccount(t);
  const { NetworkInterfaceSet: [eni] = [] } = await vpc.DescribeNetworkInterfaces({ NetworkInterfaceIds: ["eni-2"] });
  assert.deepEqual(
    [
      eni?.VpcId,
      eni?.SubnetId,
      eni?.Zone,
      eni?.Primary,
      eni?.EniType,
      eni?.State,
      eni?.GroupSet,
      eni?.Attachment?.InstanceId,
      eni?.Attachment?.DeviceIndex,
    ],
    ["vpc-1", "subnet-a", "ap-guangzhou-3", false, 0, "AVAILABLE", ["sg-2", "sg-1"], "ins-1", 1],
  );
  const ips = eni?.PrivateIpAddressSet?.map(({ PrivateIpAddress, Primary, State }) => [PrivateIpAddress, Primary, State]);
  assert.deepEqual(ips, [
    ["10.0.1.3", true, "AVAILABLE"],
    ["10.0.1.10", false, "AVAILABLE"],
    ["10.0.1.11", false, "AVAILABLE"],
    ["10.0.1.12", false, "AVAILABLE"],
  ]);
  const { NetworkInterfaceSet: [free] = [] } = await vpc.DescribeNetworkInterfaces({ NetworkInterfaceIds: ["eni-9"] });
  assert.deepEqual([free?.Attachment, free?.State, free?.TagSet], [null, "AVAILABLE", [{ Key: "free", Value: "yes" }]]);
});

test("DescribeNetworkInterfaces: every filter, alone and together", async (t) => {
  const { vpc } = await withAccount(t);
  const found = async (...Filters: ReturnType<typeof filter>[]) =>
    (await vpc.DescribeNetworkInterfaces({ Filters })).NetworkInterfaceSet?.map(({ NetworkInterfaceId }) =>
      NetworkInterfaceId?.slice(4),
    ).join("");
  assert.equal(await found(filter("vpc-id", "vpc-1")), "129");
  assert.equal(await found(filter("subnet-id", "subnet-a", "subnet-b")), "1239");
  assert.equal(await found(filter("network-interface-id", "eni-3")), "3");
  assert.equal(await found(filter("attachment.instance-id", "ins-1")), "12");
  assert.equal(await found(filter("groups.security-group-id", "sg-1"), filter("is-primary", "false")), "2");
  assert.equal(await found(filter("is-primary", "TRUE")), "13");
  assert.equal(await found(filter("eni-type", "2")), "3");
  assert.equal(await found(filter("tag:free", "yes")), "9");
  assert.equal(await found(filter("tag-key", "free")), "9");
  assert.equal(await found(filter("address-ip", "12")), "29"); // one value: any address that ends so
  assert.equal(await found(filter("address-ip", "0.1.12"), filter("ip-exact-match", "true")), "");
  assert.equal(await found(filter("address-ip", "10.0.1.12"), filter("ip-exact-match", "TRUE")), "2");
  assert.equal(await found(filter("address-ip", "1.2", "10.0.1.12")), "2"); // several: whole addresses
  await failsWith("InvalidParameter.FilterInvalidKey", vpc.DescribeNetworkInterfaces({ Filters: [filter("colour", "red")] }));
  const both = { NetworkInterfaceIds: ["eni-1"], Filters: [filter("vpc-id", "vpc-1")] };
  await failsWith("InvalidParameter.Coexist", vpc.DescribeNetworkInterfaces(both));
});

test("DescribeNetworkInterfaces: pages, ids and their limits", async (t) => {
  const { vpc } = await withAccount(t);
  const page = await vpc.DescribeNetworkInterfaces({ Offset: 1, Limit: 2 });
  assert.deepEqual(
    [page.TotalCount, page.NetworkInterfaceSet?.map(({ NetworkInterfaceId }) => NetworkInterfaceId)],
    [4, ["eni-2", "eni-3"]],
  );
  await vpc.DescribeNetworkInterfaces({ Limit: 100 });
  await failsWith("InvalidParameterValue.Range", vpc.DescribeNetworkInterfaces({ Limit: 101 }));
  await vpc.DescribeNetworkInterfaces({ NetworkInterfaceIds: Array.from({ length: 100 }, () => "eni-1") });
  await failsWith(
    "InvalidParameterValue.Length",
    vpc.DescribeNetworkInterfaces({ NetworkInterfaceIds: Array.from({ length: 101 }, () => "eni-1") }),
  );
  await failsWith("ResourceNotFound", vpc.DescribeNetworkInterfaces({ NetworkInterfaceIds: ["eni-1", "eni-8"] }));
  await failsWith("InvalidParameterValue.Malformed", vpc.DescribeNetworkInterfaces({ NetworkInterfaceIds: ["sg-1"] }));
});

test("security groups: found by id, name and tag; pages are strings", async (t) => {
  const { vpc } = await withAccount(t);
  const { SecurityGroupSet: groups, TotalCount } = await vpc.DescribeSecurityGroups({ Limit: "1", Offset: "1" });
  assert.deepEqual([TotalCount, groups?.map(({ SecurityGroupId }) => SecurityGroupId)], [2, ["sg-2"]]);
  assert.equal((await vpc.DescribeSecurityGroups({ Filters: [filter("security-group-name", "web")] })).TotalCount, 1);
  assert.equal((await vpc.DescribeSecurityGroups({ SecurityGroupIds: ["sg-2"] })).SecurityGroupSet?.[0]?.ProjectId, "0");
  await failsWith("InvalidParameterValue.Malformed", vpc.DescribeSecurityGroups({ Limit: "ten" }));
  await failsWith("InvalidParameterValue.Range", vpc.DescribeSecurityGroups({ Limit: "101" }));
  await failsWith("ResourceNotFound", vpc.DescribeSecurityGroups({ SecurityGroupIds: ["sg-9"] }));
});

test("security group policies: order, references, and a version that grows with every edit", async (t) => {
  const { vpc, cloud } = await withAccount(t);
  const read = async (...Filters: ReturnType<typeof filter>[]) =>
    (await vpc.DescribeSecurityGroupPolicies({ SecurityGroupId: "sg-1", Filters })).SecurityGroupPolicySet;
  const set = await read();
  const rows = set?.Ingress?.map(({ PolicyIndex, Action, Protocol, Port, CidrBlock, SecurityGroupId }) => [
    PolicyIndex,
    Action,
    Protocol,
    Port,
    CidrBlock,
    SecurityGroupId,
  ]);
  assert.deepEqual(rows, [
    [0, "ACCEPT", "TCP", "80,443", "0.0.0.0/0", undefined],
    [1, "ACCEPT", undefined, undefined, undefined, undefined],
    [2, "DROP", "ALL", "ALL", undefined, "sg-2"],
  ]);
  assert.deepEqual(set?.Ingress?.[1]?.ServiceTemplate, { ServiceId: "", ServiceGroupId: "ppmg-1" });
  assert.deepEqual(set?.Ingress?.[1]?.AddressTemplate, { AddressId: "", AddressGroupId: "ipmg-1" });
  assert.deepEqual(set?.PolicyStatistics, {
    IngressIPv4TotalCount: 3,
    IngressIPv6TotalCount: 0,
    EgressIPv4TotalCount: 0,
    EgressIPv6TotalCount: 1,
  });
  assert.deepEqual((await read(filter("direction", "OUTBOUND")))?.Ingress, []);
  assert.deepEqual(
    (await read(filter("poly", "DROP")))?.Ingress?.map(({ PolicyIndex }) => PolicyIndex),
    [2],
  );
  editPolicies(cloud.network, "sg-1", { ingress: [] }, Date.now());
  const edited = await read();
  assert.deepEqual([Number(edited?.Version) - Number(set?.Version), edited?.Ingress?.length, edited?.Egress?.length], [1, 0, 1]);
});

for (const [unusedReferences, back] of [
  ["absent", [undefined, undefined, undefined, undefined]],
  ["null", [null, null, null, null]],
  ["empty", ["", { ServiceId: "", ServiceGroupId: "" }, { AddressId: "", AddressGroupId: "" }, ""]],
] as const)
  test(`references that a rule does not use can come back ${unusedReferences}`, async (t) => {
    const { vpc } = await withAccount(t, { unusedReferences });
    const { SecurityGroupPolicySet: set } = await vpc.DescribeSecurityGroupPolicies({ SecurityGroupId: "sg-1" });
    const [first] = set?.Ingress ?? [];
    assert.deepEqual([first?.SecurityGroupId, first?.ServiceTemplate, first?.AddressTemplate, first?.Ipv6CidrBlock], back);
  });

test("templates of addresses and services, and groups of them", async (t) => {
  const { vpc } = await withAccount(t);
  const addresses = await vpc.DescribeAddressTemplates({ Filters: [filter("address-template-id", "ipm-1")], NeedMemberInfo: true });
  assert.deepEqual(addresses.AddressTemplateSet?.[0]?.AddressSet, ["10.0.0.1", "10.0.1.0/24"]);
  assert.equal(addresses.AddressTemplateSet?.[0]?.AddressExtraSet?.length, 2);
  const groups = await vpc.DescribeAddressTemplateGroups({ Filters: [filter("address-template-group-name", "all")] });
  assert.deepEqual(groups.AddressTemplateGroupSet?.[0]?.AddressTemplateIdSet, ["ipm-1"]);
  const services = await vpc.DescribeServiceTemplates({ Filters: [filter("service-port", "tcp:80,443")], Limit: "100" });
  assert.deepEqual([services.TotalCount, services.ServiceTemplateSet?.[0]?.ServiceTemplateName], [1, "http"]);
  const serviceGroups = await vpc.DescribeServiceTemplateGroups({});
  assert.deepEqual(
    serviceGroups.ServiceTemplateGroupSet?.[0]?.ServiceTemplateSet?.map(({ ServiceSet }) => ServiceSet),
    [["icmp"], ["tcp:80,443"]],
  );
  await failsWith("InvalidParameter.FilterInvalidKey", vpc.DescribeServiceTemplates({ Filters: [filter("address-ip", "10.0.0.1")] }));
});

test("DescribeInstances: a node, its filters and their limits", async (t) => {
  const { cvm } = await withAccount(t);
  const { InstanceSet: [node] = [] } = await cvm.DescribeInstances({ InstanceIds: ["ins-1"] });
  assert.deepEqual(
    [
      node?.InstanceName,
      node?.PrivateIpAddresses,
      node?.SecurityGroupIds,
      node?.VirtualPrivateCloud?.VpcId,
      node?.Placement?.Zone,
      node?.CamRoleName,
    ],
    ["node-1", ["10.0.1.2"], ["sg-1"], "vpc-1", "ap-guangzhou-3", "reader"],
  );
  assert.match(node?.Uuid ?? "", /^[0-9a-f-]{36}$/);
  const found = async (...Filters: ReturnType<typeof filter>[]) =>
    (await cvm.DescribeInstances({ Filters })).InstanceSet?.map(({ InstanceId }) => InstanceId);
  assert.deepEqual(await found(filter("private-ip-address", "10.0.1.2")), ["ins-1"]);
  assert.deepEqual(await found(filter("private-ip-address", "10.0.1.3")), []); // of the primary ENI only
  assert.deepEqual(await found(filter("instance-state", "STOPPED")), ["ins-2"]);
  assert.deepEqual(await found(filter("tag:pool", "blue"), filter("vpc-id", "vpc-1")), ["ins-1"]);
  await cvm.DescribeInstances({ Filters: [filter("vpc-id", "1", "2", "3", "4", "5")] });
  await failsWith("InvalidFilterValue.LimitExceeded", cvm.DescribeInstances({ Filters: [filter("vpc-id", "1", "2", "3", "4", "5", "6")] }));
  await failsWith("InvalidFilter", cvm.DescribeInstances({ Filters: [filter("colour", "red")] }));
  await failsWith("InvalidInstanceId.Malformed", cvm.DescribeInstances({ InstanceIds: ["node-1"] }));
  await failsWith("InvalidInstanceId.NotFound", cvm.DescribeInstances({ InstanceIds: ["ins-8"] }));
  await failsWith("InvalidParameterCombination", cvm.DescribeInstances({ InstanceIds: ["ins-1"], Filters: [filter("vpc-id", "vpc-1")] }));
});

test("only addresses of attached ENIs in the load balancer's VPC, and GlobalRouter ranges, can be bound", async (t) => {
  const { sdk, done, listener } = await withAccount(t, { dataPlane: false, health: "scripted" });
  const { LoadBalancerSet: [old] = [] } = await sdk.DescribeLoadBalancers({ LoadBalancerIds: ["lb-old"] });
  assert.deepEqual([old?.LoadBalancerName, old?.VpcId, old?.Tags], ["from before", "vpc-1", [{ TagKey: "owner", TagValue: "shop" }]]);
  const LoadBalancerId = "lb-old";
  const ListenerId = await listener(LoadBalancerId, 80);
  const bind = (EniIp: string) => sdk.BatchRegisterTargets({ LoadBalancerId, Targets: [{ ListenerId, Port: 80, EniIp }] });
  for (const ip of ["10.0.1.11", "10.0.1.2", "172.16.3.4"]) assert.deepEqual((await bind(ip)).FailListenerIdSet, [], ip);
  for (const [ip, reason] of [
    ["10.0.1.50", "is no IP of an ENI"],
    ["10.0.1.112", "attached to no instance"],
    ["10.1.1.2", "the load balancer is in vpc-1"],
    ["172.17.0.1", "is no IP of an ENI"],
  ] as const) {
    const { FailListenerIdSet, Message } = await bind(ip);
    assert.deepEqual(FailListenerIdSet, [ListenerId]);
    assert.match(Message ?? "", new RegExp(reason));
  }
  await done(await sdk.RegisterTargets({ LoadBalancerId, ListenerId, Targets: [{ Port: 81, InstanceId: "ins-1" }] }));
  const { Listeners: [shown] = [] } = await sdk.DescribeTargets({ LoadBalancerId });
  const types = shown?.Targets?.map(({ Type, EniId, InstanceId, PrivateIpAddresses, Port }) => [
    Type,
    EniId,
    InstanceId,
    PrivateIpAddresses?.[0],
    Port,
  ]);
  assert.deepEqual(
    types?.map(([type, , , ip, port]) => [type, ip, port]),
    [
      ["ENI", "10.0.1.11", 80],
      ["CVM", "10.0.1.2", 80],
      ["GLOBALROUTE", "172.16.3.4", 80],
      ["CVM", "10.0.1.2", 81],
    ],
  );
  assert.equal(types?.[0]?.[1], "eni-2");
});
