import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { readArguments } from "../../agent/arguments.ts";

test("--help needs no environment: it says how an agent is started", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["agent/main.ts", "--help"], { encoding: "utf8", env: {} });
  assert.match(stdout, /^usage: npm run agent\n/);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

test("an argument that means nothing is refused with the usage", () => {
  assert.throws(() => readArguments(["--once"]), /'--once'.*usage: npm run agent/s);
});
