/** `npm run demo`: a rollout behind an emulated load balancer, under load, with every part a process of its own. */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { makeClock } from "../../common/clock.ts";
import { makeKubeClient } from "../../common/kube-client.ts";
import type { JournalEntry } from "../cloud/journal.ts";
import { PROFILES, TEST_KEY } from "../cloud/options.ts";
import { applyManifests, exampleFile, loadManifests, type Manifest } from "../cluster/manifests.ts";
import { enterCommand } from "../cluster/namespace.ts";
import { type AddressPlan, claimSlot } from "../cluster/network.ts";
import { firstJson, type RunningProcess, startProcess, until } from "../cluster/process.ts";
import { makeProduct, type Product } from "../cluster/product.ts";
import type { Cluster } from "../cluster/simulated/cluster.ts";
import { type Board, startBoard } from "./board.ts";
import { type Failure, type Load, type LoadResult, startLoad } from "./load.ts";
import { type DemoOptions, optionsOrExit } from "./options.ts";
import { type PodWatch, watchPods } from "./pods.ts";
import { brokenBackend, nameVictim, type Summary, summarize, summaryText } from "./summary.ts";

const NAMESPACE = "demo";
const NODES = ["node-a", "node-b"] as const;
/** How long the first six Pods and a rollout may take before the demo gives up; the slow profile needs minutes for many Pods. */
const LIMIT_MS = { fast: 180_000, tke2020: 900_000 } as const;
/** Load before and after the rollout, so that its edges are seen. */
const EDGE_MS = 2_000;

type Stage = {
  readonly plan: AddressPlan;
  readonly directory: string;
  readonly cloud: { readonly endpoint: string; readonly adminUrl: string };
  readonly cluster: Cluster;
  readonly kubeconfigFile: string;
  readonly product: Product;
  readonly processes: readonly RunningProcess[];
  readonly stop: () => Promise<void>;
};

async function main(): Promise<number> {
  const options = optionsOrExit(process.argv.slice(2));
  const interrupted = Promise.withResolvers<never>();
  interrupted.promise.catch(() => undefined); // raced below; whoever lost interest must not see it as unhandled
  // Not once: a second Ctrl-C, or the launcher passing on what the terminal sent to everybody, must not cut the clean-up short.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => interrupted.reject(new Interrupted(signal)));
  const startedMs = Date.now();
  let stage: Stage | undefined;
  const stageSteps: (() => Promise<unknown>)[] = [];
  try {
    const run = async (): Promise<number> => {
      stage = await setStage(options, stageSteps);
      const summary = await perform(options, stage);
      console.log(`\n${summaryText(summary)}\n\nthe whole demo took ${Math.round((Date.now() - startedMs) / 1000)} s`);
      if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(summary, null, 2)}\n`);
      if (options.keep) await keep(stage, interrupted.promise);
      return summary.failed === 0 ? 0 : 1;
    };
    return await Promise.race([run(), interrupted.promise]);
  } catch (error) {
    if (error instanceof Interrupted) return 130;
    console.error(error instanceof Error ? error.message : error);
    for (const { name, logFile } of stage?.processes ?? [])
      console.error(`--- ${name}: ${(await readFile(logFile, "utf8").catch(() => "")).slice(-1_000)}`);
    return 1;
  } finally {
    for (const step of stageSteps.toReversed()) await step();
  }
}

class Interrupted extends Error {}

const DIRECTORY_PREFIX = "clb-direct-demo-";

/** What demos left that were killed: folders named by a process that is no more. */
async function sweep(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(DIRECTORY_PREFIX) ? Number(name.slice(DIRECTORY_PREFIX.length).split("-")[0]) : Number.NaN;
    if (Number.isInteger(pid) && !existsSync(`/proc/${pid}`)) await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

/** Starts everything; what must be undone is in `steps` as soon as it exists, so that an interrupted start leaves nothing behind. */
async function setStage(options: DemoOptions, steps: (() => Promise<unknown>)[]): Promise<Stage> {
  const { plan, release } = await claimSlot();
  steps.push(release);
  await sweep();
  const directory = await mkdtemp(join(tmpdir(), `${DIRECTORY_PREFIX}${process.pid}-`));
  steps.push(() => rm(directory, { recursive: true, force: true }));
  const processes: RunningProcess[] = [];
  const start = (name: string, script: string, args: readonly string[]): RunningProcess => {
    const running = startProcess({
      name,
      script,
      args: [...args, "--json", "--exit-with-parent"],
      env: {},
      logFile: join(directory, `${name}.log`),
    });
    processes.push(running);
    steps.push(() => running.stop());
    return running;
  };

  say(
    `addresses: Pods ${plan.podAddresses[0]} …, VIPs ${plan.vipRange}${plan.kind === "loopback" ? " (no network namespace here: loopback, high ports)" : ""}`,
  );
  const cloudProcess = start("cloud", "test/cloud/main.ts", [
    "--host",
    plan.cloud,
    "--port",
    "0",
    "--profile",
    options.profile,
    "--vip-cidr",
    plan.vipRange,
  ]);
  const kubeconfigFile = join(directory, "kubeconfig");
  const real = options.cluster === "real";
  const apiProcess = real
    ? start("cluster", "test/cluster/real/main.ts", [
        "--slot",
        String(plan.slot),
        "--kubernetes",
        options.kubernetes,
        "--kubeconfig",
        kubeconfigFile,
        "--nodes",
        NODES.join(","),
      ])
    : start("cluster", "test/cluster/embedded/main.ts", ["--host", plan.apiServer, "--kubeconfig", kubeconfigFile]);
  const cloud = await firstJson<{ endpoint: string; adminUrl: string }>(cloudProcess);
  say(`emulated cloud (profile ${options.profile}) at http://${cloud.endpoint}`);
  const apiServer = await firstJson<{ url: string; caPem: string; version?: string; kubelets?: Record<string, string> }>(
    apiProcess,
    120_000,
  );
  say(
    `${real ? `Kubernetes ${apiServer.version}: etcd, kube-apiserver, controller manager, scheduler` : "embedded Kubernetes API server"} at ${apiServer.url}`,
  );
  const clock = makeClock();
  const client = await makeKubeClient({ clock, env: { KUBECONFIG: kubeconfigFile }, userAgent: "demo" });
  steps.push(() => client.close());
  const cluster = { client, clock, log: pino({ level: "silent" }) };
  await firstJson(
    start("nodes", "test/cluster/simulated/main.ts", [
      "--kubeconfig",
      kubeconfigFile,
      "--slot",
      String(plan.slot),
      "--nodes",
      NODES.join(","),
      ...(real
        ? [
            "--controllers",
            "",
            "--kubelets",
            Object.entries(apiServer.kubelets ?? {})
              .map((pair) => pair.join("="))
              .join(","),
          ]
        : []),
    ]),
  );
  say(`simulated nodes ${NODES.join(", ")}`);
  const product = makeProduct({
    cluster,
    apiServer,
    install: real ? "everything" : "accounts",
    cloudEndpoint: cloud.endpoint,
    keys: [TEST_KEY],
    plan,
    nodes: NODES,
    directory,
  });
  steps.push(() => product.stop());
  processes.push(await product.startCoordinator());
  for (const node of NODES) processes.push(await product.startAgent(node));
  say(`coordinator (${product.opsUrl}) and ${NODES.length} agents are ready`);
  return { plan, directory, cloud, cluster, kubeconfigFile, product, processes, stop: async () => undefined };
}

async function perform(options: DemoOptions, stage: Stage): Promise<Summary> {
  const { cluster, product, plan } = stage;
  const limitMs = LIMIT_MS[options.profile];
  const watch = await watchPods(cluster, NAMESPACE);
  let load: Load | undefined;
  let board: Board | undefined;
  try {
    await applyManifests(cluster.client, await manifests(options, plan));
    say(
      `applied deploy/examples/web.yaml: ${options.replicas} Pods${options.withoutGates ? ", without gate and sleep" : options.withoutSleep ? ", without sleep" : ""}`,
    );
    const loadText = (): string => {
      const result = load?.result();
      return result === undefined ? "no load yet" : `${result.requests} requests, ${result.failures.length} failed`;
    };
    board = startBoard(product, NAMESPACE, loadText);
    const vip = await until("an address in the Service's status", () => addressOf(cluster), limitMs);
    await until("every Pod ready and the load balancer sending to all of them", () => settled(stage, watch, options.replicas), limitMs);
    load = startLoad({
      host: vip,
      port: plan.servicePort,
      rate: options.rate,
      localAddress: plan.kind === "namespace" ? plan.client : undefined,
    });
    await pause(EDGE_MS);
    const before = new Set([...watch.pods.values()].filter(({ goneMs }) => goneMs === undefined).map(({ name }) => name));
    const rolloutMs = performance.now();
    await restart(cluster);
    await until("the rollout's end", () => rolledOut(stage, watch, before, options.replicas), limitMs);
    const rolloutSeconds = (performance.now() - rolloutMs) / 1000;
    await pause(EDGE_MS);
    const result = await load.stop();
    await board.stop();
    return await conclude(options, stage, watch, result, rolloutSeconds);
  } finally {
    await board?.stop();
    await load?.stop();
    await watch.stop();
  }
}

async function conclude(options: DemoOptions, stage: Stage, watch: PodWatch, load: LoadResult, rolloutSeconds: number): Promise<Summary> {
  const journal = await readJournal(stage);
  const pods = [...watch.pods.values()];
  const failures = await Promise.all(
    load.failures.map(async (failure) => nameVictim(failure, brokenBackend(failure, journal) ?? (await backendOf(stage, failure)), pods)),
  );
  const { busyAfterReturnMs } = PROFILES[options.profile].batchTargets;
  return summarize({ load, failures, pods, journal, busyAfterReturnMs, rolloutSeconds });
}

/** The example as shipped, for the network at hand and less what the options take out. */
async function manifests(options: DemoOptions, plan: AddressPlan): Promise<readonly Manifest[]> {
  const shipped = await loadManifests(exampleFile("web.yaml"));
  const text = JSON.stringify(shipped)
    .replaceAll(/"port":80(?=[,}])/g, `"port":${plan.servicePort}`)
    .replaceAll(/"replicas":\d+/g, `"replicas":${options.replicas}`);
  const withGates = options.withoutGates ? text.replaceAll(/"readinessGates":\[[^\]]*\],?/g, "") : text;
  const sleep = /,?"lifecycle":\{"preStop":\{"sleep":\{"seconds":\d+\}\}\}/g;
  return JSON.parse(options.withoutGates || options.withoutSleep ? withGates.replaceAll(sleep, "") : withGates) as Manifest[];
}

async function addressOf({ client }: Cluster): Promise<string | undefined> {
  const path = `/api/v1/namespaces/${NAMESPACE}/services/web`;
  const service = await client.get<{ status?: { loadBalancer?: { ingress?: { ip?: string }[] } } }>(path);
  return service.status?.loadBalancer?.ingress?.[0]?.ip;
}

type State = { loadBalancers: { listeners: { targets: { ip: string; weight: number; health: string }[] }[] }[] };

/** Addresses that the cloud sends to. */
async function serving(stage: Stage): Promise<Set<string>> {
  const state = await admin<State>(stage, "/state");
  const targets = state.loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
  return new Set(targets.filter(({ weight, health }) => weight > 0 && health === "Alive").map(({ ip }) => ip));
}

async function settled(stage: Stage, watch: PodWatch, replicas: number): Promise<boolean> {
  const ready = [...watch.pods.values()].filter(({ readyMs, terminatingMs }) => readyMs !== undefined && terminatingMs === undefined);
  if (ready.length !== replicas) return false;
  const sent = await serving(stage);
  return ready.every(({ ip }) => ip !== undefined && sent.has(ip));
}

/** New Pods serve, and every old one is gone from cluster and load balancer. */
async function rolledOut(stage: Stage, watch: PodWatch, before: ReadonlySet<string>, replicas: number): Promise<boolean> {
  const old = [...watch.pods.values()].filter(({ name, goneMs }) => before.has(name) && goneMs === undefined);
  return old.length === 0 && (await settled(stage, watch, replicas));
}

/** As `kubectl rollout restart` does. */
async function restart({ client }: Cluster): Promise<void> {
  const annotations = { "kubectl.kubernetes.io/restartedAt": new Date().toISOString() };
  await client.patch(
    `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/web`,
    { spec: { template: { metadata: { annotations } } } },
    "merge",
  );
  say("rollout started (as kubectl rollout restart)");
}

async function readJournal(stage: Stage): Promise<readonly JournalEntry[]> {
  const entries: JournalEntry[] = [];
  for (;;) {
    const page = await admin<{ entries: JournalEntry[]; lastSeq: number }>(stage, `/journal?since=${entries.at(-1)?.seq ?? 0}`);
    entries.push(...page.entries);
    if (page.entries.length === 0 || (entries.at(-1)?.seq ?? 0) >= page.lastSeq) return entries;
  }
}

/** The address that the load balancer had chosen for this connection; undefined if the port has been used again since. */
async function backendOf(stage: Stage, { localPort, atMs }: Failure): Promise<string | undefined> {
  if (localPort === undefined) return undefined;
  const { connections } = await admin<{ connections: { backend: string; openedMs: number }[] }>(
    stage,
    `/connections?clientPort=${localPort}`,
  );
  return connections.find(({ openedMs }) => openedMs <= atMs)?.backend;
}

async function admin<T>(stage: Stage, page: string): Promise<T> {
  const response = await fetch(`${stage.cloud.adminUrl}${page}`, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`GET ${stage.cloud.adminUrl}${page}: ${response.status}`);
  return (await response.json()) as T;
}

async function keep(stage: Stage, interrupted: Promise<never>): Promise<void> {
  const inside = stage.plan.kind === "namespace" ? `${enterCommand(process.pid)} ` : "";
  const gate = "GATE:.status.conditions[?(@.type=='cloud.tencent.com/load-balancer-backendgroup-ready')].status";
  console.log(`\neverything keeps running until Ctrl-C; from another terminal:
  ${inside}kubectl --kubeconfig ${stage.kubeconfigFile} -n ${NAMESPACE} get pods -o custom-columns="NAME:.metadata.name,IP:.status.podIP,${gate}"
  ${inside}npm run explain -- --url ${stage.product.opsUrl} ${NAMESPACE}
  logs: ${stage.directory}`);
  await interrupted;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const say = (text: string): void => console.log(text);

process.exit(await main());
