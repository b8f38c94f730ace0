/**
 * `npm test [-- <pattern> …]`: all tests, in two rounds. Whole-process flows come last and two at a time: each runs a dozen
 * processes' worth of work and watches the clock of its load. The last line is the sum, e.g. "820 passed, 0 failed, 2 skipped".
 */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";

const FLOWS = ["test/flow/", "test/demo/"];
const isFlow = (file: string): boolean => FLOWS.some((folder) => file.startsWith(folder));

type Counts = { passed: number; failed: number; skipped: number };

function round(name: string, files: readonly string[], concurrency: number): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  if (files.length === 0) return Promise.resolve(counts);
  console.log(`# ${name}: ${files.length} files`);
  const reporters = ["spec", "./test/counts.ts"].flatMap((reporter) => [
    `--test-reporter=${reporter}`,
    "--test-reporter-destination=stdout",
  ]);
  const child = spawn(process.execPath, ["--test", `--test-concurrency=${concurrency}`, ...reporters, ...files], {
    stdio: ["inherit", "pipe", "inherit"],
  });
  let tail = "";
  child.stdout.on("data", (chunk: Buffer) => {
    process.stdout.write(chunk);
    tail = (tail + chunk.toString("utf8")).slice(-10_000);
  });
  return new Promise((resolve) => {
    child.once("close", (code) => {
      const line = [...tail.matchAll(/^(\d+) passed, (\d+) failed, (\d+) skipped$/gm)].at(-1);
      const [passed = 0, failed = 0, skipped = 0] = line?.slice(1).map(Number) ?? [];
      resolve({ passed, failed: failed === 0 && code !== 0 ? 1 : failed, skipped });
    });
  });
}

const patterns = process.argv.slice(2);
const files = globSync(patterns.length > 0 ? patterns : ["test/**/*.test.ts"]).sort();
if (files.length === 0) console.error(`no test file matches ${patterns.join(" ")}`);
const rounds = [
  await round(
    "units, contracts and stand-ins",
    files.filter((file) => !isFlow(file)),
    4,
  ),
  await round("whole-process flows", files.filter(isFlow), 2),
];
const sum = (key: keyof Counts): number => rounds.reduce((total, counts) => total + counts[key], 0);
console.log(`${sum("passed")} passed, ${sum("failed")} failed, ${sum("skipped")} skipped`);
process.exitCode = sum("failed") > 0 || sum("passed") === 0 ? 1 : 0;
