import type { HealthCheck, LoadBalancerOrder } from "../load-balancer.ts";
import { isFullChain } from "./order.ts";
import type { ConfigWishes } from "./service-config.ts";

/** What of a TkeServiceConfig cannot be had of a load balancer, e.g. { reason: "NotHonoured", what: "healthCheck of TCP/80: …" }. */
export type ConfigMisfit = { readonly reason: "NotHonoured" | "NoEffect"; readonly what: string };

/** The shortest time between checks of a load balancer that is IPv6 from end to end; seconds. Source: clb-api.md §4.3. */
const LEAST_INTERVAL = 5;
/** Checks that such a load balancer does not make. Source: cloud.tencent.com/document/product/214/50011. */
const LACKED_TYPES: Readonly<Record<string, readonly string[]>> = { TCP: ["HTTP", "CUSTOM"], UDP: ["CUSTOM"] };

/** Pure: what a TkeServiceConfig wishes, without what a load balancer of this kind cannot have; `order`: undefined where it is not known yet. */
export function fitWishes(config: ConfigWishes, order: LoadBalancerOrder | undefined): ConfigWishes {
  const { bandwidthMbps, ...others } = config;
  const fitted = hasNoBandwidth(order) && bandwidthMbps !== undefined ? others : config;
  if (!isFullChain(order)) return fitted;
  const { wishes, rules } = fitted;
  return {
    ...fitted,
    wishes: new Map([...wishes].map(([key, check]) => [key, fitCheck(key, check).check])),
    ...(rules && {
      rules: new Map([...rules].map(([key, wish]) => [key, { ...wish, healthCheck: fitCheck(key, wish.healthCheck).check }])),
    }),
  };
}

/** A private one has a bandwidth only with a performance specification. Source: InternetMaxBandwidthOut in the API's model. */
const hasNoBandwidth = (order: LoadBalancerOrder | undefined): boolean =>
  order?.["LoadBalancerType"] === "INTERNAL" && [undefined, "", "shared"].some((type) => type === order["SlaType"]);

/** Pure: what `fitWishes` leaves out or changes of the sections for which `asked` has the listener, e.g. "TCP/80". */
export function misfits(
  { bandwidthMbps, wishes, rules }: Partial<ConfigWishes>,
  order: LoadBalancerOrder | undefined,
  asked: Pick<ReadonlySet<string>, "has">,
): ConfigMisfit[] {
  const isVain = hasNoBandwidth(order) && bandwidthMbps !== undefined;
  const bandwidth: ConfigMisfit[] = isVain
    ? [
        {
          reason: "NoEffect",
          what: "internetMaxBandwidthOut has no effect: a private load balancer without a performance specification has no such limit",
        },
      ]
    : [];
  if (!isFullChain(order)) return bandwidth;
  const checks = [...(wishes ?? []), ...[...(rules ?? [])].map(([key, { healthCheck }]) => [key, healthCheck] as const)];
  return [
    ...bandwidth,
    ...checks.flatMap(([key, check]): ConfigMisfit[] => {
      const { misfit } = fitCheck(key, check);
      const [listener = ""] = key.split(" ", 1);
      return misfit === undefined || !asked.has(listener) ? [] : [{ reason: "NotHonoured", what: `healthCheck of ${key}: ${misfit}` }];
    }),
  ];
}

type Wish = Partial<HealthCheck>;

/** `key`: "TCP/80", or that of a rule. A short interval becomes the shortest one; a check of another kind is left out whole. */
function fitCheck(key: string, check: Wish): { readonly check: Wish; readonly misfit?: string } {
  const { checkType, sourceIpType, intervalSeconds } = check;
  const [protocol = ""] = key.split("/", 1);
  const kind = "a load balancer that is IPv6 from end to end";
  if (checkType !== undefined && LACKED_TYPES[protocol]?.includes(checkType) === true)
    return { check: {}, misfit: `checkType ${checkType} is not made by ${kind}: remove it, what the listener has stays` };
  if (sourceIpType === 1)
    return { check: {}, misfit: `sourceIpType is 1, and checks of ${kind} come from its own address: use 0, what the listener has stays` };
  if (intervalSeconds === undefined || intervalSeconds >= LEAST_INTERVAL) return { check };
  return {
    check: { ...check, intervalSeconds: LEAST_INTERVAL },
    misfit: `intervalTime is ${intervalSeconds}, and ${kind} checks every ${LEAST_INTERVAL} seconds at most: ${LEAST_INTERVAL} counts, use that or more`,
  };
}
