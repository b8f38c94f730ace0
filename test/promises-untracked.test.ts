import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";

const folder = mkdtempSync(join(tmpdir(), "promises-untracked-"));
after(() => rmSync(folder, { recursive: true }));

/** A test file in a process of its own, as test/run.ts starts it. */
function runFile(text: string): { readonly code: number | null; readonly output: string } {
  const file = join(folder, "one.test.mjs");
  writeFileSync(file, text);
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const options = ["--import", resolve("test/promises-untracked.ts"), "--test-reporter=tap", file];
  const { status, stdout, stderr } = spawnSync(process.execPath, options, { encoding: "utf8", env });
  return { code: status, output: stdout + stderr };
}

test("a promise that is rejected and that nobody awaits fails its file", () => {
  const late = "Promise.reject(new Error('nobody caught it'))";
  const text = `import { test } from "node:test";
    test("passes", async () => { await null; void ${late}; await new Promise((done) => setTimeout(done, 20)); });`;
  const { code, output } = runFile(text);
  assert.equal(code, 1, output);
  assert.match(output, /nobody caught it/);
});

test("suites have their tests and hooks, also behind an await", () => {
  const { code, output } = runFile(`import { beforeEach, suite, test } from "node:test";
    let begun = 0;
    suite("outer", () => {
      beforeEach(() => { begun++; });
      test("first", async () => { await null; });
      suite("inner", () => test("second", async (t) => { await null; await t.test("third", () => { if (begun !== 3) throw new Error(String(begun)); }); }));
    });`);
  assert.equal(code, 0, output);
  assert.match(output, /# tests 3\n# suites 2/);
});

test("promises have no ids: the runner does not follow them", () => {
  const { code, output } = runFile(`import { executionAsyncId } from "node:async_hooks";
    import { test } from "node:test";
    test("one id", async () => {
      await null;
      const first = executionAsyncId();
      await null;
      if (executionAsyncId() !== first) throw new Error("another id behind an await");
    });`);
  assert.equal(code, 0, output);
});
