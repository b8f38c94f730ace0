import type { LoadBalancerOrder, LoadBalancerSettings } from "../load-balancer.ts";
import { keysOf, type OwnerKeys } from "./annotation-keys.ts";
import { listOf, parsedJson } from "./annotations.ts";

type Annotations = Readonly<Record<string, string>>;

/** The field of an order that says which addresses the load balancer has, and what it says of one that is IPv6 from end to end. */
export const VERSION = "AddressIPVersion";
export const FULL_CHAIN = "IPv6FullChain";

/** Pure: of an order, or of what the cloud says of a load balancer; undefined: nobody knows. */
export const isFullChain = (order: LoadBalancerOrder | undefined): boolean => order?.[VERSION] === FULL_CHAIN;

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? undefined : "use a text");
const flag = (value: unknown): string | undefined => (typeof value === "boolean" ? undefined : "use true or false");
const words =
  (...known: readonly string[]) =>
  (value: unknown): string | undefined =>
    typeof value === "string" && known.includes(value) ? undefined : `use ${known.join(" or ")}`;
const whole =
  (min: number, max: number) =>
  (value: unknown): string | undefined =>
    typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
      ? undefined
      : `use a whole number from ${min} to ${max}`;

/** What extensive parameters may say, and who says it otherwise. Source: clb-api.md §2.1. */
const FIELDS: Readonly<Record<string, (value: unknown) => string | undefined>> = {
  AddressIPVersion: words("IPV4", "IPV6", "IPv6FullChain"),
  BandwidthPackageId: text,
  DynamicVip: flag,
  LoadBalancerName: (value) =>
    typeof value === "string" && value.length >= 1 && value.length <= 80 ? undefined : "use 1 to 80 characters",
  LoadBalancerPassToTarget: flag,
  MasterZoneId: text,
  ProjectId: whole(0, Number.MAX_SAFE_INTEGER),
  SlaType: text,
  SlaveZoneId: text,
  SnatPro: flag,
  SubnetId: text,
  Tags: tagsFault,
  Vip: text,
  VipIsp: words("BGP", "CMCC", "CUCC", "CTCC"),
  VpcId: text,
  ZoneId: text,
};
const INTERNET: Readonly<Record<string, (value: unknown) => string | undefined>> = {
  BandwidthpkgSubType: text,
  InternetChargeType: words("TRAFFIC_POSTPAID_BY_HOUR", "BANDWIDTH_POSTPAID_BY_HOUR", "BANDWIDTH_PACKAGE", "BANDWIDTH_PREPAID"),
  InternetMaxBandwidthOut: whole(1, 61_440),
};

type Tag = { readonly TagKey: string; readonly TagValue: string };
const isTag = (value: unknown): value is Tag => typeof Object(value).TagKey === "string" && typeof Object(value).TagValue === "string";

/** Tags by which load balancers are known as ours or as TKE's: what says it is somebody's is not a user's to write. Source: tke-contract.md §2.3. */
const OTHERS_TAGS = /^(?:clb-direct\.io\/|tke-(?:createdBy-flag|clusterId|lb-.*|lifecycle-owner)$)/;

function tagsFault(value: unknown): string | undefined {
  if (!Array.isArray(value) || !value.every(isTag) || value.length > 18) return 'use at most 18 of {"TagKey":"…","TagValue":"…"}';
  const keys = value.map(({ TagKey }) => TagKey);
  const repeated = keys.find((key, at) => keys.indexOf(key) !== at);
  if (repeated !== undefined) return `key ${repeated} is there twice: keep one of them`;
  const reserved = keys.find((key) => OTHERS_TAGS.test(key));
  return reserved === undefined ? undefined : `key ${reserved} says to controllers whose a load balancer is: use another key`;
}

/** What is wrong with extensive parameters; undefined: nothing. */
export function extensiveFault(value: string): string | undefined {
  const given = parsedJson(value);
  if (typeof given !== "object" || given === null || Array.isArray(given)) return 'use a JSON object, e.g. {"AddressIPVersion":"IPV6"}';
  const fault = fieldsFault(given, {
    ...FIELDS,
    InternetAccessible: (inner) => (typeof inner === "object" && inner !== null ? fieldsFault(inner, INTERNET) : "use an object"),
  });
  return fault ?? togetherFault({ ...given });
}

/** What each field may say, and not all of them at once. Source: clb-api.md §2.1. */
function togetherFault(order: LoadBalancerOrder): string | undefined {
  const { MasterZoneId: master, SlaveZoneId: slave, ZoneId: zone } = order;
  if (slave !== undefined && slave === (master ?? zone))
    return `SlaveZoneId is ${JSON.stringify(slave)}, as ${master === undefined ? "ZoneId" : "MasterZoneId"} is: use another zone, or remove it`;
  if (order[VERSION] === FULL_CHAIN && order["LoadBalancerPassToTarget"] === false)
    return `LoadBalancerPassToTarget is false: with ${VERSION} ${FULL_CHAIN} it is always on: remove it`;
  return undefined;
}

function fieldsFault(given: object, fields: typeof FIELDS): string | undefined {
  for (const [field, value] of Object.entries(given)) {
    const check = fields[field];
    if (check === undefined) return `${field} cannot be set this way: use ${Object.keys(fields).join(", ")}`;
    const fix = check(value);
    if (fix !== undefined) return `${field} is ${JSON.stringify(value)}: ${fix}`;
  }
  return undefined;
}

/**
 * Pure: parameters of the order besides name, VPC, subnet and our tags; undefined: none. Keys of their own come before the same field of the
 * extensive parameters, and newer keys before older ones. Values have been judged before.
 */
export function orderOf(annotations: Annotations, keys: OwnerKeys = keysOf("Service")): LoadBalancerOrder | undefined {
  const { InternetAccessible: internet, ...others } = extensiveOf(annotations, keys);
  const chargeType = annotations[keys.chargeType] ?? annotations[keys.oldChargeType];
  const bandwidth = annotations[keys.bandwidth] ?? annotations[keys.oldBandwidth];
  const accessible = {
    ...Object(internet),
    ...(chargeType !== undefined && { InternetChargeType: chargeType }),
    ...(bandwidth !== undefined && { InternetMaxBandwidthOut: Number(bandwidth) }),
  };
  const hasSubnet = annotations[keys.subnet] !== undefined;
  if (hasSubnet) delete others["SubnetId"];
  const order = { ...others, ...(!hasSubnet && Object.keys(accessible).length > 0 && { InternetAccessible: accessible }) };
  return Object.keys(order).length === 0 ? undefined : order;
}

/** Keys that are read only when a load balancer is ordered. */
const ofPublic = (keys: OwnerKeys): string[] => [keys.chargeType, keys.bandwidth, keys.oldChargeType, keys.oldBandwidth];

/** Pure: keys of an order that nobody makes, or of its end, each with the reason. */
export function voidKeys(
  annotations: Annotations,
  isExisting: boolean,
  keys: OwnerKeys = keysOf("Service"),
): { readonly key: string; readonly because: string }[] {
  const given = [...ofPublic(keys), keys.extensive, keys.subnet].filter((key) => annotations[key] !== undefined);
  if (isExisting) {
    const kept = annotations[keys.retain] === "true" ? [{ key: keys.retain, because: "a load balancer of yours stays anyway" }] : [];
    return [...given.map((key) => ({ key, because: "the load balancer exists already, and it says how it is" })), ...kept];
  }
  if (annotations[keys.subnet] === undefined) return overruled(annotations, keys);
  const isOfPublic = given.filter((key) => ofPublic(keys).includes(key));
  const internet = extensiveOf(annotations, keys)["InternetAccessible"] === undefined ? [] : [`${keys.extensive}, InternetAccessible,`];
  return [
    ...[...isOfPublic, ...internet].map((key) => ({ key, because: "a private load balancer has no public traffic" })),
    ...overruled(annotations, keys).filter(({ key }) => !isOfPublic.includes(key) && !key.includes("Internet")),
  ];
}

const extensiveOf = (annotations: Annotations, keys: OwnerKeys): Record<string, unknown> => ({
  ...Object(parsedJson(annotations[keys.extensive] ?? "{}")),
});

/** Pure: what another key says otherwise and goes before; what both say alike needs no word. */
function overruled(annotations: Annotations, keys: OwnerKeys): { readonly key: string; readonly because: string }[] {
  const { InternetAccessible, SubnetId, LoadBalancerPassToTarget } = extensiveOf(annotations, keys);
  const { InternetChargeType, InternetMaxBandwidthOut } = Object(InternetAccessible);
  const own = (key: string): Saying => ({ key, value: annotations[key] });
  const field = (name: string, value: unknown): Saying => ({ key: `${keys.extensive}, ${name},`, value });
  const sayings: readonly (readonly Saying[])[] = [
    [own(keys.chargeType), own(keys.oldChargeType), field("InternetChargeType", InternetChargeType)],
    [own(keys.bandwidth), own(keys.oldBandwidth), field("InternetMaxBandwidthOut", InternetMaxBandwidthOut)],
    [own(keys.subnet), field("SubnetId", SubnetId)],
    [own(keys.passToTarget), field("LoadBalancerPassToTarget", LoadBalancerPassToTarget)],
  ];
  return sayings.flatMap((all) => {
    const [first, ...others] = all.filter(({ value }) => value !== undefined);
    return others.flatMap(({ key, value }) =>
      String(value) === String(first?.value)
        ? []
        : { key, because: `it says ${String(value)}, and annotation ${first?.key} goes before it, which says ${String(first?.value)}` },
    );
  });
}
/** A key, or a key with a field in it, and what it says. */
type Saying = { readonly key: string; readonly value: unknown };

/** Pure: what is wished for the load balancer itself while it lives; undefined: nothing. */
export function settingsOf(annotations: Annotations, keys: OwnerKeys = keysOf("Service")): Partial<LoadBalancerSettings> | undefined {
  const groups = annotations[keys.securityGroups];
  const pass = annotations[keys.passToTarget];
  const protection = annotations[keys.deletionProtection];
  const settings = {
    ...(groups !== undefined && { securityGroups: listOf(groups) }),
    ...(pass !== undefined && { passToTarget: pass === "true" }),
    ...(protection !== undefined && { deleteProtect: protection === "true" }),
  };
  return Object.keys(settings).length === 0 ? undefined : settings;
}

/** A field of an order that cannot become what is asked for now, e.g. { field: "SlaType", has: "clb.c2.medium", wanted: "clb.c3.small" }. */
type ChangedField = { readonly field: string; readonly has: string; readonly wanted: string };

/**
 * Pure: fields in which what is asked for differs from what the load balancer is, as far as the cloud tells (`has`), else from what was
 * ordered (`ordered`; undefined: nobody knows).
 */
export function changedOrder(wanted: LoadBalancerOrder, has: LoadBalancerOrder, ordered: LoadBalancerOrder | undefined): ChangedField[] {
  const [now, then] = [flat(wanted), ordered && flat(ordered)];
  const fields = [...new Set([...Object.keys(now), ...Object.keys(then ?? {})])];
  return fields.flatMap((field): ChangedField[] => {
    const [asked, before, present] = [now[field], then?.[field], has[field]];
    if (asked !== undefined && present !== undefined)
      return same(asked, present) ? [] : [{ field, has: said(present), wanted: said(asked) }];
    return then === undefined || same(asked, before) ? [] : [{ field, has: said(before), wanted: said(asked) }];
  });
}

function flat({ InternetAccessible: internet, ...others }: LoadBalancerOrder): LoadBalancerOrder {
  return { ...others, ...Object(internet) };
}

const same = (one: unknown, other: unknown): boolean => comparable(said(one)) === comparable(said(other));

/** A value for people; what an order does not say, the cloud chooses. */
const said = (value: unknown): string =>
  value === undefined ? "the cloud's choice" : typeof value === "string" ? value : JSON.stringify(value);

/** IP versions are told in other words than they are ordered in. */
const comparable = (value: string): string => {
  const word = value.toLowerCase();
  return word === "ipv6nat64" ? "ipv6" : word;
};
