/**
 * `npm run bench:agent`: what an agent costs on a node with 110 Pods, of the bundle and run from source, with the floor (bare Node running a
 * TypeScript file) beside it, what each import costs, what a read of a full node's kernel costs, and whether 110 Pods that are replaced
 * within 10 s are all reported.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs, promisify } from "node:util";
import { argumentsOrExit, checkJsonFile, exitAfter, positive } from "../../deploy/tools/arguments.ts";
import { build } from "../../deploy/tools/build.ts";
import { nodeFlags } from "../../deploy/tools/render.ts";
import { anAuthority, FakeCoordinator, SERVER_NAME } from "../../test/agent/fake-coordinator.ts";
import { namespaceSkip, Site } from "../../test/agent/kernel/site.ts";
import type { FirstVerdicts } from "./first-verdict.ts";

const USAGE = `usage: npm run bench:agent -- [options]
  --seconds 60   how long the idle agent is watched
  --json FILE    writes { rssMiB, anonMiB, cpuShare, floorMiB } and the rest as JSON too
Exit code 1 if a limit is exceeded, 2 for a mistake in the options.`;

/** Of the bundle, idle, with 110 Pods. */
const LIMITS = { rssMiB: 100, anonMiB: 55, cpuShare: 0.01, readCpuMs: 20 } as const;
const PODS = 110;
const REPLACED_WITHIN_MS = 10_000;
/** From the start to the acknowledged snapshot, and until its garbage is collected. */
const SETTLE_MS = 8_000;

const options = argumentsOrExit(USAGE, (args) => {
  const { values } = parseArgs({
    args,
    options: { seconds: { type: "string", default: "60" }, json: { type: "string" }, help: { type: "boolean", default: false } },
  });
  checkJsonFile(values.json);
  return { ...values, seconds: positive("seconds", values.seconds) };
});

const run = promisify(execFile);
/** Ticks of /proc/<pid>/stat in a second; 100 on every Linux that we run on. */
const TICKS = 100;

type Memory = { readonly rssMiB: number; readonly anonMiB: number };

async function memoryOf(pid: number): Promise<Memory> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const mib = (name: string): number =>
    Math.round((Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) / 1024) * 10) / 10;
  return { rssMiB: mib("VmRSS"), anonMiB: mib("RssAnon") };
}

/** With the children that have ended: `ip` is one. */
async function cpuSecondsOf(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).replace(/^.*\) /, "").split(" ");
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) / TICKS;
}

const aPod = (index: number, generation: number) => ({
  metadata: {
    uid: `pod-${generation}-${index}`,
    resourceVersion: String(1_000 * generation + index + 1),
    namespace: "demo",
    name: `web-${generation}-${index}`,
    labels: { app: "web", "pod-template-hash": "5d9c" },
    annotations: { "example.com/filler": "x".repeat(2_000) },
  },
  spec: {
    nodeName: "node-a",
    readinessGates: [{ conditionType: "cloud.tencent.com/load-balancer-backendgroup-ready" }],
    containers: [{ ports: [{ name: "http", containerPort: 8080 }] }],
  },
  status: {
    phase: "Running",
    podIPs: [{ ip: `10.244.${generation}.${index + 1}` }],
    startTime: "2026-01-02T03:04:05Z",
    conditions: [{ type: "ContainersReady", status: "True", lastTransitionTime: "2026-01-02T03:04:07Z" }],
  },
});

/** An API server that knows the Pods of one node: lists them, and tells what it is told. */
async function startApiServer() {
  const watchers = new Set<ServerResponse>();
  const pods = new Map(Array.from({ length: PODS }, (_, index) => aPod(index, 1)).map((pod) => [pod.metadata.uid, pod]));
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? "/", "http://api");
    response.setHeader("content-type", "application/json");
    if (!["true", "1"].includes(searchParams.get("watch") ?? "")) {
      const list = { kind: "PodList", apiVersion: "v1", metadata: { resourceVersion: "500" }, items: [...pods.values()] };
      response.end(JSON.stringify(list));
      return;
    }
    response.flushHeaders();
    watchers.add(response);
    response.once("close", () => watchers.delete(response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const tell = (type: string, object: object): void =>
    watchers.forEach((watcher) => void watcher.write(`${JSON.stringify({ type, object })}\n`));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // it listens on TCP
    async replace(): Promise<void> {
      for (let index = 0; index < PODS; index++) {
        const [old, fresh] = [aPod(index, 1), aPod(index, 2)];
        tell("ADDED", fresh);
        tell("DELETED", { ...old, metadata: { ...old.metadata, resourceVersion: String(5_000 + index) } });
        await pause(REPLACED_WITHIN_MS / PODS);
      }
    },
    stop: () => server.close().closeAllConnections(),
  };
}

type World = {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly coordinator: FakeCoordinator;
  readonly api: Awaited<ReturnType<typeof startApiServer>>;
};

async function startWorld(): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-bench-agent-"));
  const [api, authority, coordinator] = [await startApiServer(), await anAuthority(), new FakeCoordinator()];
  const port = await coordinator.start(authority);
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text);
    return join(directory, name);
  };
  const kubeconfig = {
    clusters: [{ name: "bench", cluster: { server: api.url } }],
    users: [{ name: "bench", user: {} }],
    contexts: [{ name: "bench", context: { cluster: "bench", user: "bench" } }],
    "current-context": "bench",
  };
  const env = {
    PATH: process.env["PATH"],
    KUBECONFIG: await file("kubeconfig", JSON.stringify(kubeconfig)),
    NODE_NAME: "node-a",
    COORDINATOR_ADDRESS: `127.0.0.1:${port}`,
    COORDINATOR_SERVER_NAME: SERVER_NAME,
    CA_BUNDLE_FILE: await file("ca.crt", authority.certPem),
    TOKEN_FILE: await file("token", "token"),
    METADATA_URL: "",
    LISTEN_HOST: "127.0.0.1",
    OPS_PORT: "0",
    HEALTH_PORT: "0",
    LOG_LEVEL: "warn",
  };
  return { directory, env, api, coordinator };
}

/** UIDs that the coordinator was told of and not told to be over. */
function toldPods({ last }: FakeCoordinator): Set<string> {
  const told = new Set<string>();
  for (const body of last?.heard ?? []) {
    if (body.$case === "snapshot") for (const { uid } of body.value.pods) told.add(uid);
    if (body.$case !== "difference") continue;
    for (const { uid } of body.value.changed) told.add(uid);
    for (const { uid } of body.value.removed) told.delete(uid);
  }
  return told;
}

type Cost = Memory & { readonly cpuShare: number; readonly missed: number };

/** The agent as one process: settled, watched while idle, and then with all of its Pods replaced. */
async function costOf(args: readonly string[], world: World): Promise<Cost> {
  const agent: ChildProcess = spawn(process.execPath, args, { env: world.env, stdio: ["ignore", "ignore", "inherit"] });
  const pid = agent.pid ?? 0;
  try {
    for (let waited = 0; toldPods(world.coordinator).size < PODS && waited < 60_000; waited += 100) await pause(100);
    await pause(SETTLE_MS);
    const before = await cpuSecondsOf(pid);
    await pause(options.seconds * 1_000);
    const cpuShare = (await cpuSecondsOf(pid)) - before;
    const memory = await memoryOf(pid);
    await world.api.replace();
    await pause(2_000);
    const told = toldPods(world.coordinator);
    const missed = Array.from({ length: PODS }, (_, index) => [`pod-1-${index}`, `pod-2-${index}`] as const).filter(
      ([old, fresh]) => told.has(old) || !told.has(fresh),
    ).length;
    return { ...memory, cpuShare: cpuShare / options.seconds, missed };
  } finally {
    agent.kill("SIGKILL");
    await new Promise((resolve) => agent.once("close", resolve));
  }
}

/** Memory of a process that has imported this and then waits. */
async function memoryAfter(source: string, directory: string, name: string): Promise<Memory> {
  const file = join(directory, name);
  await writeFile(file, `${source}\nconsole.log("ready");\nsetInterval(() => undefined, 60_000);\n`);
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"], cwd: process.cwd() });
  try {
    await new Promise((resolve) => child.stdout.once("data", resolve));
    await pause(300);
    return await memoryOf(child.pid ?? 0);
  } finally {
    child.kill("SIGKILL");
  }
}

/** What the agent imports of others; each alone in a process. */
const IMPORTS = [
  "@grpc/grpc-js",
  "@kubernetes/client-node/dist/watch.js",
  "undici",
  "prom-client",
  "pino",
  "zod",
  "systeminformation",
] as const;

/** CPU of one read of a node with 250 Pods, `ip` included, and how long its longest step (the look-up tables) holds up the event loop. */
async function readCost(directory: string): Promise<{ readonly cpuMs: number; readonly blockedMs: number } | string> {
  const why = namespaceSkip();
  if (why !== false) return why;
  const after: (() => unknown)[] = [];
  try {
    const site = await Site.make({ after: (step: () => unknown) => void after.push(step) });
    await site.attach("eth1", "10.0.3.2/24", "20:90:6f:00:00:02");
    const lines = Array.from({ length: 250 }, (_, index) => {
      const ip = `10.0.${4 + Math.floor(index / 200)}.${2 + (index % 200)}`;
      return `link add eni${index} type veth peer name p${index} netns ${site.vpc.pid}\nlink set eni${index} up\nroute add ${ip}/32 dev eni${index} scope link\nrule add pref 512 to ${ip} lookup main\nrule add pref 1536 from ${ip} lookup 4001`;
    });
    await site.node.sh(`ip -batch - <<'END'\n${lines.join("\n")}\nEND`);
    const file = join(directory, "read.ts");
    const at = (path: string): string => JSON.stringify(new URL(`../../${path}`, import.meta.url).pathname);
    await writeFile(
      file,
      `import { makeKernel } from ${at("agent/adapters/kernel.ts")}; import { carriersIn } from ${at("agent/domain/carrier.ts")};
       const never = new AbortController().signal; const kernel = makeKernel(); const took: number[] = [];
       for (let read = 0; read < Number(process.argv[2]); read++) {
         const view = await kernel.read(never, { ipv6: false });
         const fromMs = performance.now();
         carriersIn(view)("10.0.4.7");
         took.push(performance.now() - fromMs);
       }
       console.log(took.sort((one, other) => one - other)[Math.floor(took.length / 2)]?.toFixed(2));`,
    );
    const measure = async (reads: number): Promise<{ readonly seconds: number; readonly blockedMs: number }> => {
      const [program, ...args] = site.node.enter("bash", "-c", `TIMEFORMAT='%U %S'; time ${process.execPath} ${file} ${reads}`);
      const { stdout, stderr } = await run(program, args);
      const [user = 0, system = 0] = (stderr.trim().split("\n").at(-1) ?? "").split(" ").map(Number);
      return { seconds: user + system, blockedMs: Number(stdout) };
    };
    const [few, many] = [await measure(1), await measure(101)];
    return { cpuMs: Math.round((many.seconds - few.seconds) * 100) / 10, blockedMs: many.blockedMs };
  } finally {
    for (const step of after) await step();
  }
}

/** On real nodes, in a process of its own inside the harness's network namespace. */
async function firstVerdicts(): Promise<FirstVerdicts> {
  const program = new URL("first-verdict.ts", import.meta.url).pathname;
  const launcher = new URL("../../test/cluster/network.ts", import.meta.url).pathname;
  const { stdout } = await run(process.execPath, [launcher, "--", "node", program]);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as FirstVerdicts; // that program's line
}

function tellFirstVerdicts(told: FirstVerdicts): void {
  if ("skipped" in told) return console.log(`Pod created → ENI, subnet and verdict in explain: skipped, ${told.skipped}`);
  const text = (ms: readonly number[]): string => `${ms[Math.floor(ms.length / 2)]}, ${ms.at(-1)} ms`;
  line("real nodes: Pod created → its address, median, max", text(told.addressMs), `${told.pods} Pods; scheduler and kubelet`);
  line("its address → ENI, subnet, verdict in explain", text(told.verdictMs));
}

const line = (name: string, value: string, limit = ""): void => console.log(`${name.padEnd(52)} ${value.padStart(12)}  ${limit}`);

async function main(): Promise<boolean> {
  const world = await startWorld();
  try {
    await build(join(world.directory, "dist"));
    const floor = await memoryAfter("const bare: number = 1; void bare;", world.directory, "floor.ts");
    const bundle = await costOf([...nodeFlags("agent"), join(world.directory, "dist", "agent.mjs")], world);
    const source = await costOf(["agent/main.ts"], world);
    const read = await readCost(world.directory);
    const importing = process.cwd();
    const imports: Record<string, Memory> = {};
    for (const name of IMPORTS)
      imports[name] = await memoryAfter(
        `import { createRequire } from "node:module"; const at = createRequire("${importing}/"); await import(at.resolve("${name}"));`,
        world.directory,
        "import.mjs",
      );
    const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
    console.log(`agent on a node with ${PODS} Pods, idle for ${options.seconds} s`);
    line("bundle: RSS", `${bundle.rssMiB} MiB`, `limit ${LIMITS.rssMiB} MiB`);
    line("bundle: anonymous memory", `${bundle.anonMiB} MiB`, `limit ${LIMITS.anonMiB} MiB`);
    line("bundle: CPU, with `ip`", percent(bundle.cpuShare), `limit ${percent(LIMITS.cpuShare)}`);
    line(`bundle: Pods missed when ${PODS} are replaced in 10 s`, String(bundle.missed), "limit 0");
    line("from source: RSS, anonymous", `${source.rssMiB}, ${source.anonMiB} MiB`);
    line("from source: CPU; Pods missed", `${percent(source.cpuShare)}; ${source.missed}`);
    line("floor: bare Node running a TypeScript file: RSS, anon.", `${floor.rssMiB}, ${floor.anonMiB} MiB`);
    for (const [name, { rssMiB, anonMiB }] of Object.entries(imports)) line(`Node importing ${name}`, `${rssMiB}, ${anonMiB} MiB`);
    if (typeof read === "string") console.log(`a read of a full node's kernel: skipped, ${read}`);
    else {
      line("one read of 250 Pods with 500 rules: CPU, with `ip`", `${read.cpuMs} ms`, `limit ${LIMITS.readCpuMs} ms`);
      line("the same: longest step without a turn, median", `${read.blockedMs} ms`, "limit 5 ms");
    }
    const first = await firstVerdicts();
    tellFirstVerdicts(first);
    const figures = {
      rssMiB: bundle.rssMiB,
      anonMiB: bundle.anonMiB,
      cpuShare: bundle.cpuShare,
      floorMiB: floor.rssMiB,
      missed: bundle.missed,
      source,
      imports,
      read,
      firstVerdicts: first,
    };
    if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(figures, null, 2)}\n`);
    return bundle.rssMiB <= LIMITS.rssMiB && bundle.anonMiB <= LIMITS.anonMiB && bundle.cpuShare <= LIMITS.cpuShare && bundle.missed === 0;
  } finally {
    world.coordinator.stop();
    world.api.stop();
    await rm(world.directory, { recursive: true, force: true });
  }
}

await exitAfter(main);
