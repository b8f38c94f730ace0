import type { HealthCheck, ListenerProtocol } from "../load-balancer.ts";

/** A section of a TkeServiceConfig that is left out whole; the message names the field, its value and the fix. */
export class SectionFault extends Error {}

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

/** Source: clb-api.md §4.3; on layer 7 TCP as published replies have it. */
const CHECK_TYPES: Readonly<Record<ListenerProtocol, readonly string[]>> = {
  TCP: ["TCP", "HTTP", "CUSTOM"],
  UDP: ["CUSTOM", "PING"],
  TCP_SSL: ["TCP", "HTTP"],
  QUIC: ["TCP", "HTTP"],
  HTTP: ["HTTP", "TCP", "GRPC"],
  HTTPS: ["HTTP", "HTTPS", "TCP", "GRPC"],
};
export const CHECK_FIELDS: readonly string[] = ["enable", "checkType", ...Object.keys(RANGES), ...Object.keys(TEXTS)];
/** Fields that only TCP and UDP listeners have. */
const LAYER_4_ONLY = ["checkPort", "contextType", "sendContext", "recvContext"];

/** Reads `healthCheck` of a listener of layer 4 or of a rule. Throws SectionFault. */
export function readHealthCheck(check: unknown, at: string, protocol: ListenerProtocol): Partial<HealthCheck> {
  if (typeof check !== "object" || check === null || Array.isArray(check))
    throw new SectionFault(`${at} must be an object, e.g. {"enable": true}`);
  const wish: { -readonly [K in keyof HealthCheck]?: HealthCheck[K] } = {};
  const enable = field(check, "enable");
  if (enable !== undefined && typeof enable !== "boolean") throw new SectionFault(`${at}.enable is ${show(enable)}: use true or false`);
  if (enable !== undefined) wish.enabled = enable;
  if (protocol !== "TCP" && protocol !== "UDP")
    for (const name of LAYER_4_ONLY)
      if (field(check, name) !== undefined) throw new SectionFault(`${at}.${name} is for TCP and UDP listeners only: remove it`);
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
  if (type === "HTTP" && protocol === "TCP" && [wish.httpVersion, wish.httpDomain].includes(undefined))
    throw new SectionFault(`${at}.checkType HTTP needs httpVersion and httpCheckDomain`);
  if (wish.timeoutSeconds !== undefined && wish.intervalSeconds !== undefined && wish.timeoutSeconds > wish.intervalSeconds)
    throw new SectionFault(`${at}.timeout is ${wish.timeoutSeconds}: it must not be above intervalTime (${wish.intervalSeconds})`);
  return wish;
}

/** Seconds; 0 is off, an enabled one has 30 where nothing is said. Source: tke-contract.md §2. Throws SectionFault. */
export function readSession(session: unknown, at: string): number | undefined {
  if (session === undefined) return undefined;
  const enable = field(session, "enable");
  if (typeof enable !== "boolean") throw new SectionFault(`${at}.enable is ${show(enable)}: use true or false`);
  const seconds = field(session, "sessionExpireTime") ?? 30;
  if (!isInteger(seconds, 30, 3600)) throw new SectionFault(`${at}.sessionExpireTime is ${show(seconds)}: use a number from 30 to 3600`);
  return enable ? seconds : 0;
}

/** A field that nobody knows stays where it is, and is told. */
export function unknownFields(value: unknown, at: string, known: readonly string[]): string[] {
  if (typeof value !== "object" || value === null) return [];
  const unknown = Object.keys(value).filter((name) => !known.includes(name));
  return unknown.map((name) => `${at}.${name} is not known and has no effect: remove it, or correct it`);
}

export const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
/** Undefined where the field is absent. Throws SectionFault for anything but the words. */
export function wordIn<W extends string>(value: unknown, name: string, words: readonly W[], at: string): W | undefined {
  const found = field(value, name);
  const known = words.find((word) => word === found);
  if (found !== undefined && known === undefined)
    throw new SectionFault(`${at}.${name} is ${show(found)}: use ${words.map((word) => `"${word}"`).join(" or ")}`);
  return known;
}
/** The same of true and false. */
export function flagIn(value: unknown, name: string, at: string): boolean | undefined {
  const found = field(value, name);
  if (found !== undefined && typeof found !== "boolean") throw new SectionFault(`${at}.${name} is ${show(found)}: use true or false`);
  return found;
}
/** The same of a list; absent: an empty one. */
export function listIn(value: unknown, name: string, at: string): readonly unknown[] {
  const found = field(value, name) ?? [];
  if (!Array.isArray(found)) throw new SectionFault(`${at}.${name} must be a list`);
  return found;
}
export const isInteger = (value: unknown, min: number, max: number): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
export const show = (value: unknown): string => (value === undefined ? "missing" : JSON.stringify(value));
