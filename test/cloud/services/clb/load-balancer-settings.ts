import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { CloudError } from "../../model/errors.ts";
import type { Fields } from "../../model/request-fields.ts";
import type { Limits } from "../../runtime/options.ts";
import { flag, integer, requiredText, text, texts, unused } from "../table/action.ts";

/** Length: clb-api.md §2.1. */
export const loadBalancerName = { type: "string", min: 1, max: 80 } as const;

const SLA_TYPES = [
  "clb.c2.medium",
  "clb.c3.small",
  "clb.c3.medium",
  "clb.c4.small",
  "clb.c4.medium",
  "clb.c4.large",
  "clb.c4.xlarge",
] as const;

export const internetAccessible = {
  type: "object",
  fields: {
    InternetChargeType: {
      type: "string",
      oneOf: ["TRAFFIC_POSTPAID_BY_HOUR", "BANDWIDTH_POSTPAID_BY_HOUR", "BANDWIDTH_PACKAGE", "BANDWIDTH_PREPAID"],
    },
    InternetMaxBandwidthOut: { type: "integer", min: 1, max: 61_440 },
    BandwidthpkgSubType: text,
  },
} as const;

/** Limits and defaults: clb-api.md §2.1. */
export const createLoadBalancerFields = (limits: Limits): Fields<clb.CreateLoadBalancerRequest> => ({
  LoadBalancerType: { type: "string", required: true, oneOf: ["OPEN", "INTERNAL"] },
  Forward: { type: "integer", oneOf: [1] },
  LoadBalancerName: loadBalancerName,
  VpcId: text,
  SubnetId: text,
  ProjectId: integer,
  AddressIPVersion: text, // without regard to case
  Number: { type: "integer", min: 1, max: 20 },
  Tags: {
    type: "array",
    max: limits.tagsPerLoadBalancer,
    of: { type: "object", fields: { TagKey: requiredText, TagValue: { type: "string", required: true } } },
  },
  Vip: text,
  ClientToken: { type: "string", min: 1, max: 64 },
  LoadBalancerPassToTarget: flag,
  MasterZoneId: text,
  ZoneId: text,
  SlaveZoneId: text,
  InternetAccessible: internetAccessible,
  VipIsp: { type: "string", oneOf: ["BGP", "CMCC", "CUCC", "CTCC"] },
  BandwidthPackageId: text,
  SlaType: { type: "string", oneOf: SLA_TYPES },
  SnatPro: flag,
  SnatIps: { type: "array", max: limits.snatIps, of: { type: "object", fields: { SubnetId: requiredText, Ip: text } } },
  LBChargeType: { type: "string", oneOf: ["POSTPAID_BY_HOUR", "PREPAID"] },
  LBChargePrepaid: {
    type: "object",
    fields: { Period: { type: "integer", min: 1 }, RenewFlag: { type: "string", oneOf: ["AUTO_RENEW", "MANUAL_RENEW"] } },
  },
  ClusterIds: texts(),
  ClusterTag: text,
  EipAddressId: text,
  DynamicVip: flag,
  Egress: text,
  AccessLogTopicId: text,
  AdvancedRoute: flag,
  ExclusiveCluster: unused,
  AvailableZoneAffinityInfo: {
    type: "object",
    fields: { Enable: flag, ExitRatio: integer, ReentryRatio: integer },
  },
});

/** Shared ones have up to 2048 Mbit/s, those with a specification up to 61440. */
export function requireBandwidth(internet: clb.InternetAccessible | undefined, slaType: string): void {
  const mbps = internet?.InternetMaxBandwidthOut ?? 1;
  if (slaType === "" && mbps > 2048)
    throw new CloudError(
      "InvalidParameterValue.Range",
      `\`InternetMaxBandwidthOut\` of a shared load balancer must be from 1 to 2048, got ${mbps}`,
    );
}
