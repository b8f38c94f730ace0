import { listenerName } from "../../../common/names.ts";
import { type Certificate, canonicalDomain, type Listener, type PlaceWish, ruleKey } from "../load-balancer.ts";
import type { ObjectRef } from "../problem.ts";
import type { RecordedSettings } from "./desired-load-balancer.ts";
import { namesOf, type OwnAddress } from "./former-rules.ts";
import type { IntentRule } from "./intent-port.ts";
import { type ConfigWishes, ruleWishKey } from "./service-config.ts";

/** What is wished for a place, on top of what is on record of its listener. */
export const wishOf = (wish: PlaceWish["healthCheck"] = {}, settings: RecordedSettings | undefined): PlaceWish =>
  settings === undefined ? { healthCheck: wish } : { healthCheck: { ...settings.healthCheck, ...wish }, scheduler: settings.scheduler };

/** A listener with rules has none of its own. */
export const NO_TARGETS = { healthCheck: {}, backends: [], standings: [] } as const;

/** What an owner wishes of the certificate: that one, or none that is known. */
export const certificateIn = (certificate: Certificate | undefined): { certificate: Certificate } | { lacksCertificate: true } =>
  certificate === undefined ? { lacksCertificate: true } : { certificate };

/** A rule with what a TkeServiceConfig wishes for it. The check of a pattern needs a host: one that fits, unless somebody names another. */
export function wantedRule(
  wishAt: string,
  { domain, url, redirect }: IntentRule,
  { rules }: Pick<ConfigWishes, "rules">,
  unchecked: ReadonlySet<string> | undefined,
) {
  const key = ruleKey({ domain: canonicalDomain(domain), url });
  const wish = rules?.get(ruleWishKey(wishAt, { domain, url }));
  const host = domain.includes("*") && !domain.startsWith("~") ? { httpDomain: domain.replace("*", "www") } : {};
  return {
    domain,
    url,
    ...(redirect === "none" && { redirect }),
    ...wish,
    healthCheck: { ...host, ...(unchecked?.has(key) && { enabled: true }), ...wish?.healthCheck },
  };
}

/** Rules without a check although nobody wished that, as far as is on record: somebody has switched it off by hand. */
export function uncheckedByHand(
  { rules }: Listener,
  recorded: RecordedSettings | undefined,
  address: OwnAddress | undefined,
): ReadonlySet<string> | undefined {
  const off = recorded && rules.filter(({ healthCheck }) => !healthCheck.enabled);
  if (recorded === undefined || off === undefined || off.length === 0) return undefined;
  const meant = new Set(recorded.uncheckedRules);
  return new Set(off.flatMap((rule) => namesOf(rule, address)).filter((name) => !meant.has(name)));
}

/** What a rule has instead of backends; undefined: it has backends. */
export function redirectOf(clusterId: string, { uid }: ObjectRef, { redirect: wish }: IntentRule) {
  if (wish === undefined || wish === "none") return undefined;
  const { protocol, port, ...to } = wish;
  return { backends: [], standings: [], redirect: { ...to, listener: listenerName(clusterId, uid, protocol, port) } };
}
