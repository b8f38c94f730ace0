/** The sample application as a process; the same binary runs in the real nodes' containers. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { until } from "../../process.ts";
import { findApplication } from "./application.ts";

const found = findApplication();
const skip = found.kind === "missing" ? found.reason : false;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function startApp(t: TestContext, env: Record<string, string>, args: readonly string[] = []): ChildProcess {
  const child = spawn(found.kind === "found" ? found.file : "", args, { env, stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

const answerOf = (port: number): Promise<Response | undefined> => fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);

test("answers with its Pod's name once it has started, and ends at SIGTERM", { skip }, async (t) => {
  const port = await freePort();
  const startedAtMs = Date.now();
  const child = startApp(t, { PORTS: String(port), POD_NAME: "web-1", STARTUP_SECONDS: "0.5" });
  const response = await until("an answer", () => answerOf(port), 5_000, 20);
  assert.ok(Date.now() - startedAtMs >= 500);
  assert.deepEqual([response.status, response.headers.get("x-pod"), await response.text()], [200, "web-1", "web-1\n"]);
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [0, null]);
  assert.equal(await answerOf(port), undefined);
});

test("as pause it waits for SIGTERM and listens on nothing", { skip }, async (t) => {
  const port = await freePort();
  const child = startApp(t, { PORTS: String(port), STARTUP_SECONDS: "0" }, ["pause"]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(await answerOf(port), undefined);
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});

test("names a setting that is no number", { skip }, async (t) => {
  const child = startApp(t, { STARTUP_SECONDS: "soon" });
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => void (said += chunk.toString()));
  const [code] = (await once(child, "close")) as [number];
  assert.deepEqual([code, said], [1, "STARTUP_SECONDS=soon: use a number of seconds, e.g. 2\n"]);
});
