import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { status as Code, credentials, Metadata, Server, ServerCredentials, type ServiceError } from "@grpc/grpc-js";
import { makeClock } from "../../common/clock.ts";
import { Health } from "../../common/health.ts";
import { makeHealthServer } from "../../common/health-server.ts";
import { HealthClient, HealthCheckResponse_ServingStatus as Status } from "../../proto/gen/grpc/health/v1/health.ts";
import { pause, until } from "../agent/until.ts";

const aServer = (health: Health, { port = 0, shared = false } = {}) =>
  makeHealthServer({ host: "127.0.0.1", port, shared, health, clock: makeClock() });
const clientOf = (port: number): HealthClient => new HealthClient(`127.0.0.1:${port}`, credentials.createInsecure());

/** The status, or the gRPC status of an error as "error 5". */
async function check(port: number, service: string): Promise<number | string> {
  const client = clientOf(port);
  try {
    return await new Promise((resolve) => {
      client.check({ service }, (error, answer) => resolve(error === null ? answer.status : `error ${error.code}`));
    });
  } finally {
    client.close();
  }
}

test("answers what was set, on its own port and on a server that it was added to", async (t) => {
  const health = new Health(["", "ready"]);
  const server = aServer(health);
  const port = await server.start();
  t.after(() => server.stop());
  const other = new Server();
  health.addToServer(other);
  const otherPort = await new Promise<number>((resolve) => {
    other.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_, bound) => resolve(bound));
  });
  t.after(() => other.forceShutdown());

  assert.equal(await check(port, ""), Status.NOT_SERVING);
  health.setStatus("", "SERVING");
  for (const at of [port, otherPort]) {
    assert.equal(await check(at, ""), Status.SERVING);
    assert.equal(await check(at, "ready"), Status.NOT_SERVING);
    assert.equal(await check(at, "nobody"), "error 5", "NOT_FOUND");
  }
});

test("who watches is told the status, each change of it once, and that a name is not known", async (t) => {
  const health = new Health(["ready"]);
  const server = aServer(health);
  const client = clientOf(await server.start());
  t.after(() => {
    client.close();
    server.stop();
  });
  const seen: number[] = [];
  const call = client.watch({ service: "ready" });
  call.on("data", ({ status }: { status: number }) => seen.push(status)).on("error", () => undefined);
  await once(call, "data");
  for (const status of ["NOT_SERVING", "SERVING", "SERVING", "NOT_SERVING"] as const) health.setStatus("ready", status);
  while (seen.length < 3) await once(call, "data");
  assert.deepEqual(seen, [Status.NOT_SERVING, Status.SERVING, Status.NOT_SERVING]);
  call.cancel();
  const unknown = client.watch({ service: "nobody" });
  unknown.on("error", () => undefined);
  assert.deepEqual(await once(unknown, "data"), [{ status: Status.SERVICE_UNKNOWN }]);
});

test("stops at once, also while somebody watches", async () => {
  const server = aServer(new Health([""]));
  const client = clientOf(await server.start());
  const call = client.watch({ service: "" });
  await once(call, "data");
  const ended = once(call, "error");
  server.stop();
  assert.equal(await Promise.race([ended.then(() => "ended"), pause(1_000)]), "ended");
  client.close();
});

test("rejects where the port is taken, also by one that shares its own", async (t) => {
  const alone = aServer(new Health([""]));
  const port = await alone.start();
  const sharing = aServer(new Health([""]), { shared: true });
  const sharedPort = await sharing.start();
  t.after(() => {
    alone.stop();
    sharing.stop();
  });
  for (const [taken, shared] of [
    [port, false],
    [port, true],
    [sharedPort, false],
  ] as const)
    await assert.rejects(aServer(new Health([""]), { port: taken, shared }).start(), /EADDRINUSE/);
});

test("two generations share a port, and the one that stays answers alone when the other stops", async (t) => {
  const [old, young] = [new Health(["old", "young"]), new Health(["old", "young"])];
  const first = aServer(old, { shared: true });
  const port = await first.start();
  const second = aServer(young, { port, shared: true });
  await second.start();
  t.after(() => second.stop());
  old.setStatus("old", "SERVING");
  young.setStatus("young", "SERVING");
  const seen = new Set<string>();
  for (let tries = 0; tries < 200 && seen.size < 2; tries += 1) seen.add((await check(port, "old")) === Status.SERVING ? "old" : "young");
  assert.deepEqual(seen, new Set(["old", "young"]));
  first.stop();
  for (let tries = 0; tries < 20; tries += 1) assert.equal(await check(port, "young"), Status.SERVING);
});

test("thousands of connections are not kept, and do not keep a probe out", async (t) => {
  const health = new Health([""]);
  health.setStatus("", "SERVING");
  const server = aServer(health);
  const port = await server.start();
  t.after(() => server.stop());
  const seen = { connected: 0, closed: 0 };
  for (let times = 0; times < 400; times++) {
    const stranger = connect(port, "127.0.0.1").on("error", () => undefined);
    stranger.resume().once("connect", () => void (seen.connected += 1));
    stranger.once("close", () => void (seen.closed += 1));
    t.after(() => stranger.destroy());
  }
  await until(() => seen.connected === 400);
  assert.equal(await check(port, ""), Status.SERVING);
  await until(() => seen.closed >= 400 - 255); // the probe had one of 256
  assert.equal(seen.closed, 400 - 255);
});

test("a connection has so many watches at a time, not thousands", async (t) => {
  const health = new Health([""]);
  const server = aServer(health);
  const client = clientOf(await server.start());
  t.after(() => {
    client.close();
    server.stop();
  });
  const seen = { answers: 0 };
  const calls = Array.from({ length: 100 }, () => client.watch({ service: "" }));
  for (const call of calls) call.on("data", () => void (seen.answers += 1)).on("error", () => undefined);
  await until(() => seen.answers >= 4);
  await pause(200);
  assert.equal(seen.answers, 4);
});

test("a call has so many headers, not more", async (t) => {
  const server = aServer(new Health([""]));
  const client = clientOf(await server.start());
  t.after(() => {
    client.close();
    server.stop();
  });
  const metadata = new Metadata();
  metadata.set("x", "a".repeat(20_000));
  const error = await new Promise<ServiceError | null>((resolve) => void client.check({ service: "" }, metadata, resolve));
  assert.equal(error?.code, Code.RESOURCE_EXHAUSTED);
});
