import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { CloudError } from "../errors.ts";
import type { Limits } from "../options.ts";
import { type ListenerRecord, requireLoadBalancer, type TargetRecord } from "../state.ts";
import { type ActionTable, type Answer, cloudTime, filters, port, read, requiredText, text, texts } from "./action.ts";
import { selectListeners } from "./listeners.ts";

/** What is bound, and how it feels. Limits: clb-api.md §2.3; shapes: §2.3, §4.1. */
export const backendActions = (limits: Limits): ActionTable => ({
  DescribeTargets: read<clb.DescribeTargetsRequest, clb.DescribeTargetsResponse>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerIds: texts(limits.describeTargets),
      Protocol: text,
      Port: { ...port, required: false },
      Filters: filters,
    },
    run: (request, { core }) => {
      const loadBalancer = requireLoadBalancer(core.account, request.LoadBalancerId);
      const wanted = targetFilter(request.Filters ?? []);
      return {
        Listeners: selectListeners(loadBalancer, request).map((listener) => ({
          ListenerId: listener.listenerId,
          Protocol: listener.protocol,
          Port: listener.port,
          EndPort: 0,
          Rules: null,
          Targets: [...listener.targets.values()].filter(wanted).map(showTarget),
        })),
      };
    },
  }),

  DescribeTargetHealth: read<clb.DescribeTargetHealthRequest, clb.DescribeTargetHealthResponse>({
    fields: {
      LoadBalancerIds: { type: "array", required: true, min: 1, max: limits.describeHealth, of: text },
      ListenerIds: texts(),
      LocationIds: texts(),
    },
    run: (request, { core }) => {
      const { ListenerIds: listenerIds = [], LocationIds: locationIds = [] } = request;
      const found = request.LoadBalancerIds.map((id) => requireLoadBalancer(core.account, id));
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

/** Filters are ANDed, values ORed. L4 targets have no location. Throws InvalidParameter.InvalidFilter. */
function targetFilter(given: readonly clb.Filter[]): (target: TargetRecord) => boolean {
  const known = new Map<string, (target: TargetRecord) => string>([
    ["location-id", () => ""],
    ["private-ip-address", ({ ip }) => ip],
    ["tag", ({ tag }) => tag ?? ""],
  ]);
  const tests = given.map(({ Name, Values }) => {
    const valueOf = known.get(Name);
    if (valueOf === undefined)
      throw new CloudError("InvalidParameter.InvalidFilter", `filter ${Name} is not one of ${[...known.keys()].join(", ")}`);
    return (target: TargetRecord): boolean => Values.includes(valueOf(target));
  });
  return (target) => tests.every((test) => test(target));
}

const showTarget = (target: TargetRecord): Answer<clb.Backend> => ({
  Type: "ENI",
  InstanceId: "",
  EniId: null,
  Port: target.port,
  Weight: target.weight,
  PrivateIpAddresses: [target.ip],
  PublicIpAddresses: null,
  InstanceName: null,
  RegisteredTime: cloudTime(target.registeredMs),
  Tag: target.tag ?? null,
  Zone: null,
});

/** L4 listeners answer through one rule with empty ids. */
function showHealth(listener: ListenerRecord, locationIds: readonly string[]): Answer<clb.ListenerHealth> {
  const targets = [...listener.targets.values()].map((target) => ({
    IP: target.ip,
    Port: target.port,
    Weight: target.weight,
    TargetId: "",
    TargetGroupId: null,
    HealthStatus: target.health === "Alive" || target.health === "Close",
    HealthStatusDetail: target.health,
    HealthStatusDetial: target.health === "Close" ? "Unknown" : target.health, // the deprecated field lacks "Close"
  }));
  return {
    ListenerId: listener.listenerId,
    ListenerName: listener.name,
    Protocol: listener.protocol,
    Port: listener.port,
    Rules: locationIds.length > 0 ? [] : [{ LocationId: "", Domain: null, Url: null, RuleId: null, Targets: targets }],
  };
}
