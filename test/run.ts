/**
 * `npm test [-- <pattern> …]`: all tests, each file in a process of its own, which shares compiled modules with those before it and does
 * without the tracking of promises (promises-untracked.ts). Whole-process flows come last: each runs a
 * dozen processes' worth of work and watches the clock of its load. A file that does not end in time is killed and counts as failed
 * (Node's own runner waits for ever). The last line is the sum, e.g. "820 passed, 0 failed, 2 skipped".
 * `npm run test:real` is the same with CLUSTER=real and the flows only; FLOWS=few leaves out what says as much on a real cluster.
 */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { addressPlan } from "./cluster/network.ts";
import { findControlPlane } from "./cluster/real/binaries.ts";
import { networkFault } from "./cluster/real/control-plane.ts";
import { DEFAULT_MINOR, kubernetesMinor } from "./cluster/real/modules.ts";
import { keepTimes, lastTimes } from "./run-times.ts";

const ON_REAL = process.env["CLUSTER"] === "real";
const FLOWS = ["test/flow/", "test/demo/"];
const isFlow = (file: string): boolean => FLOWS.some((folder) => file.startsWith(folder));
/**
 * What is run on the embedded cluster where all flows are run on a real one as well: the embedded server fails in ways that a real one
 * cannot be brought to (an end within a line, an empty list), and one flow without any fault.
 */
const FEW = ["test/flow/torn-watches", "test/flow/empty-list", "test/flow/bind", "test/demo/"];
const isWanted = (file: string): boolean => process.env["FLOWS"] !== "few" || FEW.some((start) => file.startsWith(start));
/** A flow takes 0.4 of a core on the average and waits most of the time; with more at once on two cores its promises of time are not kept. */
const LANES = { units: 4, flows: ON_REAL ? 4 : 3 } as const;
/** Where nothing is known of the last run, these come first: they take a minute or more, and the last file of a kind would otherwise run alone for as long. */
const LONG = ["test/cluster/real/nodes/hold", "test/demo/", "test/manifests/services", "test/coordinator/faults/fuzz/", "test/flow/"];
const TIMES = lastTimes();
/** E.g. "real test/flow/bind.test.ts": on a real cluster a flow takes longer. */
const nameOf = (file: string): string => (ON_REAL ? `real ${file}` : file);
const LONG_SECONDS = 60;
const secondsOf = (file: string): number => TIMES[nameOf(file)] ?? (LONG.some((start) => file.startsWith(start)) ? LONG_SECONDS : 0);
const longestFirst = (files: readonly string[]): string[] => files.toSorted((one, other) => secondsOf(other) - secondsOf(one));
/** Above the slowest file on two cores (about 3 minutes) by far. */
const LIMIT_MS = 8 * 60_000;
const REPORTERS = ["spec", "./test/counts.ts"].flatMap((reporter) => [`--test-reporter=${reporter}`, "--test-reporter-destination=stdout"]);
const OPTIONS = ["--import", "./test/promises-untracked.ts", ...REPORTERS];
/**
 * Modules as they are after type stripping and compilation, which is half of what a process spends until its first test. Node writes
 * there when a process ends, under a hash of each module's text; where it cannot write, it goes on without.
 */
const COMPILED = { NODE_COMPILE_CACHE: join(process.cwd(), "node_modules/.cache/compiled") };

/** What counts.ts adds to a report. */
const COUNTS = /^(\d+) passed, (\d+) failed, (\d+) skipped$/gm;
const CPU = /^cpu ([\d.]+) s$/gm;

/** Files that run alike: at most so many at once, those that still run of the kind before among them. */
type Kind = { readonly name: string; readonly files: readonly string[]; readonly lanes: number };
type Counts = { passed: number; failed: number; skipped: number };
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
/** Each with what its report says of the failures. */
const failing: string[] = [];
/** Seconds that each file took, and how many of a processor with all that it started; undefined where it was killed. */
type Took = { readonly seconds: number; readonly cpu: number | undefined };
const took = new Map<string, Took>();
/** So many of the slowest files are named at the end: what is worth sharing a process, or moving to virtual time. */
const SLOWEST = 10;
const FAILURES = "✖ failing tests:";
const MOST_CHARACTERS = 6_000;

/** All files of one kind; a lane that finds none left goes on with the next kind, so that no core waits for the longest file of a kind. */
async function inLanes(kinds: readonly Kind[]): Promise<void> {
  let running = 0;
  const queues = kinds
    .filter(({ files }) => files.length > 0)
    .map(({ files, ...kind }) => ({ ...kind, left: [...files], all: files.length }));
  const lane = async (): Promise<void> => {
    for (;;) {
      const queue = queues.find(({ left }) => left.length > 0);
      if (queue === undefined || running >= queue.lanes) return; // whoever ends looks again
      if (queue.left.length === queue.all) console.log(`# ${queue.name}: ${queue.all} files`);
      running += 1;
      await runFile(queue.left.shift() ?? "");
      running -= 1;
    }
  };
  await Promise.all(Array.from({ length: Math.max(...kinds.map(({ lanes }) => lanes)) }, lane));
}

async function runFile(file: string): Promise<void> {
  const fromMs = performance.now();
  const child = spawn(process.execPath, [...OPTIONS, file], { stdio: ["ignore", "pipe", "pipe"], env: { ...COMPILED, ...process.env } });
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
  const output = text.replace(COUNTS, "").replace(CPU, "").trim();
  const line = [...text.matchAll(COUNTS)].at(-1);
  const cpu = [...text.matchAll(CPU)].at(-1)?.[1];
  const [passed = 0, failed = 0, skipped = 0] = line?.slice(1).map(Number) ?? [];
  const seconds = (performance.now() - fromMs) / 1000;
  took.set(file, { seconds, cpu: cpu === undefined ? undefined : Number(cpu) });
  console.log(`\n## ${file} (${seconds.toFixed(1)} s, cpu ${cpu ?? "?"} s)\n${output}`);
  if (late) console.log(`✖ ${file} did not end within ${LIMIT_MS / 60_000} minutes and was killed`);
  total.passed += passed;
  total.failed += failed === 0 && code !== 0 ? 1 : failed;
  total.skipped += skipped;
  if (code !== 0) failing.push(`${file}\n${failuresIn(output)}`);
}

/** The report's own summary of what failed; where there is none, its end. */
function failuresIn(output: string): string {
  const from = output.lastIndexOf(FAILURES);
  return from === -1 ? output.slice(-MOST_CHARACTERS) : output.slice(from + FAILURES.length, from + MOST_CHARACTERS);
}

function slowest(): string {
  const all = [...took].sort(([, one], [, other]) => other.seconds - one.seconds).slice(0, SLOWEST);
  const sumOf = (of: (one: Took) => number): string => [...took.values()].reduce((added, one) => added + of(one), 0).toFixed(0);
  const lines = all.map(
    ([file, { seconds, cpu }]) => `${seconds.toFixed(1).padStart(7)} s  ${cpu?.toFixed(1).padStart(6) ?? "     ?"} s  ${file}`,
  );
  const sums = `${sumOf(({ seconds }) => seconds)} s one after the other and ${sumOf(({ cpu }) => cpu ?? 0)} s of a processor`;
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
const flows = longestFirst(files.filter(isFlow).filter(isWanted));
const left = files.filter(isFlow).length - flows.length;
if (left > 0) console.log(`# FLOWS=few: ${left} files of flows are left to npm run test:real`);
const reason = ON_REAL ? await noReal() : undefined;
const units = { name: "units, contracts and stand-ins", files: longestFirst(files.filter((file) => !isFlow(file))), lanes: LANES.units };
const where = ON_REAL ? "a real control plane" : "the embedded cluster";
await inLanes([units, { name: `whole-process flows on ${where}`, files: reason === undefined ? flows : [], lanes: LANES.flows }]);
if (reason !== undefined) for (const file of flows) skip(file, reason);
if (took.size > SLOWEST) console.log(slowest());
keepTimes(Object.fromEntries([...took].map(([file, { seconds }]) => [nameOf(file), seconds])));
if (failing.length > 0) console.log(`\n✖ failing files:\n${failing.join("\n")}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || (total.passed === 0 && reason === undefined) ? 1 : 0;
