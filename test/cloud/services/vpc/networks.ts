import type * as vpc from "tencentcloud-sdk-nodejs/tencentcloud/services/vpc/v20170312/vpc_models.js";
import { CloudError } from "../../model/errors.ts";
import { addressesOf, type Network, type SubnetRecord, type VpcRecord } from "../../model/network.ts";
import { type ActionTable, type Answer, filters, integer, read, text, texts } from "../table/action.ts";
import { pageOf, pick, type Selection, select, textPage } from "../table/paging.ts";

type Ports = { readonly network: Pick<Network, "vpcs" | "subnets" | "enis"> };

const WRONG_ID = { malformed: "InvalidParameterValue.Malformed", notFound: "ResourceNotFound" } as const;

/** VPCs, their subnets, and public addresses, of which there are none. Shapes: published-differences.md, part B. */
export const networkActions = (): ActionTable<Ports> => ({
  DescribeVpcs: read<vpc.DescribeVpcsRequest, vpc.DescribeVpcsResponse, Ports>({
    fields: { VpcIds: texts(100), Filters: filters, Offset: text, Limit: text },
    run: (request, _call, { network }) => {
      const [first] = network.vpcs.keys();
      const found = find(request.VpcIds, request.Filters, "vpc", {
        items: network.vpcs.values(),
        idOf: ({ id }) => id,
        unknownFilter: "InvalidParameter.FilterInvalidKey",
        fuzzy: ["vpc-name"],
        filters: {
          "vpc-id": ({ id }) => [id],
          "vpc-name": ({ name }) => [name],
          "is-default": ({ id }) => [String(id === first)],
          "cidr-block": ({ cidr }) => [cidr, cidr.split("/")[0] ?? ""],
        },
      });
      return { VpcSet: pageOf(found, textPage(request)).map((one) => showVpc(one, one.id === first)), TotalCount: found.length };
    },
  }),

  DescribeSubnets: read<vpc.DescribeSubnetsRequest, vpc.DescribeSubnetsResponse, Ports>({
    fields: { SubnetIds: texts(100), Filters: filters, Offset: text, Limit: text, MaxResults: integer, NextToken: text },
    run: (request, _call, { network }) => {
      const found = find(request.SubnetIds, request.Filters, "subnet", {
        items: network.subnets.values(),
        idOf: ({ id }) => id,
        unknownFilter: "InvalidParameter.FilterInvalidKey",
        fuzzy: ["subnet-name"],
        filters: {
          "subnet-id": ({ id }) => [id],
          "subnet-name": ({ name }) => [name],
          "vpc-id": ({ vpcId }) => [vpcId],
          zone: ({ zone }) => [zone],
          "cidr-block": ({ cidr }) => [cidr, cidr.split("/")[0] ?? ""],
        },
      });
      const page = pageOf(found, textPage(request)).map((one) => showSubnet(one, network));
      return { SubnetSet: page, TotalCount: found.length, NextToken: null };
    },
  }),

  DescribeAddresses: read<vpc.DescribeAddressesRequest, vpc.DescribeAddressesResponse, Ports>({
    fields: { AddressIds: texts(100), Filters: filters, Offset: integer, Limit: integer },
    run: ({ AddressIds: [id] = [] }) => {
      if (id !== undefined) throw new CloudError("InvalidAddressId.NotFound", `The address \`${id}\` does not exist.`);
      return { TotalCount: 0, AddressSet: [] };
    },
  }),
});

/** Throws InvalidParameter.Coexist where both ids and filters are given. */
function find<T>(
  ids: readonly string[] = [],
  wanted: readonly { readonly Name: string; readonly Values: readonly string[] }[] = [],
  prefix: string,
  from: Selection<T>,
): T[] {
  if (ids.length > 0 && wanted.length > 0) throw new CloudError("InvalidParameter.Coexist", "Give ids or `Filters`, not both.");
  return ids.length > 0 ? pick(ids, from, { prefix, ...WRONG_ID }) : select(wanted, from);
}

const CREATED = "2026-01-01 00:00:00";

const showVpc = ({ id, name, cidr }: VpcRecord, isDefault: boolean): Answer<vpc.Vpc> => ({
  VpcId: id,
  VpcName: name,
  CidrBlock: cidr,
  Ipv6CidrBlock: "",
  Ipv6CidrBlockSet: [],
  IsDefault: isDefault,
  EnableMulticast: false,
  CreatedTime: CREATED,
  EnableDhcp: true,
  EnableRouteVpcPublish: false,
  DhcpOptionsId: "dopt-00000000",
  DnsServerSet: ["183.60.83.19", "183.60.82.98"],
  DomainName: "",
  TagSet: [],
  AssistantCidrSet: [],
});

/** The first two addresses and the last one are the cloud's own. */
const OWN_ADDRESSES = 3;

function showSubnet({ id, name, vpcId, zone, cidr }: SubnetRecord, { enis }: Pick<Network, "enis">): Answer<vpc.Subnet> {
  const total = 2 ** (32 - Number(cidr.split("/")[1])) - OWN_ADDRESSES;
  const used = [...enis.values()].filter(({ subnetId }) => subnetId === id).flatMap((eni) => [...addressesOf(eni)]).length;
  return {
    SubnetId: id,
    SubnetName: name,
    VpcId: vpcId,
    CidrBlock: cidr,
    Ipv6CidrBlock: "",
    Zone: zone,
    IsDefault: false,
    EnableBroadcast: false,
    IsRemoteVpcSnat: false,
    NetworkAclId: "",
    RouteTableId: `rtb-${vpcId.replace("vpc-", "")}`,
    AvailableIpAddressCount: total - used,
    TotalIpAddressCount: total,
    IsCdcSubnet: 0,
    CdcId: "",
    CreatedTime: CREATED,
    TagSet: [],
  };
}
