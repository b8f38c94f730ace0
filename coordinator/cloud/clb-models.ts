import type {
  CertificateInput,
  CertificateOutput,
  HealthCheck as CloudHealthCheck,
  Listener as CloudListener,
  LoadBalancer as CloudLoadBalancer,
  ListenerHealth,
  MultiCertInfo,
  RewriteTarget,
  RuleOutput,
  TargetHealth,
} from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import {
  type Certificate,
  canonicalCheck,
  canonicalDomain,
  canonicalSettings,
  DEFAULT_HEALTH_CHECK,
  type HealthCheck,
  type HealthState,
  isLayer7,
  type LoadBalancerFacts,
  type LoadBalancerSettings,
  type PlaceId,
  type PlaceSettings,
  type PlaceWish,
  type Redirect,
  type Scheduler,
  type Target,
} from "../domain/load-balancer.ts";

/** Every property of an answer may also be null, whatever the SDK's types say (clb-api.md §1.8). */
export type Answer<T> = {
  readonly [K in keyof T]?: T[K] extends readonly (infer I)[] | undefined ? readonly Answer<I>[] | null : T[K] | null;
};

export function factsOf(one: Answer<CloudLoadBalancer>): LoadBalancerFacts {
  return {
    loadBalancerId: one.LoadBalancerId ?? "",
    vips: addressesOf(one),
    domain: one.LoadBalancerDomain || one.Domain || undefined,
    running: one.Status !== 0, // 0: it is being created, 1: it runs; there is no other (clb-api.md §2.1)
    ...settingsOf(one),
    tags: Object.fromEntries((one.Tags ?? []).map(({ TagKey, TagValue }) => [TagKey ?? "", TagValue ?? ""])),
  };
}

/** What can be changed, and what was ordered; fields that the answer lacks are left out. */
function settingsOf(one: Answer<CloudLoadBalancer>): Pick<LoadBalancerFacts, "settings" | "order"> {
  const { NetworkAttributes: network } = one;
  const bandwidth = network?.InternetMaxBandwidthOut;
  const settings: Partial<LoadBalancerSettings> = {
    ...(one.SecureGroups && { securityGroups: one.SecureGroups.map(String) }),
    ...(typeof one.LoadBalancerPassToTarget === "boolean" && { passToTarget: one.LoadBalancerPassToTarget }),
    ...(one.AttributeFlags && { deleteProtect: one.AttributeFlags.some((flag) => /^DeleteProtect$/i.test(flag)) }),
    ...(typeof bandwidth === "number" && { bandwidthMbps: bandwidth }),
  };
  const ordered = {
    LoadBalancerType: one.LoadBalancerType,
    SubnetId: one.SubnetId,
    AddressIPVersion: one.IPv6Mode ?? one.AddressIPVersion, // NAT64 and full-chain IPv6 are both "ipv6" (clb-api.md §2.1)
    SlaType: one.SlaType,
    VipIsp: one.VipIsp,
    InternetChargeType: network?.InternetChargeType,
  };
  const order = Object.fromEntries(Object.entries(ordered).filter(([, value]) => typeof value === "string" && value !== ""));
  return { ...(isFilled(settings) && { settings }), ...(isFilled(order) && { order }) };
}

const isFilled = (value: object): boolean => Object.keys(value).length > 0;

/** None while it is being created. An IPv6 one has its address in a field of its own (clb-api.md §2.1). */
const addressesOf = ({ LoadBalancerVips: vips, AddressIPv6: ipv6 }: Answer<CloudLoadBalancer>): string[] =>
  [...(vips ?? []).map(String), ipv6 ?? ""].filter((address) => address !== "");

const HEALTH_STATES: readonly HealthState[] = ["Alive", "Dead", "Unknown", "Close"];
/**
 * Unknown where the cloud says nothing, or a word that we do not know. The boolean is asked last: one published target has `true` with
 * "Dead", and `false` may also mean that nobody has probed it yet (clb-api.md §4.1).
 */
export function healthOf(target: Answer<TargetHealth>): HealthState {
  const detail = target.HealthStatusDetail ?? target.HealthStatusDetial;
  if (!detail) return target.HealthStatus === true ? "Alive" : "Unknown";
  return HEALTH_STATES.find((state) => state === detail) ?? "Unknown";
}

export function targetsOf(
  targets: readonly Answer<{ PrivateIpAddresses?: string[]; Port?: number; Weight?: number }>[] | null | undefined,
): Target[] {
  return (targets ?? []).flatMap(({ PrivateIpAddresses, Port, Weight }) => {
    const ip = PrivateIpAddresses?.map(String)[0];
    return ip === undefined || typeof Port !== "number" ? [] : [{ ip, port: Port, weight: typeof Weight === "number" ? Weight : 0 }];
  });
}

export const placeIn = ({ listenerId, locationId }: PlaceId): { ListenerId: string; LocationId?: string } =>
  locationId === undefined ? { ListenerId: listenerId } : { ListenerId: listenerId, LocationId: locationId };

/**
 * Where DescribeTargetHealth found targets. On layer 4 they come under one rule, whose LocationId is an id that no other action knows: the
 * listener's protocol tells the layers apart (clb-api.md §4.1).
 */
export function placeOfHealth(listener: Answer<ListenerHealth>, locationId: string | null | undefined): PlaceId {
  const listenerId = listener.ListenerId ?? "";
  return isLayer7(listener.Protocol ?? "") ? { listenerId, locationId: locationId ?? "" } : { listenerId };
}

/** What is absent keeps the cloud's default or present value. */
export const scheduling = ({ scheduler, settings }: PlaceWish) => ({
  ...(scheduler !== undefined && { Scheduler: scheduler }),
  ...(settings?.sessionSeconds !== undefined && { SessionExpireTime: settings.sessionSeconds }),
  ...(settings?.resetOnUnbind !== undefined && { DeregisterTargetRst: settings.resetOnUnbind }),
  ...(settings?.forwardType !== undefined && { ForwardType: settings.forwardType }),
});

/** One certificate goes in the older form, several in the newer one. Source: clb-api.md §2.2. */
export function certificateIn(certificate: Certificate | undefined): { Certificate?: CertificateInput; MultiCertInfo?: MultiCertInfo } {
  if (certificate === undefined) return {};
  const { certIds, caCertId } = certificate;
  const SSLMode = caCertId === undefined ? "UNIDIRECTIONAL" : "MUTUAL";
  const [only, ...others] = certIds;
  if (only !== undefined && others.length === 0)
    return { Certificate: { SSLMode, CertId: only, ...(caCertId !== undefined && { CertCaId: caCertId }) } };
  return {
    MultiCertInfo: { SSLMode, CertList: [...certIds, ...(caCertId === undefined ? [] : [caCertId])].map((CertId) => ({ CertId })) },
  };
}

/** Undefined where the cloud tells none. */
function certificateOf(shown: Answer<CertificateOutput> | CertificateOutput | null | undefined): { certificate?: Certificate } {
  const certIds = [shown?.CertId, ...(shown?.ExtCertIds ?? [])].flatMap((id) => (id ? [id] : []));
  if (certIds.length === 0) return {};
  const caCertId = shown?.SSLMode === "MUTUAL" ? shown.CertCaId : undefined;
  return { certificate: { certIds, ...(caCertId && { caCertId }) } };
}

/** Of a listener of layer 4; none where the cloud tells nothing. */
function placeSettings(one: Answer<CloudListener>): { settings?: PlaceSettings } {
  const settings = {
    ...(typeof one.SessionExpireTime === "number" && { sessionSeconds: one.SessionExpireTime }),
    ...(typeof one.DeregisterTargetRst === "boolean" && { resetOnUnbind: one.DeregisterTargetRst }),
  };
  return isLayer7(one.Protocol ?? "") ? {} : canonicalSettings(settings);
}
const SCHEDULERS: readonly Scheduler[] = ["WRR", "LEAST_CONN", "IP_HASH"];
const schedulerOf = (name: string | null | undefined): Scheduler => SCHEDULERS.find((known) => known === name) ?? "WRR";

/** A listener and its rules as DescribeListeners tells them, without targets: DescribeTargets has those. */
export function bareListener(one: Answer<CloudListener>) {
  const listenerId = one.ListenerId ?? "";
  return {
    listenerId,
    name: one.ListenerName ?? "",
    protocol: one.Protocol ?? "",
    port: one.Port ?? 0,
    healthCheck: isLayer7(one.Protocol ?? "") ? fromCloud(one.HealthCheck) : wholeCheck(one.HealthCheck, "listener"),
    ...checkSource(one.HealthCheck),
    scheduler: schedulerOf(one.Scheduler),
    ...placeSettings(one),
    ...certificateOf(one.Certificate),
    ...(one.KeepaliveEnable === 1 && { keepalive: true as const }),
    rules: (one.Rules ?? []).map((rule) => bareRule(listenerId, rule)),
  };
}

function bareRule(listenerId: string, rule: Answer<RuleOutput>) {
  const settings = {
    ...(typeof rule.SessionExpireTime === "number" && { sessionSeconds: rule.SessionExpireTime }),
    ...(rule.ForwardType && { forwardType: rule.ForwardType }),
  };
  return {
    listenerId,
    locationId: rule.LocationId ?? "",
    domain: canonicalDomain(rule.Domain ?? ""),
    url: rule.Url ?? "",
    healthCheck: wholeCheck(rule.HealthCheck, "rule"),
    ...checkSource(rule.HealthCheck),
    scheduler: schedulerOf(rule.Scheduler),
    ...canonicalSettings(settings),
    ...certificateOf(rule.Certificate),
    ...(rule.Http2 === true && { http2: true as const }),
    ...(rule.DefaultServer === true && { isDefault: true as const }),
    ...redirectOf(rule.RewriteTarget),
  };
}

/** An older answer has no code (published answers of 2020-11); one without a listener is no redirect. */
function redirectOf(target: Answer<RewriteTarget> | RewriteTarget | null | undefined): { readonly redirect?: Redirect } {
  const { TargetListenerId: listenerId, TargetLocationId: locationId, RewriteCode: code } = target ?? {};
  return listenerId && locationId ? { redirect: { listenerId, locationId, code: code ?? 0 } } : {};
}

/** 0: the load balancer's own address; 1: the range that security groups never judge (clb-api.md §6.1). */
const checkSource = (check: Answer<CloudHealthCheck> | CloudHealthCheck | null | undefined): { readonly checkedByVip?: true } =>
  check?.SourceIpType === 0 ? { checkedByVip: true } : {};

function fromCloud(check: Answer<CloudHealthCheck> | CloudHealthCheck | null | undefined): HealthCheck {
  const fallback = DEFAULT_HEALTH_CHECK;
  return {
    enabled: (check?.HealthSwitch ?? 1) === 1,
    intervalSeconds: check?.IntervalTime ?? fallback.intervalSeconds,
    timeoutSeconds: check?.TimeOut ?? fallback.timeoutSeconds,
    healthyCount: check?.HealthNum ?? fallback.healthyCount,
    unhealthyCount: check?.UnHealthNum ?? fallback.unhealthyCount,
  };
}

/** As `httpCheck`, and the rest. */
function wholeCheck(check: Answer<CloudHealthCheck> | CloudHealthCheck | null | undefined, of: "listener" | "rule"): HealthCheck {
  const { CheckType, CheckPort, ContextType, SendContext, RecvContext, HttpVersion, SourceIpType } = check ?? {};
  return canonicalCheck(
    {
      ...httpCheck(check),
      ...(CheckType && { checkType: CheckType }),
      ...(typeof CheckPort === "number" && CheckPort > 0 && { checkPort: CheckPort }),
      ...(ContextType && { contextType: ContextType }),
      ...(SendContext && { sendContext: SendContext }),
      ...(RecvContext && { recvContext: RecvContext }),
      ...(HttpVersion && { httpVersion: HttpVersion }),
      ...(typeof SourceIpType === "number" && { sourceIpType: SourceIpType }),
    },
    of,
  );
}

/** As `fromCloud`, and the fields of HTTP checks. */
function httpCheck(check: Answer<CloudHealthCheck> | CloudHealthCheck | null | undefined): HealthCheck {
  const { HttpCheckPath: httpPath, HttpCheckDomain: httpDomain, HttpCode: httpCodes } = check ?? {};
  const httpMethod = check?.HttpCheckMethod?.toUpperCase(); // sent as "GET", answered as "get" (clb-api.md §4.3)
  return {
    ...fromCloud(check),
    ...(httpPath && { httpPath }),
    ...(httpDomain && { httpDomain }),
    ...((httpMethod === "HEAD" || httpMethod === "GET") && { httpMethod }),
    ...(httpCodes && { httpCodes }),
  };
}

/** Sends only the fields that are set: an absent field keeps the cloud's default or present value. */
export function toCloud(check: Partial<HealthCheck>): CloudHealthCheck {
  return {
    ...(check.enabled !== undefined && { HealthSwitch: check.enabled ? 1 : 0 }),
    ...(check.intervalSeconds !== undefined && { IntervalTime: check.intervalSeconds }),
    ...(check.timeoutSeconds !== undefined && { TimeOut: check.timeoutSeconds }),
    ...(check.healthyCount !== undefined && { HealthNum: check.healthyCount }),
    ...(check.unhealthyCount !== undefined && { UnHealthNum: check.unhealthyCount }),
    ...(check.httpPath !== undefined && { HttpCheckPath: check.httpPath }),
    ...(check.httpDomain !== undefined && { HttpCheckDomain: check.httpDomain }),
    ...(check.httpMethod !== undefined && { HttpCheckMethod: check.httpMethod }),
    ...(check.httpCodes !== undefined && { HttpCode: check.httpCodes }),
    ...(check.checkType !== undefined && { CheckType: check.checkType }),
    ...(check.checkPort !== undefined && { CheckPort: check.checkPort }),
    ...(check.contextType !== undefined && { ContextType: check.contextType }),
    ...(check.sendContext !== undefined && { SendContext: check.sendContext }),
    ...(check.recvContext !== undefined && { RecvContext: check.recvContext }),
    ...(check.httpVersion !== undefined && { HttpVersion: check.httpVersion }),
    ...(check.sourceIpType !== undefined && { SourceIpType: check.sourceIpType }),
  };
}
