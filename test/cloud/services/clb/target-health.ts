import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { type ListenerRecord, type Place, placesOf, type RuleRecord, requireLoadBalancer, type TargetRecord } from "../../model/account.ts";
import type { ClbAnswers, Limits } from "../../runtime/options.ts";
import { type ActionTable, type Answer, read, text, texts, type Whole } from "../table/action.ts";
import { selectListeners } from "./listeners.ts";
import type { ClbPorts } from "./ports.ts";

type Ports = Pick<ClbPorts, "answers">;

/** How targets feel. Limits: clb-api.md §2.3; shape: §4.1. */
export const targetHealthActions = (limits: Limits): ActionTable<Ports> => ({
  DescribeTargetHealth: read<clb.DescribeTargetHealthRequest, clb.DescribeTargetHealthResponse, Ports>({
    fields: {
      LoadBalancerIds: { type: "array", required: true, min: 1, max: limits.describeHealth, of: text },
      ListenerIds: texts(),
      LocationIds: texts(),
    },
    run: (request, { account }, { answers }) => {
      const { ListenerIds: listenerIds = [], LocationIds: locationIds = [] } = request;
      const found = request.LoadBalancerIds.map((id) => requireLoadBalancer(account, id));
      return {
        LoadBalancers: found.map((loadBalancer) => ({
          LoadBalancerId: loadBalancer.id,
          LoadBalancerName: loadBalancer.name,
          Listeners: selectListeners(loadBalancer, { ListenerIds: listenerIds }).map((listener) =>
            showHealth(listener, locationIds, answers),
          ),
        })),
      };
    },
  }),
});

const showHealth = (listener: ListenerRecord, locationIds: readonly string[], answers: ClbAnswers): Whole<clb.ListenerHealth> => ({
  ListenerId: listener.listenerId,
  ListenerName: listener.name,
  Protocol: listener.protocol,
  Port: listener.port,
  Rules: placesOf(listener)
    .filter(({ locationId = "" }) => locationIds.length === 0 || locationIds.includes(locationId))
    .map((place) => showPlace(place, listener.rules.get(place.locationId ?? ""), answers)),
});

/** Layer-4 listeners answer through one rule, whose id no other action knows. */
function showPlace(place: Place, rule: RuleRecord | undefined, { layer4LocationId, healthFields }: ClbAnswers): Answer<clb.RuleHealth> {
  const Targets = [...place.targets.values()].map((target) => showTarget(target, healthFields));
  const model = healthFields === "model" ? { RuleId: null } : {};
  if (rule !== undefined) return { LocationId: rule.locationId, Domain: rule.domains[0] ?? null, Url: rule.url, ...model, Targets };
  if (layer4LocationId === "absent") return { Targets };
  const LocationId = layer4LocationId === "id" ? place.listenerId.replace("lbl-", "loc-") : "";
  return { LocationId, Domain: null, Url: null, ...model, Targets };
}

function showTarget(target: TargetRecord, fields: ClbAnswers["healthFields"]): Answer<clb.TargetHealth> {
  const always = {
    IP: target.ip,
    Port: target.port,
    TargetId: target.owner.instanceId ?? "",
    HealthStatus: target.health === "Alive" || target.health === "Close",
  };
  const deprecated = { HealthStatusDetial: target.health === "Close" ? "Unknown" : target.health }; // which lacks "Close"
  switch (fields) {
    case "boolean":
      return always;
    case "deprecated":
      return { ...always, ...deprecated };
    case "example":
      return { ...always, HealthStatusDetail: target.health };
    case "model":
      return { ...always, Weight: target.weight, TargetGroupId: null, HealthStatusDetail: target.health, ...deprecated };
    default:
      return fields satisfies never;
  }
}
