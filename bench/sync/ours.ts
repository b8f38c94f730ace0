/** The coordinator's own planning and execution on one or more load balancers, with everything around them held still. */
import { pino } from "pino";
import type { Clock } from "../../common/clock.ts";
import { listenerName } from "../../common/names.ts";
import { makeClbApi } from "../../coordinator/cloud/clb-api.ts";
import { RateLimit } from "../../coordinator/cloud/rate-limit.ts";
import type { CloudTransport } from "../../coordinator/cloud/transport.ts";
import type { DesiredLoadBalancer } from "../../coordinator/domain/intent/desired-load-balancer.ts";
import { DEFAULT_WEIGHT, slotOf } from "../../coordinator/domain/load-balancer.ts";
import { PlanCache } from "../../coordinator/domain/plan/plan-cache.ts";
import { type Plan, planLoadBalancer } from "../../coordinator/domain/plan/plan-load-balancer.ts";
import { makeLoadBalancerReconciler } from "../../coordinator/load-balancers/reconcile.ts";
import { RefusedItems } from "../../coordinator/load-balancers/refused-items.ts";
import { Writer } from "../../coordinator/load-balancers/writer.ts";
import { Mirror } from "../../coordinator/state/mirror.ts";
import { Worker } from "../../coordinator/workqueue/worker.ts";
import { memoryClaims } from "../../test/coordinator/stage.ts";
import { BACKEND_PORT, DOMAIN } from "./columns.ts";

const CLUSTER_ID = "be9c0000";
const OWNER = { kind: "Service", namespace: "bench", name: "rules", uid: "5e21c0ff-ee12-0000-0000-000000000000" } as const;
const PORT = 80;
/** Name of the listener that is ours on every load balancer of the benchmark. */
export const LISTENER = listenerName(CLUSTER_ID, OWNER.uid, "HTTP", PORT);

/** What is wanted of one load balancer: these paths, each with all of these backends. */
export type Wish = { readonly urls: readonly string[]; readonly ips: readonly string[] };

export type Ours = {
  /** What is wanted from now on; what was wanted before and is not any more is a Pod that ends. */
  readonly set: (loadBalancerId: string, wanted: Wish) => void;
  /** Resolves when every load balancer is as it was wished. */
  readonly converge: (wishes: ReadonlyMap<string, Wish>) => Promise<void>;
  readonly stop: () => Promise<void>;
};

/** Every backend is a live Pod and serves at once: what is measured is the way from a wish to the last write. */
export function makeOurs(deps: {
  readonly transport: CloudTransport;
  readonly clock: Clock;
  readonly rulesPerCall: number;
  readonly drainMs?: number;
}): Ours {
  const { transport, clock, rulesPerCall, drainMs = 30_000 } = deps;
  const log = pino({ level: "silent" });
  const desired = new Map<string, DesiredLoadBalancer>();
  const known = new Set<string>();
  const ips = new Map<string, ReadonlySet<string>>();
  const caches = new Map<string, PlanCache>();
  const waiting = new Map<string, () => void>();
  const api = makeClbApi({ transport, rateLimit: new RateLimit(clock, { perSecond: 20, pauseAfterThrottlingMs: 1_000 }), clock });
  const mirror = new Mirror((id) => worker.add(id));
  const addressClaims = memoryClaims();
  const writer = new Writer({ api, mirror, addressClaims, clock, log });
  const plan = (wanted: DesiredLoadBalancer, actual: Parameters<typeof planLoadBalancer>[0]["actual"]): Plan => {
    const { loadBalancerId } = actual;
    const cache = caches.get(loadBalancerId) ?? new PlanCache();
    caches.set(loadBalancerId, cache);
    const planned = planLoadBalancer({
      clusterId: CLUSTER_ID,
      desired: wanted,
      actual,
      holderOf: (ip) => ({ kind: ips.get(loadBalancerId)?.has(ip) ? "live" : "terminating", podUid: ip }),
      serving: () => true,
      drained: (place, target) => (mirror.drainedAtMs(loadBalancerId, slotOf(place, target)) ?? Infinity) + drainMs <= clock.now(),
      inFlight: writer.running(loadBalancerId),
      rulesPerCall,
      cache,
    });
    if (planned.calls.length === 0 && desired.get(loadBalancerId) === wanted) waiting.get(loadBalancerId)?.();
    return planned;
  };
  const reconcile = makeLoadBalancerReconciler({
    api,
    mirror,
    writer,
    addressClaims,
    intents: {
      loadBalancerIds: known,
      desired: (id: string) => desired.get(id) ?? wish(id, { urls: [], ips: [] }),
    },
    ownerRecords: { isMadeFor: () => false },
    clock,
    log,
    clusterId: CLUSTER_ID,
    drainMs,
    resyncMs: 86_400_000,
    synced: () => true,
    plan,
    report: () => undefined,
    refusedItems: new RefusedItems(() => undefined),
  });
  const worker = new Worker({ name: "load balancers", reconcile, clock, log, concurrency: 50 });
  const stopping = new AbortController();
  const running = worker.run(stopping.signal, stopping.signal);

  const set = (id: string, wanted: Wish): void => {
    desired.set(id, wish(id, wanted));
    ips.set(id, new Set(wanted.ips));
    known.add(id);
    worker.add(id);
  };

  return {
    set,
    converge: async (wishes) => {
      const done = [...wishes].map(([id, wanted]) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.set(id, resolve);
        set(id, wanted);
        return promise;
      });
      await Promise.all(done);
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

function wish(loadBalancerId: string, { urls, ips }: Wish): DesiredLoadBalancer {
  const backends = ips.map((ip) => ({ podUid: ip, ip, port: BACKEND_PORT, weight: DEFAULT_WEIGHT, bindable: true }));
  const place = { healthCheck: {}, backends: [], standings: [] };
  const rules = urls.map((url) => ({ ...place, domain: DOMAIN, url, backends }));
  return {
    loadBalancerId,
    listeners: [{ ...place, name: LISTENER, owner: OWNER, protocol: "HTTP", port: PORT, rules }],
    owners: [{ ref: OWNER, state: "served" }],
    conflicts: [],
  };
}
