import { canonicalDomain, type DomainSettings, type ListenerWish, type PlaceWish, ruleKey } from "../load-balancer.ts";
import {
  CHECK_FIELDS,
  field,
  flagIn,
  isInteger,
  listIn,
  readHealthCheck,
  readSession,
  SectionFault,
  show,
  unknownFields,
  wordIn,
} from "./config-fields.ts";

/** A rule as a TkeServiceConfig wishes it. */
export type RuleWish = PlaceWish & Pick<DomainSettings, "http2">;
/** One section of `l7Listeners`; `rules` by domain and path. */
type Section = { readonly key: string; readonly listener: ListenerWish; readonly rules: ReadonlyMap<string, RuleWish> };

const PROTOCOLS = ["HTTP", "HTTPS"] as const;
const SECTION = ["protocol", "port", "defaultServer", "keepaliveEnable", "domains", "snatEnable", "listenerName"];
const DOMAIN = ["domain", "http2", "rules"];
const RULE = ["url", "forwardType", "scheduler", "session", "healthCheck"];
const SCHEDULERS = ["WRR", "LEAST_CONN", "IP_HASH"] as const;
const FORWARD_TYPES = ["HTTP", "HTTPS", "GRPC"] as const;
/** Fields that are known and cannot be kept. */
const NOT_KEPT: Readonly<Record<string, string>> = {
  snatEnable: "whether it is on cannot be read from the cloud: set it in the console",
  listenerName: "listeners are known by names of ours",
};

/** Reads one section of `l7Listeners`. Throws SectionFault; what has no effect is named in `faults`. */
export function readLayer7(section: unknown, at: string, faults: string[]): Section {
  const protocol = wordIn(section, "protocol", PROTOCOLS, at);
  if (protocol === undefined) throw new SectionFault(`${at}.protocol is missing: use "HTTP" or "HTTPS"`);
  const port = field(section, "port");
  if (!isInteger(port, 1, 65_535)) throw new SectionFault(`${at}.port is ${show(port)}: use a number from 1 to 65535`);
  const keepalive = field(section, "keepaliveEnable");
  if (keepalive !== undefined && !isInteger(keepalive, 0, 1))
    throw new SectionFault(`${at}.keepaliveEnable is ${show(keepalive)}: use 0 or 1`);
  const defaultDomain = domainIn(section, "defaultServer", at);
  const rules = new Map<string, RuleWish>();
  for (const [index, one] of listIn(section, "domains", at).entries()) {
    const where = `${at}.domains[${index}]`;
    const domain = domainIn(one, "domain", where);
    if (domain === undefined) throw new SectionFault(`${where}.domain is missing: use a host, "" for the load balancer's address`);
    const http2 = flagIn(one, "http2", where);
    if (http2 === true && protocol === "HTTP") throw new SectionFault(`${where}.http2 is for HTTPS listeners only: remove it`);
    for (const [nth, rule] of listIn(one, "rules", where).entries()) {
      const place = `${where}.rules[${nth}]`;
      const { key, wish } = readRule(rule, domain, protocol, place);
      if (rules.has(key)) throw new SectionFault(`${place} repeats ${key}: keep one entry per domain and url`);
      rules.set(key, { ...wish, ...(http2 !== undefined && { http2 }) });
      faults.push(...unknownFields(rule, place, RULE), ...unknownFields(field(rule, "healthCheck"), `${place}.healthCheck`, CHECK_FIELDS));
    }
    faults.push(...unknownFields(one, where, DOMAIN));
  }
  faults.push(...unknownFields(section, at, SECTION));
  for (const [name, because] of Object.entries(NOT_KEPT))
    if (field(section, name) !== undefined) faults.push(`${at}.${name} has no effect: ${because}`);
  const listener = {
    ...(keepalive !== undefined && { keepalive: keepalive === 1 }),
    ...(defaultDomain !== undefined && { defaultDomain }),
  };
  return { key: `${protocol}/${port}`, listener, rules };
}

function readRule(rule: unknown, domain: string, protocol: (typeof PROTOCOLS)[number], at: string): { key: string; wish: PlaceWish } {
  const url = field(rule, "url");
  if (typeof url !== "string" || !/^(?:=|\^~|~\*?)? ?\/.{0,199}$/.test(url))
    throw new SectionFault(`${at}.url is ${show(url)}: use a path that begins with "/"`);
  const scheduler = wordIn(rule, "scheduler", SCHEDULERS, at);
  const forwardType = wordIn(rule, "forwardType", FORWARD_TYPES, at);
  if (forwardType !== undefined && forwardType !== "HTTP" && protocol === "HTTP")
    throw new SectionFault(`${at}.forwardType ${forwardType} is for HTTPS listeners only: use "HTTP"`);
  const sessionSeconds = readSession(field(rule, "session"), `${at}.session`);
  if (scheduler === "LEAST_CONN" && (sessionSeconds ?? 0) > 0)
    throw new SectionFault(`${at}.session needs scheduler "WRR" or "IP_HASH": with LEAST_CONN the load balancer keeps no sessions`);
  const check = field(rule, "healthCheck");
  const settings = {
    ...(sessionSeconds !== undefined && { sessionSeconds }),
    ...(forwardType !== undefined && { forwardType }),
  };
  const wish: PlaceWish = {
    healthCheck: check === undefined ? {} : readHealthCheck(check, `${at}.healthCheck`, protocol),
    ...(scheduler !== undefined && { scheduler }),
    ...(Object.keys(settings).length > 0 && { settings }),
  };
  return { key: ruleKey({ domain, url }), wish };
}

/** "" stands for the load balancer's address. */
function domainIn(value: unknown, name: string, at: string): string | undefined {
  const domain = field(value, name);
  if (domain === undefined) return undefined;
  if (typeof domain !== "string" || domain.length > 80)
    throw new SectionFault(`${at}.${name} is ${show(domain)}: use a host of at most 80 characters`);
  return canonicalDomain(domain);
}
