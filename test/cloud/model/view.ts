import { type Account, type HealthStatus, isDefault, type Place } from "./account.ts";

/** The cloud as it is now, for boards and tests; plain JSON. */
export type CloudState = { readonly nowMs: number; readonly overlaps: number; readonly loadBalancers: readonly LoadBalancerView[] };

export type LoadBalancerView = {
  readonly id: string;
  readonly name: string;
  readonly vip: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Action and request of the write that runs now. */
  readonly lock: { readonly action: string; readonly requestId: string; readonly untilMs: number } | null;
  readonly overlaps: number;
  readonly listeners: readonly ListenerView[];
};

export type ListenerView = {
  readonly id: string;
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  /** Those of a layer-4 listener. */
  readonly targets: readonly TargetView[];
  readonly rules: readonly RuleView[];
};

export type RuleView = {
  readonly id: string;
  readonly domains: readonly string[];
  readonly url: string;
  readonly isDefault: boolean;
  readonly targets: readonly TargetView[];
};

export type TargetView = { readonly ip: string; readonly port: number; readonly weight: number; readonly health: HealthStatus };

/** `overlaps` are those of all load balancers, also deleted ones. */
export function stateOf(
  { loadBalancers }: Pick<Account, "loadBalancers">,
  now: { readonly timeMs: number; readonly overlaps: number },
): CloudState {
  return {
    nowMs: Math.round(now.timeMs),
    overlaps: now.overlaps,
    loadBalancers: [...loadBalancers.values()].map(({ id, name, vip, tags, lock, overlaps, listeners }) => ({
      id,
      name,
      vip,
      tags: Object.fromEntries(tags),
      lock: lock ?? null,
      overlaps,
      listeners: [...listeners.values()].map((listener) => ({
        id: listener.listenerId,
        name: listener.name,
        protocol: listener.protocol,
        port: listener.port,
        targets: targetsOf(listener),
        rules: [...listener.rules.values()].map((rule) => ({
          id: rule.locationId,
          domains: rule.domains,
          url: rule.url,
          isDefault: isDefault(listener, rule),
          targets: targetsOf(rule),
        })),
      })),
    })),
  };
}

const targetsOf = ({ targets }: Place): TargetView[] =>
  [...targets.values()].map(({ ip, port, weight, health }) => ({ ip, port, weight, health }));
