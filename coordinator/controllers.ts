import type { Clock } from "../common/clock.ts";
import type { Change } from "../common/kubernetes/list-watch.ts";
import type { KubeClient } from "../common/kubernetes/requests.ts";
import type { Logger } from "../common/log.ts";
import type { PodFact } from "../common/vocabulary.ts";
import { type ClbApi, makeClbApi } from "./cloud/clb-api.ts";
import type { Answered } from "./cloud/clb-call.ts";
import { type ClbApiError, refusedCallOf } from "./cloud/clb-error.ts";
import { RateLimit, type RateLimitHooks } from "./cloud/rate-limit.ts";
import { makeSslApi, type SslApi } from "./cloud/ssl-api.ts";
import type { CloudTransport } from "./cloud/transport.ts";
import { makeConfigsController } from "./configs/controller.ts";
import type { AdmissionMode } from "./domain/admission/mode.ts";
import type { Call } from "./domain/call.ts";
import type { IngressRecord } from "./domain/intent/ingress-record.ts";
import type { ClusterStanding } from "./domain/intent/owner-intent.ts";
import type { ServiceRecord } from "./domain/intent/service.ts";
import type { PlaceId } from "./domain/load-balancer.ts";
import type { ObjectRef, Problem } from "./domain/problem.ts";
import type { Retire } from "./domain/safety/policy.ts";
import { makeDrainsController } from "./drains/controller.ts";
import { makeCauses } from "./events/causes.ts";
import { type FindingsDeps, makeFindings, tellParked } from "./events/findings.ts";
import { type CloudAnswer, makeRefusalTeller } from "./events/refused-calls.ts";
import { Explain } from "./explain/explain.ts";
import { Progress } from "./explain/progress.ts";
import { WriteLog } from "./explain/write-log.ts";
import { type GatesDeps, makeGatesController } from "./gates/controller.ts";
import { OwnShare } from "./gates/own-share.ts";
import { makeAwaited } from "./health/awaited-targets.ts";
import { HealthPoller, type HealthPollerDeps } from "./health/health-poller.ts";
import { type LoadBalancersSettings, makeLoadBalancersController } from "./load-balancers/controller.ts";
import type { Made } from "./load-balancers/reconcile.ts";
import { servedElsewhere } from "./load-balancers/served-elsewhere.ts";
import type { LeaderGauges, makeMetrics } from "./metrics.ts";
import { uploadsOf } from "./owners/certificate-uploads.ts";
import { makeOwnersController, type OwnersDeps } from "./owners/controller.ts";
import { reachabilityOf } from "./reachability/controller.ts";
import { ClusterProof } from "./safety/cluster-proof.ts";
import { EndEvidence } from "./safety/end-evidence.ts";
import { EndInquiry } from "./safety/end-inquiry.ts";
import { releasedAt } from "./safety/releases.ts";
import { RemovalGuard } from "./safety/removal-guard.ts";
import type { SecretName } from "./state/certificate-secrets.ts";
import type { ConfigRecord } from "./state/config-objects.ts";
import type { DrainTimes } from "./state/drain-times.ts";
import { makeEndingAt } from "./state/ending-at.ts";
import type { Holds } from "./state/holds.ts";
import type { NodeFindings } from "./state/node-findings.ts";
import type { OwnershipSettings } from "./state/object-ownership.ts";
import type { PodFacts } from "./state/pod-facts.ts";
import { makeState, type State } from "./state/state.ts";
import type { WatchedObjects } from "./state/watched-objects.ts";
import { WakeUps } from "./wake-ups.ts";

export type ControllersDeps = {
  readonly client: KubeClient;
  readonly transport: CloudTransport;
  readonly facts: PodFacts;
  /** What agents are asked and found; default: nobody is asked. */
  readonly findings?: NodeFindings;
  /** Pods whose preStop hook was called; default: no agent holds any. */
  readonly holds?: Holds;
  /** Learns how long drains take. */
  readonly drainTimes?: Pick<DrainTimes, "note">;
  readonly objects: WatchedObjects;
  readonly tell: (problem: Problem) => void;
  readonly metrics: ReturnType<typeof makeMetrics>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: ControllersSettings;
};
export type ControllersSettings = LoadBalancersSettings &
  OwnershipSettings & {
    readonly namespace: string;
    readonly gateType: string;
    /** How long after its containers a gate opens by itself; default: never. */
    readonly gateExpiryMs?: number | undefined;
    /** Default: off. */
    readonly retire?: Retire | undefined;
    readonly admission: AdmissionMode;
    readonly vpcId: string | undefined;
    /** Default: not. */
    readonly globalRouterDirectAccess?: boolean;
    /** Default: 30 s. */
    readonly verdictDelayMs?: number;
    /** A Pod that listens already is bound at weight 0 before its containers are ready; default: not. */
    readonly earlyBind?: boolean;
    readonly healthPollMs: number;
    readonly healthIdleMs: number;
  };

/** What a reign of a leader runs, and what others ask of it. */
export interface Controllers {
  readonly explain: Explain;
  readonly writeLog: WriteLog;
  readonly progress: Progress;
  /** For metrics. */
  readonly gauges: LeaderGauges;
  /** The objects that have listeners at a load balancer. */
  ownersOf(loadBalancerId: string): readonly ObjectRef[];
  serviceChanged(change: Change<ServiceRecord>): void;
  configChanged(change: Change<ConfigRecord>): void;
  secretChanged(secret: SecretName): void;
  accessRulesChanged(): void;
  ingressChanged(change: Change<IngressRecord>): void;
  ingressClassChanged(): void;
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
  const { client, clock, log, metrics, settings, tell } = deps;
  const { clusterId, gateType, policy, retire } = settings;
  const { rateLimit, api, ssl } = cloudOf(deps, {
    onAnswer: (answer) => onAnswer(answer),
    doubt: (id) => loadBalancers.doubt(id),
    onTurn: (_action, id) => wakeUps.loadBalancerDue(id),
    isUrgent: (id) => endingAt(id),
    isBusy: (id) => loadBalancers.writer.running(id) !== undefined,
  });
  const onOutcome = (queue: string) => (outcome: string, seconds: number) => metrics.onPass(queue, outcome, seconds);
  const certificates = uploadsOf(deps, { api: ssl, isOurs: () => safety.isOurs(), onChange: (secret) => wakeUps.secretChanged(secret) });
  const state = makeState(
    { ...deps, certificates },
    {
      mirrorChanged: (id, change) => wakeUps.mirrorChanged(id, change),
      addressesClaimed: (id, ips) => wakeUps.addressesClaimed(id, ips),
      podsDeselected: (podUids) => wakeUps.podsDeselected(podUids),
      referenceChanged: (serviceUid) => wakeUps.referenceChanged(serviceUid),
      ownerRestored: (owner) => wakeUps.intentChanged(owner),
      podChanged: (selection) => {
        safety.evidence.podChanged(selection);
        wakeUps.podChanged(selection);
      },
    },
  );
  const { mirror, pods } = state;
  const ownShare = new OwnShare({ pods, clock, observe: metrics.onOwnShare, observeStage: metrics.onGateStage });
  const endingAt = makeEndingAt({ ...state, clock });
  const awaited = makeAwaited({ ...state, clock, waitingForGate: pods.waitingForGate, ...earlyBy(state, settings) });
  const findings = findingsDeps(state, deps, (id, afterMs) => loadBalancers.queue.add(id, afterMs));
  const onAnswer = makeRefusalTeller({ ...state, tell, onChange: () => wakeUps.accessChanged() });
  const safety = makeSafety(state, api, findings, deps, (id) => wakeUps.loadBalancerDue(id));
  const { guard, causes, standing, prove } = safety;
  const writeLog = new WriteLog();
  const loadBalancers = makeLoadBalancersController({
    api,
    rateLimit,
    ...safety,
    state,
    clock,
    log,
    settings,
    ...makeFindings(findings, guard),
    onMade: noting(writeLog, causes, ownShare, deps),
    onWrite: metrics.onWrite,
    onOutcome: onOutcome("loadBalancers"),
    onPlan: (id, plan) => drains.planned(id, plan),
    wakeUps: () => wakeUps,
  });
  const passed: Pick<OwnersDeps, "intentChanged" | "onRead"> = {
    intentChanged: (owner) => wakeUps.intentChanged(owner),
    onRead: (uid) => wakeUps.serviceRead(uid),
  };
  const ownersDeps = { ...settings, standing, client, api, state, clock, log, tell, ...passed, onOutcome: onOutcome("services") };
  const owners = makeOwnersController(ownersDeps);
  const { writer, planner, progress } = loadBalancers;
  const gatesDeps = { ...settings, client, state, progress, clusterId, gateType, retire, clock, log, tell, onReady: metrics.onReady };
  const gates = makeGatesController({ ...gatesDeps, ...stagesBy(ownShare), onOutcome: onOutcome("gates") });
  const poll = { ...pollSettings(settings, rateLimit), awaited, ...heardBy(guard, ownShare), api, mirror, clock, log };
  const health = new HealthPoller({ ...poll, doubt: (id) => wakeUps.loadBalancerDue(id) });
  const onJudged = (pod: PodFact): void => wakeUps.podJudged(pod);
  const reachability = reachabilityOf({ ...deps, ...settings, state, onJudged, onOutcome: onOutcome("reachability") });
  const stopping = { running: (id: string): Call | undefined => writer.running(id), onStopping: onJudged };
  const drains = makeDrainsController({ ...deps, ...settings, state, ...stopping, onOutcome: onOutcome("drains") });
  const configs = makeConfigsController({ ...deps, state, onOutcome: onOutcome("configs") });
  const woken = { owners: owners.queue, loadBalancers: loadBalancers.queue, gates: gates.queue, networks: reachability, configs };
  const wakeUps = new WakeUps({ ...woken, ...state, health, plans: planner, releases: guard, drains });
  beginWith(state, wakeUps);
  return {
    explain: new Explain({ ...state, ...gates, ...reachability?.explained, writer, planner, guard, clock, policy, ownShare }),
    progress: new Progress({ ...state, server: client.server, guard, owners, loadBalancers, causes }),
    writeLog,
    ownersOf: (id) => state.intents.of(id).map(({ ref }) => ref),
    ...takingIn(state, wakeUps),
    gauges: gaugesOf({ services: owners.queue, loadBalancers: loadBalancers.queue, gates: gates.queue, configs }, { guard, mirror, clock }),
    run: async (stop, hard) => {
      certificates.begin(stop);
      const judging = reachability?.queue.run(stop, hard).finally(() => reachability.close());
      const worked = [owners.queue, loadBalancers, drains, ...(policy === "observe" ? [] : [gates.queue, configs])]; // these only write
      const working = worked.map((one) => one.run(stop, hard));
      await Promise.all([state.records.run(stop), prove(stop), judging, health.run(stop), ...working]).finally(() => state.close());
    },
  };
}

/** `doubt`: what was written to this load balancer and had ended well has failed after all. */
type CloudHooks = RateLimitHooks & { readonly onAnswer: (answer: CloudAnswer) => void; readonly doubt: (loadBalancerId: string) => void };

const gaugesOf = (
  queues: Readonly<Record<string, { readonly depth: number }>>,
  { guard, mirror, clock }: Pick<State, "mirror"> & { readonly guard: { readonly parkedCount: number }; readonly clock: Clock },
): LeaderGauges => ({
  queueDepth: () => Object.fromEntries(Object.entries(queues).map(([name, { depth }]) => [name, depth])),
  parkedRemovals: () => guard.parkedCount,
  mirrorAgeSeconds: () => mirror.oldestReadSeconds(clock.now()),
});

/** What is watched besides Pods. */
const takingIn = (state: State, wakeUps: WakeUps): Pick<Controllers, Extract<keyof Controllers, `${string}Changed`>> => ({
  serviceChanged: (change) => takeIn(state, wakeUps, change),
  configChanged: (change) => wakeUps.configChanged(change),
  secretChanged: (secret) => wakeUps.secretChanged(secret),
  accessRulesChanged: () => wakeUps.accessRulesChanged(),
  ingressChanged: (change) => takeInIngress(state, wakeUps, change),
  ingressClassChanged: () => wakeUps.ingressClassChanged(),
});

/** Notes what was written, and why. */
const noting =
  (
    writeLog: WriteLog,
    causes: ReturnType<typeof makeCauses>,
    ownShare: OwnShare,
    { metrics, drainTimes, log }: Pick<ControllersDeps, "metrics" | "drainTimes" | "log">,
  ) =>
  (made: Made): void => {
    ownShare.made(made);
    if (made.call.lane === "drain" && made.result === "ok") drainTimes?.note(made.waitedMs + made.endedMs - made.startedMs);
    writeLog.note(made, causes(made.loadBalancerId, made.before), log);
    metrics.onMade(made.call, made.result, made.waitedMs / 1000);
  };

function cloudOf(
  { clock, log, transport, metrics, settings }: ControllersDeps,
  { onAnswer, doubt, ...hooks }: CloudHooks,
): { readonly rateLimit: RateLimit; readonly api: ClbApi; readonly ssl: SslApi } {
  const rateLimit = new RateLimit(clock, { perSecond: settings.callsPerSecond, pauseAfterThrottlingMs: THROTTLE_PAUSE_MS }, hooks);
  const passOn = ({ error, ...answer }: Answered): void => onAnswer({ ...answer, refused: error && refusedCallOf(error) });
  const onDoubt = (loadBalancerId: string, err: ClbApiError): void => {
    log.warn({ err, loadBalancerId }, "a write that had ended well has failed");
    doubt(loadBalancerId);
  };
  const shared = { transport, rateLimit, clock, onCall: metrics.onCall };
  return { rateLimit, api: makeClbApi({ ...shared, onAnswer: passOn, onDoubt }), ssl: makeSslApi(shared, settings.clusterId) };
}

const findingsDeps = (
  state: State,
  { objects, tell, clock, log, settings }: ControllersDeps,
  lookAgain: NonNullable<FindingsDeps["lookAgain"]>,
): FindingsDeps => ({
  ...state,
  config: (namespace, name) => objects.config(namespace, name),
  configsVersion: () => `${objects.configsVersion} ${state.intents.usesVersion}`,
  tell,
  clock,
  log,
  admission: settings.admission,
  misfitWishOf: (namespace) => objects.misfitNamespaces.wishOf(namespace),
  lookAgain,
});

const pollSettings = ({ healthIdleMs, healthPollMs }: ControllersSettings, rateLimit: RateLimit) => ({
  callsPerSecond: () => rateLimit.state("DescribeTargetHealth").perSecond,
  idleMs: healthIdleMs,
  pollMs: healthPollMs,
});

/** Which Pods are bound early and wait at weight 0, where that is done. */
const earlyBy = ({ listening, pods }: Pick<State, "listening" | "pods">, { earlyBind = false }: Pick<ControllersSettings, "earlyBind">) =>
  earlyBind ? { isEarly: (podUid: string): boolean => listening.has(podUid) && pods.waitingForGate.has(podUid) } : {};

/** Who hears what questions about health have brought. */
const stagesBy = (ownShare: OwnShare): Pick<GatesDeps, "onOpened" | "stagesSoFar"> => ({
  onOpened: (pod, patchMs) => ownShare.opened(pod, patchMs),
  stagesSoFar: (podUid) => ownShare.stagesSoFar(podUid),
});
const heardBy = (guard: RemovalGuard, ownShare: OwnShare): Pick<HealthPollerDeps, "onAnswer" | "onServing"> => ({
  onAnswer: (ids) => guard.healthRead(ids),
  onServing: (ips, questioned) => ownShare.serving(ips, questioned),
});

function takeIn(state: State, wakeUps: WakeUps, change: Change<ServiceRecord>): void {
  state.serviceChanged(change);
  wakeUps.serviceChanged(change);
}

function takeInIngress(state: State, wakeUps: WakeUps, change: Change<IngressRecord>): void {
  state.ingressChanged(change);
  wakeUps.ingressChanged(change);
}

/** What is known already is news to these controllers. */
function beginWith(state: State, wakeUps: WakeUps): void {
  for (const record of state.objects.services.records.values()) takeIn(state, wakeUps, { kind: "added", record });
  for (const record of state.objects.ingresses.records.values()) takeInIngress(state, wakeUps, { kind: "added", record });
  const loadBalancerIds: ReadonlySet<string> = new Set(); // nobody's intent is known yet
  for (const after of state.facts.pods.values())
    wakeUps.podChanged({ change: { before: undefined, after, end: undefined }, loadBalancerIds });
}

/** What keeps backends from being taken away without need, and why who leaves. */
function makeSafety(
  state: State,
  api: ClbApi,
  findings: FindingsDeps,
  { client, clock, log, metrics, settings }: Pick<ControllersDeps, "client" | "clock" | "log" | "metrics" | "settings">,
  due: (loadBalancerId: string) => void,
) {
  const ownerOf = (id: string, place: PlaceId): string | undefined => state.listenerOwners.ofPlace(id, place)?.uid;
  const keepsOff = settings.policy === "observe"; // who writes nothing does no harm in a copy
  const proof = new ClusterProof({
    ...settings,
    client,
    clock,
    log,
    ready: () => state.ready,
    records: state.records,
    nodes: () => state.objects.nodes.records.values(),
    speakers: () => state.facts.nodes(),
    servedElsewhere: async (signal) => await servedElsewhere({ ...state, ...settings, api }, signal),
  });
  const inquiry = new EndInquiry({ client, clock, log, onProven: due, onAgain: due });
  const evidence = new EndEvidence({ ...state, ownerOf, inquiry });
  const guard: RemovalGuard = new RemovalGuard({
    ...state,
    evidence,
    clock,
    released: releasedAt(state),
    onParked: (id, parked) => {
      const { id: removal, place, slots, staying, floor, spent } = parked;
      log.warn({ loadBalancerId: id, place, removal, targets: slots.length, staying, floor, spent }, "removal parked");
      metrics.onParked();
      tellParked(findings, id, parked, guard.strayReleases(id));
    },
  });
  const podName = (podUid: string): string => evidence.nameOf(podUid);
  const causes = makeCauses({ ...state, podName, whyLeaves: (id, slot) => guard.cause(id, slot) });
  const standing = (): ClusterStanding => (keepsOff ? "ours" : proof.standing);
  const prove = async (stop: AbortSignal): Promise<void> => (keepsOff ? undefined : await proof.run(stop));
  return { inquiry, evidence, guard, causes, standing, isOurs: () => standing() === "ours", prove };
}
