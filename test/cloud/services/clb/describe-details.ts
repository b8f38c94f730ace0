import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { isLayer7, type ListenerRecord, type LoadBalancerRecord, type RuleRecord, type TargetRecord } from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";
import { type ActionTable, cloudTime, filters, read, texts } from "../table/action.ts";
import { pageOf, select } from "../table/paging.ts";

/** A load balancer with one of its listeners, rules and targets, as far as it has any. */
type Row = {
  readonly loadBalancer: LoadBalancerRecord;
  readonly listener: ListenerRecord | undefined;
  readonly rule: RuleRecord | undefined;
  readonly target: TargetRecord | undefined;
};
type Detail = { [Name in keyof clb.LoadBalancerDetail]: clb.LoadBalancerDetail[Name] | null };

/** What is told without being asked for. Source: the published example. */
const ALWAYS = new Set([
  "LoadBalancerId",
  "LoadBalancerName",
  "LoadBalancerDomain",
  "Status",
  "Isolation",
  "AddressIPVersion",
  "Zone",
  "LoadBalancerType",
  "VpcId",
  "ChargeType",
  "NetworkAttributes",
  "ProjectId",
  "LoadBalancerPassToTarget",
  "CreateTime",
  "Egress",
]);
const LISTENER_FIELDS = ["ListenerId", "Protocol", "Port", "SniSwitch", "LocationId", "Domain", "Domains", "Url"];
const TARGET_FIELDS = ["TargetId", "TargetAddress", "TargetPort", "TargetWeight", "TargetHealth"];

/** Load balancers in flat rows, as deep as the fields that are asked for. Limits: clb-api.md §2.1. */
export const detailActions = (): ActionTable => ({
  DescribeLoadBalancersDetail: read<clb.DescribeLoadBalancersDetailRequest, clb.DescribeLoadBalancersDetailResponse>({
    fields: {
      Limit: { type: "integer", min: 1, max: 100 },
      Offset: { type: "integer", min: 0 },
      Fields: texts(),
      TargetType: { type: "string", oneOf: ["NODE", "GROUP", "NODE-GROUP"] },
      Filters: filters,
    },
    run: (request, { account }) => {
      const fields = request.Fields ?? [];
      if (TARGET_FIELDS.some((field) => fields.includes(field)) && request.TargetType === undefined)
        throw new CloudError("MissingParameter", "`TargetType` is needed where fields of targets are asked for");
      const deep = TARGET_FIELDS.some((field) => fields.includes(field));
      const wide = deep || LISTENER_FIELDS.some((field) => fields.includes(field));
      const rows = [...account.loadBalancers.values()].flatMap((one) => rowsOf(one, { wide, deep }));
      const found = select(request.Filters ?? [], {
        items: rows,
        idOf: ({ loadBalancer }) => loadBalancer.id,
        tagsOf: ({ loadBalancer }) => loadBalancer.tags,
        filters: FILTERS,
        fuzzy: ["fuzzy-search"],
        unknownFilter: "InvalidParameter.InvalidFilter",
      });
      const shown = new Set([...ALWAYS, ...fields]);
      return { TotalCount: found.length, LoadBalancerDetailSet: pageOf(found, request).map((row) => only(shown, show(row))) };
    },
  }),
});

const FILTERS: Readonly<Record<string, (row: Row) => readonly string[]>> = {
  "loadbalancer-id": ({ loadBalancer }) => [loadBalancer.id],
  "project-id": ({ loadBalancer }) => [String(loadBalancer.projectId)],
  network: ({ loadBalancer }) => [networkOf(loadBalancer)],
  vip: ({ loadBalancer }) => [loadBalancer.vip],
  vpcid: ({ loadBalancer }) => [loadBalancer.vpcId],
  "target-ip": ({ target }) => (target === undefined ? [] : [target.ip]),
  zone: ({ loadBalancer }) => (loadBalancer.zone === undefined ? [] : [loadBalancer.zone]),
  "fuzzy-search": ({ loadBalancer }) => [loadBalancer.vip, loadBalancer.name],
};

const networkOf = ({ type }: LoadBalancerRecord): string => (type === "OPEN" ? "Public" : "Private");

/** One row at least. */
function rowsOf(loadBalancer: LoadBalancerRecord, { wide, deep }: { readonly wide: boolean; readonly deep: boolean }): Row[] {
  const bare: Row = { loadBalancer, listener: undefined, rule: undefined, target: undefined };
  if (!wide) return [bare];
  const rows = [...loadBalancer.listeners.values()].flatMap((listener): Row[] => {
    const rules = isLayer7(listener.protocol) ? [...listener.rules.values()] : [];
    const places: Row[] = rules.length === 0 ? [{ ...bare, listener }] : rules.map((rule) => ({ ...bare, listener, rule }));
    if (!deep) return places;
    return places.flatMap((row): Row[] => {
      const bound = [...(row.rule ?? listener).targets.values()];
      return bound.length === 0 ? [row] : bound.map((target) => ({ ...row, target }));
    });
  });
  return rows.length === 0 ? [bare] : rows;
}

function show({ loadBalancer, listener, rule, target }: Row): Detail {
  const { purchase } = loadBalancer;
  return {
    LoadBalancerId: loadBalancer.id,
    LoadBalancerName: loadBalancer.name,
    LoadBalancerDomain: "",
    Status: 1,
    Isolation: 0,
    Address: loadBalancer.vip,
    AddressIPv6: null,
    AddressIPVersion: "IPv4",
    IPv6Mode: null,
    Zone: loadBalancer.zone ?? "ap-guangzhou-1",
    Zones: null,
    SlaveZone: null,
    LoadBalancerType: networkOf(loadBalancer),
    AddressIsp: purchase.vipIsp,
    VpcId: loadBalancer.vpcId,
    ChargeType: purchase.chargeType,
    NetworkAttributes: {
      InternetChargeType: purchase.internetChargeType,
      InternetMaxBandwidthOut: purchase.bandwidthMbps,
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- published as null
      BandwidthpkgSubType: null as unknown as string,
    },
    PrepaidAttributes: null,
    ProjectId: loadBalancer.projectId,
    SecurityGroup: [...loadBalancer.securityGroups],
    LoadBalancerPassToTarget: Number(loadBalancer.passToTarget),
    Tags: [...loadBalancer.tags].map(([TagKey, TagValue]) => ({ TagKey, TagValue })),
    ExtraInfo: null,
    ConfigId: null,
    CreateTime: cloudTime(loadBalancer.createdMs),
    ListenerId: listener?.listenerId ?? null,
    Protocol: listener?.protocol ?? null,
    Port: listener?.port ?? null,
    SniSwitch: listener === undefined ? null : Number(listener.sni),
    LocationId: rule?.locationId ?? null,
    Domain: rule?.domains[0] ?? null,
    Domains: rule === undefined || rule.domains.length < 2 ? null : rule.domains.join(","),
    Url: rule?.url ?? null,
    TargetId: target?.owner.instanceId ?? target?.owner.eniId ?? null,
    TargetAddress: target?.ip ?? null,
    TargetPort: target?.port ?? null,
    TargetWeight: target?.weight ?? null,
    TargetHealth: target?.health ?? null,
    Egress: "",
    AttributeFlags: loadBalancer.deleteProtect ? ["DeleteProtect"] : [],
    SlaType: purchase.slaType,
    Exclusive: 0,
    AvailableZoneAffinityInfo: null,
  };
}

/** What nobody asked for is null. */
const only = (shown: ReadonlySet<string>, detail: Detail): Detail =>
  Object.fromEntries(Object.entries(detail).map(([name, value]) => [name, shown.has(name) ? value : null]));
