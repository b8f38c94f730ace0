import { makeClock } from "../common/clock.ts";
import { ConfigError } from "../common/errors.ts";
import { makeHealthServer } from "../common/health-server.ts";
import { makeKubeClient } from "../common/kube-client.ts";
import { runParts } from "../common/lifecycle.ts";
import { makeLogger } from "../common/log.ts";
import { clusterIdOf, LEADER_HEALTH, STREAM_HEALTH } from "../common/names.ts";
import { makeOpsServer } from "../common/ops-server.ts";
import { makeSdkTransport } from "./cloud/transport.ts";
import { readConfig } from "./config.ts";
import { Engine } from "./engine.ts";
import { EventSink } from "./events.ts";
import { explainRoute } from "./explain-routes.ts";
import { makeMetrics } from "./metrics.ts";
import { makeObjects, type Objects } from "./objects.ts";
import { makeNodeRegistry } from "./stream/node-registry.ts";
import { makeNodeStream } from "./stream/node-stream.ts";
import { makeWatchNode } from "./stream/node-watch.ts";
import { makeStreamServer } from "./stream/server.ts";
import { makeTokenReview } from "./stream/token-review.ts";
import { makeServing } from "./tls/serving.ts";

/** Retry while the cluster cannot be asked for its identity at start. */
const IDENTITY_RETRY_MS = 1_000;

/** Composition root: configuration -> adapters -> loops. Ends the process. */
async function main(env: NodeJS.ProcessEnv): Promise<void> {
  const config = readConfig(env);
  const log = await makeLogger("coordinator", config.logLevel);
  const clock = makeClock(config.timeScale);
  const wallClock = makeClock(); // certificates and tokens stay in real time
  const client = await makeKubeClient({ clock, env, userAgent: "clb-direct-coordinator" });
  const stop = new AbortController();
  const hard = new AbortController();
  const running: Promise<void>[] = [];

  const health = makeHealthServer({ host: config.listenHost, port: config.healthPort, names: ["", STREAM_HEALTH, LEADER_HEALTH] });
  await health.start();
  health.health.setStatus("", "SERVING"); // this process is fit, also while it waits for the cluster

  const clusterId = config.clusterId ?? (await clusterIdentity(client, clock, log, stop.signal));
  const ages = (): Record<string, number> => {
    const age = (lastByteAtMs: number): number => (clock.now() - lastByteAtMs) / 1000;
    const { services, configs, nodes } = objects;
    return { services: age(services.lastByteAtMs), tkeserviceconfigs: age(configs.lastByteAtMs), nodes: age(nodes.lastByteAtMs) };
  };
  const nodeCounts = (): Record<"agent" | "watch" | "none", number> => {
    const counts = { agent: 0, watch: 0, none: 0 };
    for (const { source } of registry.nodes()) counts[source] += 1;
    return counts;
  };
  const metrics = makeMetrics({
    queueDepth: () => engine.queueDepth,
    watchAgeSeconds: ages,
    mirrorAgeSeconds: () => engine.mirrorAgeSeconds,
    nodes: nodeCounts,
    pods: () => registry.pods.size,
  });
  const { observer, onRestart } = metrics;
  const watchNode = makeWatchNode({ client, clock, log, onRestart }, config.gateType);
  const registry = makeNodeRegistry({ clock, log, watchNode, observer, agentGraceMs: config.agentGraceMs }, stop.signal);
  const events = new EventSink({ client, clock, log, component: "clb-direct" });
  const { cloud, namespace, ownership, gateType, drainMs, auditMs, healthPollMs, healthIdleMs } = config;
  const engine: Engine = new Engine({
    client,
    transport: makeSdkTransport({ region: config.region, ...cloud, credential: () => cloud.credential }),
    facts: registry,
    objects: (): Objects => objects,
    events,
    metrics,
    clock,
    log,
    settings: {
      clusterId,
      namespace,
      ownership,
      gateType,
      vpcId: cloud.vpcId,
      callsPerSecond: cloud.callsPerSecond,
      drainMs,
      auditMs,
      healthPollMs,
      healthIdleMs,
    },
  });
  const objects = makeObjects({
    client,
    clock,
    log,
    onRestart,
    onService: (change) => engine.serviceChanged(change),
    onConfig: (change) => engine.configChanged(change),
    onNode: ({ kind, record }) => (kind === "removed" ? registry.nodeDeleted(record) : registry.nodeSeen(record)),
    onNodesListed: () => registry.setNodes([...objects.nodes.records.values()]),
  });
  const ops = makeOpsServer({
    host: config.listenHost,
    port: config.opsPort,
    registry: metrics.registry,
    notReady: () => (objects.synced ? undefined : "Services, TkeServiceConfigs and Nodes have not been listed yet"),
    routes: { "/explain": async (url) => explainRoute(engine.explain, url) },
    log,
  });
  const { dns, ip } = config.servingNames;
  const serving = await makeServing({ kube: client, namespace, dnsNames: dns, ipAddresses: ip, clock: wallClock, log }, stop.signal);
  const review = makeTokenReview({ kube: client, namespace, clock: wallClock });
  const stream = makeNodeStream({ registry, review, replica: config.replica, observer, clock: wallClock, log });
  const address = `${config.listenHost}:${config.streamPort}`;
  const streams = makeStreamServer({ address, stream, serving, health: health.health, clock: wallClock, log, keepalive: config.keepalive });

  const ready = (status: "SERVING" | "NOT_SERVING"): void => {
    for (const name of [STREAM_HEALTH, LEADER_HEALTH]) health.health.setStatus(name, status);
  };
  const background = {
    start: (): void =>
      void running.push(serving.run(stop.signal), objects.run(stop.signal), events.run(stop.signal), engine.run(stop.signal, hard.signal)),
    stop: async (limit: AbortSignal): Promise<void> => {
      stop.abort();
      limit.addEventListener("abort", () => hard.abort(), { once: true });
      await Promise.all(running);
    },
  };
  const parts = [
    { name: "kubernetes client", start: () => {}, stop: () => client.close() },
    { name: "health server", start: () => {}, stop: () => health.stop() },
    { name: "ops server", start: async () => void (await ops.start()), stop: () => ops.stop() },
    { name: "loops", ...background },
    { name: "stream server", start: async () => void (await streams.start()), stop: () => streams.stop() },
    {
      name: "readiness",
      start: () => {
        ready("SERVING");
        log.info({ clusterId, ownership: config.ownership, gateType: config.gateType }, "coordinating");
      },
      stop: () => ready("NOT_SERVING"),
    },
  ];
  await runParts(parts, { log, clock: wallClock, limitMs: config.shutdownMs });
}

/** First 8 hex digits of the UID of Namespace kube-system; asks until the API server answers. */
async function clusterIdentity(
  client: Awaited<ReturnType<typeof makeKubeClient>>,
  clock: ReturnType<typeof makeClock>,
  log: Awaited<ReturnType<typeof makeLogger>>,
  signal: AbortSignal,
): Promise<string> {
  for (;;) {
    try {
      const namespace = await client.get<{ metadata: { uid: string } }>("/api/v1/namespaces/kube-system", { signal });
      return clusterIdOf(namespace.metadata.uid);
    } catch (err) {
      log.warn({ err }, "the cluster's identity (UID of Namespace kube-system) could not be read, trying again");
      await clock.sleep(IDENTITY_RETRY_MS, signal);
    }
  }
}

try {
  await main(process.env);
} catch (err) {
  console.error(err instanceof ConfigError ? err.message : err);
  process.exitCode = 1;
}
