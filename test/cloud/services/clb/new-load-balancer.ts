import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { Account, LoadBalancerRecord, Purchase } from "../../model/account.ts";
import type { Network } from "../../model/network.ts";
import type { Vips } from "../../model/vips.ts";
import { newId } from "../../runtime/random.ts";
import { cloudTime } from "../table/action.ts";
import type { ClbPorts } from "./ports.ts";

type NewLoadBalancerPorts = Pick<ClbPorts, "random" | "clock"> & {
  readonly network: Pick<Network, "vpcs">;
  readonly vips: Pick<Vips, "take">;
};

/** A load balancer with its address; nobody sees it before it is added to the account. */
export function newLoadBalancer(request: clb.CreateLoadBalancerRequest, account: Account, ports: NewLoadBalancerPorts): LoadBalancerRecord {
  const { network, random, vips, clock } = ports;
  const id = newId("lb", random);
  const [defaultVpc = "vpc-default"] = network.vpcs.keys();
  const vip = vips.take(request.Vip);
  return {
    id,
    name: nameOf(account, request) ?? id,
    type: request.LoadBalancerType === "INTERNAL" ? "INTERNAL" : "OPEN",
    vip,
    ipv6: ipv6Of(request.AddressIPVersion, vip),
    vpcId: request.VpcId ?? defaultVpc,
    subnetId: request.SubnetId ?? "",
    projectId: request.ProjectId ?? 0,
    zone: request.MasterZoneId ?? request.ZoneId,
    createdMs: clock.now(),
    tags: new Map((request.Tags ?? []).map(({ TagKey, TagValue }) => [TagKey, TagValue])),
    purchase: purchaseOf(request),
    passToTarget: request.LoadBalancerPassToTarget ?? request.AddressIPVersion?.toLowerCase() === "ipv6fullchain", // clb-api.md §6.1
    snatPro: request.SnatPro ?? false,
    snatIps: (request.SnatIps ?? []).map(({ SubnetId, Ip = "" }) => ({ subnetId: SubnetId, ip: Ip })),
    deleteProtect: false,
    securityGroups: [],
    endpointId: "",
    listeners: new Map(),
    lock: undefined,
    overlaps: 0,
  };
}

/** Out of 2001:db8::/32, made from the IPv4 address. */
function ipv6Of(version = "IPV4", vip: string): LoadBalancerRecord["ipv6"] {
  const word = version.toLowerCase();
  if (word === "ipv4") return undefined;
  const [a = 0, b = 0, c = 0, d = 0] = vip.split(".").map(Number);
  const address = `2001:db8:${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}::1`;
  return { address, mode: word === "ipv6" ? "IPv6Nat64" : "IPv6FullChain" };
}

/** The number of an order: a date and fifteen digits, e.g. "20220101660009831340631" (published-differences.md, part B). */
export const dealNameOf = (requestId: string, nowMs: number): string =>
  cloudTime(nowMs).slice(0, 10).replaceAll("-", "") + String(BigInt(`0x${requestId.replaceAll("-", "")}`) % 10n ** 15n).padStart(15, "0");

/** A name counts for one load balancer, and only if no other one has it: else the service makes one up. */
function nameOf(account: Account, request: clb.CreateLoadBalancerRequest): string | undefined {
  const wanted = request.LoadBalancerName;
  const others = [...account.loadBalancers.values(), ...account.ordered];
  return (request.Number ?? 1) > 1 || others.some(({ name }) => name === wanted) ? undefined : wanted;
}

function purchaseOf(request: clb.CreateLoadBalancerRequest): Purchase {
  const { InternetAccessible: internet, LBChargePrepaid: prepaid } = request;
  return {
    chargeType: request.LBChargeType === "PREPAID" ? "PREPAID" : "POSTPAID_BY_HOUR",
    prepaid: prepaid === undefined ? undefined : { months: prepaid.Period ?? 1, renewFlag: prepaid.RenewFlag ?? "MANUAL_RENEW" },
    slaType: request.SlaType ?? "",
    vipIsp: request.LoadBalancerType === "INTERNAL" ? "INTERNAL" : (request.VipIsp ?? "BGP"),
    internetChargeType: internet?.InternetChargeType ?? "TRAFFIC_POSTPAID_BY_HOUR",
    bandwidthMbps: internet?.InternetMaxBandwidthOut ?? 10,
  };
}
