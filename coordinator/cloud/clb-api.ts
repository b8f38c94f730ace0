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
  DescribeListenersRequest,
  DescribeListenersResponse,
  DescribeLoadBalancersRequest,
  DescribeLoadBalancersResponse,
  DescribeQuotaResponse,
  DescribeTargetHealthRequest,
  DescribeTargetHealthResponse,
  DescribeTargetsRequest,
  DescribeTargetsResponse,
  ModifyListenerRequest,
  ModifyRuleRequest,
} from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { CLUSTER_TAG, OWNER_TAG } from "../../common/names.ts";
import type { NewListeners, NewRules } from "../domain/call.ts";
import { chunks } from "../domain/chunks.ts";
import {
  type BoundSlot,
  type HealthState,
  isLayer7,
  type Listener,
  type LoadBalancerFacts,
  type PlaceId,
  type PlaceWish,
  placeKey,
  type Slot,
  slotKey,
  type Target,
  type WeightedSlot,
} from "../domain/load-balancer.ts";
import { weightEntries } from "../domain/plan/fill-calls.ts";
import type { Quotas } from "../domain/plan/quota-forecast.ts";
import { ClbCall, type ClbCallDeps } from "./clb-call.ts";
import { ClbApiError, TASK_FAILED } from "./clb-error.ts";
import { bareListener, factsOf, healthState, placeFrom, placeIn, scheduling, targetsOf, toCloud } from "./clb-models.ts";
import { ReadBatcher } from "./read-batcher.ts";

/** Pages and lists. Source: clb-api.md §2.1 to §2.3. */
const PAGE = { loadBalancers: 100, loadBalancerIds: 20, targetListeners: 20, healthLoadBalancers: 30 } as const;

/** One method per action in use. Every method rejects with ClbApiError, or with the signal's reason. Writes resolve when their task is over. */
export type ClbApi = ReturnType<typeof makeClbApi>;

export function makeClbApi(deps: ClbCallDeps) {
  const clb = new ClbCall(deps);

  const ownLoadBalancers = async (clusterId: string, signal: AbortSignal): Promise<LoadBalancerFacts[]> => {
    const found: LoadBalancerFacts[] = [];
    const Filters = [{ Name: `tag:${CLUSTER_TAG}`, Values: [clusterId] }];
    for (let offset = 0; ; offset += PAGE.loadBalancers) {
      const page = { Filters, Offset: offset, Limit: PAGE.loadBalancers };
      const answer = await clb.call<DescribeLoadBalancersRequest, DescribeLoadBalancersResponse>("DescribeLoadBalancers", page, signal);
      const set = answer.LoadBalancerSet ?? [];
      found.push(...set.map(factsOf));
      if (set.length < PAGE.loadBalancers) return found;
    }
  };
  const facts = new ReadBatcher<LoadBalancerFacts>({
    most: PAGE.loadBalancerIds,
    isRefusal: (err) => err instanceof ClbApiError && err.call.code.startsWith("InvalidParameter"),
    read: async (ids, signal) => {
      const request = (): DescribeLoadBalancersRequest => ({ LoadBalancerIds: [...ids()], Limit: PAGE.loadBalancerIds });
      const { answer } = await clb.timed<DescribeLoadBalancersRequest, DescribeLoadBalancersResponse>(
        "DescribeLoadBalancers",
        request,
        signal,
      );
      return new Map((answer.LoadBalancerSet ?? []).map((one) => [one.LoadBalancerId ?? "", factsOf(one)]));
    },
  });

  return {
    async quotas(signal: AbortSignal): Promise<Quotas> {
      const answer = await clb.call<object, DescribeQuotaResponse>("DescribeQuota", {}, signal);
      const limit = (id: string): number | undefined => answer.QuotaSet?.find(({ QuotaId }) => QuotaId === id)?.QuotaLimit ?? undefined;
      return {
        listenersPerLoadBalancer: limit("TOTAL_LISTENER_QUOTA"),
        rulesPerListener: limit("TOTAL_LISTENER_RULE_QUOTA"),
        targetsPerPlace: limit("TOTAL_TARGET_BIND_QUOTA"),
      };
    },

    /** Undefined if there is no such load balancer. Up to 20 that are asked for at the same time share a call. */
    loadBalancer: (loadBalancerId: string, signal: AbortSignal): Promise<LoadBalancerFacts | undefined> =>
      facts.ask(loadBalancerId, signal),

    /** Load balancers that this cluster created, by their tags. */
    ownLoadBalancers,

    /** Idempotent by `clientToken` (at most 64 ASCII characters). Resolves with the id when the load balancer runs. */
    async createLoadBalancer(wish: NewLoadBalancer, signal: AbortSignal): Promise<string> {
      const request: CreateLoadBalancerRequest = {
        LoadBalancerType: wish.subnetId === undefined ? "OPEN" : "INTERNAL",
        Forward: 1,
        LoadBalancerName: wish.name,
        ClientToken: wish.clientToken,
        ...(wish.vpcId !== undefined && { VpcId: wish.vpcId }),
        ...(wish.subnetId !== undefined && { SubnetId: wish.subnetId }),
        Tags: [
          { TagKey: CLUSTER_TAG, TagValue: wish.clusterId },
          { TagKey: OWNER_TAG, TagValue: wish.ownerUid },
        ],
      };
      const answer = await clb.call<CreateLoadBalancerRequest, CreateLoadBalancerResponse>("CreateLoadBalancer", request, signal);
      const fromTask = await clb.settle("CreateLoadBalancer", 1, answer.RequestId, signal);
      const id = fromTask[0] ?? answer.LoadBalancerIds?.map(String)[0];
      if (id === undefined) {
        const failed = { action: "CreateLoadBalancer", code: TASK_FAILED, requestId: answer.RequestId ?? "" };
        throw new ClbApiError(failed, "the task ended without a load balancer", { kind: "retry" }, true);
      }
      return id;
    },

    async deleteLoadBalancer(loadBalancerId: string, signal: AbortSignal): Promise<void> {
      const answer = await clb.call<DeleteLoadBalancerRequest, { RequestId?: string }>(
        "DeleteLoadBalancer",
        { LoadBalancerIds: [loadBalancerId] },
        signal,
      );
      await clb.settle("DeleteLoadBalancer", 1, answer.RequestId, signal);
    },

    /**
     * All listeners with their rules, and the targets of those whose names `isWanted` picks: one look per 20 of them besides the list
     * itself. The others come without targets, whatever is bound there.
     */
    async listeners(loadBalancerId: string, isWanted: (listenerName: string) => boolean, signal: AbortSignal): Promise<Listener[]> {
      const answer = await clb.call<DescribeListenersRequest, DescribeListenersResponse>(
        "DescribeListeners",
        { LoadBalancerId: loadBalancerId },
        signal,
      );
      const bare = (answer.Listeners ?? []).map(bareListener);
      const targets = new Map<string, Target[]>();
      const wanted = bare.flatMap(({ listenerId, name }) => (isWanted(name) ? listenerId : []));
      for (const ids of chunks(wanted, PAGE.targetListeners)) {
        const part = await clb.call<DescribeTargetsRequest, DescribeTargetsResponse>(
          "DescribeTargets",
          { LoadBalancerId: loadBalancerId, ListenerIds: ids },
          signal,
        );
        for (const one of part.Listeners ?? []) {
          const listenerId = one.ListenerId ?? "";
          targets.set(listenerId, targetsOf(one.Targets));
          for (const rule of one.Rules ?? [])
            targets.set(placeKey({ listenerId, locationId: rule.LocationId ?? "" }), targetsOf(rule.Targets));
        }
      }
      const filled = <P extends PlaceId>(place: P) => ({ ...place, targets: targets.get(placeKey(place)) ?? [] });
      return bare.map((listener) => ({ ...filled(listener), rules: listener.rules.map(filled) }));
    },

    /** Ids in the order of `create.listeners`. */
    async createListeners(loadBalancerId: string, create: NewListeners, signal: AbortSignal): Promise<readonly string[]> {
      const request: CreateListenerRequest = {
        LoadBalancerId: loadBalancerId,
        Ports: create.listeners.map(({ port }) => port),
        ListenerNames: create.listeners.map(({ name }) => name),
        Protocol: create.protocol,
        // Layer 7 has both per rule.
        ...(!isLayer7(create.protocol) && { HealthCheck: toCloud(create.healthCheck), ...scheduling(create) }),
      };
      const answer = await clb.call<CreateListenerRequest, CreateListenerResponse>("CreateListener", request, signal);
      await clb.settle("CreateListener", create.listeners.length, answer.RequestId, signal);
      return (answer.ListenerIds ?? []).map(String);
    },

    /** Ids in the order of `create.rules`. */
    async createRules(loadBalancerId: string, create: NewRules, signal: AbortSignal): Promise<readonly string[]> {
      const request: CreateRuleRequest = {
        LoadBalancerId: loadBalancerId,
        ListenerId: create.listenerId,
        Rules: create.rules.map((rule) => ({
          Domain: rule.domain,
          Url: rule.url,
          HealthCheck: toCloud(rule.healthCheck),
          ...scheduling(rule),
        })),
      };
      const answer = await clb.call<CreateRuleRequest, CreateRuleResponse>("CreateRule", request, signal);
      await clb.settle("CreateRule", create.rules.length, answer.RequestId, signal);
      return (answer.LocationIds ?? []).map(String);
    },

    /** Changes a listener of layer 4 or a rule. */
    async modifyPlace(loadBalancerId: string, place: PlaceId, wish: PlaceWish, signal: AbortSignal): Promise<void> {
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
    },

    async deleteListeners(loadBalancerId: string, listenerIds: readonly string[], signal: AbortSignal): Promise<void> {
      // An empty list would mean every listener of the load balancer, also foreign ones (clb-api.md §2.2).
      if (listenerIds.length === 0) throw new RangeError("deleteListeners needs at least one listener id");
      const request: DeleteLoadBalancerListenersRequest = { LoadBalancerId: loadBalancerId, ListenerIds: [...listenerIds] };
      const answer = await clb.call<DeleteLoadBalancerListenersRequest, { RequestId?: string }>(
        "DeleteLoadBalancerListeners",
        request,
        signal,
      );
      await clb.settle("DeleteLoadBalancerListeners", listenerIds.length, answer.RequestId, signal);
    },

    async deleteRules(loadBalancerId: string, listenerId: string, locationIds: readonly string[], signal: AbortSignal): Promise<void> {
      if (locationIds.length === 0) throw new RangeError("deleteRules needs at least one rule id");
      const request: DeleteRuleRequest = { LoadBalancerId: loadBalancerId, ListenerId: listenerId, LocationIds: [...locationIds] };
      const answer = await clb.call<DeleteRuleRequest, { RequestId?: string }>("DeleteRule", request, signal);
      await clb.settle("DeleteRule", locationIds.length, answer.RequestId, signal);
    },

    /** Resolves with the listeners whose targets were not (all) bound; empty if all is well. */
    async bind(loadBalancerId: string, targets: readonly BoundSlot[], signal: AbortSignal): Promise<FailedListeners> {
      const request: BatchRegisterTargetsRequest = {
        LoadBalancerId: loadBalancerId,
        Targets: targets.map((slot) => ({ ...placeIn(slot), EniIp: slot.ip, Port: slot.port, Weight: slot.weight })),
      };
      const action = "BatchRegisterTargets";
      const { answer, tookMs } = await clb.timed<BatchRegisterTargetsRequest, BatchRegisterTargetsResponse>(action, () => request, signal);
      await clb.endBatch({ action, items: targets.length, taskId: answer.RequestId, tookMs }, signal);
      return { listenerIds: (answer.FailListenerIdSet ?? []).map(String), message: answer.Message ?? "" };
    },

    /** Like `bind`. */
    async unbind(loadBalancerId: string, slots: readonly Slot[], signal: AbortSignal): Promise<FailedListeners> {
      const request: BatchDeregisterTargetsRequest = {
        LoadBalancerId: loadBalancerId,
        Targets: slots.map((slot) => ({ ...placeIn(slot), EniIp: slot.ip, Port: slot.port })),
      };
      const action = "BatchDeregisterTargets";
      const { answer, tookMs } = await clb.timed<BatchDeregisterTargetsRequest, BatchDeregisterTargetsResponse>(
        action,
        () => request,
        signal,
      );
      await clb.endBatch({ action, items: slots.length, taskId: answer.RequestId, tookMs }, signal);
      return { listenerIds: (answer.FailListenerIdSet ?? []).map(String), message: "" };
    },

    async setWeights(loadBalancerId: string, weights: readonly WeightedSlot[], signal: AbortSignal): Promise<void> {
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
    },

    /** Health by load balancer and slot key; at most 30 load balancers. A target that is not in the answer has no data. */
    async health(loadBalancerIds: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, ReadonlyMap<string, HealthState>>> {
      if (loadBalancerIds.length > PAGE.healthLoadBalancers)
        throw new RangeError(`at most ${PAGE.healthLoadBalancers} load balancers per call`);
      const answer = await clb.call<DescribeTargetHealthRequest, DescribeTargetHealthResponse>(
        "DescribeTargetHealth",
        { LoadBalancerIds: [...loadBalancerIds] },
        signal,
      );
      const result = new Map<string, Map<string, HealthState>>();
      for (const one of answer.LoadBalancers ?? []) {
        const states = new Map<string, HealthState>();
        for (const listener of one.Listeners ?? [])
          for (const rule of listener.Rules ?? [])
            for (const target of rule.Targets ?? []) {
              const slot = { ...placeFrom(listener.ListenerId, rule.LocationId), ip: target.IP ?? "", port: target.Port ?? 0 };
              states.set(slotKey(slot), healthState(target.HealthStatusDetail ?? target.HealthStatusDetial));
            }
        result.set(one.LoadBalancerId ?? "", states);
      }
      return result;
    },
  };
}

export type FailedListeners = { readonly listenerIds: readonly string[]; readonly message: string };
export type NewLoadBalancer = {
  readonly name: string;
  readonly clientToken: string;
  readonly clusterId: string;
  readonly ownerUid: string;
  readonly vpcId: string | undefined;
  /** Given: a private load balancer in that subnet. */
  readonly subnetId: string | undefined;
};
