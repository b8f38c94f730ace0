import { randomUUID } from "node:crypto";
import { makeClock, makeWallClock } from "../common/clock.ts";
import { ConfigError } from "../common/errors.ts";
import { Health } from "../common/health.ts";
import { makeHealthServer } from "../common/health-server.ts";
import { makeKubeClient } from "../common/kubernetes/client.ts";
import { loop, type Part, runParts } from "../common/lifecycle.ts";
import { makeLogger } from "../common/log.ts";
import { LEADER_HEALTH, READY_HEALTH, STREAM_HEALTH } from "../common/names.ts";
import { makeOpsServer } from "../common/ops-server.ts";
import { admissionOf, partsOf } from "./admission/controller.ts";
import { makeSdkTransport } from "./cloud/transport.ts";
import { readConfig } from "./config.ts";
import { once, readArguments, USAGE } from "./dry-run/command.ts";
import { UnreadError } from "./dry-run/plan-once.ts";
import { makeCheckAccess } from "./explain/access.ts";
import { routesOf } from "./explain/routes.ts";
import { makeExplainServer } from "./explain/server.ts";
import { Elector, type ElectorDeps } from "./leader/elector.ts";
import { LEASE_TIMES } from "./leader/lease.ts";
import { followersOf, Leading } from "./leading.ts";
import { gaugesFrom, makeMetrics } from "./metrics.ts";
import { ServedSelectors } from "./nodes/asked-pods.ts";
import { makeNodeHolds } from "./nodes/node-holds.ts";
import { makeNodeRegistry } from "./nodes/node-registry.ts";
import { makeNodeTasks } from "./nodes/node-tasks.ts";
import { podReaderOf } from "./nodes/pod-reader.ts";
import { makePacedWatch } from "./nodes/pod-watch.ts";
import { readClusterId } from "./state/cluster-id.ts";
import { DrainTimes } from "./state/drain-times.ts";
import { makeWatchedObjects } from "./state/watched-objects.ts";
import { makeIntake } from "./stream/intake.ts";
import { makeNodeStream } from "./stream/node-stream.ts";
import { makeStreamServer } from "./stream/server.ts";
import { makeTokenReview } from "./stream/token-review.ts";
import { makeServing } from "./tls/serving.ts";

/**
 * Composition root: configuration -> adapters -> loops. Ends the process. Objects, Pod facts and streams run on every replica; the
 * controllers, which are all that writes to the cloud and to users' objects, run only while this one leads.
 */
async function main(env: NodeJS.ProcessEnv, observe: boolean): Promise<void> {
  const config = { ...readConfig(env), ...(observe && { policy: "observe" as const }) };
  const log = await makeLogger("coordinator", config.logLevel);
  for (const warning of config.warnings) log.warn(warning);
  const clock = makeClock(config.timeScale);
  const realClock = makeClock(); // leases stay in real time
  const wallClock = makeWallClock(); // certificates and tokens follow it where it jumps
  const { namespace, gateType, replica, listenHost: host, agentGraceMs } = config;
  const health = new Health(["", READY_HEALTH, STREAM_HEALTH, LEADER_HEALTH]);
  const healthServer = makeHealthServer({ host, port: config.healthPort, shared: false, health, clock });
  await healthServer.start();
  health.setStatus("", "SERVING"); // this process is fit, also while it waits for the cluster

  const client = await makeKubeClient({ clock, env, userAgent: "clb-direct-coordinator" });
  const stop = new AbortController();
  const clusterId = config.clusterId ?? (await readClusterId({ client, clock, log }, stop.signal));
  const metrics = makeMetrics(gaugesFrom(() => ({ objects, registry, leading, elector, streams, serving })));
  const { observer, onRestart } = metrics;
  const intake = makeIntake(realClock);
  const crowded = (): boolean => intake.crowded;
  const watchNode = makePacedWatch({ client, clock, log, onRestart }, { gateType, crowded });
  const asked = new ServedSelectors();
  const readPods = podReaderOf({ client, clock, log, gateType, onRead: metrics.onPodRead });
  const registry = makeNodeRegistry({ clock, log, watchNode, observer, agentGraceMs, asked, readPods }, stop.signal);
  const findings = makeNodeTasks(log);
  const holds = makeNodeHolds({ facts: () => registry, clock, log });
  const followers = followersOf(() => ({ leading, registry, objects, asked, listed }));
  const objects = makeWatchedObjects({ client, clock, log, onRestart, namespace, injects: config.admission === "webhook", ...followers });
  const { dns: dnsNames, ip: ipAddresses } = config.servingNames;
  const serving = await makeServing({ kube: client, namespace, dnsNames, ipAddresses, clock: wallClock, log }, stop.signal);
  const drainTimes = new DrainTimes();
  const drains = { nodes: objects.nodes, holds, client, drainTimes };
  const real = { clock: realClock, wallClock, log };
  const webhook = admissionOf(config, { ...real, objects, serving, namespace, drains, metrics: metrics.admission });
  const transport = makeSdkTransport({ region: config.region, ...config.cloud });
  const mayWrite = (): boolean => elector.mayWrite();
  const settings = { ...config, clusterId };
  const common = { client, transport, facts: registry, findings, holds, drainTimes, objects, metrics, clock, log, settings };
  const leading = new Leading({ ...common, refusals: registry, admission: webhook, serving, mayWrite });
  const identity = `${replica}_${randomUUID().slice(0, 8)}`;
  let begun = false;
  const listed = (): void => void (begun && objects.ownersListed && health.setStatus(READY_HEALTH, "SERVING"));
  const takePart = (part: boolean): void => {
    begun = part;
    health.setStatus(READY_HEALTH, "NOT_SERVING"); // at the end: first out of the endpoints
    listed();
  };
  const onChange = (leads: boolean): void => health.setStatus(LEADER_HEALTH, leads ? "SERVING" : "NOT_SERVING");
  const lead: ElectorDeps["lead"] = (reign) => leading.run(reign);
  const elector: Elector = new Elector({ client, clock: realClock, log, namespace, identity, times: LEASE_TIMES, lead, onChange });

  const notReady = (): string | undefined =>
    objects.synced ? leading.missingRights : "Services, Ingresses, TkeServiceConfigs and Nodes have not been listed yet";
  const ops = makeOpsServer({
    host,
    port: config.opsPort,
    shared: false,
    registry: metrics.registry,
    notReady,
    log,
  });
  const mayRead = makeCheckAccess(client);
  const explain = makeExplainServer({ host, port: config.explainPort, serving, mayRead, routes: routesOf(leading), log });
  const review = makeTokenReview({ kube: client, namespace, clock: wallClock });
  const shared = { ...real, intake, observer };
  const stream = makeNodeStream({ ...shared, registry, tasks: findings, holds, review, replica });
  const { streamPort, keepalive } = config;
  const address = `${host}:${streamPort}`;
  const streams = makeStreamServer({ ...shared, address, stream, serving, health, keepalive });

  const parts: Part[] = [
    { name: "kubernetes client", start: () => {}, stop: () => client.close() },
    ...partsOf(webhook), // stops late: it answers for a while, and the Lease is handed over before
    { name: "health server", start: () => {}, stop: () => healthServer.stop() },
    { name: "ops server", start: async () => void (await ops.start()), stop: () => ops.stop() },
    { name: "explain server", start: async () => void (await explain.start()), stop: () => explain.stop() },
    loop("watches", (signal) => Promise.all([serving.run(signal), objects.run(signal)]), stop),
    loop("leader election", (signal) => elector.run(signal)),
    { name: "stream server", start: async () => void (await streams.start()), stop: () => streams.stop() },
    { name: "identity", start: () => log.info({ clusterId, identity, ownership: config.ownership, gateType }, "ready to lead") },
    { name: "readiness", start: () => takePart(true), stop: () => takePart(false) },
  ];
  await runParts(parts, { log, clock: realClock, limitMs: config.shutdownMs });
}

async function start(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const wish = readArguments(args);
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
