import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import {
  type ListenerExtras,
  type ListenerRecord,
  type LoadBalancerRecord,
  type Protocol,
  SCHEDULERS,
  type Scheduler,
} from "../../model/account.ts";
import { badValue, CloudError, unsupported } from "../../model/errors.ts";
import { flag, text } from "../table/action.ts";
import { certificate, multiCertInfo } from "./certificates.ts";
import { healthCheck } from "./health-checks.ts";

const onOff = { type: "integer", oneOf: [0, 1] } as const;
const mostOf = { type: "integer", min: -1 } as const;

/** 0, or a range in seconds that the caller checks. */
export const sessionExpireTime = (max: number) => ({ type: "integer", min: 0, max }) as const;

/** What CreateListener and ModifyListener have in common. Ranges: clb-api.md §2.2. */
export const settings = {
  HealthCheck: healthCheck,
  SessionExpireTime: sessionExpireTime(3600),
  SniSwitch: onOff,
  TargetType: { type: "string", oneOf: ["NODE", "TARGETGROUP", "TARGETGROUP-V2"] },
  SessionType: { type: "string", oneOf: ["NORMAL", "QUIC_CID"] },
  DeregisterTargetRst: flag,
  IdleConnectTimeout: { type: "integer", min: 10, max: 1980 },
  Certificate: certificate,
  MultiCertInfo: multiCertInfo,
  KeepaliveEnable: onOff,
  MaxConn: mostOf,
  MaxCps: mostOf,
  ProxyProtocol: flag,
  SnatEnable: flag,
  DataCompressMode: { type: "string", oneOf: ["transparent", "compatibility"] },
  RescheduleTargetZeroWeight: flag,
  RescheduleUnhealthy: flag,
  RescheduleStartTime: { type: "integer", min: 0, max: 3600 },
  RescheduleInterval: { type: "integer", min: 0, max: 3600 },
  RescheduleExpandTarget: flag,
} as const;

/** Only CreateListener has these. */
export const creationSettings = {
  EndPort: { type: "integer", min: 1, max: 65_535 },
  FullEndPorts: { type: "array", of: { type: "integer", min: 2, max: 65_535 } },
  H2cSwitch: flag,
  SslCloseSwitch: flag,
} as const;

/** What a request says, whichever of the two actions it is. */
type Given = Partial<clb.CreateListenerRequest> & clb.ModifyListenerRequest;
export type GivenSettings = Omit<Given, "LoadBalancerId" | "ListenerId" | "ListenerName" | "ListenerNames" | "Ports" | "Protocol">;

const TCP_UDP: readonly Protocol[] = ["TCP", "UDP"];
const LAYER_4: readonly Protocol[] = ["TCP", "UDP", "TCP_SSL", "QUIC"];
const LAYER_7: readonly Protocol[] = ["HTTP", "HTTPS"];
const WITH_TLS: readonly Protocol[] = ["TCP_SSL", "QUIC", "HTTPS"];

/** Which protocols a setting is for; on layer 7 most are said per rule. A setting that is not here is for all. */
const IS_FOR: { readonly [K in keyof GivenSettings]?: readonly Protocol[] } = {
  HealthCheck: LAYER_4,
  Scheduler: LAYER_4,
  MaxConn: LAYER_4,
  MaxCps: LAYER_4,
  SessionExpireTime: TCP_UDP,
  SessionType: TCP_UDP,
  IdleConnectTimeout: TCP_UDP,
  DeregisterTargetRst: TCP_UDP,
  RescheduleTargetZeroWeight: TCP_UDP,
  RescheduleUnhealthy: TCP_UDP,
  RescheduleExpandTarget: TCP_UDP,
  RescheduleStartTime: TCP_UDP,
  RescheduleInterval: TCP_UDP,
  Certificate: WITH_TLS,
  MultiCertInfo: WITH_TLS,
  SniSwitch: ["HTTPS"],
  KeepaliveEnable: LAYER_7,
  ProxyProtocol: ["TCP_SSL"],
  H2cSwitch: ["HTTP"],
  SslCloseSwitch: ["TCP_SSL"],
};
/** Said to any protocol, these change nothing. */
const NEUTRAL: readonly unknown[] = [undefined, 0, false, -1, "NORMAL", "WRR"];

const OFFERED_ELSEWHERE: readonly (keyof GivenSettings)[] = ["EndPort", "FullEndPorts", "H2cSwitch", "SslCloseSwitch"];

/** Throws for a setting that is not for this protocol, or that does not go with another one. */
export function requireFitting(given: GivenSettings, protocol: Protocol): void {
  for (const [name, protocols] of Object.entries(IS_FOR) as [keyof GivenSettings, readonly Protocol[]][])
    if (!protocols.includes(protocol) && !NEUTRAL.includes(given[name]))
      throw badValue(`\`${name}\` is for ${protocols.join(", ")} listeners only, not for ${protocol}`);
  for (const name of OFFERED_ELSEWHERE)
    if (!NEUTRAL.includes(given[name])) throw unsupported(`\`${name}\` must be asked for by a ticket; the emulated cloud has none`);
  if (given.TargetType !== undefined && given.TargetType !== "NODE")
    throw unsupported("the emulated cloud binds targets, no target groups: `TargetType` must be NODE");
  requireSessionRange(given.SessionExpireTime, 3600);
  if (given.SessionType === "QUIC_CID" && (protocol !== "UDP" || (given.Scheduler ?? "WRR") !== "WRR"))
    throw badValue("`SessionType` QUIC_CID is for UDP listeners with `Scheduler` WRR only");
}

/** Session persistence by source goes with WRR only (clb-api.md §4.4). */
export function requireSessionWithScheduler(seconds: number, scheduler: Scheduler, allowed: readonly Scheduler[]): void {
  if (seconds > 0 && !allowed.includes(scheduler))
    throw badValue(`\`SessionExpireTime\` goes with \`Scheduler\` ${allowed.join(" or ")} only, not with ${scheduler}`);
}

export function requireSessionRange(seconds: number | undefined, max: number): void {
  if (seconds !== undefined && seconds !== 0 && seconds < 30)
    throw new CloudError("InvalidParameterValue.Range", `\`SessionExpireTime\` must be 0 or from 30 to ${max}, got ${seconds}`);
}

/** Some ranges are wider for load balancers with a performance specification (`SlaType`). */
export function requireInSpecification(given: GivenSettings, loadBalancer: LoadBalancerRecord): void {
  if (loadBalancer.purchase.slaType !== "") return;
  if ((given.IdleConnectTimeout ?? 0) > 900)
    throw new CloudError("InvalidParameterValue.Range", `\`IdleConnectTimeout\` of a shared load balancer must be from 10 to 900`);
  for (const name of ["MaxConn", "MaxCps"] as const)
    if ((given[name] ?? -1) !== -1) throw badValue(`\`${name}\` needs a load balancer with a performance specification`);
}

/** What the request sets, over what there was. */
const nextExtras = (before: ListenerExtras, given: GivenSettings): ListenerExtras => ({
  sessionType: given.SessionType ?? before.sessionType,
  maxConn: given.MaxConn ?? before.maxConn,
  maxCps: given.MaxCps ?? before.maxCps,
  dataCompressMode: given.DataCompressMode ?? before.dataCompressMode,
  rescheduleInterval: given.RescheduleInterval ?? before.rescheduleInterval,
  rescheduleStartTime: given.RescheduleStartTime ?? before.rescheduleStartTime,
});

export const NO_EXTRAS: ListenerExtras = {
  sessionType: "NORMAL",
  maxConn: -1,
  maxCps: -1,
  dataCompressMode: "transparent",
  rescheduleInterval: 0,
  rescheduleStartTime: 0,
};

/** Changes what both actions set in the same way. */
export function applySettings(listener: ListenerRecord, given: GivenSettings): void {
  listener.scheduler = schedulerOf(given.Scheduler) ?? listener.scheduler;
  listener.sessionExpireTime = given.SessionExpireTime ?? listener.sessionExpireTime;
  listener.idleConnectTimeout = given.IdleConnectTimeout ?? listener.idleConnectTimeout;
  listener.deregisterTargetRst = given.DeregisterTargetRst ?? listener.deregisterTargetRst;
  listener.proxyProtocol = given.ProxyProtocol ?? listener.proxyProtocol;
  listener.keepalive = given.KeepaliveEnable === undefined ? listener.keepalive : given.KeepaliveEnable === 1;
  listener.sni ||= (given.SniSwitch ?? 0) === 1;
  listener.extras = nextExtras(listener.extras, given);
}

export const schedulerOf = (name: string | undefined): Scheduler | undefined => SCHEDULERS.find((one) => one === name);

/** Names of listeners; 1 to 80 characters. */
export const listenerName = { ...text, min: 1, max: 80 } as const;
