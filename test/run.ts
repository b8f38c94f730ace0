/**
 * `npm test [-- <pattern> …]`: all tests, each file in a process of its own, in two rounds. Whole-process flows come last and two
 * at a time: each runs a dozen processes' worth of work and watches the clock of its load. A file that does not end in time is
 * killed and counts as failed (Node's own runner waits for ever). The last line is the sum, e.g. "820 passed, 0 failed, 2 skipped".
 */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";

const FLOWS = ["test/flow/", "test/demo/"];
const isFlow = (file: string): boolean => FLOWS.some((folder) => file.startsWith(folder));
/** Above the slowest file on two cores (the real control plane's flows, about 2 minutes) by far. */
const LIMIT_MS = 8 * 60_000;
const REPORTERS = ["spec", "./test/counts.ts"].flatMap((reporter) => [`--test-reporter=${reporter}`, "--test-reporter-destination=stdout"]);

const COUNTS = /^(\d+) passed, (\d+) failed, (\d+) skipped$/gm;

type Counts = { passed: number; failed: number; skipped: number };
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const failing: string[] = [];

async function round(name: string, files: readonly string[], concurrency: number): Promise<void> {
  if (files.length === 0) return;
  console.log(`# ${name}: ${files.length} files`);
  const queue = [...files];
  const lane = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(file);
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
}

async function runFile(file: string): Promise<void> {
  const fromMs = performance.now();
  const child = spawn(process.execPath, [...REPORTERS, file], { stdio: ["ignore", "pipe", "pipe"] });
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
  const output = Buffer.concat(chunks).toString("utf8");
  const line = [...output.matchAll(COUNTS)].at(-1);
  const [passed = 0, failed = 0, skipped = 0] = line?.slice(1).map(Number) ?? [];
  const seconds = ((performance.now() - fromMs) / 1000).toFixed(1);
  console.log(`\n## ${file} (${seconds} s)\n${output.replace(COUNTS, "").trimEnd()}`);
  if (late) console.log(`✖ ${file} did not end within ${LIMIT_MS / 60_000} minutes and was killed`);
  total.passed += passed;
  total.failed += failed === 0 && code !== 0 ? 1 : failed;
  total.skipped += skipped;
  if (code !== 0) failing.push(file);
}

const patterns = process.argv.slice(2);
const files = globSync(patterns.length > 0 ? patterns : ["test/**/*.test.ts"]).sort();
if (files.length === 0) console.error(`no test file matches ${patterns.join(" ")}`);
const units = files.filter((file) => !isFlow(file));
await round("units, contracts and stand-ins", units, 4);
await round("whole-process flows", files.filter(isFlow), 2);
if (failing.length > 0) console.log(`\n✖ failing files:\n  ${failing.join("\n  ")}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
