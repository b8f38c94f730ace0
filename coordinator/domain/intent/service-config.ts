import { canonicalDomain, type HealthCheck, type ListenerProtocol, type ListenerWish, type PlaceWish, ruleKey } from "../load-balancer.ts";
import {
  CHECK_FIELDS,
  field,
  flagIn,
  isInteger,
  readHealthCheck,
  readSession,
  SectionFault,
  show,
  unknownFields,
  wordIn,
} from "./config-fields.ts";
import { type RuleWish, readLayer7 } from "./config-layer7.ts";

/** Health check wishes by "TCP/80"; an absent field leaves what the load balancer has. */
export type ListenerWishes = ReadonlyMap<string, Partial<HealthCheck>>;

/** How a listener spreads and keeps connections. */
type ListenerSettings = Omit<PlaceWish, "healthCheck">;
/**
 * What a TkeServiceConfig wishes. `settings` by "TCP/80"; `bandwidthMbps` of a public load balancer; an absent field leaves what is there.
 * Of layer 7: `listeners` by "HTTPS/443", `rules` by "HTTPS/443 shop.example.com /cart" ("HTTPS/443  /" without a domain).
 */
export type ConfigWishes = {
  readonly wishes: ListenerWishes;
  readonly settings?: ReadonlyMap<string, ListenerSettings>;
  readonly bandwidthMbps?: number;
  readonly listeners?: ReadonlyMap<string, ListenerWish>;
  readonly rules?: ReadonlyMap<string, RuleWish>;
};

/** What a TkeServiceConfig says, section by section; a bad section is left out whole and named in `faults`. */
export type ServiceConfigReading = ConfigWishes & { readonly faults: readonly string[] };

export const wishKey = (protocol: string, port: number): string => `${protocol}/${port}`;

/** Reads `spec.loadBalancer`; `spec` is the object's spec as the API server gave it. */
export function readServiceConfig(name: string, spec: unknown): ServiceConfigReading {
  const wishes = new Map<string, Partial<HealthCheck>>();
  const settings = new Map<string, ListenerSettings>();
  const listeners = new Map<string, ListenerWish>();
  const rules = new Map<string, RuleWish>();
  const faults: string[] = [];
  const whole = `TkeServiceConfig ${name}: spec.loadBalancer`;
  const body = field(spec, "loadBalancer");
  const guarded = (read: () => void): void => {
    try {
      read();
    } catch (fault) {
      if (!(fault instanceof SectionFault)) throw fault;
      faults.push(fault.message);
    }
  };
  const each = (list: string, read: (section: unknown, at: string) => void): void => {
    const sections = field(body, list) ?? [];
    if (!Array.isArray(sections)) return void faults.push(`${whole}.${list} must be a list`);
    for (const [index, section] of sections.entries()) guarded(() => read(section, `${whole}.${list}[${index}]`));
  };
  let bandwidth: { bandwidthMbps?: number } = {};
  guarded(() => void (bandwidth = readBandwidth(body, whole)));
  faults.push(...unknownFields(spec, `TkeServiceConfig ${name}: spec`, ["loadBalancer"]));
  if (body === undefined || isObject(body)) faults.push(...unknownFields(body, whole, LOAD_BALANCER_FIELDS));
  else faults.push(`${whole} must be an object`);
  each("l4Listeners", (section, at) => {
    const { key, wish, more } = readSection(section, at);
    if (wishes.has(key)) throw new SectionFault(`${at} repeats ${key}: keep one section per protocol and port`);
    wishes.set(key, wish);
    if (Object.keys(more).length > 0) settings.set(key, more);
    faults.push(...unknownFields(section, at, SECTION_FIELDS));
    faults.push(...unknownFields(field(section, "healthCheck"), `${at}.healthCheck`, CHECK_FIELDS));
  });
  each("l7Listeners", (section, at) => {
    const { key, listener, rules: wished } = readLayer7(section, at, faults);
    if (listeners.has(key)) throw new SectionFault(`${at} repeats ${key}: keep one section per protocol and port`);
    listeners.set(key, listener);
    for (const [rule, wish] of wished) rules.set(`${key} ${rule}`, wish);
  });
  const layer7 = listeners.size === 0 ? {} : { listeners, rules };
  return { wishes, settings, ...bandwidth, ...layer7, faults };
}

/**
 * Pure: sections and rules that fit nothing of what its owners ask for, e.g. "l4Listeners TCP/81", "l7Listeners HTTP/80 shop.example.com /cart".
 * `asked` has "TCP/81" or "HTTP/80 shop.example.com /cart" where somebody asks for that.
 */
export function tunedInVain({ wishes, listeners, rules }: ConfigWishes, asked: Pick<ReadonlySet<string>, "has">): string[] {
  const unasked = (key: string): boolean => !asked.has(key);
  const lone = [...(rules?.keys() ?? [])].filter((key) => asked.has(key.split(" ", 1)[0] ?? "") && unasked(key));
  return [
    ...[...wishes.keys()].filter(unasked).map((key) => `l4Listeners ${key}`),
    ...[...(listeners?.keys() ?? [])].filter(unasked).map((key) => `l7Listeners ${key}`),
    ...lone.map((key) => `l7Listeners ${key}`),
  ];
}

/** E.g. "HTTPS/443 shop.example.com /cart", as in `rules` of ConfigWishes. */
export const ruleWishKey = (wishAt: string, { domain, url }: { readonly domain: string; readonly url: string }): string =>
  `${wishAt} ${ruleKey({ domain: canonicalDomain(domain), url })}`;

const isObject = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);

const LOAD_BALANCER_FIELDS = ["internetMaxBandwidthOut", "l4Listeners", "l7Listeners"];
const SECTION_FIELDS = ["protocol", "port", "scheduler", "deregisterTargetRst", "session", "healthCheck"];
const LAYER_4 = ["TCP", "UDP", "TCP_SSL", "QUIC"] as const satisfies readonly ListenerProtocol[];

function readBandwidth(body: unknown, at: string): { bandwidthMbps?: number } {
  const value = field(body, "internetMaxBandwidthOut");
  if (value === undefined) return {};
  if (!isInteger(value, 1, 2048)) throw new SectionFault(`${at}.internetMaxBandwidthOut is ${show(value)}: use a number from 1 to 2048`);
  return { bandwidthMbps: value };
}

function readSection(section: unknown, at: string): { key: string; wish: Partial<HealthCheck>; more: ListenerSettings } {
  const protocol = wordIn(section, "protocol", LAYER_4, at);
  if (protocol === undefined) throw new SectionFault(`${at}.protocol is missing: use ${LAYER_4.map((one) => `"${one}"`).join(" or ")}`);
  const port = field(section, "port");
  if (!isInteger(port, 1, 65_535)) throw new SectionFault(`${at}.port is ${show(port)}: use a number from 1 to 65535`);
  const check = field(section, "healthCheck");
  const key = wishKey(protocol, port);
  const wish = check === undefined ? {} : readHealthCheck(check, `${at}.healthCheck`, protocol);
  return { key, wish, more: readSettings(section, at, protocol) };
}

const SCHEDULERS = ["WRR", "LEAST_CONN"] as const;

function readSettings(section: unknown, at: string, protocol: (typeof LAYER_4)[number]): ListenerSettings {
  const scheduler = wordIn(section, "scheduler", SCHEDULERS, at);
  const reset = flagIn(section, "deregisterTargetRst", at);
  if (reset === true && protocol !== "TCP")
    throw new SectionFault(
      `${at}.deregisterTargetRst is for TCP only: ${protocol === "UDP" ? "UDP has no connections to reset" : "remove it"}`,
    );
  const sessionSeconds = readSession(field(section, "session"), `${at}.session`);
  if (scheduler === "LEAST_CONN" && (sessionSeconds ?? 0) > 0)
    throw new SectionFault(`${at}.session needs scheduler "WRR": with LEAST_CONN the load balancer keeps no sessions`);
  if ((sessionSeconds ?? 0) > 0 && protocol !== "TCP" && protocol !== "UDP")
    throw new SectionFault(`${at}.session is for TCP and UDP listeners only: remove it`);
  const settings = {
    ...(sessionSeconds !== undefined && { sessionSeconds }),
    ...(reset !== undefined && protocol === "TCP" && { resetOnUnbind: reset }),
  };
  return { ...(scheduler !== undefined && { scheduler }), ...(Object.keys(settings).length > 0 && { settings }) };
}
