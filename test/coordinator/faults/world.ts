/** The coordinator's controllers on the emulated cloud in one process and in virtual time, with agents, Pods and rollouts around it. */
import assert from "node:assert/strict";
import type { Clock } from "../../../common/clock.ts";
import { CLUSTER_TAG, OWNER_TAG } from "../../../common/names.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import { isLocked } from "../../../coordinator/cloud/clb-error.ts";
import type { CloudTransport } from "../../../coordinator/cloud/transport.ts";
import { type Controllers, makeControllers } from "../../../coordinator/controllers.ts";
import type { HealthCheck } from "../../../coordinator/domain/load-balancer.ts";
import type { Policy } from "../../../coordinator/domain/safety/policy.ts";
import { EventRecorder } from "../../../coordinator/events/event-recorder.ts";
import { ServedSelectors } from "../../../coordinator/nodes/asked-pods.ts";
import { makeNodeHolds } from "../../../coordinator/nodes/node-holds.ts";
import { makeNodeRegistry, type NodeRegistry, nodeChanged } from "../../../coordinator/nodes/node-registry.ts";
import { makeNodeTasks } from "../../../coordinator/nodes/node-tasks.ts";
import { podReaderOf } from "../../../coordinator/nodes/pod-reader.ts";
import { CLUSTER } from "../../builders.ts";
import { type Cloud, makeCloud } from "../../cloud/cloud.ts";
import { alwaysHealthy, inProcessTransport } from "../../cloud/in-process.ts";
import { overlaps } from "../../cloud/journal/facts.ts";
import { CloudError } from "../../cloud/model/errors.ts";
import type { CloudState } from "../../cloud/model/view.ts";
import type { CloudOptions, Limits } from "../../cloud/runtime/options.ts";
import type { Probe } from "../../cloud/runtime/probe.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";
import { crashLog } from "../pods.ts";
import { CONTROLLERS_SETTINGS, METRICS } from "../stage.ts";
import { aCluster, type Cluster, uidOf } from "./cluster.ts";
import { type Agent, type AgentMemory, anAgent, aWatch, connectAll } from "./nodes.ts";
import { probing } from "./probing.ts";

const NODES = ["node-a", "node-b", "node-c", "node-d"];
const LOOK_MS = 250;
/** The coordinator's own setting for the SDK. */
const TIMEOUT_MS = 60_000;
/** A call that is refused in place of the cloud. */
const REFUSED_AFTER_MS = 50;
/** No scenario takes longer; milliseconds of virtual time. */
const LIMIT_MS = 900_000;

export type Options = {
  /** One load balancer "lb-<app>" with one Service each; default "one" and "two". */
  readonly apps?: readonly string[];
  /** Pods of each. */
  readonly pods?: number;
  readonly limits?: Partial<Limits>;
  /** Default: every backend answers. */
  readonly probe?: Probe;
  readonly policy?: Policy;
  /** How backends are checked; default: as the cloud does unless told otherwise. */
  readonly check?: Partial<HealthCheck>;
  readonly resyncMs?: number;
  /** The load balancers were made for the Services by a former leader, and are found by their tags; default: the Services name them. */
  readonly ours?: boolean;
  /** How long the containers of the next Pod take to become ready, milliseconds. */
  readonly startMs?: () => number;
  /** Every other Pod has the hook of the webhook. */
  readonly hooks?: boolean;
  readonly profile?: NonNullable<CloudOptions["profile"]>;
  /** Agents try the ports of waiting Pods, which answer so long after their Pod's birth, milliseconds; default: nobody tries any. */
  readonly listenMs?: number;
  /** An agent's first word about a Pod takes so long, milliseconds; default 0. */
  readonly answerMs?: number;
  readonly earlyBind?: boolean;
  /** Switches of the cloud where nobody knows how the service answers. */
  readonly switches?: CloudOptions;
};
/** `surge`: so many new Pods before as many old ones end; `unavailable`: so many old ones end before as many new ones come. */
export type Steps = { readonly surge: number } | { readonly unavailable: number };
/** Sees each call of a coordinator before the cloud does; the code that it gives is the answer, e.g. "InvalidParameterValue". */
type Intercept = (action: string, request: object) => string | undefined;
type Coordinator = {
  readonly controllers: Controllers;
  readonly registry: NodeRegistry;
  readonly agents: readonly Agent[];
  readonly stop: () => Promise<void>;
  /** It loses the Lease and gets it back: what the process has heard of Pods stays, what the reign knew goes. */
  readonly leadAgain: () => Promise<void>;
};

/** Whose end is the end of the world, e.g. a test. */
type Owner = { readonly after: (cleanUp: () => unknown) => void };

export type World = ReturnType<typeof aWorld>;

export function aWorld(t: Owner, { apps = ["one", "two"], pods = 8, limits = {}, profile = "fast", ...options }: Options = {}) {
  const clock = makeVirtualClock();
  const probe = options.probe ?? alwaysHealthy;
  const cloud = makeCloud({ clock, profile, probe, limits: { targetsPerPlace: 1_000, ...limits }, ...options.switches });
  t.after(() => cloud.stop());
  for (const [at, app] of apps.entries())
    cloud.addLoadBalancer({ id: `lb-${app}`, ...(options.ours && { tags: { [CLUSTER_TAG]: CLUSTER, [OWNER_TAG]: uidOf(at) } }) });
  const cluster = aCluster(clock, apps, NODES, {
    check: options.check,
    ours: options.ours,
    startMs: options.startMs,
    hooks: options.hooks,
  });
  for (const app of apps) cluster.start(app, pods);
  const watch = { answers: true, lies: 0 };
  const tooEarly: string[] = [];
  const crashes: string[] = [];
  const log = crashLog(crashes);
  const intercept: { by: Intercept } = { by: () => undefined };
  cluster.onGate((pod) => {
    if (!serves(cloud.state(), pod)) tooEarly.push(pod.uid);
  });
  const reads = { get: 0, list: 0, watch: 0 };
  let generation = 0;
  const memory: AgentMemory = new Map();
  let running: Coordinator | undefined;
  /** Nodes whose objects are deleted, and the UIDs of those that came back. */
  const goneNodes = new Set<string>();
  const nodeUids = new Map<string, string>();

  /** A process that knows nothing but what is stored; its agents connect within a second. */
  const start = ({ withAgents = true }: { readonly withAgents?: boolean } = {}): void => {
    const stop = new AbortController();
    const watchNode = aWatch(clock, cluster, watch);
    const { client, objects } = cluster;
    const shared = { client, clock, log };
    const asked = new ServedSelectors();
    const readPods = podReaderOf({ ...shared, gateType: SETTINGS.gateType, onRead: (kind) => void (reads[kind] += 1) });
    const reported = { observer: METRICS.observer, agentGraceMs: 10_000, watchNode };
    const registry = makeNodeRegistry({ ...shared, ...reported, asked, readPods }, stop.signal);
    for (const record of cluster.services.values()) asked.serviceChanged({ kind: "added", record });
    asked.listed();
    registry.setNodes(NODES.filter((name) => !goneNodes.has(name)).map((name) => ({ name, uid: nodeUids.get(name) ?? name })));
    const holds = makeNodeHolds({ ...shared, facts: () => registry });
    const events = new EventRecorder({ ...shared, component: "clb-direct" });
    const toCloud = inProcessTransport(cloud, { name: `coordinator-${++generation}` });
    const transport = withTimeout(clock, async (service, action, request, signal) => {
      const code = intercept.by(action, request);
      if (code === undefined) return await toCloud(service, action, request, signal);
      await clock.sleep(REFUSED_AFTER_MS, signal);
      throw Object.assign(new Error("injected refusal"), { code, requestId: "req-1" });
    });
    const { listenMs, answerMs = 0 } = options;
    const findings = makeNodeTasks(log);
    if (listenMs !== undefined) for (const node of NODES) probing(findings, node, { clock, cluster, listenMs, answerMs }, stop.signal);
    const settings = {
      ...SETTINGS,
      earlyBind: options.earlyBind ?? false,
      policy: options.policy ?? "enforce",
      resyncMs: options.resyncMs ?? SETTINGS.resyncMs,
    };
    const tell = events.tell.bind(events);
    const unfollow = cluster.onService((change) => asked.serviceChanged(change));
    const agents = NODES.map((node) => anAgent(clock, cluster, registry, holds, node, memory));
    connectAll(
      clock,
      agents.filter((_, at) => withAgents && !goneNodes.has(NODES[at] ?? "")),
    );
    const told = events.run(stop.signal);
    /** One reign. */
    const lead = () => {
      const [over, hard] = [new AbortController(), new AbortController()];
      const asking = listenMs === undefined ? {} : { findings };
      const controllers = makeControllers({
        ...shared,
        ...asking,
        transport,
        facts: registry,
        holds,
        objects,
        tell,
        metrics: METRICS,
        settings,
      });
      const ignore = cluster.onService((change) => controllers.serviceChanged(change));
      const run = controllers.run(over.signal, hard.signal);
      const end = async (): Promise<void> => {
        ignore();
        hard.abort(new DOMException("killed", "AbortError"));
        over.abort();
        await run;
      };
      return { controllers, end };
    };
    let reign = lead();
    const end = async (): Promise<void> => {
      unfollow();
      for (const agent of agents) agent.disconnect();
      await reign.end();
      stop.abort();
      await told;
    };
    const leadAgain = async (): Promise<void> => {
      await reign.end();
      reign = lead();
      running = { controllers: reign.controllers, registry, agents, stop: end, leadAgain };
    };
    running = { controllers: reign.controllers, registry, agents, stop: end, leadAgain };
  };
  const coordinator = (): Coordinator => {
    assert.ok(running, "no coordinator runs");
    return running;
  };

  const until = async (what: () => string, isSo: () => boolean, limitMs = 300_000): Promise<void> => {
    for (const endMs = clock.now() + limitMs; !isSo(); await clock.sleep(LOOK_MS))
      if (clock.now() > endMs) throw new Error(`not within ${limitMs / 1000} s: ${what()}`);
  };
  const isOpen = (uid: string): boolean => cluster.pods.get(uid)?.gate === "True";
  /** All Pods of an app are replaced, by steps as a Deployment makes them. */
  const rollOut = async (app: string, steps: Steps = { surge: 4 }): Promise<void> => {
    const old = cluster.alive(app).map(({ uid }) => uid);
    const size = "surge" in steps ? steps.surge : steps.unavailable;
    while (old.length > 0) {
      const leaving = old.splice(0, size);
      if ("unavailable" in steps) cluster.end(leaving);
      const coming = cluster.start(app, leaving.length);
      await until(
        () => `the gates of ${coming.join(", ")} open`,
        () => coming.every(isOpen),
      );
      if ("surge" in steps) cluster.end(leaving);
    }
  };
  const converged = (app: string, but: readonly string[] = []): Promise<void> =>
    until(
      () =>
        `${app} converged: ${differences(cluster, cloud.state(), app, but).join("; ")} ${coordinator().controllers.progress.unread} ${JSON.stringify(coordinator().controllers.progress.planned())}`,
      () => {
        const { progress } = coordinator().controllers;
        return differences(cluster, cloud.state(), app, but).length === 0 && progress.unread === undefined && isPlanned(progress, app, but);
      },
    );
  /** Rolls out every app at once, when all have converged; `over` rejects if one does not come to its end. */
  const beginRollouts = async (): Promise<{ readonly over: Promise<unknown> }> => {
    for (const app of apps) await converged(app);
    const over = Promise.all(apps.map((app) => rollOut(app)));
    over.catch(() => undefined); // until somebody waits for it
    return { over };
  };

  const nodeOf = (uid: string): number => NODES.indexOf(cluster.pods.get(uid)?.nodeName ?? "");
  const agentOf = (uid: string): Agent => {
    const agent = coordinator().agents[nodeOf(uid)];
    assert.ok(agent, `${uid} is on no node`);
    return agent;
  };

  return {
    agentOf,
    clock,
    cloud,
    cluster,
    apps,
    watch,
    intercept,
    /** Pods whose gate was opened although the cloud did not send to them. */
    tooEarly,
    /** Faults of the program itself that ended a pass, each with its stack. */
    crashes,
    /** What coordinators asked the API server about reported Pods, requests of each kind. */
    reads,
    coordinator,
    isRunning: (): boolean => running !== undefined,
    until,
    rollOut,
    beginRollouts,
    converged,
    start,
    /** What a person does in the console, as soon as the lock is free; resolves when it has taken effect. */
    byHand: async (app: string, action: string, request: object): Promise<ByHand> => {
      const loadBalancerId = `lb-${app}`;
      const one = action === "DeleteLoadBalancer" ? { LoadBalancerIds: [loadBalancerId] } : { LoadBalancerId: loadBalancerId };
      for (;;) {
        try {
          const fromMs = clock.now();
          const answer = await cloud.call("clb", action, { ...one, ...request }, { name: "a person" });
          await until(
            () => `${action} is over`,
            () => isOver(cloud, String(answer["RequestId"])),
          );
          return { loadBalancerId, fromMs, untilMs: clock.now() };
        } catch (err) {
          if (!(err instanceof CloudError && (isLocked(err.code) || err.code === "RequestLimitExceeded"))) throw err;
          await clock.sleep(50);
        }
      }
    },
    /** The Node object is deleted; machine and Pods live on. */
    deleteNode: (at: number): void => {
      const name = NODES[at] ?? "";
      if (goneNodes.has(name)) return;
      goneNodes.add(name);
      running?.agents[at]?.disconnect();
      running?.registry.nodeDeleted({ name, uid: nodeUids.get(name) ?? name });
    },
    /** Its kubelet registers it anew, and its agent connects. */
    restoreNode: (at: number): void => {
      const name = NODES[at] ?? "";
      if (!goneNodes.delete(name)) return;
      nodeUids.set(name, `${name} ${clock.now()}`);
      running?.registry.nodeSeen({ name, uid: nodeUids.get(name) ?? name });
      running?.agents[at]?.connect();
    },
    /** Of the Node object, e.g. { unschedulable: true }; the watch tells of it. */
    editNode: (at: number, spec: object): void => {
      const record = cluster.editNode(NODES[at] ?? "", spec);
      if (running !== undefined) nodeChanged(running.registry, { kind: "changed", record });
    },
    hasNode: (at: number): boolean => !goneNodes.has(NODES[at] ?? ""),
    nodeCount: NODES.length,
    /** The number of the Node that a Pod is on. */
    nodeOf,
    /** As by SIGKILL: nothing is finished, nothing is stored any more. */
    kill: async () => {
      await coordinator().stop();
      running = undefined;
    },
    /** Lets virtual time pass until the work is over. */
    run: async <T>(work: () => Promise<T>, limitMs = LIMIT_MS): Promise<T> => await clock.run(work(), limitMs),
  };
}

/** A write without a task has ended with its answer. */
const isOver = (cloud: Cloud, taskId: string): boolean =>
  cloud.journal.of("task").findLast((task) => task.taskId === taskId)?.change !== "accepted";

/** As the SDK has one: who waits for an answer gives up at last, and does not know what has become of the call. */
const withTimeout =
  (clock: Clock, transport: CloudTransport): CloudTransport =>
  async (service, action, request, signal) => {
    const answered = new AbortController();
    const timeout = clock.sleep(TIMEOUT_MS, answered.signal).then(() => {
      throw Object.assign(new Error(`network timeout at ${action}`), { code: "" });
    });
    try {
      return await Promise.race([transport(service, action, request, signal), timeout]);
    } finally {
      answered.abort("answered"); // with a reason: an error without use would cost more than the call
      timeout.catch(() => undefined);
    }
  };

const SETTINGS = { ...CONTROLLERS_SETTINGS, clusterId: CLUSTER } as const;

const isPlanned = (progress: Controllers["progress"], app: string, but: readonly string[]): boolean =>
  progress.planned().every(({ loadBalancerId, lane }) => loadBalancerId !== `lb-${app}` || (lane === "bind" && but.length > 0));

const serves = ({ loadBalancers }: CloudState, { ips }: PodFact): boolean =>
  loadBalancers
    .flatMap(({ listeners }) => listeners.flatMap(({ targets }) => targets))
    .some(({ ip, weight, health }) => ips.includes(ip) && weight > 0 && SERVES.has(health));
/** Healthy, or not checked at all. */
const SERVES: ReadonlySet<string> = new Set(["Alive", "Close"]);

/** What is not as it should be at the app's load balancer; `but`: Pods that the cloud does not take. */
function differences(cluster: Cluster, state: CloudState, app: string, but: readonly string[]): string[] {
  const pods = cluster.alive(app).filter(({ uid }) => !but.includes(uid));
  const wanted = new Set(pods.flatMap(({ ips }) => ips));
  const listeners = state.loadBalancers.find(({ id }) => id === `lb-${app}`)?.listeners ?? [];
  const targets = listeners.flatMap((listener) => listener.targets);
  const bound = new Set(targets.map(({ ip }) => ip));
  return [
    ...pods.filter(({ gate }) => gate !== "True").map(({ uid }) => `the gate of ${uid} is not open`),
    ...[...cluster.pods.values()]
      .filter(({ labels, deletionAtMs }) => labels["app"] === app && deletionAtMs !== undefined)
      .map(({ uid }) => `${uid} still ends`),
    ...[...wanted].filter((ip) => !bound.has(ip)).map((ip) => `${ip} is not bound`),
    ...targets.filter(({ ip }) => !wanted.has(ip)).map(({ ip }) => `${ip} is bound`),
    ...targets
      .filter(({ weight, health }) => weight !== 10 || !SERVES.has(health))
      .map(({ ip, weight, health }) => `${ip} ${weight} ${health}`),
  ];
}

/** Takes part of the cloud's journal off the judgement, e.g. what a person did by hand. */
export type ByHand = { readonly loadBalancerId: string; readonly fromMs: number; readonly untilMs: number };

/** No backend of a Pod that lived was unbound or got weight 0, and no coordinator wrote twice at a time to one load balancer. */
export function assertNothingWrong(
  { cloud, cluster, tooEarly, crashes }: World,
  { byHand = [], stuck = false }: { byHand?: ByHand[]; stuck?: boolean } = {},
): void {
  assert.deepEqual(crashes, []);
  const entries = cloud.journal.since(0);
  for (const entry of entries) {
    if (entry.kind !== "target" || entry.change === "bound" || (entry.weight > 0 && entry.change === "weight")) continue;
    const { ip, timeMs, loadBalancerId } = entry;
    if (byHand.some((one) => one.loadBalancerId === loadBalancerId && one.fromMs <= timeMs && timeMs <= one.untilMs)) continue;
    const alive = cluster.lives.find((life) => life.ip === ip && life.bornMs <= timeMs && timeMs < life.endingMs);
    assert.equal(alive, undefined, `${entry.change} of ${ip} at ${loadBalancerId}, whose Pod ${alive?.uid} lived`);
  }
  assert.deepEqual(tooEarly, [], "gates were opened before the cloud sent to their Pods");
  const callers = new Set(entries.flatMap((entry) => (entry.kind === "call" ? entry.caller : [])));
  for (const caller of callers) {
    if (stuck || !caller.startsWith("coordinator")) continue;
    // Of a write whose answer was lost nobody knows whether it runs still: the next one is tried, and the lock decides.
    const isHeard = (entry: (typeof entries)[number]): boolean =>
      entry.kind !== "call" || (entry.caller === caller && entry.code !== "LostResponse");
    const own = entries.filter(isHeard);
    assert.deepEqual(overlaps(own), [], `${caller} wrote twice at a time`);
  }
}
