import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { LoadBalancerRecord, Purchase } from "../../model/account.ts";
import { badValue, CloudError, missing, unsupported } from "../../model/errors.ts";
import { addLoadBalancer, type CallContext, type Core } from "../../runtime/core.ts";
import { newId } from "../../runtime/random.ts";
import { type Reply, text } from "../table/action.ts";

/** Length: clb-api.md §2.1. */
export const loadBalancerName = { type: "string", min: 1, max: 80 } as const;

export const SLA_TYPES = [
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

/** Ids are given at once; the load balancers appear when the task succeeds. A ClientToken seen before gets the same answer. */
export function createLoadBalancers(request: clb.CreateLoadBalancerRequest, call: CallContext): Reply<clb.CreateLoadBalancerResponse> {
  const { core, requestId } = call;
  requireShape(request);
  const token = request.ClientToken;
  const before = token === undefined ? undefined : core.clientTokens.get(token);
  if (before !== undefined) {
    if (core.tasks.find(before.taskId)?.status === 1)
      throw new CloudError(
        "InvalidParameter.ClientTokenLimitExceeded",
        `ClientToken ${token} has expired: its order ended without a load balancer`,
      );
    core.tasks.alias(requestId, before.taskId);
    return { LoadBalancerIds: [...before.loadBalancerIds], DealName: before.taskId };
  }
  requireNetwork(core, request);
  const count = request.Number ?? 1;
  requireQuota(core, request.LoadBalancerType, count);
  const created = newLoadBalancers(core, request, count);
  const loadBalancerIds = created.map(({ id }) => id);
  if (token !== undefined) core.clientTokens.set(token, { taskId: requestId, loadBalancerIds });
  for (const loadBalancer of created) core.account.ordered.add(loadBalancer);
  void deliver(call, created);
  return { LoadBalancerIds: loadBalancerIds, DealName: requestId };
}

/** What concerns several fields. Throws MissingParameter, InvalidParameterValue, .Range, UnsupportedOperation. */
function requireShape(request: clb.CreateLoadBalancerRequest): void {
  const { LoadBalancerType: type, AddressIPVersion: version = "IPV4", InternetAccessible: internet } = request;
  if (!/^(?:ipv4|ipv6|ipv6fullchain)$/i.test(version))
    throw badValue(`\`AddressIPVersion\` must be one of IPV4, IPV6, IPv6FullChain, got ${version}`);
  if (type === "INTERNAL" && (request.VpcId === undefined || request.SubnetId === undefined))
    throw missing("an INTERNAL load balancer needs `VpcId` and `SubnetId`");
  if (version.toLowerCase() !== "ipv4") throw unsupported(`the emulated cloud has IPv4 addresses only, not ${version}`);
  if (type === "OPEN" && request.SubnetId !== undefined)
    throw badValue("`SubnetId` is not for public IPv4 load balancers: their address comes from no subnet");
  if (request.ClientToken !== undefined && !/^[\x20-\x7e]+$/.test(request.ClientToken)) throw badValue("`ClientToken` must be ASCII");
  requireBandwidth(internet, request.SlaType ?? "");
  for (const name of ["VipIsp", "BandwidthPackageId"] as const)
    if (request[name] !== undefined && request[name] !== "BGP" && internet?.InternetChargeType !== "BANDWIDTH_PACKAGE")
      throw badValue(`\`${name}\` ${request[name]} needs \`InternetAccessible.InternetChargeType\` BANDWIDTH_PACKAGE`);
  if (request.LBChargeType === "PREPAID" && request.LBChargePrepaid === undefined)
    throw missing("`LBChargePrepaid` of a PREPAID load balancer");
}

/** Shared ones have up to 2048 Mbit/s, those with a specification up to 61440. */
export function requireBandwidth(internet: clb.InternetAccessible | undefined, slaType: string): void {
  const mbps = internet?.InternetMaxBandwidthOut ?? 1;
  if (slaType === "" && mbps > 2048)
    throw new CloudError(
      "InvalidParameterValue.Range",
      `\`InternetMaxBandwidthOut\` of a shared load balancer must be from 1 to 2048, got ${mbps}`,
    );
}

/** Looked at only where somebody described the network. */
function requireNetwork({ network }: Core, { VpcId: vpcId, SubnetId: subnetId }: clb.CreateLoadBalancerRequest): void {
  if (vpcId !== undefined && network.vpcs.size > 0 && !network.vpcs.has(vpcId)) throw badValue(`VpcId ${vpcId} does not exist`);
  if (subnetId === undefined || network.subnets.size === 0) return;
  const subnet = network.subnets.get(subnetId);
  if (subnet === undefined) throw badValue(`SubnetId ${subnetId} does not exist`);
  if (subnet.vpcId !== vpcId) throw badValue(`SubnetId ${subnetId} is in ${subnet.vpcId}, not in ${vpcId}`);
}

/** Runs the order to its end; an address that found no use becomes free again. Never rejects. */
async function deliver({ core, action, requestId, faults }: CallContext, created: readonly LoadBalancerRecord[]): Promise<void> {
  const task = await core.tasks.start({
    requestId,
    action,
    locks: [],
    loadBalancerIds: created.map(({ id }) => id),
    failure: faults.failure,
    stuck: faults.stuck,
    durationMs: core.settings.profile.createLoadBalancerMs,
    apply: () => {
      for (const loadBalancer of created) {
        core.account.ordered.delete(loadBalancer);
        addLoadBalancer(core, loadBalancer);
      }
    },
  });
  for (const loadBalancer of created) {
    core.account.ordered.delete(loadBalancer);
    if (task.status === 1 && !core.account.loadBalancers.has(loadBalancer.id)) core.vips.release(loadBalancer.vip);
  }
}

function requireQuota(core: Core, type: string, more: number): void {
  const limit = type === "OPEN" ? core.settings.limits.openLoadBalancers : core.settings.limits.internalLoadBalancers;
  const { loadBalancers, ordered } = core.account;
  const has = [...loadBalancers.values(), ...ordered].filter((one) => one.type === type).length;
  if (has + more > limit)
    throw new CloudError("LimitExceeded", `${type} load balancers: ${has} exist, ${more} more would exceed the quota of ${limit}`);
}

/** All or none: what was taken is given back if there are not addresses enough. */
function newLoadBalancers(core: Core, request: clb.CreateLoadBalancerRequest, count: number): readonly LoadBalancerRecord[] {
  const created: LoadBalancerRecord[] = [];
  try {
    while (created.length < count) created.push(newLoadBalancer(core, request));
  } catch (error) {
    for (const { vip } of created) core.vips.release(vip);
    throw error;
  }
  return created;
}

/** A load balancer with its address; nobody sees it before `addLoadBalancer`. */
export function newLoadBalancer(core: Core, request: clb.CreateLoadBalancerRequest): LoadBalancerRecord {
  const id = newId("lb", core.random);
  const [defaultVpc = "vpc-default"] = core.network.vpcs.keys();
  return {
    id,
    name: nameOf(core, request) ?? id,
    type: request.LoadBalancerType === "INTERNAL" ? "INTERNAL" : "OPEN",
    vip: core.vips.take(request.Vip),
    vpcId: request.VpcId ?? defaultVpc,
    subnetId: request.SubnetId ?? "",
    projectId: request.ProjectId ?? 0,
    zone: request.MasterZoneId ?? request.ZoneId,
    createdMs: core.clock.now(),
    tags: new Map((request.Tags ?? []).map(({ TagKey, TagValue }) => [TagKey, TagValue])),
    purchase: purchaseOf(request),
    passToTarget: request.LoadBalancerPassToTarget ?? false,
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

/** A name counts for one load balancer, and only if no other one has it: else the service makes one up. */
function nameOf({ account }: Core, request: clb.CreateLoadBalancerRequest): string | undefined {
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
