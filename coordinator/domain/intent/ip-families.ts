import { EXISTING_LOAD_BALANCER, INTERNAL_SUBNET } from "../../../common/names.ts";
import type { LoadBalancerOrder } from "../load-balancer.ts";
import { KEYS } from "./annotation-keys.ts";
import { FULL_CHAIN, orderOf, VERSION } from "./order.ts";

/** What a Service says of address families; absent where the API server says nothing. */
export type IpFamilies = {
  /** spec.ipFamilies, e.g. ["IPv6", "IPv4"]: the first one is that of the Service's own address. */
  readonly ipFamilies?: readonly string[] | undefined;
  /** spec.ipFamilyPolicy: "SingleStack", "PreferDualStack" or "RequireDualStack". */
  readonly ipFamilyPolicy?: string | undefined;
};
type Asked = IpFamilies & { readonly annotations: Readonly<Record<string, string>> };

/**
 * Pure: the order of a Service's load balancer. Where no annotation names a version, one whose first family is IPv6 gets a load balancer that
 * is IPv6 from end to end: its Pods have such addresses.
 */
export function serviceOrder(service: Asked): LoadBalancerOrder | undefined {
  const order = orderOf(service.annotations);
  if (service.ipFamilies?.[0] !== "IPv6" || order?.[VERSION] !== undefined) return order;
  return { ...order, [VERSION]: FULL_CHAIN };
}

/** Pure: why no load balancer can be created with the families that the Service asks for, and what to do; undefined: one can. */
export function familiesFault(service: Asked): { readonly field: string; readonly value: string; readonly fix: string } | undefined {
  const { annotations, ipFamilies = [], ipFamilyPolicy } = service;
  if (annotations[EXISTING_LOAD_BALANCER] !== undefined) return undefined;
  if (ipFamilyPolicy === "RequireDualStack") {
    const fix = `a load balancer has addresses of one family: set PreferDualStack or SingleStack, write one Service for each family, or name a load balancer of yours by ${EXISTING_LOAD_BALANCER}`;
    return { field: "ipFamilyPolicy", value: ipFamilyPolicy, fix };
  }
  const own = orderOf(annotations);
  if (ipFamilies[0] !== "IPv6" || own?.[VERSION] !== undefined) return undefined;
  if (own?.["SubnetId"] !== undefined || annotations[INTERNAL_SUBNET] !== undefined) return undefined;
  const fix = `a load balancer that is IPv6 from end to end needs a subnet: set {"SubnetId":"subnet-…"} in annotation ${KEYS.extensive}; or choose another version there: {"${VERSION}":"IPV6"} (NAT64: Pods by IPv4) or {"${VERSION}":"IPV4"}`;
  return { field: "ipFamilies", value: ipFamilies.join(", "), fix };
}

/** Pure: what of the families is served otherwise than they say; undefined: nothing. */
export function familiesNote({ annotations, ipFamilies = [] }: Asked): string | undefined {
  if (ipFamilies.length < 2 || annotations[EXISTING_LOAD_BALANCER] !== undefined) return undefined;
  const [first] = ipFamilies;
  return `spec.ipFamilies (${ipFamilies.join(", ")}) has no effect but that of the first one: a load balancer has addresses of one family, ${first} unless ${VERSION} in annotation ${KEYS.extensive} says otherwise; write a second Service for the other one`;
}

/** Pure: the families of those that the Service asks for which a load balancer of the user lacks; of the usual IPv4 nothing is said. */
export function lackedFamilies({ ipFamilies = [], ipFamilyPolicy }: IpFamilies, vips: readonly string[]): readonly string[] {
  if (vips.length === 0 || !ipFamilies.includes("IPv6")) return [];
  const has = (family: string): boolean => vips.some((vip) => vip.includes(":") === (family === "IPv6"));
  const asked = ipFamilyPolicy === "RequireDualStack" ? ipFamilies : ipFamilies.slice(0, 1);
  return asked.filter((family) => !has(family));
}
