import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import {
  isLayer7,
  type ListenerRecord,
  type LoadBalancerRecord,
  type Place,
  placesOf,
  requireLoadBalancer,
  type TargetRecord,
} from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";
import type { Limits } from "../../runtime/options.ts";
import { type ActionTable, cloudTime, filters, port, read, requiredText, text, texts, type Whole } from "../table/action.ts";
import { selectListeners } from "./listeners.ts";
import type { ClbPorts } from "./ports.ts";

type Ports = Pick<ClbPorts, "region">;

/** What is bound where. Limits and shapes: clb-api.md §2.3. */
export const backendActions = (limits: Limits): ActionTable<Ports> => ({
  DescribeTargets: read<clb.DescribeTargetsRequest, clb.DescribeTargetsResponse>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerIds: texts(limits.describeTargets),
      Protocol: text,
      Port: { ...port, required: false },
      Filters: filters,
    },
    run: (request, { account }) => {
      const wanted = filterOf(request.Filters ?? []);
      const loadBalancer = requireLoadBalancer(account, request.LoadBalancerId);
      return { Listeners: selectListeners(loadBalancer, request).map((listener) => showListener(listener, wanted)) };
    },
  }),

  DescribeLBListeners: read<clb.DescribeLBListenersRequest, clb.DescribeLBListenersResponse, Ports>({
    fields: {
      Backends: {
        type: "array",
        required: true,
        min: 1,
        max: limits.describeLbListeners,
        of: { type: "object", fields: { VpcId: requiredText, PrivateIp: requiredText } },
      },
    },
    run: (request, { account }, { region }) => ({
      LoadBalancers: [...account.loadBalancers.values()].flatMap((one) => showBinders(one, request.Backends, region)),
    }),
  }),
});

/** `places` first, then the targets in them. */
type Wanted = { readonly place: (place: Place) => boolean; readonly target: (target: TargetRecord) => boolean };

/** Filters are ANDed, values ORed. Layer-4 targets have no location. Throws InvalidParameter.InvalidFilter. */
function filterOf(given: readonly clb.Filter[]): Wanted {
  const places: Wanted["place"][] = [];
  const targets: Wanted["target"][] = [];
  for (const { Name, Values } of given) {
    if (Name === "location-id") places.push(({ locationId = "" }) => Values.includes(locationId));
    else if (Name === "private-ip-address") targets.push(({ ip }) => Values.includes(ip));
    else if (Name === "tag") targets.push(({ tag = "" }) => Values.includes(tag));
    else throw new CloudError("InvalidParameter.InvalidFilter", `filter ${Name} is not one of location-id, private-ip-address, tag`);
  }
  return { place: (place) => places.every((test) => test(place)), target: (target) => targets.every((test) => test(target)) };
}

function showListener(listener: ListenerRecord, wanted: Wanted): Whole<clb.ListenerBackend> {
  const show = (place: Place) => [...place.targets.values()].filter(wanted.target).map(showTarget);
  const rules = [...listener.rules.values()].filter(wanted.place).map((rule) => ({
    LocationId: rule.locationId,
    Domain: rule.domains[0] ?? "",
    Url: rule.url,
    Targets: show(rule),
    FunctionTargets: [],
  }));
  const layer7 = isLayer7(listener.protocol);
  return {
    ListenerId: listener.listenerId,
    Protocol: listener.protocol,
    Port: listener.port,
    EndPort: 0,
    Rules: layer7 ? rules : null,
    Targets: layer7 ? null : wanted.place(listener) ? show(listener) : [],
  };
}

const showTarget = (target: TargetRecord): Whole<clb.Backend> => ({
  Type: target.owner.type,
  InstanceId: target.owner.instanceId ?? "",
  EniId: target.owner.eniId ?? "",
  Port: target.port,
  Weight: target.weight,
  PrivateIpAddresses: [target.ip],
  PublicIpAddresses: null,
  InstanceName: target.owner.instanceName ?? "",
  RegisteredTime: cloudTime(target.registeredMs),
  Tag: target.tag ?? null,
  Zone: target.owner.zone ?? null,
});

/** The listeners and rules of a load balancer that bind one of these addresses; nothing if none does. */
function showBinders(one: LoadBalancerRecord, backends: readonly clb.LbRsItem[], region: string): Whole<clb.LBItem>[] {
  const ips = new Set(backends.filter(({ VpcId }) => VpcId === one.vpcId).map(({ PrivateIp }) => PrivateIp));
  const show = (place: Place) => [...place.targets.values()].filter(({ ip }) => ips.has(ip)).map(showBound);
  const listeners = [...one.listeners.values()].flatMap((listener) => {
    if (!placesOf(listener).some((place) => show(place).length > 0)) return [];
    const rules = [...listener.rules.values()]
      .map((rule) => ({ LocationId: rule.locationId, Domain: rule.domains[0] ?? "", Url: rule.url, Targets: show(rule) }))
      .filter(({ Targets }) => Targets.length > 0);
    const layer7 = isLayer7(listener.protocol);
    return [
      {
        ListenerId: listener.listenerId,
        Protocol: listener.protocol,
        Port: listener.port,
        EndPort: 0,
        Rules: layer7 ? rules : null,
        Targets: layer7 ? null : show(listener),
      },
    ];
  });
  return listeners.length === 0 ? [] : [{ LoadBalancerId: one.id, Vip: one.vip, Region: region, Listeners: listeners }];
}

/** Lower-case types and a numeric VPC, unlike anywhere else. */
const showBound = (target: TargetRecord): Whole<clb.LbRsTargets> => ({
  Type: target.owner.type === "CVM" ? "cvm" : "eni",
  PrivateIp: target.ip,
  Port: target.port,
  VpcId: 1,
  Weight: target.weight,
});
