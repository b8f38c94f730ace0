import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { Counter, Registry } from "prom-client";
import { makeOpsServer, type OpsRoute } from "../../common/ops-server.ts";
import { until } from "../agent/until.ts";

async function start(t: TestContext, routes: Record<string, OpsRoute> = {}, notReady: () => string | undefined = () => undefined) {
  const registry = new Registry();
  new Counter({ name: "tests_total", help: "Tests", registers: [registry] }).inc();
  const server = makeOpsServer({ host: "127.0.0.1", port: 0, shared: false, registry, notReady, routes, log: pino({ level: "silent" }) });
  const port = await server.start();
  t.after(() => server.stop());
  return { server, port, ask: (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${port}${path}`, init) };
}

test("answers metrics, health and readiness", async (t) => {
  let reason: string | undefined = "Pods not listed yet";
  const { ask } = await start(t, {}, () => reason);
  assert.match(await (await ask("/metrics")).text(), /^tests_total 1$/m);
  assert.equal((await ask("/healthz")).status, 200);
  const before = await ask("/readyz");
  assert.deepEqual([before.status, await before.text()], [503, "not ready: Pods not listed yet\n"]);
  reason = undefined;
  assert.equal((await ask("/readyz")).status, 200);
});

test("serves the routes handed in, with their query", async (t) => {
  const explain: OpsRoute = (url) =>
    Promise.resolve({ status: 418, contentType: "application/json", body: `"${url.searchParams.get("pod")}"` });
  const { ask } = await start(t, { "/explain": explain });
  const answer = await ask("/explain?pod=demo%2Fweb-1");
  assert.deepEqual([answer.status, answer.headers.get("content-type"), await answer.text()], [418, "application/json", '"demo/web-1"']);
});

test("tells unknown paths, other methods and failures apart", async (t) => {
  const { ask } = await start(t, { "/broken": () => Promise.reject(new Error("no such Pod")) });
  const unknown = await ask("/nothing");
  assert.equal(unknown.status, 404);
  assert.match(await unknown.text(), /\/metrics, \/healthz, \/readyz, \/broken/);
  assert.equal((await ask("/healthz", { method: "POST" })).status, 405);
  const broken = await ask("/broken");
  assert.deepEqual([broken.status, await broken.text()], [500, "no such Pod\n"]);
  assert.equal((await ask("/healthz", { method: "HEAD" })).status, 200);
});

test("rejects where the port is taken, and stops with a connection open", async (t) => {
  const { port, server, ask } = await start(t, { "/slow": () => new Promise(() => undefined) });
  const second = makeOpsServer({
    shared: false,
    host: "127.0.0.1",
    port,
    registry: new Registry(),
    notReady: () => undefined,
    log: pino({ level: "silent" }),
  });
  await assert.rejects(second.start(), { code: "EADDRINUSE" });
  await second.stop();
  const hanging = assert.rejects(ask("/slow"));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await server.stop();
  await hanging;
  await assert.rejects(ask("/healthz"));
});

function aStranger(t: TestContext, port: number, localAddress = "127.0.0.2"): Socket {
  const socket = connect({ port, host: "127.0.0.1", localAddress }).on("error", () => undefined);
  t.after(() => socket.destroy());
  return socket.resume();
}

test("who asks a thousand times before it is answered gets no thousand answers to keep, it is cut off", async (t) => {
  let asked = 0;
  const slow: OpsRoute = () => {
    asked += 1;
    return new Promise(() => undefined);
  };
  const { port, ask } = await start(t, { "/slow": slow });
  const stranger = aStranger(t, port);
  stranger.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000));
  await until(() => stranger.destroyed);
  assert.equal(asked, 1);
  assert.equal((await ask("/healthz")).status, 200);
});

test("one connection is asked over again and again", async (t) => {
  const { port } = await start(t);
  const socket = aStranger(t, port);
  let answers = "";
  socket.on("data", (chunk: Buffer) => (answers += chunk.toString()));
  for (let times = 1; times <= 20; times++) {
    socket.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    await until(() => answers.split("HTTP/1.1 200").length === times + 1 && answers.endsWith("ok\n"));
  }
});

test("hundreds of connections are not kept, and keep nobody of another address out", async (t) => {
  const { port, ask } = await start(t);
  const strangers = Array.from({ length: 300 }, () => aStranger(t, port));
  const waiting = aStranger(t, port, "127.0.0.3");
  for (const stranger of strangers) stranger.write(`GET / HTTP/1.1\r\nx: ${"a".repeat(10_000)}`); // that is no end
  await until(() => strangers.filter(({ destroyed }) => destroyed).length >= 300 - 64);
  assert.equal((await ask("/healthz")).status, 200);
  assert.equal(waiting.destroyed, false);
});
