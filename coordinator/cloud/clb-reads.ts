import type {
  DescribeListenersRequest,
  DescribeListenersResponse,
  DescribeLoadBalancersRequest,
  DescribeLoadBalancersResponse,
  DescribeQuotaResponse,
  DescribeTargetHealthRequest,
  DescribeTargetHealthResponse,
  DescribeTargetsRequest,
  DescribeTargetsResponse,
} from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { CLUSTER_TAG } from "../../common/names.ts";
import { chunks } from "../domain/chunks.ts";
import {
  type HealthState,
  type Listener,
  type LoadBalancerFacts,
  type PlaceId,
  placeKey,
  slotKey,
  type Target,
} from "../domain/load-balancer.ts";
import { isReadWhole, LISTENERS_PER_CALL, placesIn } from "../domain/pace/resync-pace.ts";
import type { Quotas } from "../domain/plan/quota-forecast.ts";
import { type ClbCall, withCall } from "./clb-call.ts";
import { ClbApiError } from "./clb-error.ts";
import { bareListener, factsOf, healthOf, placeOfHealth, targetsOf } from "./clb-models.ts";
import { ReadBatcher } from "./read-batcher.ts";

/** Pages and lists. Source: clb-api.md §2.1 to §2.3. */
const PAGE = { loadBalancers: 100, loadBalancerIds: 20, targetListeners: LISTENERS_PER_CALL, healthLoadBalancers: 30 } as const;

/** As for other reads that fail without a cause that passes: nothing at the load balancer goes on without its listeners. */
const INCOMPLETE_RETRY_MS = 5_000;

export function makeClbReads(clb: ClbCall) {
  const facts = makeFactsBatcher(clb);
  const over = withCall(clb);
  return {
    /** Undefined if there is no such load balancer. */
    loadBalancer: (loadBalancerId: string, signal: AbortSignal): Promise<LoadBalancerFacts | undefined> =>
      facts.ask(loadBalancerId, signal),
    ownLoadBalancers: over(ownLoadBalancers),
    listeners: over(listeners),
    health: over(health),
    quotas: over(quotas),
  };
}

/** Callers that ask for up to 20 load balancers at the same time share a call. */
const makeFactsBatcher = (clb: ClbCall): ReadBatcher<LoadBalancerFacts> =>
  new ReadBatcher({
    most: PAGE.loadBalancerIds,
    isRefusal: (err) => err instanceof ClbApiError && err.call.code.startsWith("InvalidParameter"),
    read: async (ids, signal) => {
      const request = (): DescribeLoadBalancersRequest => ({ LoadBalancerIds: [...ids()], Limit: PAGE.loadBalancerIds });
      const answer = await clb.callLate<DescribeLoadBalancersRequest, DescribeLoadBalancersResponse>(
        "DescribeLoadBalancers",
        request,
        signal,
      );
      return new Map((answer.LoadBalancerSet ?? []).map((one) => [one.LoadBalancerId ?? "", factsOf(one)]));
    },
  });

/** Load balancers that this cluster created, by their tags. */
async function ownLoadBalancers(clb: ClbCall, clusterId: string, signal: AbortSignal): Promise<LoadBalancerFacts[]> {
  const found: LoadBalancerFacts[] = [];
  const Filters = [{ Name: `tag:${CLUSTER_TAG}`, Values: [clusterId] }];
  for (let offset = 0; ; offset += PAGE.loadBalancers) {
    const page = { Filters, Offset: offset, Limit: PAGE.loadBalancers };
    const answer = await clb.call<DescribeLoadBalancersRequest, DescribeLoadBalancersResponse>("DescribeLoadBalancers", page, signal);
    const set = answer.LoadBalancerSet ?? [];
    found.push(...set.map(factsOf));
    if (set.length < PAGE.loadBalancers) return found;
  }
}

/**
 * All listeners with their rules, and the targets of those that `isWanted` picks by name or id: one DescribeTargets for all of them or, at a large
 * load balancer, per 20, after the list itself. The others come without targets, whatever is bound there.
 */
async function listeners(
  clb: ClbCall,
  loadBalancerId: string,
  isWanted: (listenerName: string, listenerId: string) => boolean,
  signal: AbortSignal,
): Promise<Listener[]> {
  const answer = await clb.call<DescribeListenersRequest, DescribeListenersResponse>(
    "DescribeListeners",
    { LoadBalancerId: loadBalancerId },
    signal,
  );
  const bare = (answer.Listeners ?? []).map(bareListener);
  // What is missing would be created once more. The action has no pages to ask for (clb-api.md §2.2).
  if (typeof answer.TotalCount === "number" && answer.TotalCount > bare.length)
    throw new ClbApiError(
      { action: "DescribeListeners", code: "IncompleteAnswer", requestId: answer.RequestId ?? "" },
      `${bare.length} of ${answer.TotalCount} listeners of ${loadBalancerId} were told`,
      { kind: "retryAfter", delayMs: INCOMPLETE_RETRY_MS },
      false,
    );
  const targets = await targetsOfAll(clb, loadBalancerId, bare, isWanted, signal);
  const filled = <P extends PlaceId>(place: P) => ({ ...place, targets: targets.get(placeKey(place)) ?? [] });
  return bare.map((listener) => ({ ...filled(listener), rules: listener.rules.map(filled) }));
}

/** By place. A wanted listener that the answer leaves out, also when it is asked for by its id, has none. */
async function targetsOfAll(
  clb: ClbCall,
  loadBalancerId: string,
  bare: readonly (Pick<Listener, "listenerId" | "name"> & { readonly rules: readonly PlaceId[] })[],
  isWanted: (listenerName: string, listenerId: string) => boolean,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly Target[]>> {
  const targets = new Map<string, readonly Target[]>();
  const wanted = bare.filter(({ listenerId, name }) => isWanted(name, listenerId));
  const asked = new Set(wanted.map(({ listenerId }) => listenerId));
  const read = async (page: { readonly ListenerIds?: string[] }): Promise<void> => {
    const request = { LoadBalancerId: loadBalancerId, ...page };
    const answer = await clb.call<DescribeTargetsRequest, DescribeTargetsResponse>("DescribeTargets", request, signal);
    for (const one of answer.Listeners ?? []) {
      const listenerId = one.ListenerId ?? "";
      if (!asked.has(listenerId)) continue;
      targets.set(listenerId, targetsOf(one.Targets));
      for (const rule of one.Rules ?? []) targets.set(placeKey({ listenerId, locationId: rule.LocationId ?? "" }), targetsOf(rule.Targets));
    }
  };
  if (isReadWhole({ wanted: wanted.length, places: placesIn(bare) })) await read({});
  // Nobody has published how much an answer for all of them holds. What is missing there would pass for unbound, and its Pods for drained.
  const left = wanted.filter((listener) => [listener, ...listener.rules].some((place) => !targets.has(placeKey(place))));
  for (const page of chunks(left, PAGE.targetListeners)) await read({ ListenerIds: page.map(({ listenerId }) => listenerId) });
  return targets;
}

/** Health by load balancer and slot key; at most 30 load balancers. A target that the answer leaves out has no data. */
async function health(
  clb: ClbCall,
  loadBalancerIds: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ReadonlyMap<string, HealthState>>> {
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
          const slot = { ...placeOfHealth(listener, rule.LocationId), ip: target.IP ?? "", port: target.Port ?? 0 };
          states.set(slotKey(slot), healthOf(target));
        }
    result.set(one.LoadBalancerId ?? "", states);
  }
  return result;
}

/** The account's limits; undefined where the cloud names none. */
async function quotas(clb: ClbCall, signal: AbortSignal): Promise<Quotas> {
  const answer = await clb.call<object, DescribeQuotaResponse>("DescribeQuota", {}, signal);
  const limit = (id: string): number | undefined => answer.QuotaSet?.find(({ QuotaId }) => QuotaId === id)?.QuotaLimit ?? undefined;
  return {
    listenersPerLoadBalancer: limit("TOTAL_LISTENER_QUOTA"),
    rulesPerListener: limit("TOTAL_LISTENER_RULE_QUOTA"),
    targetsPerPlace: limit("TOTAL_TARGET_BIND_QUOTA"),
  };
}
