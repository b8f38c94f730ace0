import type {
  BatchDeregisterTargetsRequest,
  BatchDeregisterTargetsResponse,
  BatchModifyTargetWeightRequest,
  BatchRegisterTargetsRequest,
  BatchRegisterTargetsResponse,
  CreateListenerRequest,
  CreateListenerResponse,
  CreateLoadBalancerRequest,
  CreateLoadBalancerResponse,
  CreateRuleRequest,
  CreateRuleResponse,
  DeleteLoadBalancerListenersRequest,
  DeleteLoadBalancerRequest,
  DeleteRuleRequest,
  ModifyDomainAttributesRequest,
  ModifyListenerRequest,
  ModifyLoadBalancerAttributesRequest,
  ModifyRuleRequest,
  SetLoadBalancerSecurityGroupsRequest,
} from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { CLUSTER_TAG, OWNER_TAG } from "../../common/names.ts";
import type { Call, DomainChange, ListenerChange, NewListeners, NewRules } from "../domain/call.ts";
import {
  type BoundSlot,
  isLayer7,
  type LoadBalancerOrder,
  type LoadBalancerSettings,
  type PlaceId,
  type PlaceWish,
  type Slot,
  type WeightedSlot,
} from "../domain/load-balancer.ts";
import { weightEntries } from "../domain/plan/fill-calls.ts";
import { type ClbCall, withCall } from "./clb-call.ts";
import { ClbApiError, TASK_FAILED } from "./clb-error.ts";
import { certificateIn, placeIn, scheduling, toCloud } from "./clb-models.ts";
import { deleteRedirects, makeRedirects } from "./clb-redirects.ts";

/** `message` is the cloud's reason, empty if it gives none. */
export type FailedListeners = { readonly listenerIds: readonly string[]; readonly message: string };
export type NewLoadBalancer = {
  readonly name: string;
  readonly clientToken: string;
  readonly clusterId: string;
  readonly ownerUid: string;
  readonly vpcId: string | undefined;
  /** Given: a private load balancer in that subnet. */
  readonly subnetId: string | undefined;
  /** More parameters, by the cloud's own names; default: none. */
  readonly order?: LoadBalancerOrder;
};

/** The cloud's action that makes a call of a plan. */
export function actionOf(call: Call): string {
  switch (call.lane) {
    case "bind":
      return "BatchRegisterTargets";
    case "conflict":
    case "unbind":
      return "BatchDeregisterTargets";
    case "drain":
      return "BatchModifyTargetWeight";
    case "tune":
      if ("weights" in call) return "BatchModifyTargetWeight";
      if ("domain" in call) return "ModifyDomainAttributes";
      return "rename" in call || "listener" in call || call.locationId === undefined ? "ModifyListener" : "ModifyRule";
    case "structure":
      if ("loadBalancer" in call)
        return call.loadBalancer.securityGroups === undefined ? "ModifyLoadBalancerAttributes" : "SetLoadBalancerSecurityGroups";
      if ("redirects" in call) return "ManualRewrite";
      return "create" in call ? "CreateListener" : "CreateRule";
    case "delete":
      if ("redirects" in call) return "DeleteRewrite";
      return "listenerIds" in call ? "DeleteLoadBalancerListeners" : "DeleteRule";
    default:
      return call satisfies never;
  }
}

/** The calls that write. Each resolves when its task is over; an ambiguous ClbApiError says that the write may have taken effect. */
export function makeClbWrites(clb: ClbCall) {
  const over = withCall(clb);
  return {
    createLoadBalancer: over(createLoadBalancer),
    deleteLoadBalancer: over(deleteLoadBalancer),
    setLoadBalancer: over(setLoadBalancer),
    createListeners: over(createListeners),
    createRules: over(createRules),
    modifyPlace: over(modifyPlace),
    renameListener: over(renameListener),
    modifyListener: over(modifyListener),
    modifyDomain: over(modifyDomain),
    deleteListeners: over(deleteListeners),
    deleteRules: over(deleteRules),
    makeRedirects: over(makeRedirects),
    deleteRedirects: over(deleteRedirects),
    bind: over(bind),
    unbind: over(unbind),
    setWeights: over(setWeights),
  };
}

/** Idempotent by `clientToken` (at most 64 ASCII characters). Resolves with the id when the load balancer runs. */
async function createLoadBalancer(clb: ClbCall, wish: NewLoadBalancer, signal: AbortSignal): Promise<string> {
  const request: CreateLoadBalancerRequest = {
    LoadBalancerType: wish.subnetId === undefined ? "OPEN" : "INTERNAL",
    Forward: 1,
    LoadBalancerName: wish.name,
    ClientToken: wish.clientToken,
    ...(wish.vpcId !== undefined && { VpcId: wish.vpcId }),
    ...(wish.subnetId !== undefined && { SubnetId: wish.subnetId }),
    ...wish.order,
    Tags: [...tagsIn(wish.order), { TagKey: CLUSTER_TAG, TagValue: wish.clusterId }, { TagKey: OWNER_TAG, TagValue: wish.ownerUid }],
  };
  const answer = await clb.call<CreateLoadBalancerRequest, CreateLoadBalancerResponse>("CreateLoadBalancer", request, signal);
  const fromTask = await clb.settle("CreateLoadBalancer", 1, answer.RequestId, signal);
  const id = fromTask[0] ?? answer.LoadBalancerIds?.map(String)[0];
  if (id === undefined) {
    const failed = { action: "CreateLoadBalancer", code: TASK_FAILED, requestId: answer.RequestId ?? "" };
    throw new ClbApiError(failed, "the task ended without a load balancer", { kind: "retry" }, true);
  }
  return id;
}

/** Those that a user ordered, besides ours. */
function tagsIn(order: LoadBalancerOrder | undefined): { TagKey: string; TagValue: string }[] {
  const tags: unknown = order?.["Tags"];
  return Array.isArray(tags)
    ? tags.map((tag: unknown) => ({ TagKey: String(Object(tag).TagKey), TagValue: String(Object(tag).TagValue) }))
    : [];
}

/** Changes the load balancer itself: its security groups (a call of their own), or other settings. */
async function setLoadBalancer(
  clb: ClbCall,
  loadBalancerId: string,
  settings: Partial<LoadBalancerSettings>,
  signal: AbortSignal,
): Promise<void> {
  const { securityGroups, passToTarget, deleteProtect, bandwidthMbps } = settings;
  if (securityGroups !== undefined) {
    const request: SetLoadBalancerSecurityGroupsRequest = { LoadBalancerId: loadBalancerId, SecurityGroups: [...securityGroups] };
    await clb.call<SetLoadBalancerSecurityGroupsRequest, object>("SetLoadBalancerSecurityGroups", request, signal);
    return;
  }
  const request: ModifyLoadBalancerAttributesRequest = {
    LoadBalancerId: loadBalancerId,
    ...(passToTarget !== undefined && { LoadBalancerPassToTarget: passToTarget }),
    ...(deleteProtect !== undefined && { DeleteProtect: deleteProtect }),
    ...(bandwidthMbps !== undefined && { InternetChargeInfo: { InternetMaxBandwidthOut: bandwidthMbps } }),
  };
  const answer = await clb.call<ModifyLoadBalancerAttributesRequest, { RequestId?: string }>(
    "ModifyLoadBalancerAttributes",
    request,
    signal,
  );
  await clb.settle("ModifyLoadBalancerAttributes", 1, answer.RequestId, signal);
}

async function deleteLoadBalancer(clb: ClbCall, loadBalancerId: string, signal: AbortSignal): Promise<void> {
  const answer = await clb.call<DeleteLoadBalancerRequest, { RequestId?: string }>(
    "DeleteLoadBalancer",
    { LoadBalancerIds: [loadBalancerId] },
    signal,
  );
  await clb.settle("DeleteLoadBalancer", 1, answer.RequestId, signal);
}

/** Ids in the order of `create.listeners`. */
async function createListeners(
  clb: ClbCall,
  loadBalancerId: string,
  create: NewListeners,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const request: CreateListenerRequest = {
    LoadBalancerId: loadBalancerId,
    Ports: create.listeners.map(({ port }) => port),
    ListenerNames: create.listeners.map(({ name }) => name),
    Protocol: create.protocol,
    // Layer 7 has both per rule.
    ...(!isLayer7(create.protocol) && { HealthCheck: toCloud(create.healthCheck), ...scheduling(create) }),
    // Every domain has a certificate of its own: SNI cannot be switched off, and need not be switched on later.
    ...(create.protocol === "HTTPS" ? { SniSwitch: 1 } : certificateIn(create.certificate)),
    ...(create.keepalive !== undefined && { KeepaliveEnable: Number(create.keepalive) }),
  };
  const answer = await clb.call<CreateListenerRequest, CreateListenerResponse>("CreateListener", request, signal);
  await clb.settle("CreateListener", create.listeners.length, answer.RequestId, signal);
  return (answer.ListenerIds ?? []).map(String);
}

/** Ids in the order of `create.rules`. */
async function createRules(clb: ClbCall, loadBalancerId: string, create: NewRules, signal: AbortSignal): Promise<readonly string[]> {
  const request: CreateRuleRequest = {
    LoadBalancerId: loadBalancerId,
    ListenerId: create.listenerId,
    Rules: create.rules.map((rule) => ({
      Domain: rule.domain,
      Url: rule.url,
      HealthCheck: toCloud(rule.healthCheck),
      ...scheduling(rule),
      ...certificateIn(rule.certificate),
      ...(rule.http2 !== undefined && { Http2: rule.http2 }),
    })),
  };
  const answer = await clb.call<CreateRuleRequest, CreateRuleResponse>("CreateRule", request, signal);
  await clb.settle("CreateRule", create.rules.length, answer.RequestId, signal);
  return (answer.LocationIds ?? []).map(String);
}

/** Changes a listener of layer 4 or a rule. */
async function modifyPlace(clb: ClbCall, loadBalancerId: string, place: PlaceId, wish: PlaceWish, signal: AbortSignal): Promise<void> {
  const { listenerId, locationId } = place;
  const common = {
    LoadBalancerId: loadBalancerId,
    ListenerId: listenerId,
    HealthCheck: toCloud(wish.healthCheck),
    ...scheduling(wish),
  };
  if (locationId === undefined) {
    const answer = await clb.call<ModifyListenerRequest, { RequestId?: string }>("ModifyListener", common, signal);
    return void (await clb.settle("ModifyListener", 1, answer.RequestId, signal));
  }
  const request: ModifyRuleRequest = { ...common, LocationId: locationId };
  const answer = await clb.call<ModifyRuleRequest, { RequestId?: string }>("ModifyRule", request, signal);
  await clb.settle("ModifyRule", 1, answer.RequestId, signal);
}

async function renameListener(
  clb: ClbCall,
  loadBalancerId: string,
  { listenerId, name }: { readonly listenerId: string; readonly name: string },
  signal: AbortSignal,
): Promise<void> {
  const request: ModifyListenerRequest = { LoadBalancerId: loadBalancerId, ListenerId: listenerId, ListenerName: name };
  const answer = await clb.call<ModifyListenerRequest, { RequestId?: string }>("ModifyListener", request, signal);
  await clb.settle("ModifyListener", 1, answer.RequestId, signal);
}

/** Changes a listener apart from its place. */
async function modifyListener(clb: ClbCall, loadBalancerId: string, change: ListenerChange, signal: AbortSignal): Promise<void> {
  const { listenerId, certificate, keepalive } = change;
  const request: ModifyListenerRequest = {
    LoadBalancerId: loadBalancerId,
    ListenerId: listenerId,
    ...certificateIn(certificate),
    ...(keepalive !== undefined && { KeepaliveEnable: Number(keepalive) }),
  };
  const answer = await clb.call<ModifyListenerRequest, { RequestId?: string }>("ModifyListener", request, signal);
  await clb.settle("ModifyListener", 1, answer.RequestId, signal);
}

/** Changes what all rules of a domain have in common. */
async function modifyDomain(clb: ClbCall, loadBalancerId: string, change: DomainChange, signal: AbortSignal): Promise<void> {
  const { listenerId, domain, certificate, http2, isDefault } = change;
  const request: ModifyDomainAttributesRequest = {
    LoadBalancerId: loadBalancerId,
    ListenerId: listenerId,
    Domain: domain,
    ...certificateIn(certificate),
    ...(http2 !== undefined && { Http2: http2 }),
    ...(isDefault && { DefaultServer: true }),
  };
  const answer = await clb.call<ModifyDomainAttributesRequest, { RequestId?: string }>("ModifyDomainAttributes", request, signal);
  await clb.settle("ModifyDomainAttributes", 1, answer.RequestId, signal);
}

async function deleteListeners(clb: ClbCall, loadBalancerId: string, listenerIds: readonly string[], signal: AbortSignal): Promise<void> {
  // An empty list would mean every listener of the load balancer, also foreign ones (clb-api.md §2.2).
  if (listenerIds.length === 0) throw new RangeError("deleteListeners needs at least one listener id");
  const request: DeleteLoadBalancerListenersRequest = { LoadBalancerId: loadBalancerId, ListenerIds: [...listenerIds] };
  const answer = await clb.call<DeleteLoadBalancerListenersRequest, { RequestId?: string }>("DeleteLoadBalancerListeners", request, signal);
  await clb.settle("DeleteLoadBalancerListeners", listenerIds.length, answer.RequestId, signal);
}

async function deleteRules(
  clb: ClbCall,
  loadBalancerId: string,
  listenerId: string,
  locationIds: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (locationIds.length === 0) throw new RangeError("deleteRules needs at least one rule id");
  const request: DeleteRuleRequest = { LoadBalancerId: loadBalancerId, ListenerId: listenerId, LocationIds: [...locationIds] };
  const answer = await clb.call<DeleteRuleRequest, { RequestId?: string }>("DeleteRule", request, signal);
  await clb.settle("DeleteRule", locationIds.length, answer.RequestId, signal);
}

/** Resolves with the listeners of which the cloud did not bind every target; empty if it bound all. */
async function bind(clb: ClbCall, loadBalancerId: string, targets: readonly BoundSlot[], signal: AbortSignal): Promise<FailedListeners> {
  const request: BatchRegisterTargetsRequest = {
    LoadBalancerId: loadBalancerId,
    Targets: targets.map((slot) => ({ ...placeIn(slot), EniIp: slot.ip, Port: slot.port, Weight: slot.weight })),
  };
  const action = "BatchRegisterTargets";
  const answer = await clb.call<BatchRegisterTargetsRequest, BatchRegisterTargetsResponse>(action, request, signal);
  await clb.endBatch({ action, loadBalancerId, items: targets.length, taskId: answer.RequestId }, signal);
  return { listenerIds: (answer.FailListenerIdSet ?? []).map(String), message: answer.Message ?? "" };
}

/** Resolves with the listeners of which the cloud did not unbind every target; empty if it unbound all. */
async function unbind(clb: ClbCall, loadBalancerId: string, slots: readonly Slot[], signal: AbortSignal): Promise<FailedListeners> {
  const request: BatchDeregisterTargetsRequest = {
    LoadBalancerId: loadBalancerId,
    Targets: slots.map((slot) => ({ ...placeIn(slot), EniIp: slot.ip, Port: slot.port })),
  };
  const action = "BatchDeregisterTargets";
  const answer = await clb.call<BatchDeregisterTargetsRequest, BatchDeregisterTargetsResponse>(action, request, signal);
  await clb.endBatch({ action, loadBalancerId, items: slots.length, taskId: answer.RequestId }, signal);
  return { listenerIds: (answer.FailListenerIdSet ?? []).map(String), message: answer.Message ?? "" };
}

async function setWeights(clb: ClbCall, loadBalancerId: string, weights: readonly WeightedSlot[], signal: AbortSignal): Promise<void> {
  const request: BatchModifyTargetWeightRequest = {
    LoadBalancerId: loadBalancerId,
    ModifyList: weightEntries(weights).flatMap((entry) => {
      const [first] = entry;
      const targets = entry.map(({ ip, port, weight }) => ({ EniIp: ip, Port: port, Weight: weight }));
      return first === undefined ? [] : [{ ...placeIn(first), Weight: first.weight, Targets: targets }];
    }),
  };
  const answer = await clb.call<BatchModifyTargetWeightRequest, { RequestId?: string }>("BatchModifyTargetWeight", request, signal);
  await clb.settle("BatchModifyTargetWeight", weights.length, answer.RequestId, signal);
}
