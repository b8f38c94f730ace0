/** The inside of `npm run proof:rollout` (rollout-launch.ts), in the harness's network namespace. */
import { cpSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { loadavg, setPriority } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { HOLD_TOKEN } from "../../common/names.ts";
import { applyManifests } from "../cluster/manifests.ts";
import { until } from "../cluster/process.ts";
import type { Pod } from "../cluster/simulated/objects.ts";
import { deleteLeader, deleteOne, drain, podsAt, roll, settled, signalAll } from "./actions.ts";
import { type Clients, startClients } from "./clients.ts";
import { FIRST, layProofGround, type ProofGround, type Steps } from "./ground.ts";
import { type Helm, makeHelm, settingsFor } from "./helm.ts";
import { lostRequests, type Told } from "./lost-requests.ts";
import { MODES, type Mode } from "./modes.ts";
import { NAMESPACE } from "./names.ts";
import { followPodLogs } from "./pod-logs.ts";
import { manifestsOf, type Plan, type Row, tableOf } from "./rollout-rows.ts";

const { values } = parseArgs({
  options: {
    directory: { type: "string", default: "" },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    rows: { type: "string" },
    profiles: { type: "string" },
    share: { type: "string", default: "1" },
    pods: { type: "string" },
    logs: { type: "string" },
  },
});
const startedMs = performance.now();
const say = (text: string): void => console.log(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  ${text}`);

/** Half on new connections, half on kept ones. */
const REQUESTS_PER_SECOND = 500;
const LIMIT_MS = 180_000;
/** The Pods that serve, and the load before and after what happens, so that its edges are seen. */
const EDGE_MS = 2_000;
const SIZE = Number(values.pods ?? (values.quick ? 10 : 20));
const QUICK: Plan = { rollouts: 1, drains: 1, deletions: 0, faults: false };
/** What lacks something shows it in one rollout; the product has to stand all of it. */
const FEW: Plan = { rollouts: 1, drains: 1, deletions: 2, faults: false };
const share = Number(values.share);
const ofAll = (count: number): number => Math.ceil(count * share);
const ALL: Plan = { rollouts: ofAll(20), drains: ofAll(5), deletions: ofAll(20), faults: true };

const chosen = values.rows?.split(",");
const quickRows: readonly Mode[] = ["product", "no-hold", "no-gate"];
const modes = chosen === undefined ? (values.quick ? quickRows : MODES) : MODES.filter((mode) => chosen.includes(mode));
/** The slow cloud decides. */
const profiles = values.profiles?.split(",") ?? (values.quick ? ["fast"] : ["tke2020", "fast"]);

type Stage = { readonly ground: ProofGround; readonly helm: Helm; readonly profile: string; readonly steps: Steps };

/** What is proven so far: a run takes long, and a row that ended counts whatever becomes of the next one. */
const rows: Row[] = [];
function keep(row: Row): void {
  rows.push(row);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ rows }, null, 2)}\n`);
  console.log(`\n${tableOf([row])}\n`);
}

/** Rejects when somebody ends us: what was put up is taken down all the same. */
const interrupted = new Promise<never>((_resolve, reject) => {
  const end = (signal: NodeJS.Signals): void => reject(new Error(`ended by ${signal}`));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, end);
});
interrupted.catch(() => undefined); // whoever waits is told

async function perform({ ground, helm, profile, steps }: Stage, mode: Mode): Promise<Row> {
  const { admin, nodes } = ground;
  const namespace = `row-${mode}`;
  const plan = values.quick ? QUICK : mode === "product" ? ALL : FEW;
  if (mode === "product" || mode === "agents-killed" || mode === "holds-hang") await untilHoldsAreGiven(ground, namespace);
  await applyManifests(admin, await manifestsOf(mode, namespace, SIZE));
  await settled(admin, namespace);
  const vip = await until("an address in the Service's status", () => addressOf(ground, namespace), LIMIT_MS, 250);
  const load = startClients({ plan: ground.plan, host: vip, rate: REQUESTS_PER_SECOND });
  steps.push(() => load.stop());
  const told = makeTold(`${profile} ${mode}`, load, ground.cloud.adminUrl);
  let faults = 0;
  const times: number[] = [];
  try {
    await pause(EDGE_MS);
    for (let number = 1; number <= plan.rollouts; number++) {
      const fromMs = performance.now();
      const fault = faultOf(mode, plan, number);
      const rolling = roll(admin, namespace);
      rolling.catch(() => undefined); // told below, unless the fault fails first
      if (fault !== undefined) {
        await pause(EDGE_MS);
        faults += 1;
        if (fault === "leader") await deleteLeader(admin);
        else if (fault === "kill" || fault === "hang") say(befall(fault, nodes));
        else await helm.upgrade(fault === "update" ? "2" : "1");
      }
      await rolling;
      times.push((performance.now() - fromMs) / 1000);
      await told(`rollout ${number}${fault === undefined ? "" : ` with ${fault}`}, ${times.at(-1)?.toFixed(1)} s`);
    }
    for (let number = 0; number < plan.drains; number++) {
      await drain(admin, namespace, nodes[number % nodes.length]?.name ?? "");
      await told(`drain ${number + 1}`);
    }
    for (let number = 0; number < plan.deletions; number++) await deleteOne(admin, namespace, Math.random);
    await told(`${plan.deletions} deletions`);
    await pause(EDGE_MS);
  } finally {
    await load.stop();
  }
  const lost = await told("the end");
  await admin.delete(`/api/v1/namespaces/${namespace}`);
  const { rollouts, drains, deletions } = plan;
  const rolloutSeconds = times.toSorted((one, other) => one - other)[Math.floor(times.length / 2)] ?? 0;
  return { mode, profile, rollouts, drains, deletions, faults, ...counted(load), rolloutSeconds, lost };
}

/** Says what has happened so far, how busy the machine is, and whose requests were lost since the last time; gives all of those. */
function makeTold(row: string, load: Clients, adminUrl: string): (what: string) => Promise<readonly Told[]> {
  const all: Told[] = [];
  let told = 0;
  return async (what) => {
    const { failures, requests, minRate } = load.result();
    const busy = loadavg()[0]?.toFixed(0);
    say(`${row}: ${what}: ${requests} requests (${minRate} in the worst second), ${failures.length} failed; load ${busy}`);
    const lost = await lostRequests(adminUrl, failures.slice(told));
    for (const one of lost.slice(0, MOST_SHOWN)) say(`  ${one.at} ${one.count} x ${one.what}`);
    told = failures.length;
    all.push(...lost);
    return all;
  };
}
const MOST_SHOWN = 20;

/** What happened, for a person. */
function befall(fault: "kill" | "hang", nodes: ProofGround["nodes"]): string {
  const networks = nodes.map(({ netns }) => netns);
  if (fault === "hang") return `${signalAll("SIGSTOP", ["hold.mjs"], networks)} hold servers stopped`;
  return `${signalAll("SIGKILL", ["agent.mjs", "hold.mjs"], networks)} agents and hold servers killed`;
}

type Fault = "leader" | "update" | "back" | "kill" | "hang";
/** In the middle of the rollouts at these shares of them: two lose the leader, one updates the agents (and all else), one brings them back. */
const FAULTS: readonly (readonly [share: number, fault: Fault])[] = [
  [0.25, "leader"],
  [0.4, "update"],
  [0.6, "leader"],
  [0.8, "back"],
];

function faultOf(mode: Mode, { faults, rollouts }: Plan, number: number): Fault | undefined {
  if (mode === "agents-killed") return "kill";
  if (mode === "holds-hang") return "hang";
  return faults ? FAULTS.find(([at]) => Math.ceil(at * rollouts) === number)?.[1] : undefined;
}

/** New Pods get the hold once the agents have proven their rule; a Pod that is created as a dry run tells. */
async function untilHoldsAreGiven({ admin }: ProofGround, namespace: string): Promise<void> {
  const manifests = await manifestsOf("product", namespace, SIZE);
  await applyManifests(
    admin,
    manifests.filter(({ kind }) => kind !== "Deployment"),
  );
  type Deployment = { readonly spec: { readonly template: { readonly metadata: object; readonly spec: object } } };
  const deployment = manifests.find(({ kind }) => kind === "Deployment") as unknown as Deployment;
  const { template } = deployment.spec;
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { ...template.metadata, name: "dry-run" }, spec: template.spec };
  const isGiven = async (): Promise<boolean> => {
    const made = await admin.create<Pod>(podsAt(namespace), pod, { query: { dryRun: "All" } });
    return made.metadata.annotations?.[HOLD_TOKEN] !== undefined;
  };
  await until("new Pods get the hold", isGiven, LIMIT_MS, 1_000);
}

async function addressOf({ admin }: ProofGround, namespace: string): Promise<string | undefined> {
  type Service = { readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] } } };
  const { status } = await admin.get<Service>(`/api/v1/namespaces/${namespace}/services/web`);
  return status?.loadBalancer?.ingress?.[0]?.ip;
}

function counted(load: Clients): Pick<Row, "requests" | "failed" | "causes"> {
  const { requests, failures } = load.result();
  const causes: Record<string, number> = {};
  for (const { cause } of failures) causes[cause] = (causes[cause] ?? 0) + 1;
  return { requests, failed: failures.length, causes };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** All rows over one cluster with one cloud. */
async function performAll(profile: string): Promise<void> {
  const steps: Steps = [];
  const directory = join(values.directory, `run-${profile}`);
  mkdirSync(directory, { recursive: true });
  try {
    const stage = await Promise.race([setUp(directory, profile, steps), interrupted]);
    for (const mode of modes) keep(await Promise.race([perform(stage, mode), interrupted]));
  } finally {
    for (const step of steps.toReversed()) await step().catch((error: unknown) => console.error(`clean-up: ${String(error)}`));
  }
}

const isLog = (path: string): boolean => path.endsWith(".log") || statSync(path).isDirectory();

/** Cluster, cloud, and the product as it is installed. */
async function setUp(directory: string, profile: string, steps: Steps): Promise<Stage> {
  const images = ["1", "2"].map((tag) => join(values.directory, `image-${tag}.tar`));
  const ground = await layProofGround(directory, images, steps, profile);
  const { admin, key } = ground;
  say(`Kubernetes ${ground.version}, two real nodes with kube-proxy and DNS; cloud: ${profile}`);
  await admin.create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } });
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "clb-direct-cloud" }, stringData: { ...key } };
  await admin.create(`/api/v1/namespaces/${NAMESPACE}/secrets`, secret);
  const helm = makeHelm({ ...ground, directory: values.directory, settings: settingsFor(ground) });
  const { logs } = values;
  if (logs !== undefined) {
    const follow = followPodLogs({ nodes: ground.nodes, namespace: NAMESPACE, directory: join(logs, profile) });
    steps.push(async () => follow());
    steps.push(async () => cpSync(directory, join(logs, profile), { recursive: true, filter: isLog }));
  }
  await helm.upgrade("1");
  say("installed");
  setPriority(FIRST); // from here on it is the clients
  return { ground, helm, profile, steps };
}

try {
  for (const profile of profiles) await performAll(profile);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
if (rows.length > 0) console.log(`\n${tableOf(rows)}`);
if (rows.some(({ mode, failed }) => mode === "product" && failed > 0)) process.exitCode = 1;
process.exit(); // what was interrupted may still wait for something
