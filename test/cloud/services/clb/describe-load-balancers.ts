import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { type LoadBalancerRecord, placesOf, targetCount } from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";
import type { Limits } from "../../runtime/options.ts";
import { type ActionTable, cloudTime, filters, integer, read, text, texts, type Whole } from "../table/action.ts";
import type { ClbPorts } from "./ports.ts";

type Ports = Pick<ClbPorts, "region" | "answers">;

/** Limits and defaults: clb-api.md §2.1. */
export const describeLoadBalancerActions = (limits: Limits): ActionTable<Ports> => ({
  DescribeLoadBalancers: read<clb.DescribeLoadBalancersRequest, clb.DescribeLoadBalancersResponse, Ports>({
    fields: {
      LoadBalancerIds: texts(limits.describeLoadBalancers),
      LoadBalancerType: { type: "string", oneOf: ["OPEN", "INTERNAL"] },
      Forward: { type: "integer", oneOf: [0, 1] },
      LoadBalancerName: text,
      Domain: text,
      LoadBalancerVips: texts(),
      BackendPublicIps: texts(),
      BackendPrivateIps: texts(),
      Offset: { type: "integer", min: 0 },
      Limit: { type: "integer", min: 1, max: 100 },
      OrderBy: { type: "string", oneOf: ["LoadBalancerName", "CreateTime", "Domain", "LoadBalancerType"] },
      OrderType: { type: "integer", oneOf: [0, 1] },
      SearchKey: text,
      ProjectId: integer,
      WithRs: { type: "integer", oneOf: [-1, 0, 1] },
      VpcId: text,
      SecurityGroup: text,
      MasterZone: text,
      Filters: filters,
      AdditionalFields: { type: "array", of: { type: "string", oneOf: ["TargetCount"] } },
    },
    run: (request, { account }, { region, answers }) => {
      const matches = filterOf(request.Filters ?? []);
      const ordering = answers.underCreation === "shown" ? account.ordered : [];
      const found = ordered(
        [...account.loadBalancers.values(), ...ordering].filter((one) => isMeant(one, request) && matches(one)),
        request,
      );
      const offset = request.Offset ?? 0;
      const withCount = request.AdditionalFields?.includes("TargetCount") ?? false;
      return {
        TotalCount: found.length,
        LoadBalancerSet: found
          .slice(offset, offset + (request.Limit ?? 20))
          .map((one) => show(one, { region, withCount, running: account.loadBalancers.has(one.id) })),
      };
    },
  }),
});

type Request = clb.DescribeLoadBalancersRequest;

/** Newest first, unless asked for otherwise. */
function ordered(found: readonly LoadBalancerRecord[], { OrderBy: by = "CreateTime", OrderType: type = 1 }: Request): LoadBalancerRecord[] {
  const keyOf = (one: LoadBalancerRecord): string => (by === "LoadBalancerName" ? one.name : by === "LoadBalancerType" ? one.type : "");
  const rising = found.toSorted((a, b) => (by === "CreateTime" ? a.createdMs - b.createdMs : keyOf(a).localeCompare(keyOf(b))));
  return type === 1 ? rising.toReversed() : rising;
}

/** All that is given must hold; ids that do not exist are left out. */
function isMeant(one: LoadBalancerRecord, request: Request): boolean {
  const { LoadBalancerIds: ids = [], LoadBalancerVips: vips = [], SearchKey: key, BackendPrivateIps: privateIps = [] } = request;
  const { BackendPublicIps: publicIps = [], WithRs: withTargets = -1, MasterZone: zone } = request;
  return (
    (ids.length === 0 || ids.includes(one.id)) &&
    (vips.length === 0 || vips.includes(one.vip)) &&
    (request.LoadBalancerType ?? one.type) === one.type &&
    (request.Forward ?? 1) === 1 &&
    one.name.includes(request.LoadBalancerName ?? "") &&
    (request.Domain ?? "") === "" && // no load balancer has a domain name here
    (key === undefined || [one.name, one.vip, one.id].some((said) => said.includes(key))) &&
    (request.ProjectId ?? one.projectId) === one.projectId &&
    (request.VpcId ?? one.vpcId) === one.vpcId &&
    (request.SecurityGroup === undefined || one.securityGroups.includes(request.SecurityGroup)) &&
    (zone === undefined || one.zone === zone) &&
    (withTargets === -1 || targetCount(one) > 0 === (withTargets === 1)) &&
    publicIps.length === 0 && // nodes have no public addresses here
    (privateIps.length === 0 || nodeIpsOf(one).some((ip) => privateIps.includes(ip)))
  );
}

const nodeIpsOf = ({ listeners }: LoadBalancerRecord): string[] =>
  [...listeners.values()]
    .flatMap(placesOf)
    .flatMap(({ targets }) => [...targets.values()].filter(({ owner }) => owner.type === "CVM").map(({ ip }) => ip));

/** What a filter looks at; several values fit where any of them does. */
const FILTERS: ReadonlyMap<string, (one: LoadBalancerRecord) => readonly string[]> = new Map([
  ["charge-type", ({ purchase }) => [purchase.chargeType]],
  ["internet-charge-type", ({ purchase }) => [purchase.internetChargeType]],
  ["master-zone-id", ({ zone }) => (zone === undefined ? [] : [zone])],
  ["tag-key", ({ tags }) => [...tags.keys()]],
  ["vip-isp", ({ purchase }) => [purchase.vipIsp]],
  ["sla-type", ({ purchase }) => [purchase.slaType]],
  ["exclusive", () => ["0"]],
  ["function-name", () => []],
] satisfies [string, (one: LoadBalancerRecord) => readonly string[]][]);

/** Filters are ANDed, the values of one ORed. Throws InvalidParameter.InvalidFilter for a filter that does not exist. */
function filterOf(given: readonly clb.Filter[]): (one: LoadBalancerRecord) => boolean {
  const tests = given.map(({ Name, Values }) => {
    const valuesOf = Name.startsWith("tag:") ? tagValue(Name.slice("tag:".length)) : FILTERS.get(Name);
    if (valuesOf === undefined)
      throw new CloudError(
        "InvalidParameter.InvalidFilter",
        `filter ${Name} is not known; there are ${[...FILTERS.keys()].join(", ")} and tag:<key>`,
      );
    return (one: LoadBalancerRecord): boolean => valuesOf(one).some((value) => Values.includes(value));
  });
  return (one) => tests.every((test) => test(one));
}

const tagValue =
  (key: string) =>
  ({ tags }: LoadBalancerRecord): readonly string[] => {
    const value = tags.get(key);
    return value === undefined ? [] : [value];
  };

/** Every documented field, also those that nothing here gives a value. */
function show(
  one: LoadBalancerRecord,
  { region, withCount, running }: { readonly region: string; readonly withCount: boolean; readonly running: boolean },
): Whole<clb.LoadBalancer> {
  const { purchase, zone } = one;
  const created = cloudTime(one.createdMs);
  return {
    LoadBalancerId: one.id,
    LoadBalancerName: one.name,
    LoadBalancerType: one.type,
    Forward: 1,
    Domain: "",
    LoadBalancerDomain: "",
    LoadBalancerVips: running && one.ipv6 === undefined ? [one.vip] : [],
    Status: running ? 1 : 0,
    CreateTime: created,
    StatusTime: created,
    ProjectId: one.projectId,
    VpcId: one.vpcId,
    SubnetId: one.subnetId,
    NumericalVpcId: 1,
    OpenBgp: 0,
    Snat: false,
    Isolation: 0,
    Log: "",
    Tags: [...one.tags].map(([TagKey, TagValue]) => ({ TagKey, TagValue })),
    SecureGroups: [...one.securityGroups],
    TargetRegionInfo: { Region: region, VpcId: one.vpcId, NumericalVpcId: 1 },
    AnycastZone: "",
    AddressIPVersion: one.ipv6 === undefined ? "ipv4" : "ipv6",
    AddressIPv6: running ? (one.ipv6?.address ?? null) : null,
    IPv6Mode: one.ipv6?.mode ?? null,
    VipIsp: purchase.vipIsp,
    MasterZone: zone === undefined ? null : showZone(zone, region),
    BackupZoneSet: null,
    IsolatedTime: null,
    ExpireTime: null,
    ChargeType: purchase.chargeType,
    NetworkAttributes: {
      InternetChargeType: purchase.internetChargeType,
      InternetMaxBandwidthOut: purchase.bandwidthMbps,
      BandwidthpkgSubType: purchase.vipIsp === "INTERNAL" ? null : "BGP",
    },
    PrepaidAttributes: purchase.prepaid === undefined ? null : { Period: purchase.prepaid.months, RenewFlag: purchase.prepaid.renewFlag },
    LogSetId: "",
    LogTopicId: "",
    ExtraInfo: null,
    IsDDos: false,
    ConfigId: "",
    LoadBalancerPassToTarget: one.passToTarget,
    ExclusiveCluster: { L4Clusters: null, L7Clusters: null, ClassicalCluster: null },
    SnatPro: one.snatPro,
    SnatIps: one.snatIps.map(({ subnetId, ip }) => ({ SubnetId: subnetId, Ip: ip })),
    SlaType: purchase.slaType,
    IsBlock: false,
    IsBlockTime: "",
    LocalBgp: false,
    ClusterTag: null,
    MixIpTarget: false,
    Zones: null,
    NfvInfo: "",
    HealthLogSetId: "",
    HealthLogTopicId: "",
    ClusterIds: null,
    AttributeFlags: one.deleteProtect ? ["DeleteProtect"] : [],
    Egress: "",
    Exclusive: 0,
    TargetCount: withCount ? targetCount(one) : null,
    AssociateEndpoint: one.endpointId,
    AvailableZoneAffinityInfo: null,
  };
}

/** Zones are named by number or by name, e.g. "100001" or "ap-guangzhou-1". */
const showZone = (zone: string, region: string): Whole<clb.ZoneInfo> => ({
  ZoneId: /^\d+$/.test(zone) ? Number(zone) : null,
  Zone: zone,
  ZoneName: zone,
  ZoneRegion: region,
  LocalZone: false,
  EdgeZone: false,
});
