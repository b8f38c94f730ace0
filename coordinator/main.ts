import { randomUUID } from "node:crypto";
import { makeClock } from "../common/clock.ts";
import { ConfigError } from "../common/errors.ts";
import { makeHealthServer } from "../common/health-server.ts";
import { makeKubeClient } from "../common/kubernetes/client.ts";
import { loop, type Part, runParts } from "../common/lifecycle.ts";
import { makeLogger } from "../common/log.ts";
import { LEADER_HEALTH, STREAM_HEALTH } from "../common/names.ts";
import { makeOpsServer } from "../common/ops-server.ts";
import { eitherSignal } from "../common/signals.ts";
import { makeSdkTransport } from "./cloud/transport.ts";
import { readConfig } from "./config.ts";
import { makeConsoleLog } from "./dry-run/console-log.ts";
import { dryClient, dryTransport } from "./dry-run/dry-clients.ts";
import { planOnce, readArguments, UnreadError, USAGE } from "./dry-run/plan-once.ts";
import { planTable } from "./dry-run/plan-table.ts";
import { Engine } from "./engine.ts";
import { EventRecorder } from "./events/event-recorder.ts";
import { explainRoute, writeLogRoute } from "./explain/routes.ts";
import { Elector, type Reign } from "./leader/elector.ts";
import { fencedClient, fencedTransport } from "./leader/fence.ts";
import { LEASE_TIMES } from "./leader/lease.ts";
import { makeMetrics } from "./metrics.ts";
import { makeNodeRegistry } from "./nodes/node-registry.ts";
import { makeWatchNode } from "./nodes/pod-watch.ts";
import { readClusterId } from "./state/cluster-id.ts";
import { makeWatchedObjects } from "./state/watched-objects.ts";
import { makeNodeStream } from "./stream/node-stream.ts";
import { makeStreamServer } from "./stream/server.ts";
import { makeTokenReview } from "./stream/token-review.ts";
import { makeServing } from "./tls/serving.ts";

/**
 * Composition root: configuration -> adapters -> loops. Ends the process. Objects, Pod facts and streams run on every replica; the
 * engine, which is all that writes to the cloud and to users' objects, runs only while this one leads.
 */
async function main(env: NodeJS.ProcessEnv, observe: boolean): Promise<void> {
  const config = { ...readConfig(env), ...(observe && { policy: "observe" as const }) };
  const log = await makeLogger("coordinator", config.logLevel);
  const clock = makeClock(config.timeScale);
  const wallClock = makeClock(); // certificates and tokens stay in real time
  const { namespace, gateType, replica, listenHost, agentGraceMs } = config;
  const health = makeHealthServer({ host: listenHost, port: config.healthPort, names: ["", STREAM_HEALTH, LEADER_HEALTH] });
  await health.start();
  health.health.setStatus("", "SERVING"); // this process is fit, also while it waits for the cluster

  const client = await makeKubeClient({ clock, env, userAgent: "clb-direct-coordinator" });
  const stop = new AbortController();
  const clusterId = config.clusterId ?? (await readClusterId({ client, clock, log }, stop.signal));
  let engine: Engine | undefined;
  const metrics = makeMetrics({
    queueDepth: () => engine?.queueDepth ?? {},
    watchAgeSeconds: () => objects.watchAgeSeconds,
    mirrorAgeSeconds: () => engine?.mirrorAgeSeconds ?? 0,
    nodes: () => registry.nodes().map(({ source }) => source),
    pods: () => registry.pods.size,
    leading: () => elector.leading,
    parkedRemovals: () => engine?.parkedRemovals ?? 0,
  });
  const { observer, onRestart } = metrics;
  const watchNode = makeWatchNode({ client, clock, log, onRestart }, gateType);
  const registry = makeNodeRegistry({ clock, log, watchNode, observer, agentGraceMs }, stop.signal);
  const objects = makeWatchedObjects({
    client,
    clock,
    log,
    onRestart,
    onService: (change) => engine?.serviceChanged(change),
    onConfig: (change) => engine?.configChanged(change),
    onNode: ({ kind, record }) => (kind === "removed" ? registry.nodeDeleted(record) : registry.nodeSeen(record)),
    onNodesListed: () => registry.setNodes([...objects.nodes.records.values()]),
  });

  const mayWrite = (): boolean => elector.mayWrite();
  const observing = config.policy === "observe";
  const sdk = makeSdkTransport({ region: config.region, ...config.cloud });
  const transport = observing ? dryTransport(sdk) : fencedTransport(sdk, mayWrite);
  const fenced = observing ? dryClient(client) : fencedClient(client, mayWrite);
  const lead = async ({ retire, lost }: Reign): Promise<void> => {
    const stopped = eitherSignal(retire, lost);
    const events = new EventRecorder({ client: fenced, clock, log, component: "clb-direct" });
    engine = new Engine({
      client: fenced,
      transport,
      facts: registry,
      objects,
      events,
      metrics,
      clock,
      log,
      settings: { ...config, clusterId },
    });
    await Promise.all([engine.run(stopped, lost), events.run(stopped)]);
    engine = undefined;
  };
  const identity = `${replica}_${randomUUID().slice(0, 8)}`;
  const onChange = (leading: boolean): void => health.health.setStatus(LEADER_HEALTH, leading ? "SERVING" : "NOT_SERVING");
  const elector: Elector = new Elector({ client, clock: wallClock, log, namespace, identity, times: LEASE_TIMES, lead, onChange });

  const ops = makeOpsServer({
    host: listenHost,
    port: config.opsPort,
    registry: metrics.registry,
    notReady: () => (objects.synced ? undefined : "Services, TkeServiceConfigs and Nodes have not been listed yet"),
    routes: {
      "/explain": async (url) => explainRoute(engine?.explain, url),
      "/audit": async (url) => writeLogRoute(engine, url),
    },
    log,
  });
  const { dns: dnsNames, ip: ipAddresses } = config.servingNames;
  const serving = await makeServing({ kube: client, namespace, dnsNames, ipAddresses, clock: wallClock, log }, stop.signal);
  const review = makeTokenReview({ kube: client, namespace, clock: wallClock });
  const stream = makeNodeStream({ registry, review, replica, observer, clock: wallClock, log });
  const address = `${listenHost}:${config.streamPort}`;
  const streams = makeStreamServer({ address, stream, serving, health: health.health, clock: wallClock, log, keepalive: config.keepalive });

  const parts: Part[] = [
    { name: "kubernetes client", start: () => {}, stop: () => client.close() },
    { name: "health server", start: () => {}, stop: () => health.stop() },
    { name: "ops server", start: async () => void (await ops.start()), stop: () => ops.stop() },
    loop("watches", (signal) => Promise.all([serving.run(signal), objects.run(signal)]), stop),
    loop("leader election", (signal) => elector.run(signal)),
    { name: "stream server", start: async () => void (await streams.start()), stop: () => streams.stop() },
    { name: "identity", start: () => log.info({ clusterId, identity, ownership: config.ownership, gateType }, "ready to lead") },
  ];
  await runParts(parts, { log, clock: wallClock, limitMs: config.shutdownMs });
}

/** `--once --observe`: prints the plan. Resolves with the exit code. */
async function once(env: NodeJS.ProcessEnv): Promise<number> {
  const config = readConfig(env);
  const clock = makeClock();
  // The table has stdout for itself.
  const log = makeConsoleLog(config.logLevel === "info" ? "warn" : config.logLevel, (line) => process.stderr.write(line));
  const client = await makeKubeClient({ clock, env, userAgent: "clb-direct-coordinator" });
  try {
    const transport = makeSdkTransport({ region: config.region, ...config.cloud });
    const rows = await planOnce({ client, transport, clock, log, settings: config });
    process.stdout.write(planTable(rows));
    return rows.length === 0 ? 0 : 2;
  } finally {
    await client.close();
  }
}

async function start(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  let wish: ReturnType<typeof readArguments>;
  try {
    wish = readArguments(args);
  } catch (err) {
    console.error(`${err instanceof Error ? err.message : String(err)}\n\n${USAGE}`);
    process.exitCode = 1;
    return;
  }
  if (wish.help) console.log(USAGE);
  else if (wish.once) process.exitCode = await once(env);
  else await main(env, wish.observe);
}

try {
  await start(process.argv.slice(2), process.env);
} catch (err) {
  console.error(err instanceof ConfigError || err instanceof UnreadError ? err.message : err);
  process.exitCode = 1;
}
