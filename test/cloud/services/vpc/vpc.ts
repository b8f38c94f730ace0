import type * as vpc from "tencentcloud-sdk-nodejs/tencentcloud/services/vpc/v20170312/vpc_models.js";
import { CloudError } from "../../model/errors.ts";
import { addressesOf, type EniRecord, type Network, type PolicyRecord, type SecurityGroupRecord } from "../../model/network.ts";
import { type ActionTable, type Answer, cloudTime, filters, read, requiredText, text, texts } from "../table/action.ts";
import { pageOf, pick, type Selection, select, textPage } from "../table/paging.ts";
import { networkActions } from "./networks.ts";
import { templateActions } from "./templates.ts";

const WRONG_ID = { malformed: "InvalidParameterValue.Malformed", notFound: "ResourceNotFound" } as const;

export type VpcPorts = {
  readonly network: Network;
  /** How references that a security group rule does not use come back (clb-api.md §6.3). */
  readonly unusedReferences: "absent" | "empty" | "null";
};

/** VPC service, reading only. Limits and filters: clb-api.md §2.6. */
export const vpcActions = (): ActionTable<VpcPorts> => ({
  DescribeNetworkInterfaces: read<vpc.DescribeNetworkInterfacesRequest, vpc.DescribeNetworkInterfacesResponse, Pick<VpcPorts, "network">>({
    fields: {
      NetworkInterfaceIds: texts(100),
      Filters: filters,
      Offset: { type: "integer", min: 0 },
      Limit: { type: "integer", min: 1, max: 100 },
    },
    run: (request, _call, { network }) => {
      const { NetworkInterfaceIds: ids = [], Filters: wanted = [] } = request;
      refuseBoth("NetworkInterfaceIds", ids, wanted);
      const from = interfaces(network, wanted);
      const found = ids.length > 0 ? pick(ids, from, { prefix: "eni", ...WRONG_ID }) : select(wanted, from);
      return { NetworkInterfaceSet: pageOf(found, request).map((eni) => showInterface(eni)), TotalCount: found.length };
    },
  }),

  DescribeSecurityGroups: read<vpc.DescribeSecurityGroupsRequest, vpc.DescribeSecurityGroupsResponse, Pick<VpcPorts, "network">>({
    fields: {
      SecurityGroupIds: texts(100),
      Filters: filters,
      Offset: text,
      Limit: text,
      OrderField: { type: "string", oneOf: ["CreatedTime", "UpdateTime"] },
      OrderDirection: { type: "string", oneOf: ["ASC", "DESC"] },
    },
    run: (request, _call, { network }) => {
      const { SecurityGroupIds: ids = [], Filters: wanted = [], OrderField: field, OrderDirection: direction } = request;
      refuseBoth("SecurityGroupIds", ids, wanted);
      const from = securityGroups(network);
      const found = ids.length > 0 ? pick(ids, from, { prefix: "sg", ...WRONG_ID }) : select(wanted, from);
      const time = ({ createdMs, updatedMs }: SecurityGroupRecord): number => (field === "UpdateTime" ? updatedMs : createdMs);
      const ordered = field === undefined ? found : found.sort((a, b) => (direction === "DESC" ? time(b) - time(a) : time(a) - time(b)));
      return { SecurityGroupSet: pageOf(ordered, textPage(request)).map(showSecurityGroup), TotalCount: found.length };
    },
  }),

  DescribeSecurityGroupPolicies: read<vpc.DescribeSecurityGroupPoliciesRequest, vpc.DescribeSecurityGroupPoliciesResponse, VpcPorts>({
    fields: { SecurityGroupId: requiredText, Filters: filters },
    run: (request, _call, { network, unusedReferences }) => {
      const [group] = pick([request.SecurityGroupId], securityGroups(network), { prefix: "sg", ...WRONG_ID });
      return { SecurityGroupPolicySet: group === undefined ? null : showPolicies(group, request.Filters ?? [], unusedReferences) };
    },
  }),

  ...networkActions(),
  ...templateActions(),
});

/** Throws InvalidParameter.Coexist. */
function refuseBoth(name: string, ids: readonly string[], wanted: readonly vpc.Filter[]): void {
  if (ids.length > 0 && wanted.length > 0)
    throw new CloudError("InvalidParameter.Coexist", `\`${name}\` and \`Filters\` cannot be given together.`);
}

/** `address-ip` with one value fits every address that ends so, unless `ip-exact-match` is asked for; several fit exactly. */
function interfaces(network: Pick<Network, "enis">, wanted: readonly vpc.Filter[]): Selection<EniRecord> {
  const valuesOf = (name: string): readonly string[] => wanted.find(({ Name }) => Name === name)?.Values ?? [];
  const ips = valuesOf("address-ip");
  const exact = ips.length > 1 || valuesOf("ip-exact-match")[0]?.toLowerCase() === "true";
  const [suffix = ""] = ips;
  return {
    items: network.enis.values(),
    idOf: ({ id }) => id,
    tagsOf: ({ tags }) => tags,
    unknownFilter: "InvalidParameter.FilterInvalidKey",
    fuzzy: ["network-interface-name", "network-interface-description"],
    filters: {
      "vpc-id": ({ vpcId }) => [vpcId],
      "subnet-id": ({ subnetId }) => [subnetId],
      "network-interface-id": ({ id }) => [id],
      "attachment.instance-id": ({ attachment }) => (attachment === undefined ? [] : [attachment.instanceId]),
      "groups.security-group-id": ({ securityGroupIds }) => securityGroupIds,
      "network-interface-name": ({ name }) => [name],
      "network-interface-description": () => [""],
      "address-ip": (eni) => (exact ? addressesOf(eni) : addressesOf(eni).map((ip) => (ip.endsWith(suffix) ? suffix : ""))),
      "ip-exact-match": () => valuesOf("ip-exact-match"),
      "address-ipv6": ({ ipv6 = [] }) => ipv6,
      "public-address-ip": () => [],
      "is-primary": ({ primary }) => [String(primary), String(primary).toUpperCase()],
      "eni-type": ({ type }) => [String(type)],
      "eni-qos": () => ["DEFAULT"],
    },
  };
}

const showIpv6 = (ip: string, at: number): Answer<vpc.Ipv6Address> => ({
  Address: ip,
  Primary: at === 0,
  AddressId: "",
  Description: "",
  IsWanIpBlocked: false,
  State: "AVAILABLE",
  PublicIpAddress: "",
  AddressType: "GUA",
});

function showInterface(eni: EniRecord): Answer<vpc.NetworkInterface> {
  const { attachment } = eni;
  return {
    NetworkInterfaceId: eni.id,
    NetworkInterfaceName: eni.name,
    NetworkInterfaceDescription: "",
    SubnetId: eni.subnetId,
    VpcId: eni.vpcId,
    GroupSet: [...eni.securityGroupIds],
    Primary: eni.primary,
    MacAddress: eni.mac.toUpperCase(),
    State: "AVAILABLE", // as published, attached or not
    PrivateIpAddressSet: addressesOf(eni).map((ip) => showAddress(ip, ip === eni.primaryIp)),
    Attachment:
      attachment === undefined
        ? null
        : {
            InstanceId: attachment.instanceId,
            DeviceIndex: attachment.deviceIndex,
            InstanceAccountId: "",
            AttachTime: cloudTime(eni.createdMs),
          },
    Zone: eni.zone,
    CreatedTime: cloudTime(eni.createdMs),
    Ipv6AddressSet: (eni.ipv6 ?? []).map(showIpv6),
    TagSet: showTags(eni.tags),
    EniType: eni.type,
    Business: "cvm",
    CdcId: "",
    AttachType: 0,
    ResourceId: "",
    QosLevel: "DEFAULT",
  };
}

const showAddress = (ip: string, primary: boolean): Answer<vpc.PrivateIpAddressSpecification> => ({
  PrivateIpAddress: ip,
  Primary: primary,
  PublicIpAddress: "",
  AddressId: "",
  Description: "",
  IsWanIpBlocked: false,
  State: "AVAILABLE",
  QosLevel: "DEFAULT",
});

const showTags = (tags: ReadonlyMap<string, string>): vpc.Tag[] => [...tags].map(([Key, Value]) => ({ Key, Value }));

const securityGroups = (network: Pick<Network, "securityGroups">): Selection<SecurityGroupRecord> => ({
  items: network.securityGroups.values(),
  idOf: ({ id }) => id,
  tagsOf: ({ tags }) => tags,
  unknownFilter: "InvalidParameter.FilterInvalidKey",
  filters: {
    "security-group-id": ({ id }) => [id],
    "project-id": ({ projectId }) => [String(projectId)],
    "security-group-name": ({ name }) => [name],
  },
});

const showSecurityGroup = (group: SecurityGroupRecord): Answer<vpc.SecurityGroup> => ({
  SecurityGroupId: group.id,
  SecurityGroupName: group.name,
  SecurityGroupDesc: group.description,
  ProjectId: String(group.projectId),
  IsDefault: group.name === "default",
  CreatedTime: cloudTime(group.createdMs),
  TagSet: showTags(group.tags),
  UpdateTime: "",
});

type Placed = { readonly policy: PolicyRecord; readonly index: number; readonly direction: "INBOUND" | "OUTBOUND" };

/** `PolicyIndex` is the place in the whole list also where a filter leaves some out. */
function showPolicies(
  group: SecurityGroupRecord,
  wanted: readonly vpc.Filter[],
  unusedReferences: VpcPorts["unusedReferences"],
): Answer<vpc.SecurityGroupPolicySet> {
  const place = (policies: readonly PolicyRecord[], direction: Placed["direction"]): Placed[] =>
    policies.map((policy, index) => ({ policy, index, direction }));
  const found = select(wanted, policyFilters([...place(group.ingress, "INBOUND"), ...place(group.egress, "OUTBOUND")]));
  const show = (direction: Placed["direction"]): Answer<vpc.SecurityGroupPolicy>[] =>
    found.filter((one) => one.direction === direction).map((one) => showPolicy(one, group, unusedReferences));
  const count = (policies: readonly PolicyRecord[], ipv6: boolean): number =>
    policies.filter(({ ipv6Cidr }) => (ipv6Cidr !== undefined) === ipv6).length;
  return {
    Version: String(group.version),
    Egress: show("OUTBOUND"),
    Ingress: show("INBOUND"),
    PolicyStatistics: {
      IngressIPv4TotalCount: count(group.ingress, false),
      IngressIPv6TotalCount: count(group.ingress, true),
      EgressIPv4TotalCount: count(group.egress, false),
      EgressIPv6TotalCount: count(group.egress, true),
    },
  };
}

const policyFilters = (items: readonly Placed[]): Selection<Placed> => ({
  items,
  idOf: ({ index }) => String(index),
  unknownFilter: "InvalidParameter.FilterInvalidKey",
  fuzzy: ["ip", "port", "description", "protocol-type"],
  filters: {
    "security-group-id": ({ policy }) => [policy.securityGroup ?? ""],
    ip: ({ policy }) => [policy.cidr ?? "", policy.ipv6Cidr ?? ""],
    "address-module": ({ policy }) => [policy.addressTemplate ?? ""],
    "service-module": ({ policy }) => [policy.serviceTemplate ?? ""],
    "protocol-type": ({ policy }) => [policy.protocol],
    port: ({ policy }) => [policy.port],
    poly: ({ policy }) => [policy.action, "ALL"],
    direction: ({ direction }) => [direction, "ALL"],
    description: ({ policy }) => [policy.description ?? ""],
  },
});

/** `unusedReferences` decides how references come back that are not in use; left out as published (clb-api.md §6.3). */
function showPolicy(
  { policy, index }: Placed,
  group: SecurityGroupRecord,
  unusedReferences: VpcPorts["unusedReferences"],
): Answer<vpc.SecurityGroupPolicy> {
  const reference = (id: string | undefined, one: string, many: string, prefix: string) => ({
    [one]: id?.startsWith(`${prefix}-`) ? id : "",
    [many]: id?.startsWith(`${prefix}g-`) ? id : "",
  });
  const { serviceTemplate, addressTemplate } = policy;
  const used = {
    ...(serviceTemplate !== undefined && { ServiceTemplate: reference(serviceTemplate, "ServiceId", "ServiceGroupId", "ppm") }),
    ...(policy.cidr !== undefined && { CidrBlock: policy.cidr }),
    ...(policy.ipv6Cidr !== undefined && { Ipv6CidrBlock: policy.ipv6Cidr }),
    ...(policy.securityGroup !== undefined && { SecurityGroupId: policy.securityGroup }),
    ...(addressTemplate !== undefined && { AddressTemplate: reference(addressTemplate, "AddressId", "AddressGroupId", "ipm") }),
    ...(serviceTemplate === undefined && { Protocol: policy.protocol, Port: policy.port }),
  };
  return {
    PolicyIndex: index,
    ...UNUSED[unusedReferences],
    ...used,
    Action: policy.action,
    PolicyDescription: policy.description ?? "",
    ModifyTime: cloudTime(group.updatedMs),
    Priority: index,
  };
}

const UNUSED = {
  absent: {},
  empty: {
    Protocol: "",
    Port: "",
    ServiceTemplate: { ServiceId: "", ServiceGroupId: "" },
    CidrBlock: "",
    Ipv6CidrBlock: "",
    SecurityGroupId: "",
    AddressTemplate: { AddressId: "", AddressGroupId: "" },
  },
  null: {
    Protocol: "",
    Port: "",
    ServiceTemplate: null,
    CidrBlock: null,
    Ipv6CidrBlock: null,
    SecurityGroupId: null,
    AddressTemplate: null,
  },
} satisfies { readonly [K in VpcPorts["unusedReferences"]]: Answer<vpc.SecurityGroupPolicy> };
