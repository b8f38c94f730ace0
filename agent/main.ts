import { randomUUID } from "node:crypto";
import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { makeClock } from "../common/clock.ts";
import { ConfigError } from "../common/errors.ts";
import { makeKubeClient } from "../common/kubernetes/client.ts";
import { loop, runParts } from "../common/lifecycle.ts";
import { makeLogger } from "../common/log.ts";
import { makeOpsServer } from "../common/ops-server.ts";
import { makePodSource } from "./adapters/pod-source.ts";
import { missingPrograms } from "./adapters/programs.ts";
import { readArguments, USAGE } from "./arguments.ts";
import { type AgentConfig, readConfig } from "./config.ts";
import { type LinkDeps, makeCoordinatorLink } from "./coordinator-link.ts";
import { makeCoordinatorLinks } from "./coordinator-links.ts";
import { makeHolding } from "./holding.ts";
import { makeMetrics } from "./metrics.ts";
import { makeNodeLoop } from "./node-loop.ts";
import { makeObserving } from "./observing.ts";
import { makeProbes } from "./probes.ts";

/** Holds are finished, 56 s at most; nothing else that an agent does at its end takes longer than closing connections. */
const STOP_LIMIT_MS = 59_000;

async function main(config: AgentConfig): Promise<void> {
  const clock = makeClock(config.timeScale);
  const log = await makeLogger("agent", config.logLevel);
  for (const sentence of missingPrograms(config.path)) log.error(sentence);
  const kube = { clock, env: config.env, userAgent: "clb-direct-agent" };
  const clients = {
    node: await makeKubeClient({ ...kube, impersonateUser: `system:node:${config.nodeName}` }),
    self: await makeKubeClient(kube),
  };
  const metrics = makeMetrics({
    pods: () => pods.records.size,
    podWatchAgeSeconds: () => (clock.now() - pods.lastByteAtMs) / 1_000,
    linkStates: () => Array.from(links.links.values(), ({ state }) => state),
    held: () => holding.holds.held.size,
    holdProven: () => holding.holds.proof.proven,
  });
  const { onRelist, onRestart, onReleased, onLate } = metrics;
  const isAcknowledged = (): boolean => Array.from(links.links.values()).some(({ state }) => state === "acknowledged");
  const { onState, ...probes } = makeProbes({ ...config, isAcknowledged, clock, log });

  const hello = { nodeName: config.nodeName, instanceId: randomUUID() };
  const observer = { ...metrics.links, onState };
  const onChange = (): void => nodeLoop.trigger();
  const observing = makeObserving({ pods: () => pods.records, metadataUrl: config.metadataUrl, onChange, metrics, clock, log });
  const { network, findings, onAsked } = observing;
  const socketPath = config.holdSocket;
  const holding = makeHolding({ socketPath, pods: () => pods, onHolds: (holds) => links.holds(holds), onReleased, onLate, clock, log });
  const { onHoldAnswers } = holding;
  const link = { connection: connectionOf(config), hello, limits: config, onAsked, onHoldAnswers, observer, clock, log };
  const links = makeCoordinatorLinks({
    endpoints: config.coordinators,
    resolve: resolveOneFamily,
    makeLink: (address, latest) => makeCoordinatorLink({ ...link, address, latest }),
    clock,
    log,
  });
  const nodeLoop = makeNodeLoop({ pods: () => pods, network, uplink: links, findings, clock, log });
  const { nodeName, gateType } = config;
  const pods = makePodSource({
    clients,
    nodeName,
    gateType,
    onChange: (change) => {
      holding.podChanged(change);
      nodeLoop.podChanged(change);
    },
    onSynced: () => holding.synced(onChange),
    onRelist,
    onRestart,
    clock,
    log,
  });
  const ops = makeOpsServer({
    host: config.listenHost,
    port: config.opsPort,
    shared: true, // with the agent that this one replaces
    registry: metrics.registry,
    notReady: () => (pods.synced ? (isAcknowledged() ? undefined : "no coordinator has acknowledged a snapshot") : "Pods not listed yet"),
    log,
  });

  await runParts(
    [
      { name: "ops server", start: async () => log.info({ port: await ops.start() }, "ops server listens"), stop: () => ops.stop() },
      probes.server,
      {
        name: "Kubernetes clients",
        start: () => undefined,
        stop: async () => void (await Promise.all([clients.node.close(), clients.self.close()])),
      },
      loop("links", (signal) => links.run(signal)),
      ...observing.parts,
      loop("node loop", (signal) => nodeLoop.run(signal)),
      holding.part,
      loop("Pods", (signal) => pods.run(signal)),
      probes.fit,
      holding.leave,
    ],
    { log, clock, limitMs: STOP_LIMIT_MS },
  );
}

const connectionOf = (config: AgentConfig): LinkDeps["connection"] => ({
  serverName: config.serverName,
  readCaBundle: () => readFile(config.caBundleFile),
  readToken: async () => (await readFile(config.tokenFile, "utf8")).trim(),
  keepaliveMs: Math.ceil(config.keepaliveMs / config.timeScale),
  keepaliveTimeoutMs: Math.ceil(config.keepaliveTimeoutMs / config.timeScale),
});

/** One family only: over both, a dual-stack replica would get two links that take each other's session away. */
async function resolveOneFamily(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true });
  const v4 = found.filter(({ family }) => family === 4);
  return (v4.length > 0 ? v4 : found).map(({ address }) => address);
}

try {
  if (readArguments(process.argv.slice(2)).help) process.stdout.write(`${USAGE}\n`);
  else await main(readConfig());
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
