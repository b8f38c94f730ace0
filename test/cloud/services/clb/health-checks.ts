import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { HealthSettings, LoadBalancerRecord, Protocol } from "../../model/account.ts";
import { badValue, CloudError, missing } from "../../model/errors.ts";
import { DEFAULT_CHECK } from "../../runtime/health.ts";
import type { ClbAnswers } from "../../runtime/options.ts";
import { text, type Whole } from "../table/action.ts";

/** Ranges: clb-api.md §4.3. */
export const healthCheck = {
  type: "object",
  fields: {
    HealthSwitch: { type: "integer", oneOf: [0, 1] },
    TimeOut: { type: "integer", min: 2, max: 60 },
    IntervalTime: { type: "integer", min: 2, max: 300 },
    HealthNum: { type: "integer", min: 2, max: 10 },
    UnHealthNum: { type: "integer", min: 2, max: 10 },
    HttpCode: { type: "integer", min: 1, max: 31 },
    HttpCheckPath: { type: "string", max: 200 },
    HttpCheckDomain: { type: "string", max: 80 },
    HttpCheckMethod: { type: "string", oneOf: ["HEAD", "GET", "head", "get", ""] },
    CheckPort: { type: "integer", min: -1, max: 65_535 },
    ContextType: { type: "string", oneOf: ["HEX", "TEXT", ""] },
    SendContext: { type: "string", max: 500 },
    RecvContext: { type: "string", max: 500 },
    CheckType: { type: "string", oneOf: ["TCP", "HTTP", "HTTPS", "GRPC", "PING", "CUSTOM", ""] },
    HttpVersion: { type: "string", oneOf: ["HTTP/1.0", "HTTP/1.1", ""] },
    SourceIpType: { type: "integer", oneOf: [0, 1] },
    ExtendedCode: text,
  },
} as const;

/** What is checked: a listener of layer 4, or a rule with its first domain. */
export type CheckSubject =
  | { readonly protocol: "TCP" | "UDP" | "TCP_SSL" | "QUIC" }
  | { readonly protocol: "HTTP" | "HTTPS"; readonly forwardType: string; readonly domain: string };

/** Source: clb-api.md §4.3. */
const CHECK_TYPES: { readonly [P in Protocol]: readonly string[] } = {
  TCP: ["TCP", "HTTP", "CUSTOM"],
  UDP: ["PING", "CUSTOM"],
  TCP_SSL: ["TCP", "HTTP"],
  QUIC: ["TCP", "HTTP"],
  HTTP: ["HTTP", "TCP", "GRPC"],
  HTTPS: ["HTTP", "HTTPS", "TCP", "GRPC"],
};

const HTTP_DEFAULTS = { HttpCode: 31, HttpCheckPath: "/", HttpCheckMethod: "HEAD" } as const;
/** gRPC's UNIMPLEMENTED: what a server without a health service answers. */
const GRPC_DEFAULTS = { ExtendedCode: "12" } as const;

/** What one that is IPv6 from end to end does not make. Source: cloud.tencent.com/document/product/214/50011. */
const NOT_IPV6: { readonly [P in Protocol]?: readonly string[] } = { TCP: ["HTTP", "CUSTOM"], UDP: ["CUSTOM"] };
/** Seconds; clb-api.md §4.3. */
const LEAST_IPV6_INTERVAL = 5;

/** Fills in the defaults and checks what concerns several fields. Throws MissingParameter, InvalidParameterValue, .Range. */
export function completeCheck(raw: clb.HealthCheck, subject: CheckSubject, at: Pick<LoadBalancerRecord, "ipv6">): HealthSettings {
  const given = withoutNeutral(raw);
  const isIpv6 = at.ipv6?.mode === "IPv6FullChain";
  const type = given.CheckType ?? defaultType(subject);
  const check: HealthSettings = {
    ...DEFAULT_CHECK,
    SourceIpType: isIpv6 ? 0 : 1, // 1: new accounts since February 2023
    ...((type === "HTTP" || type === "HTTPS") && HTTP_DEFAULTS),
    ...(type === "GRPC" && GRPC_DEFAULTS),
    ...given,
    CheckType: type,
  };
  // The model says "less than", yet the documented minimum (interval 2, timeout 2) needs "not above".
  if (check.TimeOut > check.IntervalTime)
    throw badValue(`\`HealthCheck.TimeOut\` ${check.TimeOut} must not be above \`IntervalTime\` ${check.IntervalTime}`);
  const types = CHECK_TYPES[subject.protocol];
  if (!types.includes(type))
    throw badValue(`\`HealthCheck.CheckType\` of ${subject.protocol} must be one of ${types.join(", ")}, got ${type}`);
  if (isIpv6) requireIpv6(check, subject.protocol);
  requirePort(check, subject.protocol);
  requireContext(check);
  requirePath(check);
  const domain = checkedDomain(check, subject);
  return domain === undefined ? check : { ...check, HttpCheckDomain: domain };
}

/** Clients that fill in every field say "" for none. */
const withoutNeutral = (check: clb.HealthCheck): clb.HealthCheck =>
  Object.fromEntries(Object.entries(check).filter(([name, value]) => value !== "" || name.endsWith("Context")));

function defaultType(subject: CheckSubject): string {
  if (subject.protocol === "UDP") return "PING";
  if (subject.protocol === "HTTP") return "HTTP";
  if (subject.protocol !== "HTTPS") return "TCP";
  return subject.forwardType === "GRPCS" ? "GRPC" : subject.forwardType;
}

function requireIpv6({ CheckType: type, IntervalTime: interval, SourceIpType: source }: HealthSettings, protocol: Protocol): void {
  if (NOT_IPV6[protocol]?.includes(type ?? "") === true)
    throw badValue(`\`HealthCheck.CheckType\` of ${protocol} must not be ${type} at an IPv6 load balancer`);
  if (interval < LEAST_IPV6_INTERVAL)
    throw new CloudError(
      "InvalidParameterValue.Range",
      `\`HealthCheck.IntervalTime\` of an IPv6 load balancer must be from ${LEAST_IPV6_INTERVAL} to 300, got ${interval}`,
    );
  if (source === 1) throw badValue("`HealthCheck.SourceIpType` of an IPv6 load balancer must be 0, got 1");
}

function requirePort({ CheckPort: port }: HealthSettings, protocol: Protocol): void {
  if (port === -1) return;
  if (port === 0) throw new CloudError("InvalidParameterValue.Range", "`HealthCheck.CheckPort` must be -1 or from 1 to 65535, got 0");
  if (protocol !== "TCP" && protocol !== "UDP")
    throw badValue(`\`HealthCheck.CheckPort\` is for TCP and UDP listeners only, not for ${protocol}`);
}

/** A check of one's own says what is sent and what must come back. */
function requireContext({ CheckType, ContextType, SendContext, RecvContext }: HealthSettings): void {
  if (CheckType !== "CUSTOM") return;
  if (ContextType === undefined || SendContext === undefined || RecvContext === undefined)
    throw missing("`HealthCheck.ContextType`, `SendContext` and `RecvContext` of a CUSTOM check");
  const allowed = ContextType === "HEX" ? /^(?:[0-9A-F]{2})*$/ : /^[\x20-\x7e]*$/;
  for (const said of [SendContext, RecvContext])
    if (!allowed.test(said))
      throw badValue(
        `\`HealthCheck.SendContext\` and \`RecvContext\` in ${ContextType} must be ${ContextType === "HEX" ? "pairs of 0-9A-F" : "visible ASCII"}`,
      );
}

function requirePath({ HttpCheckPath: path }: HealthSettings): void {
  if (path !== undefined && !path.startsWith("/")) throw badValue(`\`HealthCheck.HttpCheckPath\` must begin with "/", got ${path}`);
}

/** The Host of an HTTP check: as given, else the rule's domain; a pattern is no Host. Undefined where no check sends one. */
function checkedDomain(check: HealthSettings, subject: CheckSubject): string | undefined {
  const given = check.HttpCheckDomain;
  if (given !== undefined && /[*~]/.test(given)) throw badValue(`\`HealthCheck.HttpCheckDomain\` must be a name, not a pattern: ${given}`);
  if (subject.protocol === "TCP" && check.CheckType === "HTTP" && (given === undefined || check.HttpVersion === undefined))
    throw badValue("an HTTP check of a TCP listener needs `HealthCheck.HttpVersion` and `HealthCheck.HttpCheckDomain`");
  if (!("domain" in subject) || given !== undefined) return given;
  if (!/[*~]/.test(subject.domain)) return subject.domain;
  if (check.HealthSwitch === 0) return undefined;
  throw badValue(`\`HealthCheck.HttpCheckDomain\` must be given: the domain ${subject.domain} is a pattern`);
}

/** All fields, as the service shows them; `checkMethod`: clb-api.md §4.3. */
export const showCheck = (check: HealthSettings, { checkMethod }: Pick<ClbAnswers, "checkMethod">): Whole<clb.HealthCheck> => ({
  HttpCode: null,
  HttpCheckPath: null,
  HttpCheckDomain: null,
  ContextType: null,
  SendContext: null,
  RecvContext: null,
  HttpVersion: null,
  ExtendedCode: null,
  SourceIpType: null,
  ...check,
  HttpCheckMethod: (checkMethod === "lower" ? check.HttpCheckMethod?.toLowerCase() : check.HttpCheckMethod) ?? null,
  CheckPort: check.CheckPort === -1 ? null : check.CheckPort,
});
