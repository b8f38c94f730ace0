/**
 * The three published ways of working, as small strategies that really make their calls (clb-api.md §7.1 tells how they were read off
 * the tables). They are what ours is measured against; none is used by the product.
 */
import type { Clock } from "../../common/clock.ts";
import type { CloudTransport } from "../../coordinator/cloud/transport.ts";

/** A load balancer with one L7 listener, ready to be worked on. */
export type Site = {
  readonly transport: CloudTransport;
  readonly clock: Clock;
  readonly loadBalancerId: string;
  readonly listenerId: string;
  /** Rules that exist already, in order. */
  readonly locationIds: readonly string[];
};

/** What has to become of it: more backends on every rule, or more rules with all backends. */
export type Growth = {
  /** Addresses of all backends, in order; the first `bound` are on every existing rule. */
  readonly ips: readonly string[];
  readonly bound: number;
  /** Urls of the rules to create, in order. */
  readonly urls: readonly string[];
  readonly rulesPerCall: number;
};

export type Column = (site: Site, growth: Growth) => Promise<void>;

/** Limits of the calls. Source: clb-api.md §0. */
const PER_REGISTER = 20;
export const PER_BATCH = 500;
export const BACKEND_PORT = 8080;
/** Pause between two looks at a task; with the latency of the look about 100 ms of lag on average (clb-api.md §7.5). */
const POLL_MS = 100;
export const DOMAIN = "bench.example.com";

/** One RegisterTargets of at most 20 targets after another, each waiting for its task; two queries for every (rule, node) of table A. */
export const before: Column = async (site, growth) => {
  const fresh = growth.ips.slice(growth.bound);
  for (const locationId of site.locationIds) {
    if (fresh.length === 0) break;
    for (const ip of growth.ips) {
      await targetsOf(site, locationId);
      await whoBinds(site, ip);
    }
    for (const ips of chunks(fresh, PER_REGISTER)) await register(site, locationId, ips);
  }
  for (const url of growth.urls) {
    const [locationId = ""] = await createRules(site, [url]);
    for (const ips of chunks(growth.ips, PER_REGISTER)) await register(site, locationId, ips);
  }
};

/** 500 targets per call, still one query for every (rule, node). */
export const batched: Column = async (site, growth) => {
  for (const locationId of site.locationIds) {
    await targetsOf(site, locationId);
    for (const ip of growth.ips) await whoBinds(site, ip);
  }
  await bindAll(site, growth);
};

/** 500 targets per call, one query per rule. */
export const optimised: Column = async (site, growth) => {
  for (const locationId of site.locationIds) await targetsOf(site, locationId);
  await bindAll(site, growth);
};

export type Binding = { readonly locationId: string; readonly ip: string };

/** New backends of the existing rules, then rules by the call and what belongs on them. */
async function bindAll(site: Site, { ips, bound, urls, rulesPerCall }: Growth): Promise<void> {
  const queue: Binding[] = site.locationIds.flatMap((locationId) => ips.slice(bound).map((ip) => ({ locationId, ip })));
  for (const group of chunks(urls, rulesPerCall)) {
    for (const locationId of await createRules(site, group)) {
      await targetsOf(site, locationId);
      queue.push(...ips.map((ip) => ({ locationId, ip })));
    }
    while (queue.length >= PER_BATCH) await batchRegister(site, queue.splice(0, PER_BATCH));
  }
  while (queue.length > 0) await batchRegister(site, queue.splice(0, PER_BATCH));
}

const targetsOf = (site: Site, locationId: string): Promise<unknown> =>
  call(site, "DescribeTargets", {
    LoadBalancerId: site.loadBalancerId,
    ListenerIds: [site.listenerId],
    Filters: [{ Name: "location-id", Values: [locationId] }],
  });

const whoBinds = (site: Site, ip: string): Promise<unknown> =>
  call(site, "DescribeLoadBalancers", { LoadBalancerIds: [site.loadBalancerId], SearchKey: ip });

const register = (site: Site, locationId: string, ips: readonly string[]): Promise<unknown> =>
  write(site, "RegisterTargets", {
    LoadBalancerId: site.loadBalancerId,
    ListenerId: site.listenerId,
    LocationId: locationId,
    Targets: ips.map((ip) => ({ EniIp: ip, Port: BACKEND_PORT })),
  });

export async function batchRegister(site: Site, bindings: readonly Binding[]): Promise<void> {
  const answer = await call(site, "BatchRegisterTargets", {
    LoadBalancerId: site.loadBalancerId,
    Targets: bindings.map(({ locationId, ip }) => ({ ListenerId: site.listenerId, LocationId: locationId, EniIp: ip, Port: BACKEND_PORT })),
  });
  if (answer.FailListenerIdSet?.length) throw new Error(`BatchRegisterTargets failed in part: ${answer.Message ?? ""}`);
}

export async function createRules(site: Site, urls: readonly string[]): Promise<readonly string[]> {
  const { LocationIds } = await write(site, "CreateRule", {
    LoadBalancerId: site.loadBalancerId,
    ListenerId: site.listenerId,
    Rules: urls.map((Url) => ({ Domain: DOMAIN, Url })),
  });
  return LocationIds ?? [];
}

/** What we read of any answer. */
type AnyAnswer = {
  readonly RequestId: string;
  readonly Status?: number;
  readonly Message?: string;
  readonly LocationIds?: readonly string[];
  readonly ListenerIds?: readonly string[];
  readonly FailListenerIdSet?: readonly string[];
};

const never = new AbortController().signal;

async function call({ transport }: Pick<Site, "transport">, action: string, request: object): Promise<AnyAnswer> {
  return (await transport("clb", action, request, never)) as AnyAnswer;
}

/** An asynchronous write and its task. */
export async function write(site: Pick<Site, "transport" | "clock">, action: string, request: object): Promise<AnyAnswer> {
  const answer = await call(site, action, request);
  for (;;) {
    const { Status, Message } = await call(site, "DescribeTaskStatus", { TaskId: answer.RequestId });
    if (Status === 0) return answer;
    if (Status === 1) throw new Error(`${action} failed: ${Message ?? ""}`);
    await site.clock.sleep(POLL_MS);
  }
}

export function* chunks<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}
