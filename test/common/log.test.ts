import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

/** What a logger of its own process writes, a line each. */
async function logged(statement: string): Promise<readonly { readonly err?: { readonly message: string; readonly stack: string } }[]> {
  const url = JSON.stringify(new URL("../../common/log.ts", import.meta.url).href);
  const script = `import { makeLogger } from ${url}; const log = await makeLogger("test", "info"); ${statement}`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line)); // oxlint-disable-line typescript/no-unsafe-return -- what pino writes
}

test("the text of an error comes once, although its cause says the same; the stack has the cause", async () => {
  const [line, plain] = await logged(`
    const cause = new Error("no room");
    log.child({ path: "/" }).warn({ err: new Error("CreateRule failed: LimitExceeded: no room", { cause }) }, "call refused");
    log.warn({ err: "a text" }, "something else was thrown");`);
  assert.equal(line?.err?.message, "CreateRule failed: LimitExceeded: no room");
  assert.match(line.err.stack, /^Error: CreateRule failed: LimitExceeded: no room\n[^]+caused by: Error: no room\n/);
  assert.equal(plain?.err, "a text");
});
