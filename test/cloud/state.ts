import type { HealthCheck } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { CloudError } from "./errors.ts";

/** As `HealthStatusDetail` of DescribeTargetHealth. */
export type HealthStatus = "Alive" | "Dead" | "Unknown" | "Close";

/** A health check with the fields that the engine reads filled in. */
export type HealthSettings = HealthCheck &
  Required<Pick<HealthCheck, "HealthSwitch" | "TimeOut" | "IntervalTime" | "HealthNum" | "UnHealthNum" | "CheckType" | "CheckPort">>;

/** One backend in one place. */
export type TargetRecord = {
  readonly ip: string;
  readonly port: number;
  readonly tag: string | undefined;
  readonly registeredMs: number;
  weight: number;
  health: HealthStatus;
  /** Probes in a row with the same result. */
  streak: { ok: boolean; count: number };
  /** Ends the probing. */
  probing: AbortController | undefined;
  /** Set by `setHealth`: probes do not change it. */
  pinned: HealthStatus | undefined;
  /** Credit in the weighted round robin. */
  credit: number;
};

/** Where targets are bound: an L4 listener, or later an L7 rule. */
export type Place = {
  readonly loadBalancerId: string;
  readonly listenerId: string;
  healthCheck: HealthSettings;
  /** By "ip:port". */
  readonly targets: Map<string, TargetRecord>;
  /** When a target was last Alive and stopped being so; 0 if never. */
  lastHealthyMs: number;
};

/** L7 rules will be `rules: Map<string, Place & …>` beside the listener's own targets. */
export type ListenerRecord = Place & {
  name: string;
  readonly protocol: string;
  readonly port: number;
  readonly createdMs: number;
  scheduler: string;
  sessionExpireTime: number;
  idleConnectTimeout: number;
  deregisterTargetRst: boolean;
};

/** Who writes now, and until when the lock is held as far as known. */
export type Lock = { readonly requestId: string; readonly action: string; readonly untilMs: number };

export type LoadBalancerRecord = {
  readonly id: string;
  name: string;
  readonly type: "OPEN" | "INTERNAL";
  readonly vip: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly projectId: number;
  readonly createdMs: number;
  readonly tags: Map<string, string>;
  readonly listeners: Map<string, ListenerRecord>;
  lock: Lock | undefined;
  /** Writes refused because another one was running. */
  overlaps: number;
};

/** What one account has. Objects appear here when the task that makes them succeeds. */
export type Account = {
  readonly loadBalancers: Map<string, LoadBalancerRecord>;
  /** Ordered and not there yet: they count for the quota. */
  readonly ordered: Set<LoadBalancerRecord>;
};

/** Key of a target within its place, e.g. "10.244.1.7:8080". */
export const targetKey = (ip: string, port: number): string => `${ip}:${port}`;

/** Throws InvalidParameter.LBIdNotFound. */
export function requireLoadBalancer(account: Account, id: string): LoadBalancerRecord {
  const found = account.loadBalancers.get(id);
  if (found === undefined) throw new CloudError("InvalidParameter.LBIdNotFound", `LoadBalancerId ${id} not found`);
  return found;
}

/** Throws InvalidParameter.ListenerIdNotFound. */
export function requireListener(loadBalancer: LoadBalancerRecord, id: string): ListenerRecord {
  const found = loadBalancer.listeners.get(id);
  if (found === undefined) throw new CloudError("InvalidParameter.ListenerIdNotFound", `ListenerId ${id} not found in ${loadBalancer.id}`);
  return found;
}

/** What a request says about the place of its targets. */
export type PlaceHint = { readonly ListenerId: string; readonly LocationId?: string; readonly Domain?: string; readonly Url?: string };

/** The place a request means. Throws ListenerIdNotFound, LocationNotFound. */
export function requirePlace(loadBalancer: LoadBalancerRecord, hint: PlaceHint): ListenerRecord {
  const listener = requireListener(loadBalancer, hint.ListenerId);
  const rule = hint.LocationId ?? hint.Domain ?? hint.Url;
  if (rule === undefined || rule === "") return listener;
  throw new CloudError(
    "InvalidParameter.LocationNotFound",
    `rule ${rule} not found in listener ${listener.listenerId}, which is ${listener.protocol}`,
  );
}

/** Number of L7 rules, which make writes slower. None before L7 exists here. */
export const ruleCount = (_loadBalancer: LoadBalancerRecord): number => 0;

/** Bound targets over all places. */
export const targetCount = (loadBalancer: LoadBalancerRecord): number =>
  [...loadBalancer.listeners.values()].reduce((sum, listener) => sum + listener.targets.size, 0);
