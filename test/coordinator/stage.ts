import type { TestContext } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { makeClbApi } from "../../coordinator/cloud/clb-api.ts";
import { RateLimit } from "../../coordinator/cloud/rate-limit.ts";
import type { NewListeners } from "../../coordinator/domain/call.ts";
import type { BoundSlot, LoadBalancer } from "../../coordinator/domain/load-balancer.ts";
import { Writer } from "../../coordinator/load-balancers/writer.ts";
import { makeMetrics, NO_GAUGES } from "../../coordinator/metrics.ts";
import type { AddressClaims } from "../../coordinator/state/address-claims.ts";
import type { CertificateSecrets } from "../../coordinator/state/certificate-secrets.ts";
import type { EndpointSlices } from "../../coordinator/state/endpoint-slices.ts";
import { Mirror } from "../../coordinator/state/mirror.ts";
import type { Records } from "../../coordinator/state/records.ts";
import type { TkeSwitches } from "../../coordinator/state/tke-switches.ts";
import { LISTENER_NAME } from "../builders.ts";
import { makeCloud } from "../cloud/cloud.ts";
import type { CloudOptions } from "../cloud/runtime/options.ts";
import { aFakeClock, silentLog } from "./pods.ts";

/** One for all worlds of a process, since nobody reads them: each takes a timer and an observer of garbage collections, which never end. */
export const METRICS = makeMetrics(NO_GAUGES);

/** Of controllers for tests; the caller names cluster and policy. */
export const CONTROLLERS_SETTINGS = {
  namespace: "clb-direct",
  ownership: "annotation",
  admission: "off",
  gateType: DEFAULT_GATE_TYPE,
  vpcId: undefined,
  callsPerSecond: 20,
  rulesPerCall: 20,
  drainMs: 3_000,
  resyncMs: 60_000,
  healthPollMs: 50,
  healthIdleMs: 10_000,
} as const;

/** Records without an API server; `failing`: what cannot be stored is refused with it. Another process that reads them finds the same. */
export function memoryRecords(
  former: Record<string, Record<string, string>> = {},
): Records & { failing: Error | undefined; writes: number } {
  const scopes = new Map<string, Map<string, string>>();
  const records: Records & { failing: Error | undefined; writes: number } = {
    failing: undefined,
    writes: 0,
    synced: true,
    get scopes() {
      return scopes.keys();
    },
    entries: (scope) => scopes.get(scope) ?? [],
    isMarked: () => false,
    get: (scope, key) => scopes.get(scope)?.get(key),
    put: async (scope, entries) => {
      await Promise.resolve();
      if (records.failing !== undefined) throw records.failing;
      records.writes += 1;
      scopes.set(scope, new Map([...(scopes.get(scope) ?? []), ...entries]));
    },
    forget: (scope, keys) => {
      for (const key of keys) scopes.get(scope)?.delete(key);
    },
    drop: (scope) => {
      scopes.delete(scope);
      return Promise.resolve();
    },
    former: new Map(Object.entries(former)),
    run: () => Promise.resolve(),
  };
  return records;
}

/** Address claims without an API server; `claims` is what has been stored, in order, e.g. "lb-1 10.244.1.1 pod-1". */
export function memoryClaims(): AddressClaims & { readonly claims: string[] } {
  const byLoadBalancer = new Map<string, Map<string, string>>();
  const claims: string[] = [];
  const claimsOf = (id: string): Map<string, string> => byLoadBalancer.get(id) ?? new Map();
  let version = 0;
  return {
    claims,
    restore: function* () {},
    claimedPod: () => undefined,
    keepOnly: () => undefined,
    podOf: (id, ip) => byLoadBalancer.get(id)?.get(ip),
    version: () => version,
    claim: (id, added) => {
      version += 1;
      byLoadBalancer.set(id, new Map([...claimsOf(id), ...added]));
      for (const [ip, podUid] of added) claims.push(`${id} ${ip} ${podUid}`);
      return Promise.resolve();
    },
    loadBalancersOf: (names) =>
      new Set([...byLoadBalancer].flatMap(([id, known]) => ([...known].flat().some((name) => names.includes(name)) ? id : []))),
    forget: (id, ips) => {
      version += 1;
      for (const ip of ips) byLoadBalancer.get(id)?.delete(ip);
    },
    drop: (id) => {
      version += 1;
      byLoadBalancer.delete(id);
      return Promise.resolve();
    },
  };
}

/** Sees each call before the cloud does; what it throws is the answer. */
type Intercept = (action: string, request: object) => void;

/**
 * The emulated cloud's core, with its real limits, locks and latencies, and our adapters on it, all in one process and in virtual time.
 * Health is what the test sets; no port is opened.
 */
export function aStage(t: TestContext, options: CloudOptions = {}) {
  const clock = aFakeClock(1_790_000_000_000);
  const cloud = makeCloud({ clock, dataPlane: false, health: "scripted", ...options });
  t.after(() => cloud.stop());
  const intercept: { by: Intercept } = { by: () => undefined };
  const calls: { action: string; atMs: number }[] = [];
  const transport = async (service: string, action: string, request: object, givenUp: AbortSignal): Promise<unknown> => {
    calls.push({ action, atMs: clock.now() });
    intercept.by(action, request);
    const over = new Promise<never>((_, reject) => givenUp.addEventListener("abort", () => reject(givenUp.reason), { once: true }));
    return await Promise.race([cloud.call(service, action, request), over]);
  };
  const codes: string[] = [];
  const rateLimit = new RateLimit(clock, { perSecond: 20, pauseAfterThrottlingMs: 1_000 });
  const api = makeClbApi({ transport, rateLimit, clock, onCall: (action, code) => void codes.push(`${action} ${code}`) });
  const changed: string[] = [];
  const mirror = new Mirror((id) => void changed.push(id));
  const addressClaims = memoryClaims();
  const writer = new Writer({ api, mirror, addressClaims, clock, log: silentLog });
  const { signal } = new AbortController();

  /** Lets time pass until the work is over. */
  const finish = async <T>(work: Promise<T>): Promise<T> => {
    const state = { over: false };
    const end = (): void => void (state.over = true);
    work.then(end, end);
    while (!state.over) await clock.advance(10);
    return await work;
  };
  /** What the load balancer really is. */
  const look = async (id: string): Promise<LoadBalancer> => {
    const facts = await finish(api.loadBalancer(id, signal));
    if (facts === undefined) throw new Error(`there is no load balancer ${id}`);
    return { ...facts, listeners: await finish(api.listeners(id, () => true, signal)) };
  };
  const fill = async (id: string): Promise<void> => {
    const facts = await finish(api.loadBalancer(id, signal));
    if (facts !== undefined) mirror.fill(facts, await finish(api.listeners(id, () => true, signal)), clock.now());
  };
  return { clock, cloud, api, mirror, addressClaims, writer, signal, calls, codes, changed, intercept, finish, look, fill };
}
export type Stage = ReturnType<typeof aStage>;

/** One listener "TCP:80" of aService, unless told otherwise. */
export const newListeners = (change: Partial<NewListeners> = {}): NewListeners => ({
  protocol: "TCP",
  healthCheck: {},
  listeners: [{ name: LISTENER_NAME, port: 80 }],
  ...change,
});

/** `count` Pods' slots, "pod-0" at 10.244.0.1 and so on. */
export const slots = (listenerId: string, count: number, from = 0): BoundSlot[] =>
  Array.from({ length: count }, (_, index) => {
    const n = from + index;
    return { listenerId, ip: `10.244.${Math.floor(n / 200)}.${(n % 200) + 1}`, port: 8080, weight: 10, podUid: `pod-${n}` };
  });

/** A load balancer with one listener "TCP:80" of aService, read into the mirror. */
export async function aListeningLoadBalancer(stage: Stage, tags: Record<string, string> = {}): Promise<{ id: string; listenerId: string }> {
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer({ tags });
  const [listenerId = ""] = await stage.finish(stage.api.createListeners(id, newListeners(), stage.signal));
  await stage.fill(id);
  return { id, listenerId };
}

/** What the API's methods throw on; for `assert.rejects`. */
export const withCode =
  (code: string) =>
  (error: unknown): boolean => {
    const call: unknown = typeof error === "object" && error !== null ? Reflect.get(error, "call") : undefined;
    return typeof call === "object" && call !== null && Reflect.get(call, "code") === code;
  };

/** Nobody names a Secret. */
export const NO_ENDPOINT_SLICES: EndpointSlices = {
  of: () => undefined,
  all: [],
  denied: false,
  follow: () => () => undefined,
  followKnown: () => () => undefined,
  run: () => Promise.resolve(),
};
export const NO_SWITCHES: TkeSwitches = { directByDefault: false, follow: () => () => undefined, run: () => Promise.resolve() };
export const NO_CERTIFICATES: CertificateSecrets = { find: () => undefined, denied: false, run: () => Promise.resolve() };
