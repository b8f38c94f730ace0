import type { HealthCheck } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { CloudError } from "./errors.ts";
import type { BackendAddress } from "./network.ts";

/** As `HealthStatusDetail` of DescribeTargetHealth. */
export type HealthStatus = (typeof HEALTH_STATUSES)[number];
export const HEALTH_STATUSES = ["Alive", "Dead", "Unknown", "Close"] as const;

/** A health check with the fields that the engine reads filled in. */
export type HealthSettings = HealthCheck &
  Required<Pick<HealthCheck, "HealthSwitch" | "TimeOut" | "IntervalTime" | "HealthNum" | "UnHealthNum" | "CheckType" | "CheckPort">>;

/** One backend in one place. */
export type TargetRecord = {
  readonly ip: string;
  readonly port: number;
  /** Whose address this is; only "ENI" where nobody described the network. */
  readonly owner: Omit<BackendAddress, "ip">;
  tag: string | undefined;
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

/** What a listener can speak. */
export const PROTOCOLS = ["TCP", "UDP", "TCP_SSL", "QUIC", "HTTP", "HTTPS"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** What carries a listener's traffic: UDP has ports of its own, the others share theirs. */
export const transportOf = (protocol: Protocol): "TCP" | "UDP" => (protocol === "UDP" || protocol === "QUIC" ? "UDP" : "TCP");

/** Whether targets are bound to the listener's rules instead of to the listener. */
export const isLayer7 = (protocol: Protocol): boolean => protocol === "HTTP" || protocol === "HTTPS";

/** Where targets are bound: a layer-4 listener, or a rule of a layer-7 one. */
export type Place = {
  readonly loadBalancerId: string;
  readonly listenerId: string;
  /** Undefined for a layer-4 listener. */
  readonly locationId: string | undefined;
  /** That of the listener. */
  readonly protocol: Protocol;
  healthCheck: HealthSettings;
  /** By "ip:port". */
  readonly targets: Map<string, TargetRecord>;
  /** When a target was last Alive and stopped being so; 0 if never. */
  lastHealthyMs: number;
};

/** What a listener, or one of its domains with SNI, is served with: ids of `Account.certificates`. */
export type CertificateChoice = {
  readonly sslMode: "UNIDIRECTIONAL" | "MUTUAL";
  /** One, or one RSA and one ECC. */
  readonly certIds: readonly string[];
  /** Whose client certificates are accepted in mode MUTUAL. */
  readonly caCertId: string | undefined;
};

/** A certificate as uploaded, in PEM; `keyPem` is empty for a CA certificate. */
export type CertificateRecord = { readonly id: string; readonly name: string; readonly certPem: string; readonly keyPem: string };

export const SCHEDULERS = ["WRR", "LEAST_CONN", "IP_HASH"] as const;
export type Scheduler = (typeof SCHEDULERS)[number];

/** `targets` and `healthCheck` are in use on layer 4 only, `rules` and `defaultDomain` on layer 7 only. */
export type ListenerRecord = Place & {
  readonly locationId: undefined;
  name: string;
  readonly port: number;
  readonly createdMs: number;
  scheduler: Scheduler;
  /** Seconds; 0 is off. */
  sessionExpireTime: number;
  /** Seconds. */
  idleConnectTimeout: number;
  deregisterTargetRst: boolean;
  /** TCP_SSL: the backend is told the client's address by the PROXY protocol. */
  proxyProtocol: boolean;
  /** Layer 7: connections to backends are kept; without it each request has one of its own. */
  keepalive: boolean;
  /** TCP_SSL, QUIC, and HTTPS without SNI. */
  certificate: CertificateChoice | undefined;
  /** Kept and shown, without effect. */
  extras: ListenerExtras;
  /** With SNI each domain has a certificate of its own. Switched on, never off. */
  sni: boolean;
  /** By location id, oldest first. */
  readonly rules: Map<string, RuleRecord>;
  /** The domain that requests for unknown hosts go to; undefined only while there are no rules. */
  defaultDomain: string | undefined;
};

export type ListenerExtras = {
  readonly sessionType: string;
  /** -1 is no limit. */
  readonly maxConn: number;
  readonly maxCps: number;
  readonly dataCompressMode: string;
  /** Seconds. */
  readonly rescheduleInterval: number;
  readonly rescheduleStartTime: number;
};

/** One (domains, url) of a layer-7 listener; unique in it. */
export type RuleRecord = Place & {
  readonly locationId: string;
  /** At least one, e.g. ["app.example.com"], ["*.example.com"]; without a name the VIP. The first is `Domain` in answers. */
  domains: readonly string[];
  /** E.g. "/api"; may begin with "=", "^~", "~" or "~*". */
  url: string;
  readonly createdMs: number;
  scheduler: Scheduler;
  /** Seconds; 0 is off. */
  sessionExpireTime: number;
  /** What the backends speak. */
  forwardType: "HTTP" | "HTTPS" | "GRPC" | "GRPCS";
  http2: boolean;
  /** Of its domain, with SNI. */
  certificate: CertificateChoice | undefined;
  /** Domain-wide, like `http2`; shown only: QUIC carries no data here. */
  quic: boolean;
  /** Name of the session cookie; undefined takes the service's own. */
  cookieName: string | undefined;
  /** The rule that requests are redirected to. `code`: 301, 302 or 307. */
  rewrite: Rewrite | undefined;
};

/** `automatic`: made by AutoRewrite, not by ManualRewrite. `takeUrl`: clients keep the path that they asked for. `to`: what is named. */
type Rewrite = {
  readonly to: { readonly listener: ListenerRecord; readonly rule: RuleRecord };
  readonly listenerId: string;
  readonly locationId: string;
  readonly code: number;
  readonly takeUrl: boolean;
  readonly automatic: boolean;
};

/** Who writes now, and until when the lock is held as far as known. */
export type Lock = { readonly requestId: string; readonly action: string; readonly untilMs: number };

/** How a load balancer is paid for; nothing here changes what it does, but `slaType` ("" is the shared kind) widens some ranges. */
export type Purchase = {
  readonly chargeType: "POSTPAID_BY_HOUR" | "PREPAID";
  readonly prepaid: { readonly months: number; readonly renewFlag: string } | undefined;
  /** E.g. "clb.c2.medium". */
  readonly slaType: string;
  /** E.g. "BGP"; "INTERNAL" without a public address. */
  readonly vipIsp: string;
  readonly internetChargeType: string;
  readonly bandwidthMbps: number;
};

export type LoadBalancerRecord = {
  readonly id: string;
  name: string;
  readonly type: "OPEN" | "INTERNAL";
  readonly vip: string;
  /** Shown instead of `vip`; undefined: it is an IPv4 one. Data goes over `vip` all the same. */
  readonly ipv6: { readonly address: string; readonly mode: "IPv6Nat64" | "IPv6FullChain" } | undefined;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly projectId: number;
  /** E.g. "ap-guangzhou-1"; undefined: not asked for. */
  readonly zone: string | undefined;
  readonly createdMs: number;
  readonly tags: Map<string, string>;
  purchase: Purchase;
  /** Whether only its own security groups decide, not those of its backends. */
  passToTarget: boolean;
  /** Whether backends of other VPCs may be bound. */
  snatPro: boolean;
  snatIps: readonly { readonly subnetId: string; readonly ip: string }[];
  deleteProtect: boolean;
  /** In the order in which they are asked. */
  securityGroups: readonly string[];
  /** "" is none. */
  endpointId: string;
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
  /** When load balancers were deleted in the last minutes. */
  deletionsMs: readonly number[];
  /** By id. */
  readonly certificates: Map<string, CertificateRecord>;
};

/** Without load balancers. */
export const emptyAccount = (certificates: readonly CertificateRecord[] = []): Account => ({
  loadBalancers: new Map(),
  ordered: new Set(),
  deletionsMs: [],
  certificates: new Map(certificates.map((one) => [one.id, one])),
});

/** The account's number in resource names; any other is taken for it. */
export const OWNER_UIN = "100000000001";

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

/** Throws InvalidParameter.LocationNotFound. */
export function requireRule(listener: ListenerRecord, id: string): RuleRecord {
  const found = listener.rules.get(id);
  if (found === undefined) throw locationNotFound(listener, id);
  return found;
}

/** What a request says about the place of its targets; `LocationId` wins over `Domain` and `Url`. */
export type PlaceHint = { readonly ListenerId: string; readonly LocationId?: string; readonly Domain?: string; readonly Url?: string };

/** The place a request means. Throws ListenerIdNotFound, LocationNotFound. */
export function requirePlace(loadBalancer: LoadBalancerRecord, hint: PlaceHint): Place {
  const listener = requireListener(loadBalancer, hint.ListenerId);
  const { LocationId: id = "", Domain: domain = "", Url: url = "" } = hint;
  if (!isLayer7(listener.protocol)) {
    const named = id || domain || url;
    if (named !== "") throw locationNotFound(listener, named);
    return listener;
  }
  if (id !== "") return requireRule(listener, id);
  const found = [...listener.rules.values()].find((rule) => rule.url === url && rule.domains.includes(domain));
  if (found === undefined) throw locationNotFound(listener, `${domain}${url}` || "(no LocationId, no Domain and Url)");
  return found;
}

const locationNotFound = ({ listenerId, protocol }: ListenerRecord, named: string): CloudError =>
  new CloudError("InvalidParameter.LocationNotFound", `rule ${named} not found in listener ${listenerId}, which is ${protocol}`);

/** Whether requests for unknown hosts go to this rule's domain. */
export const isDefault = ({ defaultDomain }: ListenerRecord, { domains }: RuleRecord): boolean =>
  defaultDomain !== undefined && domains.includes(defaultDomain);

/** Where targets can be in this listener: itself on layer 4, its rules on layer 7. */
export const placesOf = (listener: ListenerRecord): readonly Place[] =>
  isLayer7(listener.protocol) ? [...listener.rules.values()] : [listener];

/** Number of layer-7 rules; they make writes slower. */
export const ruleCount = (loadBalancer: LoadBalancerRecord): number =>
  [...loadBalancer.listeners.values()].reduce((sum, { rules }) => sum + rules.size, 0);

/** Bound targets over all places. */
export const targetCount = (loadBalancer: LoadBalancerRecord): number =>
  [...loadBalancer.listeners.values()].flatMap(placesOf).reduce((sum, { targets }) => sum + targets.size, 0);
