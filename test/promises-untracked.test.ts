import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { nodeArgs } from "./node-args.ts";

const folder = mkdtempSync(join(tmpdir(), "promises-untracked-"));
after(() => rmSync(folder, { recursive: true }));

type Ended = { readonly code: number | null; readonly output: string };

/** Test files in a process of their own, as test/run.ts starts it. */
function runFiles(...texts: readonly string[]): Ended {
  const files = texts.map((_, at) => join(folder, `${at}.test.mjs`));
  for (const [at, file] of files.entries()) writeFileSync(file, texts[at] ?? "");
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, nodeArgs(files, ["tap", "./test/counts.ts"]), { encoding: "utf8", env });
  return { code: status, output: stdout + stderr };
}

test("a promise that is rejected and that nobody awaits fails its file", () => {
  const late = "Promise.reject(new Error('nobody caught it'))";
  const text = `import { test } from "node:test";
    test("passes", async () => { await null; void ${late}; await new Promise((done) => setTimeout(done, 20)); });`;
  const { code, output } = runFiles(text);
  assert.equal(code, 1, output);
  assert.match(output, /nobody caught it/);
});

test("suites have their tests and hooks, also behind an await", () => {
  const { code, output } = runFiles(`import { beforeEach, suite, test } from "node:test";
    let begun = 0;
    suite("outer", () => {
      beforeEach(() => { begun++; });
      test("first", async () => { await null; });
      suite("inner", () => test("second", async (t) => { await null; await t.test("third", () => { if (begun !== 3) throw new Error(String(begun)); }); }));
    });`);
  assert.equal(code, 0, output);
  assert.match(output, /# tests 3\n# suites 2/);
});

const ONE_ID = `import { executionAsyncId } from "node:async_hooks";
    import { test } from "node:test";
    test("one id", async () => {
      await null;
      const first = executionAsyncId();
      await null;
      if (executionAsyncId() !== first) throw new Error("another id behind an await");
    });`;

test("promises have no ids: the runner does not follow them", () => {
  const { code, output } = runFiles(ONE_ID);
  assert.equal(code, 0, output);
});

test("nor those of files that share a process, each of which is reported", () => {
  const { code, output } = runFiles(ONE_ID, ONE_ID);
  assert.equal(code, 0, output);
  for (const name of ["0.test.mjs", "1.test.mjs"]) assert.match(output, new RegExp(`^file .*/${name}: `, "m"));
  assert.match(output, /^2 passed, 0 failed, 0 skipped$/m);
});

test("a file that cannot be imported fails the process that it shares", () => {
  const { code, output } = runFiles(ONE_ID, "throw new Error('not a test')");
  assert.notEqual(code, 0, output);
  assert.doesNotMatch(output, /passed/);
  assert.match(output, /not a test/);
});
