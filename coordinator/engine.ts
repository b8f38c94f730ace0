import type { Clock } from "../common/clock.ts";
import type { Change } from "../common/kubernetes/list-watch.ts";
import type { KubeClient } from "../common/kubernetes/requests.ts";
import type { Logger } from "../common/log.ts";
import { DIRECT_ACCESS, RELEASE } from "../common/names.ts";
import { isEnding, type PodFact } from "../common/vocabulary.ts";
import { type ClbApi, makeClbApi } from "./cloud/clb-api.ts";
import { QuotaPoller } from "./cloud/quota-poller.ts";
import { RateLimit } from "./cloud/rate-limit.ts";
import type { CloudTransport } from "./cloud/transport.ts";
import type { Call } from "./domain/call.ts";
import { itemsOf } from "./domain/call.ts";
import type { WantedBackend } from "./domain/intent/backends.ts";
import type { DesiredLoadBalancer } from "./domain/intent/desired-load-balancer.ts";
import { type OwnershipMode, type ServiceRecord, selects, serviceRef } from "./domain/intent/service.ts";
import type { LoadBalancer } from "./domain/load-balancer.ts";
import type { Plan } from "./domain/plan/plan-load-balancer.ts";
import type { ObjectRef } from "./domain/problem.ts";
import type { Parked } from "./domain/safety/brake.ts";
import type { Drift } from "./domain/safety/drift.ts";
import { allowedCalls, keepsAll, type Policy } from "./domain/safety/policy.ts";
import { type Planned, plannedAt } from "./dry-run/plan-table.ts";
import { type Causes, makeCauses, reasonsOf } from "./events/causes.ts";
import type { EventRecorder } from "./events/event-recorder.ts";
import { makeReport, tellDrift, tellParked, tellRefused } from "./events/findings.ts";
import { Explain } from "./explain/explain.ts";
import { WriteLog } from "./explain/write-log.ts";
import { PodBindings } from "./gates/pod-bindings.ts";
import { makePodGateReconciler } from "./gates/reconcile.ts";
import { makeAwaited } from "./health/awaited-targets.ts";
import { HealthPoller } from "./health/health-poller.ts";
import { Planner } from "./load-balancers/planner.ts";
import { type Made, makeLoadBalancerReconciler } from "./load-balancers/reconcile.ts";
import { RefusedItems } from "./load-balancers/refused-items.ts";
import { Resync } from "./load-balancers/resync.ts";
import { Writer } from "./load-balancers/writer.ts";
import type { makeMetrics } from "./metrics.ts";
import { makeServiceReconciler } from "./owners/service.ts";
import { releaseIds } from "./safety/releases.ts";
import { RemovalGuard } from "./safety/removal-guard.ts";
import { type Claimed, makeAddressClaims, noting } from "./state/address-claims.ts";
import { Intents } from "./state/intents.ts";
import { ListenerOwners } from "./state/listener-owners.ts";
import { Mirror } from "./state/mirror.ts";
import type { PodChange, PodFacts } from "./state/pod-facts.ts";
import { makePodIndex } from "./state/pod-index.ts";
import type { ConfigRecord, WatchedObjects } from "./state/watched-objects.ts";
import { FailedPasses, type Failure } from "./workqueue/failed-passes.ts";
import { unlessUnsent } from "./workqueue/unsent.ts";
import { type Reconcile, Worker } from "./workqueue/worker.ts";

export type EngineDeps = {
  readonly client: KubeClient;
  readonly transport: CloudTransport;
  readonly facts: PodFacts;
  readonly objects: WatchedObjects;
  readonly events: Pick<EventRecorder, "tell">;
  readonly metrics: ReturnType<typeof makeMetrics>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: EngineSettings;
};
type EngineSettings = {
  readonly clusterId: string;
  readonly namespace: string;
  readonly ownership: OwnershipMode;
  readonly gateType: string;
  readonly vpcId: string | undefined;
  readonly callsPerSecond: number;
  /** Rules per CreateRule. */
  readonly rulesPerCall: number;
  readonly drainMs: number;
  readonly resyncMs: number;
  readonly healthPollMs: number;
  readonly healthIdleMs: number;
  readonly policy: Policy;
};

/**
 * Load balancers are worked on in parallel; the rate limits bound the calls. One whose task is stuck keeps its hand for minutes, so there
 * are more hands than load balancers in any account (by default 300 a region at most, by DescribeQuota).
 */
const CONCURRENCY = { loadBalancers: 1_000, services: 10, gates: 16 } as const;
/** After a throttled call its action pauses this long. Source: clb-api.md §1.5 (fixed one-second windows). */
const THROTTLE_PAUSE_MS = 1_000;

/**
 * The coordinator's heart: three queues (Services, load balancers, gates), what they share, and who wakes whom. One per reign of a
 * leader: it begins with nothing but the watched objects and Pod facts, so it reads every load balancer before it writes.
 */
export class Engine {
  readonly #deps: EngineDeps;
  readonly #api: ClbApi;
  readonly #mirror: Mirror;
  readonly #intents: Intents;
  readonly #bindings: PodBindings;
  readonly #writer: Writer;
  readonly #addressClaims: ReturnType<typeof makeAddressClaims>;
  readonly #pods: ReturnType<typeof makePodIndex>;
  readonly #health: HealthPoller;
  readonly #resync: Resync;
  readonly #services: Worker;
  readonly #loadBalancers: Worker;
  readonly #gates: Worker;
  readonly #removals: RemovalGuard;
  readonly #waitingForGate = new Set<string>();
  readonly #quotas: QuotaPoller;
  readonly #planner: Planner;
  readonly #owners: ListenerOwners;
  readonly #causes: (id: string) => Causes;
  /** Services that have not had their first pass: until then, what selects a Pod is not known. */
  readonly #unread = new Set<string>();
  /** Passes over Services and load balancers that failed, for a look that wants to know all. */
  readonly #failed: { readonly services: FailedPasses; readonly loadBalancers: FailedPasses };
  readonly #unsubscribe: () => void;
  readonly explain: Explain;
  readonly audit = new WriteLog();

  constructor(deps: EngineDeps) {
    this.#deps = deps;
    const { clock, log, metrics, facts, client, settings, events } = deps;
    const { clusterId } = settings;
    const rateLimit = new RateLimit(clock, { perSecond: settings.callsPerSecond, pauseAfterThrottlingMs: THROTTLE_PAUSE_MS });
    this.#api = makeClbApi({ transport: deps.transport, rateLimit, clock, onCall: metrics.onCall });
    this.#mirror = new Mirror((id) => this.#mirrorChanged(id));
    const onClaim = (id: string, { ips, passedOn }: Claimed): void => {
      this.#planner.podsChanged(ips, id);
      if (passedOn.size > 0) this.#mirror.passOn(id, passedOn, clock.now());
    };
    this.#addressClaims = noting(makeAddressClaims(client, settings.namespace), onClaim);
    this.#pods = makePodIndex(facts);
    const wishes = (namespace: string, name: string) => deps.objects.config(namespace, name)?.wishes ?? new Map();
    const listens = (id: string, name: string) => this.#mirror.read(id)?.listeners.some((listener) => listener.name === name) === true;
    this.#intents = new Intents({ clusterId, pods: this.#pods, wishes, listens });
    const shared = {
      api: this.#api,
      mirror: this.#mirror,
      addressClaims: this.#addressClaims,
      intents: this.#intents,
      clock,
      log,
      clusterId,
    };
    this.#owners = new ListenerOwners(shared);
    const tell = events.tell.bind(events);
    const telling = { ...shared, owners: this.#owners, tell };
    const onParked = (id: string, parked: Parked): void => {
      const { id: removal, place, slots, staying, floor, spent } = parked;
      log.warn({ loadBalancerId: id, place, removal, targets: slots.length, staying, floor, spent }, "removal parked");
      metrics.onParked();
      tellParked(telling, id, parked, this.#removals.strayReleases(id));
    };
    const ownerOf = (id: string, listenerId: string) => this.#ownerOf(id, listenerId)?.uid;
    const removals = { ...shared, facts, pods: this.#pods, ownerOf, onParked, released: (id: string) => this.#released(id) };
    this.#removals = new RemovalGuard(removals);
    this.#causes = makeCauses({ ...shared, owners: this.#owners, removals: this.#removals });
    this.#writer = new Writer({ ...shared, onWrite: metrics.onWrite });
    const refusedItems = new RefusedItems((id, call, message) => tellRefused({ ...telling, facts }, id, call, message));
    this.#bindings = new PodBindings({ ...shared, writer: this.#writer, refusedItems });
    const quotas = () => this.#quotas.current;
    const planning = { ...shared, settings, facts, pods: this.#pods, writer: this.#writer, refusedItems, removals: this.#removals, quotas };
    this.#planner = new Planner(planning);
    const plan = (desired: DesiredLoadBalancer, actual: LoadBalancer): Plan => this.#planner.plan(desired, actual);
    const synced = (): boolean => deps.objects.synced;
    const service = (uid: string) => deps.objects.services.records.get(uid);
    const config = (namespace: string, name: string) => deps.objects.config(namespace, name);
    const tellFindings = makeReport({ ...telling, config });
    const report = (desired: DesiredLoadBalancer, found: Plan): void => {
      tellFindings(desired, found);
      const strays = this.#removals.strayReleases(desired.loadBalancerId);
      // The annotation was changed after the Event: it says what is wrong with it. The sink tells the same message once.
      if (strays.length > 0 && this.#removals.isHealthRead(desired.loadBalancerId))
        for (const parked of this.#removals.parked(desired.loadBalancerId)) tellParked(telling, desired.loadBalancerId, parked, strays);
    };
    const waiting = { ...shared, facts, waitingForGate: this.#waitingForGate };
    const { healthIdleMs: idleMs, healthPollMs: pollMs, callsPerSecond, drainMs, resyncMs } = settings;
    const health = {
      idleMs,
      pollMs,
      callsPerSecond,
      awaited: makeAwaited(waiting),
      doubt: (id: string) => this.#doubt(id),
    };
    const onAnswer = (ids: readonly string[]): void => this.#removals.healthRead(ids);
    this.#health = new HealthPoller({ ...shared, ...health, onAnswer });
    const look = (id: string): void => this.#loadBalancers.add(id);
    this.#resync = new Resync({ ...shared, rateLimit, resyncMs, callsPerSecond, look });
    this.explain = new Explain({
      ...shared,
      facts,
      bindings: this.#bindings,
      writer: this.#writer,
      plan,
      policy: settings.policy,
      owners: this.#owners,
      parked: (id) => this.#removals.parked(id),
      strayReleases: (id) => this.#removals.strayReleases(id),
    });

    this.#failed = { services: new FailedPasses(clock), loadBalancers: new FailedPasses(clock) };
    const worker = (name: keyof typeof CONCURRENCY, reconcile: Reconcile): Worker => {
      const onOutcome = (outcome: string, seconds: number): void => metrics.onPass(name, outcome, seconds);
      return new Worker({ name, reconcile, clock, log, concurrency: CONCURRENCY[name], onOutcome });
    };
    const touch = (id: string): void => this.#touch(id);
    const { ownership, vpcId, gateType, policy } = settings;
    const serviceDeps = { ...shared, client, ownership, policy, vpcId, synced, service, tell, touch, attempts: new Map<string, number>() };
    const servicePass = this.#reading(unlessUnsent(makeServiceReconciler(serviceDeps)));
    this.#services = worker("services", this.#failed.services.noted(servicePass));
    const onRaised = (): void => {
      refusedItems.quotasRaised();
      for (const id of this.#intents.loadBalancerIds) this.#loadBalancers.add(id);
    };
    this.#quotas = new QuotaPoller({ ...shared, onRaised });
    const onDrift = (id: string, drifts: readonly Drift[]): void => tellDrift(telling, id, drifts);
    const passes = {
      ...shared,
      onDrift,
      facts,
      writer: this.#writer,
      drainMs,
      resyncMs,
      synced,
      plan,
      report,
      refusedItems,
      ...this.#rules(),
    };
    const loadBalancerPass = makeLoadBalancerReconciler({ ...passes, resync: this.#resync });
    this.#loadBalancers = worker("loadBalancers", this.#failed.loadBalancers.noted(loadBalancerPass));
    const onReady = (_pod: PodFact, waitedMs: number | undefined): void => {
      if (waitedMs !== undefined) metrics.onReady(Math.max(waitedMs, 0) / 1000);
    };
    const servicesKnown = (pod: PodFact): boolean => this.#servicesKnown(pod);
    const claimedElsewhere = (pod: PodFact): boolean => this.#claimedElsewhere(pod);
    const gates = { client, facts, bindings: this.#bindings, clock, log, gateType, servicesKnown, claimedElsewhere, onReady };
    const gate = makePodGateReconciler(gates);
    this.#gates = worker("gates", gate);
    this.#unsubscribe = facts.subscribe((change) => this.#podChanged(change, gate.forget));
    this.#begin(gate.forget);
  }

  /** What is known already is news to this engine. */
  #begin(forget: (podUid: string) => void): void {
    for (const record of this.#deps.objects.services.records.values()) this.serviceChanged({ kind: "added", record });
    for (const after of this.#deps.facts.pods.values()) this.#podChanged({ before: undefined, after, end: undefined }, forget);
  }

  /** Once. Resolves when `stop` has aborted and the running calls have ended; `hard` ends those as well. */
  async run(stop: AbortSignal, hard: AbortSignal): Promise<void> {
    await Promise.all([
      this.#services.run(stop, hard),
      this.#loadBalancers.run(stop, hard),
      ...(this.#deps.settings.policy === "observe" ? [] : [this.#gates.run(stop, hard)]), // a gate is a write
      this.#health.run(stop),
      this.#resync.run(stop),
      this.#quotas.run(stop),
    ]);
    this.#unsubscribe();
    this.#pods.close();
  }

  get queueDepth(): Readonly<Record<string, number>> {
    return { services: this.#services.depth, loadBalancers: this.#loadBalancers.depth, gates: this.#gates.depth };
  }

  get parkedRemovals(): number {
    return this.#removals.parkedCount;
  }

  get mirrorAgeSeconds(): number {
    const now = this.#deps.clock.now();
    return Math.max(0, ...this.#mirror.ids.map((id) => (now - (this.#mirror.readAtMs(id) ?? now)) / 1000));
  }

  serviceChanged(change: Change<ServiceRecord>): void {
    const { record } = change;
    if (change.kind === "removed" && this.#intents.get(record.uid) !== undefined) this.#owners.remember(serviceRef(record));
    if (change.kind === "added") this.#unread.add(record.uid);
    this.#services.add(record.uid);
    const loadBalancerId = this.#intents.get(record.uid)?.loadBalancerId;
    // At once: one that is taken away and written again within a moment is a new release.
    if (loadBalancerId !== undefined && this.#removals.releasesChanged(loadBalancerId)) this.#loadBalancers.add(loadBalancerId);
  }

  configChanged(change: Change<ConfigRecord>): void {
    for (const { ref, intent, loadBalancerId } of this.#intents.entries)
      if (ref.namespace === change.record.namespace && intent?.configName === change.record.name && loadBalancerId !== undefined)
        this.#touch(loadBalancerId);
  }

  #podChanged(change: PodChange, forget: (podUid: string) => void): void {
    const { before, after } = change;
    const pod = after ?? before;
    if (pod === undefined) return;
    this.#planner.podsChanged([pod.uid, ...(before?.ips ?? []), ...(after?.ips ?? [])]);
    const [selecting, left]: [string[], string[]] = [[], []];
    for (const { ref, intent, loadBalancerId } of this.#intents.entries) {
      if (loadBalancerId === undefined || intent === undefined || ref.namespace !== pod.namespace) continue;
      const selected = selects(intent.selector, pod.labels);
      const selectedBefore = before !== undefined && selects(intent.selector, before.labels);
      if (selected) selecting.push(ref.uid);
      else if (selectedBefore) left.push(ref.uid);
      // Also one that lost its labels long ago and is still bound: when it ends, it has to be drained like any other.
      const isBound = (): boolean => pod.ips.some((ip) => this.#addressClaims.podOf(loadBalancerId, ip) === pod.uid);
      if (selected || selectedBefore || isBound()) this.#loadBalancers.add(loadBalancerId);
    }
    this.#removals.podChanged(change, { selecting, left });
    const waits = after !== undefined && after.hasGate && after.gate !== "True" && !isEnding(after);
    // A Pod may be bound before anybody told us of it (after a restart): now that it is known, somebody waits for its health.
    if (waits && !this.#waitingForGate.has(pod.uid)) this.#health.wake();
    if (waits) this.#waitingForGate.add(pod.uid);
    else this.#waitingForGate.delete(pod.uid);
    if (after === undefined) forget(pod.uid);
    else this.#gates.add(pod.uid);
  }

  /** A pass may be due: what is wanted of this load balancer, or who it is wanted for, has changed. */
  #touch(id: string): void {
    this.#loadBalancers.add(id);
    this.#touchGates();
  }

  #doubt(id: string): void {
    this.#mirror.markStale(id, "health could not be read");
    this.#loadBalancers.add(id);
  }

  #mirrorChanged(id: string): void {
    this.#loadBalancers.add(id);
    for (const { ref } of this.#intents.of(id)) this.#services.add(ref.uid);
    this.#touchGates();
    this.#health.wake();
  }

  #touchGates(): void {
    for (const podUid of this.#waitingForGate) this.#gates.add(podUid);
  }

  /** Every Service that selects the Pod has had its first pass, well or badly. Others may take their time. */
  #servicesKnown(pod: PodFact): boolean {
    const { objects } = this.#deps;
    const mayServe = (uid: string): boolean => {
      const service = objects.services.records.get(uid);
      return service !== undefined && service.namespace === pod.namespace && selects(service.selector, pod.labels);
    };
    return objects.synced && ![...this.#unread].some(mayServe);
  }

  /** TKE's controllers use the same gate: where they serve a Service, its Pods are not ours to let through. */
  #claimedElsewhere(pod: PodFact): boolean {
    for (const { uid, namespace, annotations, selector, type, deleting } of this.#deps.objects.services.records.values()) {
      if (namespace !== pod.namespace || deleting || type !== "LoadBalancer" || this.#intents.get(uid) !== undefined) continue;
      const access = annotations[DIRECT_ACCESS];
      if (access !== undefined && access !== "false" && selects(selector, pod.labels)) return true;
    }
    return false;
  }

  #reading(reconcile: Reconcile): Reconcile {
    return async (uid, signal) => {
      const { synced } = this.#deps.objects;
      try {
        return await reconcile(uid, signal);
      } finally {
        if (synced) this.#unread.delete(uid);
      }
    };
  }

  /** What is still to be read before `planned` is complete, e.g. "load balancer lb-1"; undefined: nothing. */
  get unread(): string | undefined {
    const { objects, facts, client } = this.#deps;
    if (!objects.synced) return `Services, TkeServiceConfigs and Nodes of ${client.server}`;
    if (!facts.complete && objects.nodes.records.size > 0) return `the Pods of every Node of ${client.server}`;
    if (this.#unread.size > 0) return `${this.#unread.size} Services and their load balancers`;
    for (const id of this.#intents.loadBalancerIds) {
      if (this.#mirror.isGone(id)) continue;
      if (this.#mirror.read(id) === undefined) return `load balancer ${id}`;
      if (!this.#removals.isHealthRead(id)) return `the health of load balancer ${id}`;
    }
    return undefined;
  }

  /** What could not be read when it was last tried, e.g. { what: "Service shop/web", error, sinceMs }. */
  get failures(): readonly Failure[] {
    const { records } = this.#deps.objects.services;
    const nameOf = (uid: string): string => {
      const service = records.get(uid);
      return `Service ${service === undefined ? uid : `${service.namespace}/${service.name}`}`;
    };
    const { services, loadBalancers } = this.#failed;
    return [
      ...services.entries.map(({ key, ...failed }) => ({ what: nameOf(key), ...failed })),
      ...loadBalancers.entries.map(({ key, ...failed }) => ({ what: `load balancer ${key}`, ...failed })),
    ];
  }

  /** Every call that is due now, and every removal that the brake holds, with their causes. */
  planned(): Planned[] {
    return [...this.#intents.loadBalancerIds].flatMap((loadBalancerId) => {
      const actual = this.#mirror.read(loadBalancerId);
      if (actual === undefined) return [];
      const { calls } = this.#planner.plan(this.#intents.desired(loadBalancerId), actual);
      return plannedAt(loadBalancerId, calls, this.#removals.parked(loadBalancerId), this.#causes(loadBalancerId));
    });
  }

  /** What a pass may do with its plan, and who hears of what it did. */
  #rules() {
    const { settings } = this.#deps;
    return {
      allowed: (calls: readonly Call[]): readonly Call[] => allowedCalls(settings.policy, calls),
      takesOver: ({ ip, podUid }: WantedBackend) => keepsAll(settings.policy) && this.#pods.byIp(ip)?.uid === podUid,
      onMade: (made: Made): void => this.#noteMade(made),
      onForgotten: (id: string): void => {
        this.#removals.forget(id);
        this.#planner.forget(id);
      },
    };
  }

  #noteMade({ loadBalancerId, call, result, startedMs, endedMs, waitedMs }: Made): void {
    const { log, metrics } = this.#deps;
    const because = reasonsOf(call, this.#causes(loadBalancerId));
    const items = itemsOf(call);
    this.audit.add({ atMs: startedMs, ms: endedMs - startedMs, loadBalancerId, lane: call.lane, items, result, because });
    metrics.onMade(call, result, waitedMs / 1000);
    log.info({ loadBalancerId, lane: call.lane, items, result, because }, "write and its reason");
  }

  /** Removals that a person let go, by an annotation on any owner of the load balancer. */
  #released(id: string): ReadonlySet<string> {
    return new Set(this.#intents.of(id).flatMap(({ ref }) => releaseIds(this.#annotationsOf(ref)[RELEASE])));
  }

  /** Empty for an owner that is not there. */
  #annotationsOf({ kind, uid }: ObjectRef): Readonly<Record<string, string>> {
    return (kind === "Service" ? this.#deps.objects.services.records.get(uid)?.annotations : undefined) ?? {};
  }

  #ownerOf(id: string, listenerId: string): ObjectRef | undefined {
    const listener = this.#mirror.read(id)?.listeners.find((one) => one.listenerId === listenerId);
    return listener && this.#owners.of(id, listener.name);
  }
}
