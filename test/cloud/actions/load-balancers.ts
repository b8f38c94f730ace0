import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { addLoadBalancer, type CallContext, type Core, removeLoadBalancer, startTask } from "../core.ts";
import { CloudError } from "../errors.ts";
import type { Limits } from "../options.ts";
import { newId } from "../random.ts";
import { type LoadBalancerRecord, requireLoadBalancer, targetCount } from "../state.ts";
import {
  type ActionTable,
  type Answer,
  cloudTime,
  filters,
  flag,
  integer,
  read,
  requiredText,
  text,
  texts,
  unused,
  write,
} from "./action.ts";

/** Limits and defaults: clb-api.md §2.1. */
export const loadBalancerActions = (limits: Limits): ActionTable => ({
  CreateLoadBalancer: write<clb.CreateLoadBalancerRequest, clb.CreateLoadBalancerResponse>({
    fields: {
      LoadBalancerType: { type: "string", required: true, oneOf: ["OPEN", "INTERNAL"] },
      Forward: { type: "integer", oneOf: [1] },
      LoadBalancerName: { type: "string", min: 1, max: 80 },
      VpcId: text,
      SubnetId: text,
      ProjectId: integer,
      AddressIPVersion: { type: "string", oneOf: ["IPV4"] },
      Number: { type: "integer", min: 1, max: 20 },
      Tags: {
        type: "array",
        max: limits.tagsPerLoadBalancer,
        of: { type: "object", fields: { TagKey: requiredText, TagValue: { type: "string", required: true } } },
      },
      Vip: text,
      ClientToken: { type: "string", min: 1, max: 64 },
      LoadBalancerPassToTarget: flag,
      MasterZoneId: unused,
      ZoneId: unused,
      InternetAccessible: unused,
      VipIsp: unused,
      BandwidthPackageId: unused,
      ExclusiveCluster: unused,
      SlaType: unused,
      ClusterIds: unused,
      SnatPro: unused,
      SnatIps: unused,
      ClusterTag: unused,
      SlaveZoneId: unused,
      EipAddressId: unused,
      DynamicVip: unused,
      Egress: unused,
      LBChargePrepaid: unused,
      LBChargeType: unused,
      AccessLogTopicId: unused,
      AdvancedRoute: unused,
      AvailableZoneAffinityInfo: unused,
    },
    run: createLoadBalancers,
  }),

  DeleteLoadBalancer: write<clb.DeleteLoadBalancerRequest, clb.DeleteLoadBalancerResponse>({
    fields: {
      LoadBalancerIds: { type: "array", required: true, min: 1, max: limits.deleteLoadBalancers, of: text },
      ForceDelete: flag,
    },
    run: (request, call) => {
      const { account, tasks } = call.core;
      const loadBalancers = [...new Set(request.LoadBalancerIds)].map((id) => requireLoadBalancer(account, id));
      tasks.requireFree(loadBalancers);
      const risky = loadBalancers.find((loadBalancer) => targetCount(loadBalancer) >= limits.deleteGuardTargets);
      if (risky !== undefined && request.ForceDelete !== true)
        throw new CloudError(
          "FailedOperation.TargetNumCheckRisk",
          `${risky.id} has ${targetCount(risky)} backends; unbind them or set ForceDelete`,
        );
      startTask(call, {
        loadBalancers,
        apply: async () => void (await Promise.all(loadBalancers.map((loadBalancer) => removeLoadBalancer(call.core, loadBalancer)))),
      });
      return {};
    },
  }),

  DescribeLoadBalancers: read<clb.DescribeLoadBalancersRequest, clb.DescribeLoadBalancersResponse>({
    fields: {
      LoadBalancerIds: texts(limits.describeLoadBalancers),
      LoadBalancerType: text,
      LoadBalancerName: text,
      LoadBalancerVips: texts(),
      Offset: { type: "integer", min: 0 },
      Limit: { type: "integer", min: 1, max: 100 },
      VpcId: text,
      Filters: filters,
      Forward: unused,
      Domain: unused,
      BackendPublicIps: unused,
      BackendPrivateIps: unused,
      OrderBy: unused,
      OrderType: unused,
      SearchKey: unused,
      ProjectId: unused,
      WithRs: unused,
      SecurityGroup: unused,
      MasterZone: unused,
      AdditionalFields: unused,
    },
    run: (request, { core }) => {
      const found = [...core.account.loadBalancers.values()].filter((loadBalancer) => matches(loadBalancer, request));
      const offset = request.Offset ?? 0;
      return {
        TotalCount: found.length,
        LoadBalancerSet: found.slice(offset, offset + (request.Limit ?? 20)).map((one) => show(one, core)),
      };
    },
  }),

  DescribeTaskStatus: read<clb.DescribeTaskStatusRequest, clb.DescribeTaskStatusResponse>({
    fields: { TaskId: text, DealName: text },
    run: (request, { core }) => {
      if (request.TaskId === undefined && request.DealName === undefined)
        throw new CloudError("MissingParameter", "The request is missing a required parameter: one of `TaskId` and `DealName`.");
      const task = core.tasks.find(request.TaskId ?? request.DealName ?? "");
      // What the service says here is not known (clb-api.md §9).
      if (task === undefined) throw new CloudError("InvalidParameterValue", `TaskId ${request.TaskId ?? request.DealName} not found`);
      return {
        Status: task.status,
        LoadBalancerIds: task.action === "CreateLoadBalancer" ? [...task.loadBalancerIds] : [],
        Message: task.message,
      };
    },
  }),

  DescribeQuota: read<Record<string, never>, clb.DescribeQuotaResponse>({
    fields: {},
    run: (_request, { core }) => {
      const count = (type: string): number => [...core.account.loadBalancers.values()].filter((one) => one.type === type).length;
      return {
        QuotaSet: [
          quota("TOTAL_OPEN_CLB_QUOTA", limits.openLoadBalancers, count("OPEN")),
          quota("TOTAL_INTERNAL_CLB_QUOTA", limits.internalLoadBalancers, count("INTERNAL")),
          quota("TOTAL_LISTENER_QUOTA", limits.listenersPerLoadBalancer),
          quota("TOTAL_LISTENER_RULE_QUOTA", limits.rulesPerListener),
          quota("TOTAL_TARGET_BIND_QUOTA", limits.targetsPerPlace),
          quota("TOTAL_SNAT_IP_QUOTA", 10),
          quota("TOTAL_ISP_CLB_QUOTA", 15),
          quota("TOTAL_FULL_PORT_RANGE_LISTENER_QUOTA", 1),
        ],
      };
    },
  }),
});

const quota = (QuotaId: string, QuotaLimit: number, QuotaCurrent: number | null = null) => ({ QuotaId, QuotaCurrent, QuotaLimit });

/** Ids are given at once; the load balancers appear when the task succeeds. A ClientToken seen before gets the same answer. */
function createLoadBalancers(request: clb.CreateLoadBalancerRequest, call: CallContext): Answer<clb.CreateLoadBalancerResponse> {
  const { core, requestId } = call;
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
  if (request.LoadBalancerType === "INTERNAL" && (request.VpcId === undefined || request.SubnetId === undefined))
    throw new CloudError(
      "MissingParameter",
      "The request is missing a required parameter: an INTERNAL load balancer needs `VpcId` and `SubnetId`.",
    );
  const count = request.Number ?? 1;
  requireQuota(core, request.LoadBalancerType, count);
  const created = Array.from({ length: count }, () => newLoadBalancer(core, request));
  const loadBalancerIds = created.map(({ id }) => id);
  if (token !== undefined) core.clientTokens.set(token, { taskId: requestId, loadBalancerIds });
  for (const loadBalancer of created) core.account.ordered.add(loadBalancer);
  void deliver(call, created);
  return { LoadBalancerIds: loadBalancerIds, DealName: requestId };
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
    if (task.status === 1) core.vips.release(loadBalancer.vip);
  }
}

function requireQuota(core: Core, type: string, more: number): void {
  const limit = type === "OPEN" ? core.settings.limits.openLoadBalancers : core.settings.limits.internalLoadBalancers;
  const { loadBalancers, ordered } = core.account;
  const has = [...loadBalancers.values(), ...ordered].filter((one) => one.type === type).length;
  if (has + more > limit)
    throw new CloudError("LimitExceeded", `${type} load balancers: ${has} exist, ${more} more would exceed the quota of ${limit}`);
}

/** A load balancer with its address; nobody sees it before `addLoadBalancer`. */
export function newLoadBalancer(core: Core, request: clb.CreateLoadBalancerRequest): LoadBalancerRecord {
  const id = newId("lb", core.random);
  return {
    id,
    name: request.LoadBalancerName ?? id,
    type: request.LoadBalancerType === "INTERNAL" ? "INTERNAL" : "OPEN",
    vip: core.vips.take(request.Vip),
    vpcId: request.VpcId ?? "vpc-default",
    subnetId: request.SubnetId ?? "",
    projectId: request.ProjectId ?? 0,
    createdMs: core.clock.now(),
    tags: new Map((request.Tags ?? []).map(({ TagKey, TagValue }) => [TagKey, TagValue])),
    listeners: new Map(),
    lock: undefined,
    overlaps: 0,
  };
}

/** Filters are ANDed, the values of one ORed. Throws InvalidParameter.InvalidFilter for a filter unknown here. */
function matches(loadBalancer: LoadBalancerRecord, request: clb.DescribeLoadBalancersRequest): boolean {
  const byTag = (request.Filters ?? []).every(({ Name, Values }) => {
    if (Name === "tag-key") return Values.some((key) => loadBalancer.tags.has(key));
    if (!Name.startsWith("tag:")) throw new CloudError("InvalidParameter.InvalidFilter", `filter ${Name} is not known`);
    return Values.includes(loadBalancer.tags.get(Name.slice("tag:".length)) ?? "\0");
  });
  const { LoadBalancerIds: ids = [], LoadBalancerVips: vips = [], LoadBalancerType: type, LoadBalancerName: name, VpcId: vpc } = request;
  return (
    byTag &&
    (ids.length === 0 || ids.includes(loadBalancer.id)) &&
    (vips.length === 0 || vips.includes(loadBalancer.vip)) &&
    (type === undefined || type === loadBalancer.type) &&
    (name === undefined || loadBalancer.name.includes(name)) &&
    (vpc === undefined || vpc === loadBalancer.vpcId)
  );
}

function show(loadBalancer: LoadBalancerRecord, core: Core): Answer<clb.LoadBalancer> {
  const created = cloudTime(loadBalancer.createdMs);
  return {
    LoadBalancerId: loadBalancer.id,
    LoadBalancerName: loadBalancer.name,
    LoadBalancerType: loadBalancer.type,
    Forward: 1,
    Domain: "",
    LoadBalancerVips: [loadBalancer.vip],
    Status: 1,
    CreateTime: created,
    StatusTime: created,
    ProjectId: loadBalancer.projectId,
    VpcId: loadBalancer.vpcId,
    SubnetId: loadBalancer.subnetId,
    NumericalVpcId: 1,
    OpenBgp: 0,
    Snat: false,
    Isolation: 0,
    Log: null,
    Tags: [...loadBalancer.tags].map(([TagKey, TagValue]) => ({ TagKey, TagValue })),
    TargetRegionInfo: { Region: core.settings.region, VpcId: loadBalancer.vpcId },
    SecureGroups: [],
    AddressIPVersion: "ipv4",
    AddressIPv6: null,
    IPv6Mode: null,
    LoadBalancerPassToTarget: false,
    SnatPro: false,
    SnatIps: [],
    SlaType: null,
    AttributeFlags: [],
    LoadBalancerDomain: null,
    TargetCount: targetCount(loadBalancer),
    Egress: null,
  };
}
