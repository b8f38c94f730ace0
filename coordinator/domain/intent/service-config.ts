import type { DomainSettings, HealthCheck, ListenerWish, PlaceWish, Protocol } from "../load-balancer.ts";

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
  readonly rules?: ReadonlyMap<string, PlaceWish & Pick<DomainSettings, "http2">>;
};

/** What a TkeServiceConfig says, section by section; a bad section is left out whole and named in `faults`. */
export type ServiceConfigReading = ConfigWishes & { readonly faults: readonly string[] };

export const wishKey = (protocol: string, port: number): string => `${protocol}/${port}`;

/** Ranges of the health check fields on an IPv4 load balancer. Source: clb-api.md §4.3. */
const RANGES: Readonly<Record<string, readonly [field: keyof HealthCheck, min: number, max: number]>> = {
  intervalTime: ["intervalSeconds", 2, 300],
  timeout: ["timeoutSeconds", 2, 60],
  healthNum: ["healthyCount", 2, 10],
  unHealthNum: ["unhealthyCount", 2, 10],
  checkPort: ["checkPort", 1, 65_535],
  httpCode: ["httpCodes", 1, 31],
  sourceIpType: ["sourceIpType", 0, 1],
};

/** Reads `spec.loadBalancer`; `spec` is the object's spec as the API server gave it. */
export function readServiceConfig(name: string, spec: unknown): ServiceConfigReading {
  const wishes = new Map<string, Partial<HealthCheck>>();
  const settings = new Map<string, ListenerSettings>();
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
  let bandwidth: { bandwidthMbps?: number } = {};
  guarded(() => void (bandwidth = readBandwidth(body, whole)));
  faults.push(...unknownFields(body, whole, LOAD_BALANCER_FIELDS));
  const layer7 = field(body, "l7Listeners");
  if (Array.isArray(layer7) && layer7.length > 0) faults.push(`${whole}.l7Listeners has no effect: Services have no HTTP listeners yet`);
  const sections = field(body, "l4Listeners") ?? [];
  if (!Array.isArray(sections)) return { wishes, settings, ...bandwidth, faults: [...faults, `${whole}.l4Listeners must be a list`] };
  for (const [index, section] of sections.entries())
    guarded(() => {
      const at = `${whole}.l4Listeners[${index}]`;
      const { key, wish, more } = readSection(section, at);
      if (wishes.has(key)) throw new SectionFault(`${at} repeats ${key}: keep one section per protocol and port`);
      wishes.set(key, wish);
      if (Object.keys(more).length > 0) settings.set(key, more);
      faults.push(...unknownFields(section, at, SECTION_FIELDS));
      faults.push(...unknownFields(field(section, "healthCheck"), `${at}.healthCheck`, CHECK_FIELDS));
    });
  return { wishes, settings, ...bandwidth, faults };
}

const LOAD_BALANCER_FIELDS = ["internetMaxBandwidthOut", "l4Listeners", "l7Listeners"];
const SECTION_FIELDS = ["protocol", "port", "scheduler", "deregisterTargetRst", "session", "healthCheck"];

/** A field that nobody knows stays where it is, and is told. */
function unknownFields(value: unknown, at: string, known: readonly string[]): string[] {
  if (typeof value !== "object" || value === null) return [];
  const unknown = Object.keys(value).filter((name) => !known.includes(name));
  return unknown.map((name) => `${at}.${name} is not known and has no effect: remove it, or correct it`);
}

function readBandwidth(body: unknown, at: string): { bandwidthMbps?: number } {
  const value = field(body, "internetMaxBandwidthOut");
  if (value === undefined) return {};
  if (!isInteger(value, 0, 2048)) throw new SectionFault(`${at}.internetMaxBandwidthOut is ${show(value)}: use a number from 0 to 2048`);
  return { bandwidthMbps: value };
}

class SectionFault extends Error {}

function readSection(section: unknown, at: string): { key: string; wish: Partial<HealthCheck>; more: ListenerSettings } {
  const protocol = field(section, "protocol");
  const port = field(section, "port");
  if (!isProtocol(protocol)) throw new SectionFault(`${at}.protocol is ${show(protocol)}: use "TCP" or "UDP"`);
  if (!isInteger(port, 1, 65_535)) throw new SectionFault(`${at}.port is ${show(port)}: use a number from 1 to 65535`);
  const check = field(section, "healthCheck");
  const key = wishKey(protocol, port);
  const wish = check === undefined ? {} : readHealthCheck(check, `${at}.healthCheck`, protocol);
  return { key, wish, more: readSettings(section, at, protocol) };
}

const SCHEDULERS = ["WRR", "LEAST_CONN"] as const;

function readSettings(section: unknown, at: string, protocol: Protocol): ListenerSettings {
  const scheduler = field(section, "scheduler");
  const known = SCHEDULERS.find((one) => one === scheduler);
  if (scheduler !== undefined && known === undefined)
    throw new SectionFault(`${at}.scheduler is ${show(scheduler)}: use "WRR" or "LEAST_CONN"`);
  const reset = field(section, "deregisterTargetRst");
  if (reset !== undefined && typeof reset !== "boolean")
    throw new SectionFault(`${at}.deregisterTargetRst is ${show(reset)}: use true or false`);
  if (reset === true && protocol === "UDP")
    throw new SectionFault(`${at}.deregisterTargetRst is for TCP only: UDP has no connections to reset`);
  const sessionSeconds = readSession(field(section, "session"), `${at}.session`);
  if (known === "LEAST_CONN" && (sessionSeconds ?? 0) > 0)
    throw new SectionFault(`${at}.session needs scheduler "WRR": with LEAST_CONN the load balancer keeps no sessions`);
  const settings = {
    ...(sessionSeconds !== undefined && { sessionSeconds }),
    ...(reset !== undefined && protocol === "TCP" && { resetOnUnbind: reset }),
  };
  return { ...(known !== undefined && { scheduler: known }), ...(Object.keys(settings).length > 0 && { settings }) };
}

/** Seconds; 0 is off, an enabled one has 30 where nothing is said. Source: tke-contract.md §2. */
function readSession(session: unknown, at: string): number | undefined {
  if (session === undefined) return undefined;
  const enable = field(session, "enable");
  if (typeof enable !== "boolean") throw new SectionFault(`${at}.enable is ${show(enable)}: use true or false`);
  const seconds = field(session, "sessionExpireTime") ?? 30;
  if (!isInteger(seconds, 30, 3600)) throw new SectionFault(`${at}.sessionExpireTime is ${show(seconds)}: use a number from 30 to 3600`);
  return enable ? seconds : 0;
}

/** Text fields of a check and what they may be. Source: clb-api.md §4.3. */
const TEXTS: Readonly<Record<string, readonly [field: keyof HealthCheck, fits: RegExp, use: string]>> = {
  contextType: ["contextType", /^(?:HEX|TEXT)$/, '"HEX" or "TEXT"'],
  sendContext: ["sendContext", /^[\x20-\x7e]{1,500}$/, "1 to 500 visible ASCII characters"],
  recvContext: ["recvContext", /^[\x20-\x7e]{1,500}$/, "1 to 500 visible ASCII characters"],
  httpVersion: ["httpVersion", /^HTTP\/1\.[01]$/, '"HTTP/1.0" or "HTTP/1.1"'],
  httpCheckPath: ["httpPath", /^\/.{0,199}$/, "a path of 1 to 200 characters"],
  httpCheckDomain: ["httpDomain", /^[^*~]{1,80}$/, "a name of 1 to 80 characters"],
  httpCheckMethod: ["httpMethod", /^(?:HEAD|GET)$/, '"HEAD" or "GET"'],
};
const CHECK_TYPES: Readonly<Record<Protocol, readonly string[]>> = { TCP: ["TCP", "HTTP", "CUSTOM"], UDP: ["CUSTOM", "PING"] };
const CHECK_FIELDS = ["enable", "checkType", ...Object.keys(RANGES), ...Object.keys(TEXTS)];

function readHealthCheck(check: unknown, at: string, protocol: Protocol): Partial<HealthCheck> {
  if (typeof check !== "object" || check === null || Array.isArray(check))
    throw new SectionFault(`${at} must be an object, e.g. {"enable": true}`);
  const wish: { -readonly [K in keyof HealthCheck]?: HealthCheck[K] } = {};
  const enable = field(check, "enable");
  if (enable !== undefined && typeof enable !== "boolean") throw new SectionFault(`${at}.enable is ${show(enable)}: use true or false`);
  if (enable !== undefined) wish.enabled = enable;
  for (const [name, [target, min, max]] of Object.entries(RANGES)) {
    const value = field(check, name);
    if (value === undefined) continue;
    if (!isInteger(value, min, max)) throw new SectionFault(`${at}.${name} is ${show(value)}: use a number from ${min} to ${max}`);
    Object.assign(wish, { [target]: value });
  }
  for (const [name, [target, fits, use]] of Object.entries(TEXTS)) {
    const value = field(check, name);
    if (value === undefined) continue;
    if (typeof value !== "string" || !fits.test(value)) throw new SectionFault(`${at}.${name} is ${show(value)}: use ${use}`);
    Object.assign(wish, { [target]: value });
  }
  const type = field(check, "checkType");
  if (type !== undefined && !CHECK_TYPES[protocol].some((known) => known === type))
    throw new SectionFault(`${at}.checkType is ${show(type)}: a ${protocol} listener has ${CHECK_TYPES[protocol].join(", ")}`);
  if (typeof type === "string") wish.checkType = type;
  if (type === "CUSTOM" && [wish.contextType, wish.sendContext, wish.recvContext].includes(undefined))
    throw new SectionFault(`${at}.checkType CUSTOM needs contextType, sendContext and recvContext`);
  if (type === "HTTP" && [wish.httpVersion, wish.httpDomain].includes(undefined))
    throw new SectionFault(`${at}.checkType HTTP needs httpVersion and httpCheckDomain`);
  if (wish.timeoutSeconds !== undefined && wish.intervalSeconds !== undefined && wish.timeoutSeconds > wish.intervalSeconds)
    throw new SectionFault(`${at}.timeout is ${wish.timeoutSeconds}: it must not be above intervalTime (${wish.intervalSeconds})`);
  return wish;
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
const isProtocol = (value: unknown): value is Protocol => value === "TCP" || value === "UDP";
const isInteger = (value: unknown, min: number, max: number): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
const show = (value: unknown): string => (value === undefined ? "missing" : JSON.stringify(value));
