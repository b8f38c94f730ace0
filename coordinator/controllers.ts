import type { Clock } from "../common/clock.ts";
import type { Change } from "../common/kubernetes/list-watch.ts";
import type { KubeClient } from "../common/kubernetes/requests.ts";
import type { Logger } from "../common/log.ts";
import { makeClbApi } from "./cloud/clb-api.ts";
import { RateLimit } from "./cloud/rate-limit.ts";
import type { CloudTransport } from "./cloud/transport.ts";
import { itemsOf } from "./domain/call.ts";
import type { OwnershipMode, ServiceRecord } from "./domain/intent/service.ts";
import type { Problem } from "./domain/problem.ts";
import { type Causes, makeCauses, reasonsOf } from "./events/causes.ts";
import { type FindingsDeps, makeReport, tellDrift, tellParked, tellRefused } from "./events/findings.ts";
import { Explain } from "./explain/explain.ts";
import { Progress } from "./explain/progress.ts";
import { WriteLog } from "./explain/write-log.ts";
import { makeGatesController } from "./gates/controller.ts";
import { makeAwaited } from "./health/awaited-targets.ts";
import { HealthPoller } from "./health/health-poller.ts";
import { type LoadBalancersSettings, makeLoadBalancersController } from "./load-balancers/controller.ts";
import type { Made } from "./load-balancers/reconcile.ts";
import type { makeMetrics } from "./metrics.ts";
import { makeOwnersController } from "./owners/controller.ts";
import { EndEvidence } from "./safety/end-evidence.ts";
import { releasedAt } from "./safety/releases.ts";
import { RemovalGuard } from "./safety/removal-guard.ts";
import type { PodFacts } from "./state/pod-facts.ts";
import { makeState, type State, type StateFollowers } from "./state/state.ts";
import type { ConfigRecord, WatchedObjects } from "./state/watched-objects.ts";
import { WakeUps } from "./wake-ups.ts";

export type ControllersDeps = {
  readonly client: KubeClient;
  readonly transport: CloudTransport;
  readonly facts: PodFacts;
  readonly objects: WatchedObjects;
  readonly tell: (problem: Problem) => void;
  readonly metrics: ReturnType<typeof makeMetrics>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: ControllersSettings;
};
export type ControllersSettings = LoadBalancersSettings & {
  readonly namespace: string;
  readonly ownership: OwnershipMode;
  readonly gateType: string;
  readonly vpcId: string | undefined;
  readonly healthPollMs: number;
  readonly healthIdleMs: number;
};

/** What a reign of a leader runs, and what others ask of it. */
export interface Controllers {
  readonly explain: Explain;
  readonly writeLog: WriteLog;
  readonly progress: Progress;
  /** Keys that are due or run, by queue. */
  readonly queueDepth: Readonly<Record<string, number>>;
  readonly parkedRemovals: number;
  readonly mirrorAgeSeconds: number;
  serviceChanged(change: Change<ServiceRecord>): void;
  configChanged(change: Change<ConfigRecord>): void;
  /** Once. Resolves when `stop` has aborted and the running calls have ended; `hard` ends those as well. */
  run(stop: AbortSignal, hard: AbortSignal): Promise<void>;
}

/** After a throttled call its action pauses this long. Source: clb-api.md §1.5 (fixed one-second windows). */
const THROTTLE_PAUSE_MS = 1_000;

/**
 * Makes the controllers over one state. One per reign of a leader: it begins with nothing but the watched objects and Pod facts, so it
 * reads every load balancer before it writes.
 */
export function makeControllers(deps: ControllersDeps): Controllers {
  const { client, clock, log, metrics, facts, objects, settings, tell } = deps;
  const { clusterId, gateType, callsPerSecond } = settings;
  const rateLimit = new RateLimit(clock, { perSecond: callsPerSecond, pauseAfterThrottlingMs: THROTTLE_PAUSE_MS });
  const api = makeClbApi({ transport: deps.transport, rateLimit, clock, onCall: metrics.onCall });
  const synced = (): boolean => objects.synced;
  const onOutcome = (queue: string) => (outcome: string, seconds: number) => metrics.onPass(queue, outcome, seconds);

  const followers: StateFollowers = {
    mirrorChanged: (id) => wakeUps.mirrorChanged(id),
    addressesClaimed: (id, ips) => wakeUps.addressesClaimed(id, ips),
    podChanged: (selection) => {
      evidence.podChanged(selection);
      wakeUps.podChanged(selection);
    },
  };
  const { namespace } = settings;
  const state = makeState({ client, facts, objects, clock, clusterId, namespace }, followers);
  const { mirror, addressClaims, intents, pods } = state;
  const { evidence, guard, findings, causes } = makeSafety(deps, state);
  const writeLog = new WriteLog();

  const loadBalancers = makeLoadBalancersController({
    api,
    rateLimit,
    mirror,
    addressClaims,
    intents,
    facts,
    pods,
    guard,
    clock,
    log,
    settings,
    synced,
    wakeUps: { loadBalancerDue: (id) => wakeUps.loadBalancerDue(id), quotasRaised: () => wakeUps.quotasRaised() },
    report: makeReport(findings, guard),
    onDrift: (id, drifts) => tellDrift(findings, id, drifts),
    onRefused: (id, call, message) => tellRefused(findings, id, call, message),
    onMade: (made) => noteMade({ writeLog, log, metrics, causes: causes(made.loadBalancerId) }, made),
    onWrite: metrics.onWrite,
    onOutcome: onOutcome("loadBalancers"),
  });
  const { writer, refusedItems, planner } = loadBalancers;
  const owners = makeOwnersController({
    client,
    api,
    mirror,
    addressClaims,
    intents,
    clock,
    log,
    synced,
    tell,
    clusterId,
    ownership: settings.ownership,
    policy: settings.policy,
    vpcId: settings.vpcId,
    service: (uid) => objects.services.records.get(uid),
    intentChanged: (id) => wakeUps.intentChanged(id),
    onOutcome: onOutcome("services"),
  });
  const bindProgress = { running: writer.running.bind(writer), refusal: refusedItems.why.bind(refusedItems) };
  const gates = makeGatesController({
    client,
    facts,
    objects,
    intents,
    mirror,
    addressClaims,
    progress: bindProgress,
    clock,
    log,
    clusterId,
    gateType,
    onReady: metrics.onReady,
    onOutcome: onOutcome("gates"),
  });
  const health = new HealthPoller({
    api,
    mirror,
    clock,
    log,
    callsPerSecond,
    idleMs: settings.healthIdleMs,
    pollMs: settings.healthPollMs,
    awaited: makeAwaited({ mirror, addressClaims, facts, clock, waitingForGate: pods.waitingForGate }),
    doubt: (id) => {
      mirror.markStale(id, "health could not be read");
      wakeUps.loadBalancerDue(id);
    },
    onAnswer: (ids) => guard.healthRead(ids),
  });
  const wakeUps = new WakeUps({
    intents,
    waitingForGate: pods.waitingForGate,
    health,
    plans: planner,
    owners: owners.queue,
    loadBalancers: loadBalancers.queue,
    gates: gates.queue,
    releases: { changed: (id) => guard.releasesChanged(id) },
  });

  const failed = { owners: owners.failed, loadBalancers: loadBalancers.failed };
  const isHealthRead = (id: string): boolean => guard.isHealthRead(id);
  const controllers: Controllers = {
    explain: new Explain({ ...state, facts, clock, guard, podBindings: gates.podBindings, writer, planner, policy: settings.policy }),
    progress: new Progress({
      objects,
      facts,
      intents,
      mirror,
      isHealthRead,
      failed,
      causes,
      server: client.server,
      due: () => loadBalancers.due(),
    }),
    writeLog,
    serviceChanged(change) {
      state.serviceChanged(change);
      wakeUps.serviceChanged(change);
    },
    configChanged: (change) => wakeUps.configChanged(change),
    get queueDepth() {
      return { services: owners.queue.depth, loadBalancers: loadBalancers.queue.depth, gates: gates.queue.depth };
    },
    get parkedRemovals() {
      return guard.parkedCount;
    },
    get mirrorAgeSeconds() {
      const now = clock.now();
      return Math.max(0, ...mirror.ids.map((id) => (now - (mirror.readAtMs(id) ?? now)) / 1000));
    },
    async run(stop, hard) {
      const gatesRun = settings.policy === "observe" ? [] : [gates.queue.run(stop, hard)]; // a gate is a write
      await Promise.all([owners.queue.run(stop, hard), loadBalancers.run(stop, hard), ...gatesRun, health.run(stop)]);
      state.close();
    },
  };
  return begun(controllers, deps, wakeUps);
}

/** What is known already is news to these controllers. */
function begun(controllers: Controllers, { objects, facts }: ControllersDeps, wakeUps: WakeUps): Controllers {
  for (const record of objects.services.records.values()) controllers.serviceChanged({ kind: "added", record });
  for (const after of facts.pods.values())
    wakeUps.podChanged({ change: { before: undefined, after, end: undefined }, loadBalancerIds: new Set() });
  return controllers;
}

/** What keeps backends from being taken away without need, and tells of it. */
function makeSafety(deps: ControllersDeps, { mirror, addressClaims, intents, pods, listenerOwners }: State) {
  const { facts, objects, clock, log, metrics, tell } = deps;
  const config: FindingsDeps["config"] = (namespace, name) => objects.config(namespace, name);
  const findings: FindingsDeps = { intents, config, listenerOwners, mirror, facts, tell, log };
  const ownerOf = (id: string, listenerId: string): string | undefined => listenerOwners.ofId(id, listenerId)?.uid;
  const evidence = new EndEvidence({ addressClaims, facts, pods, intents, ownerOf });
  const guard: RemovalGuard = new RemovalGuard({
    mirror,
    addressClaims,
    evidence,
    clock,
    released: releasedAt({ intents, objects }),
    onParked: (id, parked) => {
      const { id: removal, place, slots, staying, floor, spent } = parked;
      log.warn({ loadBalancerId: id, place, removal, targets: slots.length, staying, floor, spent }, "removal parked");
      metrics.onParked();
      tellParked(findings, id, parked, guard.strayReleases(id));
    },
  });
  const causes = makeCauses({
    mirror,
    addressClaims,
    listenerOwners,
    podName: (podUid) => evidence.nameOf(podUid),
    whyLeaves: (id, slot) => guard.cause(id, slot),
  });
  return { evidence, guard, findings, causes };
}

type NoteDeps = Pick<ControllersDeps, "log" | "metrics"> & { readonly writeLog: WriteLog; readonly causes: Causes };

function noteMade({ writeLog, log, metrics, causes }: NoteDeps, made: Made): void {
  const { loadBalancerId, call, result, startedMs, endedMs, waitedMs } = made;
  const because = reasonsOf(call, causes);
  const items = itemsOf(call);
  writeLog.add({ atMs: startedMs, ms: endedMs - startedMs, loadBalancerId, lane: call.lane, items, result, because });
  metrics.onMade(call, result, waitedMs / 1000);
  log.info({ loadBalancerId, lane: call.lane, items, result, because }, "write and its reason");
}
