/** The pass over one load balancer on the emulated cloud, in virtual time, driven by hand. */
import type { TestContext } from "node:test";
import { remedyOf } from "../../../common/errors.ts";
import { OWNER_TAG } from "../../../common/names.ts";
import type { DesiredLoadBalancer } from "../../../coordinator/domain/intent/desired-load-balancer.ts";
import { serviceRef } from "../../../coordinator/domain/intent/service.ts";
import { slotOf } from "../../../coordinator/domain/load-balancer.ts";
import { holderOf } from "../../../coordinator/domain/plan/address-holder.ts";
import { planLoadBalancer } from "../../../coordinator/domain/plan/plan-load-balancer.ts";
import { type LoadBalancerDeps, makeLoadBalancerReconciler } from "../../../coordinator/load-balancers/reconcile.ts";
import { RefusedItems } from "../../../coordinator/load-balancers/refused-items.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import type { Outcome } from "../../../coordinator/workqueue/worker.ts";
import { anIntent, aPod, aService, CLUSTER } from "../../builders.ts";
import type { CloudOptions } from "../../cloud/runtime/options.ts";
import { somePodFacts } from "../pod-facts.ts";
import { silentLog } from "../pods.ts";
import { aStage } from "../stage.ts";

type Options = {
  readonly pods?: number;
  readonly cloud?: CloudOptions;
  readonly tags?: Record<string, string>;
  readonly deps?: Partial<LoadBalancerDeps>;
  /** What is asked for instead of what the Service says; default: as it says. */
  readonly asks?: (desired: DesiredLoadBalancer) => DesiredLoadBalancer;
};

/** `pods` Pods of one Service on one load balancer. `passes` drives it as the worker would, remedies included, for so long at most. */
export function aWorld(t: TestContext, { pods = 3, cloud = {}, tags = {}, deps = {}, asks = (desired) => desired }: Options = {}) {
  const stage = aStage(t, { ...cloud, limits: { targetsPerPlace: 1_000, ...cloud.limits } });
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer({ tags });
  const ip = (n: number): string => `10.244.${Math.floor(n / 200)}.${(n % 200) + 1}`;
  const known = somePodFacts(...Array.from({ length: pods }, (_, n) => aPod({ uid: `pod-${n}`, name: `web-${n}`, ips: [ip(n)] })));
  const index = makePodIndex(known.facts);
  const intents = new Intents({ clusterId: CLUSTER, pods: index, wishes: () => new Map() });
  const service = aService();
  const entry = { ref: serviceRef(service), order: "1", selector: service.selector, intent: anIntent(service), loadBalancerId: id };
  intents.set({ ...entry, state: "served" });
  const refused: string[] = [];
  const refusedItems = new RefusedItems(
    (_id, call, message) => void refused.push(`${"targets" in call ? call.targets[0]?.podUid : call.lane} ${message}`),
  );
  const drainMs = 5_000;
  const failedAudits: string[] = [];
  const reconcile = makeLoadBalancerReconciler({
    api: stage.api,
    mirror: stage.mirror,
    writer: stage.writer,
    addressClaims: stage.addressClaims,
    clock: stage.clock,
    intents: { loadBalancerIds: intents.loadBalancerIds, desired: (one) => asks(intents.desired(one)) },
    ownerRecords: { isMadeFor: (actual, uid) => actual.tags[OWNER_TAG] === uid },
    log: silentLog,
    clusterId: CLUSTER,
    drainMs,
    resyncMs: 60_000,
    resync: {
      isDue: (one) => stage.clock.now() - (stage.mirror.readAtMs(one) ?? 0) >= 60_000,
      worked: () => undefined,
      failed: (one) => void failedAudits.push(one),
    },
    synced: () => true,
    plan: (desired, actual) =>
      planLoadBalancer({
        roomFirst: stage.writer.overQuota(id) > 0,
        clusterId: CLUSTER,
        desired,
        actual,
        holderOf: (address) => {
          const claimed = stage.addressClaims.podOf(id, address);
          const claimedPod = claimed === undefined ? undefined : known.facts.pods.get(claimed);
          const claimedEnd = claimed !== undefined && known.facts.endOf(claimed) === "deleted" ? "deleted" : undefined;
          return holderOf({ claimed, claimedPod, claimedEnd, present: index.byIp(address), complete: known.facts.complete });
        },
        serving: () => true,
        drained: (place, target) =>
          (stage.mirror.drainedAtMs(id, slotOf(place, target)) ?? Number.POSITIVE_INFINITY) + drainMs <= stage.clock.now(),
      }),
    report: () => undefined,
    refusedItems,
    ...deps,
  });
  const pass = (): Promise<Outcome> => stage.finish(reconcile(id, stage.signal));
  const passes = async (limitMs: number, isEnough: () => boolean = () => false): Promise<number> => {
    const startedMs = stage.clock.now();
    while (stage.clock.now() - startedMs < limitMs && !isEnough()) {
      const waitMs = await pass().then(
        (outcome) => (outcome.kind === "again" ? outcome.afterMs : limitMs),
        (error: unknown) => {
          const remedy = remedyOf(error);
          return remedy.kind === "retryAfter" ? remedy.delayMs : 1_000;
        },
      );
      await stage.clock.advance(Math.min(Math.max(waitMs, 1), limitMs));
    }
    return stage.clock.now() - startedMs;
  };
  /** Of all listeners and rules, as the cloud has them. */
  const targets = (): readonly { readonly ip: string; readonly weight: number }[] =>
    stage.cloud
      .state()
      .loadBalancers.flatMap((one) => one.listeners.flatMap((listener) => [listener, ...listener.rules]))
      .flatMap((place) => place.targets);
  const bound = (): string[] => targets().map((target) => target.ip);
  const count = (action: string): number => stage.calls.filter((call) => call.action === action).length;
  const listenerId = (): string => stage.mirror.read(id)?.listeners[0]?.listenerId ?? "";
  return { stage, id, ip, intents, entry, known, refused, refusedItems, failedAudits, pass, passes, targets, bound, count, listenerId };
}
