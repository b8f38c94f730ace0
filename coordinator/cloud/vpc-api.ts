import type * as vpc from "tencentcloud-sdk-nodejs/tencentcloud/services/vpc/v20170312/vpc_models.js";
import type { Eni } from "../domain/eni.ts";
import { MOST_MEMBERS, type Policy } from "../domain/group-rules.ts";
import { ClbCall, type ClbCallDeps } from "./clb-call.ts";
import type { Answer } from "./clb-models.ts";

/** Values of one filter, and entries of one page. Source: clb-api.md §2.6. */
export const MOST_ADDRESSES = 100;
const PAGE = 100;

export type VpcApi = ReturnType<typeof makeVpcApi>;

/** What is read of the VPC service; nothing is ever written there. Every method rejects with ClbApiError, or with the signal's reason. */
export function makeVpcApi(deps: ClbCallDeps) {
  const call = new ClbCall({ ...deps, service: "vpc" });
  return {
    /** The ENIs that have these addresses, IPv4 or IPv6, at most 100, in that VPC or in any. `ipsNow` is asked when the call has its turn. */
    enisByIp: (ipsNow: () => readonly string[], vpcId: string | undefined, signal: AbortSignal): Promise<Eni[]> =>
      enisByIp(call, ipsNow, vpcId, signal),
    /** The rules of a group for what comes in. */
    policies: (groupId: string, signal: AbortSignal): Promise<Policy[]> => policies(call, groupId, signal),
    /** What an id in a rule stands for: addresses, services or ids; a text says why that is not known. */
    members: (id: string, signal: AbortSignal): Promise<readonly string[] | string> => members(call, id, signal),
  };
}

async function enisByIp(call: ClbCall, ipsNow: () => readonly string[], vpcId: string | undefined, signal: AbortSignal): Promise<Eni[]> {
  let asked: readonly string[] | undefined;
  const all = (): readonly string[] => (asked ??= [...ipsNow()]);
  const inVpc = vpcId === undefined ? [] : [{ Name: "vpc-id", Values: [vpcId] }];
  const read = async (filters: () => vpc.Filter[]): Promise<Eni[]> => {
    const found: Eni[] = [];
    // Several VPCs may have the same addresses, so that there are more ENIs than addresses.
    for (let offset = 0; ; offset += PAGE) {
      const answer = await call.callLate<vpc.DescribeNetworkInterfacesRequest, vpc.DescribeNetworkInterfacesResponse>(
        "DescribeNetworkInterfaces",
        () => ({ Filters: [...filters(), ...inVpc], ...(offset > 0 && { Offset: offset }), Limit: PAGE }),
        signal,
      );
      const page = answer.NetworkInterfaceSet ?? [];
      found.push(...page.map(eniOf));
      if (page.length < PAGE) return found;
    }
  };
  const isV6 = (ip: string): boolean => ip.includes(":");
  const first = await read(() => {
    const [v4, v6] = [all().filter((ip) => !isV6(ip)), all().filter(isV6)];
    if (v4.length === 0) return [{ Name: "address-ipv6", Values: v6 }];
    // One value alone would fit every address that ends so (clb-api.md §2.6).
    const exact = v4.length === 1 ? [{ Name: "ip-exact-match", Values: ["true"] }] : [];
    return [{ Name: "address-ip", Values: v4 }, ...exact];
  });
  const v6 = all().filter(isV6);
  if (v6.length === 0 || v6.length === all().length) return first;
  const others = await read(() => [{ Name: "address-ipv6", Values: v6 }]); // filters are ANDed: each family is a read of its own
  return [...first, ...others.filter(({ id }) => !first.some((one) => one.id === id))];
}

function eniOf(one: Answer<vpc.NetworkInterface>): Eni {
  const attachment: { readonly InstanceId?: string | null } | null | undefined = one.Attachment;
  return {
    id: one.NetworkInterfaceId ?? "",
    mac: (one.MacAddress ?? "").toLowerCase(),
    vpcId: one.VpcId ?? "",
    subnetId: one.SubnetId ?? "",
    zone: one.Zone ?? "",
    groups: (one.GroupSet ?? []).map(String),
    ips: [
      ...(one.PrivateIpAddressSet ?? []).map(({ PrivateIpAddress }) => PrivateIpAddress ?? ""),
      ...(one.Ipv6AddressSet ?? []).map(({ Address }) => Address ?? ""),
    ].filter((ip) => ip !== ""),
    instanceId: attachment?.InstanceId ?? "",
  };
}

async function policies(call: ClbCall, groupId: string, signal: AbortSignal): Promise<Policy[]> {
  const answer = await call.call<vpc.DescribeSecurityGroupPoliciesRequest, vpc.DescribeSecurityGroupPoliciesResponse>(
    "DescribeSecurityGroupPolicies",
    { SecurityGroupId: groupId },
    signal,
  );
  const set: Answer<vpc.SecurityGroupPolicySet> | null | undefined = answer.SecurityGroupPolicySet;
  return (set?.Ingress ?? []).map(policyOf);
}

function policyOf(one: Answer<vpc.SecurityGroupPolicy>, position: number): Policy {
  const service: Answer<vpc.ServiceTemplateSpecification> | null | undefined = one.ServiceTemplate;
  const address: Answer<vpc.AddressTemplateSpecification> | null | undefined = one.AddressTemplate;
  return {
    index: one.PolicyIndex ?? position,
    accept: (one.Action ?? "").toUpperCase() === "ACCEPT",
    protocol: one.Protocol ?? "",
    port: one.Port ?? "",
    serviceTemplate: service?.ServiceId || service?.ServiceGroupId || "",
    cidr: one.CidrBlock || one.Ipv6CidrBlock || "",
    securityGroup: one.SecurityGroupId ?? "",
    addressTemplate: address?.AddressId || address?.AddressGroupId || "",
  };
}

/** Each kind of reference has its own action; ids say which (clb-api.md §6.3). */
async function members(call: ClbCall, id: string, signal: AbortSignal): Promise<readonly string[] | string> {
  const filter = (name: string) => ({ Filters: [{ Name: name, Values: [id] }], Limit: "1" });
  const found = <T>(list: readonly T[] | null | undefined, of: (one: T) => readonly (string | undefined)[] | null | undefined) => {
    const [one] = list ?? [];
    return one === undefined ? `${id} does not exist` : (of(one) ?? []).map(String);
  };
  switch (id.replace(/-.*$/, "")) {
    case "sg":
      return await groupMembers(call, id, signal);
    case "ipm": {
      const answer = await call.call<object, vpc.DescribeAddressTemplatesResponse>(
        "DescribeAddressTemplates",
        filter("address-template-id"),
        signal,
      );
      return found(answer.AddressTemplateSet, ({ AddressSet }) => AddressSet);
    }
    case "ipmg": {
      const by = filter("address-template-group-id");
      const answer = await call.call<object, vpc.DescribeAddressTemplateGroupsResponse>("DescribeAddressTemplateGroups", by, signal);
      return found(answer.AddressTemplateGroupSet, ({ AddressTemplateIdSet }) => AddressTemplateIdSet);
    }
    case "ppm": {
      const answer = await call.call<object, vpc.DescribeServiceTemplatesResponse>(
        "DescribeServiceTemplates",
        filter("service-template-id"),
        signal,
      );
      return found(answer.ServiceTemplateSet, ({ ServiceSet }) => ServiceSet);
    }
    case "ppmg": {
      const by = filter("service-template-group-id");
      const answer = await call.call<object, vpc.DescribeServiceTemplateGroupsResponse>("DescribeServiceTemplateGroups", by, signal);
      return found(answer.ServiceTemplateGroupSet, ({ ServiceTemplateIdSet }) => ServiceTemplateIdSet);
    }
    default:
      return `${id} is no reference that is known here`;
  }
}

/** The private addresses of what is in a group, which is what a reference to it means; more than 512 are too many. */
async function groupMembers(call: ClbCall, id: string, signal: AbortSignal): Promise<readonly string[] | string> {
  const ips: string[] = [];
  for (let offset = 0; ; offset += PAGE) {
    const request = { Filters: [{ Name: "groups.security-group-id", Values: [id] }], Offset: offset, Limit: PAGE };
    const answer = await call.call<vpc.DescribeNetworkInterfacesRequest, vpc.DescribeNetworkInterfacesResponse>(
      "DescribeNetworkInterfaces",
      request,
      signal,
    );
    const page = answer.NetworkInterfaceSet ?? [];
    ips.push(...page.flatMap((one) => eniOf(one).ips));
    if (ips.length > MOST_MEMBERS) return `${id} has more than ${MOST_MEMBERS} members`;
    if (page.length < PAGE) return ips;
  }
}
