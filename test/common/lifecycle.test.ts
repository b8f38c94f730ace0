import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";

/** Runs parts in a process of its own, because runParts ends its process. `body` fills `parts`; `say` prints a line. */
async function run(body: string, signal?: NodeJS.Signals): Promise<{ code: number | null; said: string[] }> {
  const script = `
    import { makeClock } from "./common/clock.ts";
    import { runParts } from "./common/lifecycle.ts";
    const say = (line) => process.stdout.write(line + "\\n");
    const log = { info: (a, b) => say("log " + (b ?? a)), warn: (a, b) => say("warn " + b), error: (a, b) => say("error " + b) };
    const alive = setInterval(() => {}, 1000);
    const parts = [];
    ${body}
    await runParts(parts, { log, clock: makeClock(), limitMs: 200 });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
    if (signal !== undefined && part.includes("log started")) child.kill(signal);
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, said: text.trim().split("\n") };
}

const PART = `const part = (name) => parts.push({ name, start: () => say("start " + name), stop: () => say("stop " + name) });`;

for (const signal of ["SIGTERM", "SIGINT"] as const)
  test(`starts in order, stops in reverse at ${signal}, and ends well`, async () => {
    const { code, said } = await run(`${PART} part("a"); part("b");`, signal);
    assert.deepEqual(said, ["start a", "start b", "log started", "log stopping", "stop b", "stop a", "log stopped"]);
    assert.equal(code, 0);
  });

test("stops what had started when a part does not start, that part included", async () => {
  const body = `${PART} part("a"); parts.push({ name: "b", start: () => { throw new Error("port taken"); }, stop: () => say("stop b") }); part("c");`;
  const { code, said } = await run(body);
  assert.deepEqual(said, ["start a", "error start failed", "stop b", "stop a", "log stopped"]);
  assert.equal(code, 1);
});

test("goes on stopping when a part does not stop cleanly", async () => {
  const body = `${PART} part("a"); parts.push({ name: "b", start: () => {}, stop: () => { throw new Error("no"); } });`;
  const { said } = await run(body, "SIGTERM");
  assert.deepEqual(said.slice(-3), ["warn part did not stop cleanly", "stop a", "log stopped"]);
});

test("ends in time although a part never stops, and tells the parts that time is over", async () => {
  const body = `parts.push({ name: "stuck", start: () => {}, stop: (signal) => new Promise(() => signal.addEventListener("abort", () => say("told"))) });`;
  const { code, said } = await run(body, "SIGTERM");
  assert.deepEqual(said, ["log started", "log stopping", "error parts did not stop in time", "told", "log stopped"]);
  assert.equal(code, 1);
});
