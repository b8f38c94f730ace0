import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AGENT_FILES, StateFiles } from "../../../agent/adapters/state-files.ts";

test("a file is there while it is so; what a former process said is taken back at the start", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "state-files-"));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "ready"), "");
  const files = new StateFiles(directory, AGENT_FILES);
  assert.deepEqual(readdirSync(directory), []);
  files.set("started", true);
  files.set("ready", true);
  files.set("ready", true);
  assert.deepEqual(readdirSync(directory).toSorted(), ["ready", "started"]);
  files.set("ready", false);
  assert.deepEqual(readdirSync(directory), ["started"]);
});

test("without a folder nothing is written; a folder that cannot be written is an error", () => {
  new StateFiles(undefined, AGENT_FILES).set("ready", true);
  assert.throws(() => new StateFiles("/proc/clb-direct", AGENT_FILES).set("ready", true), { code: "ENOENT" });
});
