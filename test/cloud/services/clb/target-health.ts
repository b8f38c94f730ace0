import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { type ListenerRecord, type Place, placesOf, type RuleRecord, requireLoadBalancer } from "../../model/account.ts";
import type { Limits } from "../../runtime/options.ts";
import { type ActionTable, read, text, texts, type Whole } from "../table/action.ts";
import { selectListeners } from "./listeners.ts";

/** How targets feel. Limits: clb-api.md §2.3; shape: §4.1. */
export const targetHealthActions = (limits: Limits): ActionTable => ({
  DescribeTargetHealth: read<clb.DescribeTargetHealthRequest, clb.DescribeTargetHealthResponse>({
    fields: {
      LoadBalancerIds: { type: "array", required: true, min: 1, max: limits.describeHealth, of: text },
      ListenerIds: texts(),
      LocationIds: texts(),
    },
    run: (request, { account }) => {
      const { ListenerIds: listenerIds = [], LocationIds: locationIds = [] } = request;
      const found = request.LoadBalancerIds.map((id) => requireLoadBalancer(account, id));
      return {
        LoadBalancers: found.map((loadBalancer) => ({
          LoadBalancerId: loadBalancer.id,
          LoadBalancerName: loadBalancer.name,
          Listeners: selectListeners(loadBalancer, { ListenerIds: listenerIds }).map((listener) => showHealth(listener, locationIds)),
        })),
      };
    },
  }),
});

const showHealth = (listener: ListenerRecord, locationIds: readonly string[]): Whole<clb.ListenerHealth> => ({
  ListenerId: listener.listenerId,
  ListenerName: listener.name,
  Protocol: listener.protocol,
  Port: listener.port,
  Rules: placesOf(listener)
    .filter(({ locationId = "" }) => locationIds.length === 0 || locationIds.includes(locationId))
    .map((place) => showPlace(place, listener.rules.get(place.locationId ?? ""))),
});

/** Layer-4 listeners answer through one rule with empty ids. */
const showPlace = (place: Place, rule: RuleRecord | undefined): Whole<clb.RuleHealth> => ({
  LocationId: rule?.locationId ?? "",
  Domain: rule?.domains[0] ?? null,
  Url: rule?.url ?? null,
  RuleId: null,
  Targets: [...place.targets.values()].map((target) => ({
    IP: target.ip,
    Port: target.port,
    Weight: target.weight,
    TargetId: target.owner.instanceId ?? "",
    TargetGroupId: null,
    HealthStatus: target.health === "Alive" || target.health === "Close",
    HealthStatusDetail: target.health,
    HealthStatusDetial: target.health === "Close" ? "Unknown" : target.health, // the deprecated field lacks "Close"
  })),
});
