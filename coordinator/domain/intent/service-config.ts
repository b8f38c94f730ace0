import type { HealthCheck, Protocol } from "../load-balancer.ts";

/** Health check wishes by "TCP/80"; an absent field leaves what the load balancer has. */
export type ListenerWishes = ReadonlyMap<string, Partial<HealthCheck>>;

/** What a TkeServiceConfig says, section by section; a bad section is left out whole and named in `faults`. */
export type ServiceConfigReading = { readonly wishes: ListenerWishes; readonly faults: readonly string[] };

export const wishKey = (protocol: string, port: number): string => `${protocol}/${port}`;

/** Ranges of the health check fields on an IPv4 load balancer. Source: clb-api.md §4.3. */
const RANGES: Readonly<Record<string, readonly [field: keyof HealthCheck, min: number, max: number]>> = {
  intervalTime: ["intervalSeconds", 2, 300],
  timeout: ["timeoutSeconds", 2, 60],
  healthNum: ["healthyCount", 2, 10],
  unHealthNum: ["unhealthyCount", 2, 10],
};

/** Reads `spec.loadBalancer.l4Listeners[].healthCheck`; `spec` is the object's spec as the API server gave it. */
export function readServiceConfig(name: string, spec: unknown): ServiceConfigReading {
  const wishes = new Map<string, Partial<HealthCheck>>();
  const faults: string[] = [];
  const sections = field(field(spec, "loadBalancer"), "l4Listeners");
  if (sections === undefined) return { wishes, faults };
  if (!Array.isArray(sections)) return { wishes, faults: [`TkeServiceConfig ${name}: spec.loadBalancer.l4Listeners must be a list`] };
  for (const [index, section] of sections.entries()) {
    const at = `TkeServiceConfig ${name}: spec.loadBalancer.l4Listeners[${index}]`;
    try {
      const { key, wish } = readSection(section, at);
      if (wishes.has(key)) throw new SectionFault(`${at} repeats ${key}: keep one section per protocol and port`);
      wishes.set(key, wish);
    } catch (fault) {
      if (!(fault instanceof SectionFault)) throw fault;
      faults.push(fault.message);
    }
  }
  return { wishes, faults };
}

class SectionFault extends Error {}

function readSection(section: unknown, at: string): { key: string; wish: Partial<HealthCheck> } {
  const protocol = field(section, "protocol");
  const port = field(section, "port");
  if (!isProtocol(protocol)) throw new SectionFault(`${at}.protocol is ${show(protocol)}: use "TCP" or "UDP"`);
  if (!isInteger(port, 1, 65_535)) throw new SectionFault(`${at}.port is ${show(port)}: use a number from 1 to 65535`);
  const check = field(section, "healthCheck");
  const key = wishKey(protocol, port);
  return { key, wish: check === undefined ? {} : readHealthCheck(check, `${at}.healthCheck`) };
}

function readHealthCheck(check: unknown, at: string): Partial<HealthCheck> {
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
