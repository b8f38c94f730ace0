/**
 * `npm test [-- <pattern> …]`: all tests that need nothing but `npm ci`. A process has one file, or some that are alike; it shares compiled modules
 * with those before it and does without the tracking of promises (promises-untracked.ts). Whole-process flows go first on the processors: each runs
 * a dozen processes' worth of work and watches the clock of its load. What does not end in time is killed and counts as failed
 * (Node's own runner waits for ever). The last line is the sum, e.g. "820 passed, 0 failed, 2 skipped".
 * `npm run test:real` (CLUSTER=real) is all that needs the binaries of a real cluster, and the flows on one. FLOWS=few, the default where those
 * binaries are there, leaves out what says as much there; FLOWS=all does not. Files that are named run in any case.
 */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { constants, getPriority, setPriority } from "node:os";
import { join } from "node:path";
import { addressPlan } from "./cluster/network.ts";
import { findControlPlane } from "./cluster/real/binaries.ts";
import { networkFault } from "./cluster/real/control-plane.ts";
import { DEFAULT_MINOR, kubernetesMinor } from "./cluster/real/modules.ts";
import { nodeArgs } from "./node-args.ts";
import { keepTimes, lastTimes } from "./run-times.ts";

const ON_REAL = process.env["CLUSTER"] === "real";
const FLOWS = ["test/flow/", "test/demo/"];
const isFlow = (file: string): boolean => FLOWS.some((folder) => file.startsWith(folder));
/**
 * What is run on the embedded cluster where all flows are run on a real one as well: the embedded server fails in ways that a real one
 * cannot be brought to (an end within a line, an empty list), one test of explain has its kubeconfig there, and one flow is without any fault.
 */
const FEW = ["test/flow/torn-watches", "test/flow/empty-list", "test/flow/bind", "test/flow/explain", "test/demo/"];
const isWanted = (file: string): boolean => FEW.some((start) => file.startsWith(start));
/** They have their skips with the reason where the binaries, root or a package are missing. */
const NEEDS_REAL = [
  "cluster/real/nodes/",
  "cluster/real/control-plane.",
  "cluster/real/chart-policies.",
  "demo/kubeconfig.",
  "demo/real-nodes.",
];
const needsReal = (file: string): boolean => NEEDS_REAL.some((start) => file.startsWith(`test/${start}`));
/** Without names: of a run, and of the other one. */
const isOfRun = (file: string): boolean => (ON_REAL ? file.startsWith("test/flow/") || needsReal(file) : !needsReal(file));
/**
 * Of two cores a flow takes a fifth of one on the embedded cluster and two fifths on a real one, and waits most of the time; with more at once
 * its promises of time are not kept: with four on a real one, some with kubelets and containers of their own, requests of a demo's load timed out
 * once. Units compute, and take what flows leave.
 */
const FLOW_LANES = { lanes: ON_REAL ? 3 : 7, nice: 0 };
const UNIT_LANES = { lanes: 4, nice: 5 };
/** They take two lanes: hundreds of requests a second, a thousand Pods created at once. On a real cluster the API server takes more than they do. */
const BROAD = ["test/demo/demo.", "test/demo/losses.", "test/demo/load.", "test/flow/admission-storm."];
const isBroad = (file: string): boolean => !ON_REAL && BROAD.some((start) => file.startsWith(start));
/** Where nothing is known of the last run: they take minutes, the others of their kind less than one. */
const LONG = new Set([
  "test/cluster/real/nodes/hold-update.test.ts",
  "test/cluster/real/nodes/hold.test.ts",
  "test/demo/demo.test.ts",
  "test/demo/kubeconfig.test.ts",
  "test/demo/losses.test.ts",
  "test/flow/admission-storm.test.ts",
  "test/flow/admission.test.ts",
  "test/flow/agent-restart.test.ts",
  "test/flow/api-server-faults.test.ts",
  "test/flow/by-hand.test.ts",
  "test/flow/cloud-faults.test.ts",
  "test/flow/coordinator-restart.test.ts",
  "test/flow/leader-falls.test.ts",
  "test/flow/leader-lease.test.ts",
  "test/manifests/services.test.ts",
  "test/coordinator/faults/fuzz/fuzz.test.ts",
]);
const TIMES = lastTimes();
/** E.g. "real test/flow/bind.test.ts": on a real cluster a flow takes longer. */
const nameOf = (file: string): string => (ON_REAL ? `real ${file}` : file);
const LONG_SECONDS = 60;
const secondsOf = (file: string): number =>
  TIMES[nameOf(file)] ?? (LONG.has(file) ? 2 * LONG_SECONDS : isFlow(file) ? LONG_SECONDS / 2 : 0);
const longestFirst = (files: readonly string[]): string[] => files.toSorted((one, other) => secondsOf(other) - secondsOf(one));
/**
 * So many flows of less than a minute share a process one after the other: half of what such a one costs is its start. On a real cluster each
 * has a process and a control plane of its own, since nothing takes away all that a test may have left in one.
 */
const FLOWS_PER_PROCESS = 4;
const mayShare = (file: string): boolean => !ON_REAL && file.startsWith("test/flow/") && secondsOf(file) < LONG_SECONDS;
/**
 * Units share a process with their neighbours, who load the same modules and warm up the same functions: half a second to a second of CPU for each
 * file. But not these, and a new one of their kind belongs here: with tests that a module makes for several files, which Node counts for the module;
 * with `before` or `after` outside of any suite, which would be for all files; with a measurement of the process; that fork, for a child gets the
 * flags of its parent and would take itself for a test of it; or that are long enough by themselves.
 */
const ALONE = [
  "test/agent/coordinator-link.",
  "test/bench/scale.",
  "test/cluster/network.",
  "test/cluster/real/",
  "test/common/event-loop.",
  "test/contract/cloud/faults-soak.",
  "test/contract/kubernetes/",
  "test/coordinator/dry-run/command.",
  "test/coordinator/faults/fuzz/",
  "test/coordinator/faults/refused-calls.",
  "test/deploy/arguments.",
  "test/deploy/image.",
  "test/manifests/ingresses.",
  "test/manifests/services.",
  "test/manifests/traffic.",
  "test/promises-untracked.",
];
const isAlone = (file: string): boolean => ALONE.some((start) => file.startsWith(start));
/** So many at most, and so many seconds together, which leaves enough jobs for all lanes. */
const UNITS_PER_PROCESS = { files: 20, seconds: 30 };
const { PRIORITY_LOW: LOWEST_PRIORITY } = constants.priority;
/** Above the slowest file on two cores (about 4 minutes) by far; what computes waits for longer on a busy machine. */
const LIMIT_MS = 15 * 60_000;
const REPORTERS = ["spec", "./test/counts.ts"];
/**
 * Modules as they are after type stripping and compilation, which is half of what a process spends until its first test. Node writes
 * there when a process ends, under a hash of each module's text; where it cannot write, it goes on without.
 */
const COMPILED = { NODE_COMPILE_CACHE: join(process.cwd(), "node_modules/.cache/compiled") };

/** What counts.ts adds to a report. */
const COUNTS = /^(\d+) passed, (\d+) failed, (\d+) skipped$/gm;
const FILE = /^file (\S+): ([\d.]+) s, cpu ([\d.]+) s$/gm;

/** Files that share a process. */
type Job = readonly string[];
/** Jobs that run alike, so many at once, and by so much behind others where processors are short. */
type Kind = { readonly name: string; readonly jobs: readonly Job[]; readonly lanes: number; readonly nice: number };
type Counts = { passed: number; failed: number; skipped: number };
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
/** Each with what its report says of the failures. */
const failing: string[] = [];
/** Seconds that each file took, and how many of a processor with all that it started; a file that was killed is not there. */
type Took = { readonly seconds: number; readonly cpu: number };
const took = new Map<string, Took>();
/** So many of the slowest files are named at the end: what is worth sharing a process, or moving to virtual time. */
const SLOWEST = 10;
const FAILURES = "✖ failing tests:";
const MOST_CHARACTERS = 6_000;

/** All jobs of a kind; whatever ends makes room for the next one. */
async function inLanes({ name, jobs, lanes, nice }: Kind): Promise<void> {
  if (jobs.length > 0) console.log(`# ${name}: ${jobs.flat().length} files in ${jobs.length} processes`);
  const running = new Map<Promise<unknown>, number>();
  const taken = (): number => [...running.values()].reduce((sum, width) => sum + width, 0);
  for (const job of jobs) {
    const width = job.some(isBroad) ? 2 : 1;
    while (taken() + width > lanes) await Promise.race(running.keys());
    const run: Promise<unknown> = runJob(job, nice).finally(() => running.delete(run));
    running.set(run, width);
  }
  await Promise.all(running.keys());
}

const secondsOfJob = (job: Job): number => job.reduce((sum, file) => sum + secondsOf(file), 0);
const longestJobFirst = (jobs: readonly Job[]): readonly Job[] => jobs.toSorted((one, other) => secondsOfJob(other) - secondsOfJob(one));

/** Units, neighbours in one process as far as they may. */
function neighbours(files: readonly string[]): readonly Job[] {
  const { files: most, seconds } = UNITS_PER_PROCESS;
  const jobs: string[][] = [];
  let open: string[] = [];
  for (const file of files.toSorted()) {
    if (isAlone(file)) jobs.push([file]);
    else if (open.length > 0 && open.length < most && secondsOfJob([...open, file]) <= seconds) open.push(file);
    else jobs.push((open = [file]));
  }
  return longestJobFirst(jobs);
}

/** Long flows first, each by itself; then those that share a process, what takes longer spread over all. */
function share(files: readonly string[]): readonly Job[] {
  const short = files.filter(mayShare);
  const count = Math.ceil(short.length / FLOWS_PER_PROCESS);
  const shared = Array.from({ length: count }, (_, at) => short.filter((__, index) => index % count === at));
  return longestJobFirst([...files.filter((file) => !mayShare(file)).map((file): Job => [file]), ...shared]);
}

async function runJob(files: Job, nice: number): Promise<void> {
  const child = spawn(process.execPath, nodeArgs(files, REPORTERS), {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...COMPILED, ...process.env },
  });
  if (nice > 0 && child.pid !== undefined) setPriority(child.pid, Math.min(getPriority() + nice, LOWEST_PRIORITY)); // what it starts inherits it
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL"); // its child processes see their standard input end
  }, LIMIT_MS);
  const code = await new Promise<number>((resolve) => child.once("close", (status) => resolve(status ?? 128)));
  clearTimeout(timer);
  const text = Buffer.concat(chunks).toString("utf8");
  const output = text.replace(COUNTS, "").replace(FILE, "").trim();
  const line = [...text.matchAll(COUNTS)].at(-1);
  const [passed = 0, failed = 0, skipped = 0] = line?.slice(1).map(Number) ?? [];
  for (const [file, one] of tookOf(files, text)) took.set(file, one);
  const silent = files.filter((file) => line === undefined || !took.has(file)); // a process can end well in the middle of its tests
  const isWell = code === 0 && silent.length === 0;
  const names = files.map((file) => `## ${file} (${took.get(file)?.seconds ?? "?"} s, cpu ${took.get(file)?.cpu ?? "?"} s)`);
  console.log(`\n${names.join("\n")}\n${output}`);
  if (late) console.log(`✖ ${files.join(", ")} did not end within ${LIMIT_MS / 60_000} minutes and was killed`);
  else if (silent.length > 0) console.log(`✖ no report of ${silent.join(", ")}`);
  total.passed += passed;
  total.failed += failed === 0 && !isWell ? 1 : failed;
  total.skipped += skipped;
  if (!isWell) failing.push(`${files.join(", ")}\n${failuresIn(output)}`);
}

/** Of a file that runs alone all is its own, also a test that another file made for it. */
function tookOf(files: Job, report: string): readonly (readonly [file: string, took: Took])[] {
  const all = [...report.matchAll(FILE)].map(([, file = "", seconds, cpu]): [string, Took] => [
    file,
    { seconds: Number(seconds), cpu: Number(cpu) },
  ]);
  const [file = "", ...others] = files;
  if (others.length > 0 || all.length === 0) return all;
  const sumOf = (of: (one: Took) => number): number => all.reduce((sum, [, one]) => sum + of(one), 0);
  return [[file, { seconds: sumOf(({ seconds }) => seconds), cpu: sumOf(({ cpu }) => cpu) }]];
}

/** The report's own summary of what failed; where there is none, its end. */
function failuresIn(output: string): string {
  const from = output.lastIndexOf(FAILURES);
  return from === -1 ? output.slice(-MOST_CHARACTERS) : output.slice(from + FAILURES.length, from + MOST_CHARACTERS);
}

function slowest(): string {
  const all = [...took].sort(([, one], [, other]) => other.seconds - one.seconds).slice(0, SLOWEST);
  const sumOf = (of: (one: Took) => number): string => [...took.values()].reduce((added, one) => added + of(one), 0).toFixed(0);
  const lines = all.map(([file, { seconds, cpu }]) => `${seconds.toFixed(1).padStart(7)} s  ${cpu.toFixed(1).padStart(6)} s  ${file}`);
  const sums = `${sumOf(({ seconds }) => seconds)} s one after the other and ${sumOf(({ cpu }) => cpu)} s of a processor`;
  return `\n# slowest of ${took.size} files, which took ${sums}\n${lines.join("\n")}`;
}

/** Why no flow can run on a real control plane here. */
async function noReal(): Promise<string | undefined> {
  const found = await findControlPlane({ kubernetes: kubernetesMinor(process.env["KUBERNETES"] ?? DEFAULT_MINOR) });
  return found.kind === "missing" ? found.reason : networkFault(addressPlan(1));
}

function skip(file: string, reason: string): void {
  console.log(`\n## ${file}\n﹣ skipped: ${reason}`);
  total.skipped += 1;
}

const patterns = process.argv.slice(2);
const files = globSync(patterns.length > 0 ? patterns : ["test/**/*.test.ts"]).sort();
if (files.length === 0) console.error(`no test file matches ${patterns.join(" ")}`);
const ofRun = patterns.length > 0 ? files : files.filter(isOfRun);
const isWhole = patterns.length === 0 && !ON_REAL;
const choice = isWhole ? (process.env["FLOWS"] ?? ((await noReal()) === undefined ? "few" : "all")) : "all";
const isFew = (file: string): boolean => choice === "few" && isFlow(file) && !isWanted(file);
const leave = (kind: string, left: readonly string[]): void => {
  if (left.length > 0) console.log(`# ${left.length} files ${kind} are left to npm run test:real`);
};
if (!ON_REAL)
  leave(
    "that need a real cluster",
    files.filter((file) => !ofRun.includes(file)),
  );
leave("of flows (FLOWS=all runs them here)", ofRun.filter(isFew));
const wanted = longestFirst(ofRun.filter((file) => !isFew(file)));
/** Flows on the embedded cluster, on a real one all that needs it: these work for a while and wait for longer. */
const isWaiting = (file: string): boolean => isFlow(file) || needsReal(file);
const reason = ON_REAL ? await noReal() : undefined;
const flows = wanted.filter(isWaiting);
const units = wanted.filter((file) => !isWaiting(file));
const [able, skipped] = reason === undefined ? [flows, []] : [flows.filter(needsReal), flows.filter((file) => !needsReal(file))];
await Promise.all([
  inLanes({
    name: `whole-process flows on ${ON_REAL ? "a real control plane" : "the embedded cluster"}`,
    jobs: share(able),
    ...FLOW_LANES,
  }),
  inLanes({ name: "units, contracts and stand-ins", jobs: neighbours(units), ...UNIT_LANES }),
]);
for (const file of skipped) skip(file, reason ?? "");
if (took.size > SLOWEST) console.log(slowest());
keepTimes(Object.fromEntries([...took].map(([file, { seconds }]) => [nameOf(file), seconds])));
if (failing.length > 0) console.log(`\n✖ failing files:\n${failing.join("\n")}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || (total.passed === 0 && reason === undefined) ? 1 : 0;
