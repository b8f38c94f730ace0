import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { suite, test } from "node:test";

const run = (script: string, args: readonly string[]) =>
  spawnSync(process.execPath, [script, ...args], { encoding: "utf8", timeout: 20_000 });

const BENCHMARKS = {
  "bench:sync": "bench/sync/main.ts",
  "bench:plan": "bench/plan.ts",
  "bench:cloud": "bench/cloud/main.ts",
  "bench:scale": "bench/scale/main.ts",
  "bench:take-over": "bench/scale/take-over.ts",
  "bench:path": "bench/path/main.ts",
} as const;

const MISTAKES: readonly [script: keyof typeof BENCHMARKS, args: readonly string[], message: RegExp][] = [
  ["bench:sync", ["--time-scale", "fast"], /^--time-scale must be a number above 0, got "fast"/],
  ["bench:sync", ["--scale", "fast"], /^--scale must be a number above 0, got "fast"/],
  ["bench:sync", ["--json", "/no/dir/x"], /^--json \/no\/dir\/x: there is no folder \/no\/dir/],
  ["bench:sync", ["everything"], /'everything'/],
  ["bench:plan", ["--json", "x"], /'--json'/],
  ["bench:cloud", ["--seconds", "0"], /^--seconds must be a number above 0, got "0"/],
  ["bench:cloud", ["--random-seed", "0"], /^--random-seed must be a number above 0, got "0"/],
  ["bench:cloud", ["--seed", "0"], /^--seed must be a number above 0, got "0"/],
  ["bench:cloud", ["--time-scale", "0", "--scale", "5"], /^--time-scale must be a number above 0, got "0"/],
  ["bench:cloud", ["--json", "test"], /^--json test: this is a folder; name a file/],
  ["bench:scale", ["--agents", "many"], /^--agents must be a whole number from 1, got "many"/],
  ["bench:scale", ["--pods", "1"], /^--pods must be a whole number from 2, got "1"/],
  ["bench:scale", ["--json", "/no/dir/x"], /^--json \/no\/dir\/x: there is no folder \/no\/dir/],
  ["bench:path", ["--modes", "ipvs"], /^--modes must be of nftables, iptables, got "ipvs"/],
  ["bench:path", ["--pods", "2,3"], /^--pods must be even numbers up to 100, got "2,3"/],
  ["bench:path", ["--requests", "0.5"], /^--requests must be whole numbers, got "0.5"/],
  ["bench:take-over", ["--services", "0.5"], /^--services must be a whole number from 1, got "0.5"/],
  ["bench:take-over", ["--agents", "3"], /'--agents'/],
];

suite("a benchmark's command line", () => {
  for (const [name, args, message] of MISTAKES)
    test(`${name} ${args.join(" ")} is refused before anything runs, with the mistake and the usage`, () => {
      const { status, stdout, stderr } = run(BENCHMARKS[name], args);
      assert.match(stderr, message);
      assert.match(stderr, new RegExp(`^usage: npm run ${name}`, "m"));
      assert.doesNotMatch(stderr, /^ {4}at /m, "no stack");
      assert.deepEqual({ status, stdout }, { status: 2, stdout: "" });
    });

  for (const [name, script] of Object.entries(BENCHMARKS))
    test(`${name} --help says what there is`, () => {
      const { status, stdout } = run(script, ["--help"]);
      assert.match(stdout, new RegExp(`^usage: npm run ${name}`));
      assert.equal(status, 0);
    });
});
