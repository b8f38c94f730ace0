import type { Call, DomainChange, ListenerChange } from "../call.ts";
import { domainOf } from "../intent/asked-places.ts";
import type { WantedListener, WantedPlace, WantedRule } from "../intent/desired-load-balancer.ts";
import {
  canonicalCheck,
  type HealthCheck,
  hasCertificate,
  kindOf,
  type Listener,
  type LoadBalancer,
  type Place,
  type Rule,
  ruleKey,
} from "../load-balancer.ts";

/** Pure: only what is wished is compared, so that a default which the cloud fills in causes no write. */
export function changedPlace(place: Place, wanted: WantedPlace): Call[] {
  const healthCheck = { ...place.healthCheck, ...wanted.healthCheck };
  const scheduler = wanted.scheduler ?? place.scheduler;
  const settings = Object.fromEntries(
    Object.entries(wanted.settings ?? {}).filter(([name, value]) => value !== (Reflect.get(place.settings ?? {}, name) ?? offOf(value))),
  );
  const isTuned = Object.keys(settings).length > 0;
  const kind = kindOf(place);
  const isSame = sameCheck(canonicalCheck(healthCheck, kind), canonicalCheck(place.healthCheck, kind));
  if (isSame && scheduler === place.scheduler && !isTuned) return [];
  const { listenerId, locationId } = place;
  const at = locationId === undefined ? { listenerId } : { listenerId, locationId };
  return [{ lane: "tune", ...at, healthCheck, ...(scheduler !== place.scheduler && { scheduler }), ...(isTuned && { settings }) }];
}

/** Pure: of a listener that is wanted, what it has besides its places. */
export function changedListener(
  listener: Listener,
  wanted: WantedListener,
  rules: ReadonlyMap<string, WantedRule>,
  actual: LoadBalancer,
): Call[] {
  const { listenerId } = listener;
  const own: ListenerChange = {
    listenerId,
    ...(!hasCertificate(listener.certificate, wanted.certificate) && wanted.certificate && { certificate: wanted.certificate }),
    ...(wanted.keepalive !== undefined && wanted.keepalive !== (listener.keepalive ?? false) && { keepalive: wanted.keepalive }),
  };
  const defaultDomain = wanted.defaultDomain === undefined ? undefined : domainOf(wanted.defaultDomain, actual);
  const domains = new Map<string, DomainChange>();
  for (const rule of listener.rules) {
    const change = domainChange(rule, rules.get(ruleKey(rule)), defaultDomain);
    if (Object.keys(change).length > 0)
      domains.set(rule.domain, { listenerId, domain: rule.domain, ...domains.get(rule.domain), ...change });
  }
  return [
    ...(Object.keys(own).length > 1 ? [{ lane: "tune", listener: own } as const] : []),
    ...[...domains.values()].map((domain): Call => ({ lane: "tune", domain })),
  ];
}

function domainChange(rule: Rule, wanted: WantedRule | undefined, defaultDomain: string | undefined): Partial<DomainChange> {
  const { certificate, http2 } = wanted ?? {};
  return {
    ...(certificate !== undefined && !hasCertificate(rule.certificate, certificate) && { certificate }),
    ...(http2 !== undefined && http2 !== (rule.http2 ?? false) && { http2 }),
    ...(rule.domain === defaultDomain && rule.isDefault !== true && { isDefault: true }),
  };
}

/** A setting that is not told is off. */
function offOf(value: unknown): unknown {
  if (typeof value === "string") return "HTTP";
  return typeof value === "boolean" ? false : 0;
}

/** Checks that are off are the same, whatever else they say. */
function sameCheck(a: HealthCheck, b: HealthCheck): boolean {
  if (a.enabled !== b.enabled) return false;
  return (
    !a.enabled ||
    (a.intervalSeconds === b.intervalSeconds &&
      a.timeoutSeconds === b.timeoutSeconds &&
      a.healthyCount === b.healthyCount &&
      a.unhealthyCount === b.unhealthyCount &&
      a.httpPath === b.httpPath &&
      a.httpDomain === b.httpDomain &&
      a.httpMethod === b.httpMethod &&
      a.httpCodes === b.httpCodes &&
      a.checkType === b.checkType &&
      a.checkPort === b.checkPort &&
      a.contextType === b.contextType &&
      a.sendContext === b.sendContext &&
      a.recvContext === b.recvContext &&
      a.httpVersion === b.httpVersion &&
      a.sourceIpType === b.sourceIpType)
  );
}
