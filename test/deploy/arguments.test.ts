import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { suite, test } from "node:test";

const run = (script: string, args: readonly string[]) =>
  spawnSync(process.execPath, [script, ...args], { encoding: "utf8", timeout: 20_000 });

const COMMANDS = {
  "bench:sync": "bench/sync/main.ts",
  "bench:plan": "bench/plan.ts",
  "bench:cloud": "bench/cloud/main.ts",
  "bench:scale": "bench/scale/main.ts",
  "bench:take-over": "bench/scale/take-over.ts",
  "bench:path": "bench/path/main.ts",
  "bench:ingress": "bench/ingress/main.ts",
  "proof:install": "test/proof/launch.ts",
  "proof:rollout": "test/proof/rollout-launch.ts",
  "real:prepare": "test/cluster/real/prepare.ts",
  image: "deploy/tools/image-main.ts",
  build: "deploy/tools/build-main.ts",
  fuzz: "test/coordinator/faults/fuzz/main.ts",
} as const;

const MISTAKES: readonly [script: keyof typeof COMMANDS, args: readonly string[], message: RegExp][] = [
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
  ["bench:ingress", ["--rules"], /'--rules'/],
  ["proof:install", ["--limit-minutes", "soon"], /^--limit-minutes must be a number above 0, got "soon"/],
  ["proof:install", ["--json", "/no/dir/x"], /^--json \/no\/dir\/x: there is no folder \/no\/dir/],
  ["proof:install", ["--by-hand", "--json", "x"], /^--json x: with --by-hand nothing is measured; leave one of both out/],
  ["proof:install", ["--keep"], /'--keep'/],
  ["proof:rollout", ["--share", "2"], /^--share must be a number above 0, at most 1, got "2"/],
  ["proof:rollout", ["--pods", "many"], /^--pods must be a whole number above 0, got "many"/],
  ["proof:rollout", ["--rows", "all"], /^--rows must be of product, .*, got "all"/],
  ["proof:rollout", ["--profiles", "slow"], /^--profiles must be of tke2020, fast, got "slow"/],
  ["proof:rollout", ["--json", "test"], /^--json test: this is a folder; name a file/],
  ["real:prepare", ["--kubernetes", "1.12"], /1\.12/],
  ["real:prepare", ["--node"], /'--node'/],
  ["image", ["--arch", "mips"], /^--arch must be of amd64, arm64, got "mips"/],
  ["build", ["--watch"], /'--watch'/],
  ["fuzz", ["--seeds", "0"], /^--seeds must be a whole number above 0, got "0"/],
];

suite("a command's options", () => {
  for (const [name, args, message] of MISTAKES)
    test(`${name} ${args.join(" ")} is refused before anything runs, with the mistake and the usage`, () => {
      const { status, stdout, stderr } = run(COMMANDS[name], args);
      assert.match(stderr, message);
      assert.match(stderr, new RegExp(`^usage: npm run ${name}\\b`, "m"));
      assert.doesNotMatch(stderr, /^ {4}at /m, "no stack");
      assert.deepEqual({ status, stdout }, { status: 2, stdout: "" });
    });

  for (const [name, script] of Object.entries(COMMANDS))
    test(`${name} --help says what there is`, () => {
      const { status, stdout } = run(script, ["--help"]);
      assert.match(stdout, new RegExp(`^usage: npm run ${name}`));
      assert.equal(status, 0);
    });
});
