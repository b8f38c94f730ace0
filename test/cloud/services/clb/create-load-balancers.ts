import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { Account, LoadBalancerRecord } from "../../model/account.ts";
import { badValue, CloudError, missing } from "../../model/errors.ts";
import type { Network } from "../../model/network.ts";
import type { AccountChanges } from "../../runtime/account-changes.ts";
import type { CallContext } from "../../runtime/call.ts";
import type { Writes } from "../../runtime/writes.ts";
import type { Reply } from "../table/action.ts";
import { requireBandwidth } from "./load-balancer-settings.ts";
import { dealNameOf, newLoadBalancer } from "./new-load-balancer.ts";
import type { ClbPorts } from "./ports.ts";

export type CreateLoadBalancerPorts = Pick<ClbPorts, "tasks" | "clientTokens" | "vips" | "random" | "clock" | "limits"> & {
  readonly writes: Pick<Writes, "order">;
  readonly changes: Pick<AccountChanges, "addLoadBalancer">;
  readonly network: Pick<Network, "vpcs" | "subnets">;
};

/** Ids are given at once; the load balancers appear when the task succeeds. A ClientToken seen before gets the same answer. */
export function createLoadBalancers(
  request: clb.CreateLoadBalancerRequest,
  call: CallContext,
  ports: CreateLoadBalancerPorts,
): Reply<clb.CreateLoadBalancerResponse> {
  const { account, requestId } = call;
  const { clientTokens, tasks } = ports;
  requireShape(request);
  const token = request.ClientToken;
  const before = token === undefined ? undefined : clientTokens.get(token);
  if (before !== undefined) {
    if (tasks.find(before.taskId)?.status === 1)
      throw new CloudError(
        "InvalidParameter.ClientTokenLimitExceeded",
        `ClientToken ${token} has expired: its order ended without a load balancer`,
      );
    tasks.alias(requestId, before.taskId);
    return { LoadBalancerIds: [...before.loadBalancerIds], DealName: before.dealName };
  }
  requireNetwork(ports.network, request);
  const count = request.Number ?? 1;
  requireQuota(account, ports.limits, request.LoadBalancerType, count);
  const created = newLoadBalancers(request, count, account, ports);
  const loadBalancerIds = created.map(({ id }) => id);
  const dealName = dealNameOf(requestId, ports.clock.now());
  if (token !== undefined) clientTokens.set(token, { taskId: requestId, loadBalancerIds, dealName });
  for (const loadBalancer of created) account.ordered.add(loadBalancer);
  void deliver(created, call, ports);
  tasks.alias(dealName, requestId);
  return { LoadBalancerIds: loadBalancerIds, DealName: dealName };
}

/** What concerns several fields. Throws MissingParameter, InvalidParameterValue, .Range, UnsupportedOperation. */
function requireShape(request: clb.CreateLoadBalancerRequest): void {
  const { LoadBalancerType: type, AddressIPVersion: version = "IPV4", InternetAccessible: internet } = request;
  if (!/^(?:ipv4|ipv6|ipv6fullchain)$/i.test(version))
    throw badValue(`\`AddressIPVersion\` must be one of IPV4, IPV6, IPv6FullChain, got ${version}`);
  if (type === "INTERNAL" && (request.VpcId === undefined || request.SubnetId === undefined))
    throw missing("an INTERNAL load balancer needs `VpcId` and `SubnetId`");
  if (type === "INTERNAL" && version.toLowerCase() === "ipv6")
    throw badValue("`AddressIPVersion` IPV6 (NAT64) is for public load balancers");
  if (version.toLowerCase() === "ipv6fullchain" && request.SubnetId === undefined)
    throw missing("an IPv6FullChain load balancer needs `SubnetId`");
  if (version.toLowerCase() === "ipv6fullchain" && request.LoadBalancerPassToTarget === false)
    throw badValue("`LoadBalancerPassToTarget` of an IPv6FullChain load balancer is always true, got false");
  const tags = (request.Tags ?? []).map(({ TagKey }) => TagKey);
  if (new Set(tags).size < tags.length) throw new CloudError("InvalidParameterValue.Duplicate", "`Tags` names a key twice");
  if (request.SlaveZoneId !== undefined && request.SlaveZoneId === (request.MasterZoneId ?? request.ZoneId))
    throw badValue(`\`SlaveZoneId\` must be another zone than ${request.SlaveZoneId}`);
  if (type === "OPEN" && request.SubnetId !== undefined && version.toLowerCase() !== "ipv6fullchain")
    throw badValue("`SubnetId` is not for public IPv4 load balancers: their address comes from no subnet");
  if (request.ClientToken !== undefined && !/^[\x20-\x7e]+$/.test(request.ClientToken)) throw badValue("`ClientToken` must be ASCII");
  requireBandwidth(internet, request.SlaType ?? "");
  for (const name of ["VipIsp", "BandwidthPackageId"] as const)
    if (request[name] !== undefined && request[name] !== "BGP" && internet?.InternetChargeType !== "BANDWIDTH_PACKAGE")
      throw badValue(`\`${name}\` ${request[name]} needs \`InternetAccessible.InternetChargeType\` BANDWIDTH_PACKAGE`);
  if (request.LBChargeType === "PREPAID" && request.LBChargePrepaid === undefined)
    throw missing("`LBChargePrepaid` of a PREPAID load balancer");
}

/** Looked at only where somebody described the network. */
function requireNetwork(
  network: CreateLoadBalancerPorts["network"],
  { VpcId: vpcId, SubnetId: subnetId }: clb.CreateLoadBalancerRequest,
): void {
  if (vpcId !== undefined && network.vpcs.size > 0 && !network.vpcs.has(vpcId)) throw badValue(`VpcId ${vpcId} does not exist`);
  if (subnetId === undefined || network.subnets.size === 0) return;
  const subnet = network.subnets.get(subnetId);
  if (subnet === undefined) throw badValue(`SubnetId ${subnetId} does not exist`);
  if (subnet.vpcId !== vpcId) throw badValue(`SubnetId ${subnetId} is in ${subnet.vpcId}, not in ${vpcId}`);
}

/** Runs the order to its end; an address that found no use becomes free again. Never rejects. */
async function deliver(
  created: readonly LoadBalancerRecord[],
  call: CallContext,
  { writes, changes, vips }: CreateLoadBalancerPorts,
): Promise<void> {
  const { account } = call;
  const task = await writes.order(call, {
    loadBalancers: created,
    apply: () => {
      for (const loadBalancer of created) {
        account.ordered.delete(loadBalancer);
        changes.addLoadBalancer(loadBalancer);
      }
    },
  });
  for (const loadBalancer of created) {
    account.ordered.delete(loadBalancer);
    if (task.status === 1 && !account.loadBalancers.has(loadBalancer.id)) vips.release(loadBalancer.vip);
  }
}

function requireQuota({ loadBalancers, ordered }: Account, limits: ClbPorts["limits"], type: string, more: number): void {
  const limit = type === "OPEN" ? limits.openLoadBalancers : limits.internalLoadBalancers;
  const has = [...loadBalancers.values(), ...ordered].filter((one) => one.type === type).length;
  if (has + more > limit)
    throw new CloudError("LimitExceeded", `${type} load balancers: ${has} exist, ${more} more would exceed the quota of ${limit}`);
}

/** All or none: what was taken is given back if there are not addresses enough. */
function newLoadBalancers(
  request: clb.CreateLoadBalancerRequest,
  count: number,
  account: Account,
  ports: CreateLoadBalancerPorts,
): readonly LoadBalancerRecord[] {
  const created: LoadBalancerRecord[] = [];
  try {
    while (created.length < count) created.push(newLoadBalancer(request, account, ports));
  } catch (error) {
    for (const { vip } of created) ports.vips.release(vip);
    throw error;
  }
  return created;
}
