import { DEFAULT_HEALTH_CHECK, type HealthCheck, isLayer7, type Place } from "../load-balancer.ts";
import type { IntentPort, IntentRule } from "./intent-port.ts";
import { readServiceConfig } from "./service-config.ts";

/** A place as it is; `isCheckOff`: its checks are off because somebody decided that. */
export type Standing = Pick<Place, "healthCheck" | "scheduler" | "settings"> & { readonly isCheckOff: boolean };

/** The settings of a listener of layer 4 or of a rule that is there already; undefined: it is still to be made. */
export type StandingOf = (port: IntentPort, rule?: Pick<IntentRule, "domain" | "url">) => Standing | undefined;

/** What the cloud asks for in an HTTP check. Source: clb-api.md §4.3. */
const HTTP_CHECK = { httpCheckPath: "/", httpCheckMethod: "HEAD", httpCode: 31 } as const;

/**
 * A section of `l4Listeners`: what the listener has where it is there, so that nothing is reset, else what is documented as default. Fields
 * that the load balancer fills in by itself (source of the check, its port, its host) are left out.
 */
export function layer4Section(port: IntentPort, standing: Standing | undefined): object {
  const { protocol, port: number } = port;
  const [named, values] = [{ protocol, port: number }, valuesOf(protocol, standing)];
  const isGood = readServiceConfig("", { loadBalancer: { l4Listeners: [{ ...named, ...values }] } }).faults.length === 0;
  return isGood ? { ...named, ...values } : named; // somebody set by hand what no TkeServiceConfig can say: it stays as it is
}

/** The same of one of the rules of a section of `l7Listeners`. */
export function ruleSection(port: IntentPort, { url, domain }: Pick<IntentRule, "domain" | "url">, standing: Standing | undefined): object {
  const { protocol, port: number } = port;
  const rule = { url, forwardType: standing?.settings?.forwardType ?? "HTTP", ...valuesOf(protocol, standing) };
  const l7Listeners = [{ protocol, port: number, domains: [{ domain, rules: [rule] }] }];
  return readServiceConfig("", { loadBalancer: { l7Listeners } }).faults.length === 0 ? rule : { url };
}

function valuesOf(protocol: IntentPort["protocol"], standing: Standing | undefined): object {
  const sessionSeconds = standing?.settings?.sessionSeconds ?? 0;
  const session = sessionSeconds > 0 ? { enable: true, sessionExpireTime: sessionSeconds } : { enable: false };
  const hasSession = protocol === "TCP" || protocol === "UDP" || isLayer7(protocol);
  return {
    scheduler: standing?.scheduler ?? "WRR",
    ...(hasSession && { session }),
    healthCheck: standing?.isCheckOff ? { enable: false } : checkOf(standing?.healthCheck ?? defaultCheck(protocol)),
  };
}

const defaultCheck = (protocol: IntentPort["protocol"]): HealthCheck =>
  isLayer7(protocol)
    ? {
        ...DEFAULT_HEALTH_CHECK,
        httpPath: HTTP_CHECK.httpCheckPath,
        httpMethod: HTTP_CHECK.httpCheckMethod,
        httpCodes: HTTP_CHECK.httpCode,
      }
    : DEFAULT_HEALTH_CHECK;

function checkOf({ intervalSeconds, timeoutSeconds, healthyCount, unhealthyCount, httpPath, httpMethod, httpCodes }: HealthCheck): object {
  return {
    enable: true,
    intervalTime: intervalSeconds,
    timeout: timeoutSeconds,
    healthNum: healthyCount,
    unHealthNum: unhealthyCount,
    ...(httpPath !== undefined && { httpCheckPath: httpPath }),
    ...(httpMethod !== undefined && { httpCheckMethod: httpMethod }),
    ...(httpCodes !== undefined && { httpCode: httpCodes }),
  };
}
