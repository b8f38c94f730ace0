import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { suite, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeClock } from "../../../common/clock.ts";
import { claimSlot } from "../network.ts";
import { startApplication } from "./application.ts";
import type { Container } from "./objects.ts";
import { type Caller, runPreStop } from "./pre-stop.ts";

const at = (podIp: string): Caller => ({ podIp, holdAddress: undefined, clock: makeClock() });

const aContainer = (env: Record<string, string> = {}): Container => ({
  name: "web",
  env: Object.entries({ STARTUP_SECONDS: "0", ...env }).map(([name, value]) => ({ name, value })),
  ports: [
    { name: "http", containerPort: 8080 },
    { name: "dns", containerPort: 5353, protocol: "UDP" },
    { name: "other", containerPort: 9000 },
  ],
});

async function anAddress(t: TestContext): Promise<string> {
  const { plan, release } = await claimSlot();
  t.after(release);
  return plan.podAddresses[0] ?? "";
}

type Line = { readonly socket: Socket; readonly got: () => string; readonly closed: Promise<void> };

/** Rejects with ECONNREFUSED where nothing listens. */
function dial(host: string, port = 8080): Promise<Line> {
  return new Promise((resolve, reject) => {
    let got = "";
    const closed = Promise.withResolvers<void>();
    const socket = connect(port, host, () => resolve({ socket, got: () => got, closed: closed.promise }));
    socket.setEncoding("utf8").on("data", (part: string) => (got += part));
    socket.once("error", reject).once("close", () => closed.resolve());
  });
}

suite("the simulated application", () => {
  test("listens on each declared TCP port of its own address, only when it has started", async (t) => {
    const address = await anAddress(t);
    const application = startApplication(aContainer({ STARTUP_SECONDS: "0.2" }), "web-1", address);
    t.after(application.kill);
    await assert.rejects(dial(address), { code: "ECONNREFUSED" });
    await application.ready;
    for (const port of [8080, 9000]) {
      const line = await dial(address, port);
      line.socket.write("GET /any HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
      await line.closed;
      assert.match(line.got(), /^HTTP\/1\.1 200 OK\r\n[^]*x-pod: web-1\r\n[^]*web-1\n/);
    }
    await assert.rejects(dial(address, 5353), { code: "ECONNREFUSED" });
  });

  test("at SIGTERM ends at once: open connections break, new ones are refused", async (t) => {
    const address = await anAddress(t);
    const application = startApplication(aContainer(), "web-1", address);
    await application.ready;
    const line = await dial(address);
    line.socket.on("error", () => undefined).write("GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf");
    await sleep(50);
    await application.terminate();
    await line.closed;
    await assert.rejects(dial(address), { code: "ECONNREFUSED" });
  });

  test("with GRACEFUL finishes a request that has begun, and refuses new connections meanwhile", async (t) => {
    const address = await anAddress(t);
    const application = startApplication(aContainer({ GRACEFUL: "true" }), "web-1", address);
    t.after(application.kill);
    await application.ready;
    const line = await dial(address);
    line.socket.write("GET / HTTP/1.1\r\nhost: x\r\n");
    await sleep(50);
    const ended = application.terminate();
    await assert.rejects(dial(address), { code: "ECONNREFUSED" });
    line.socket.write("\r\n");
    await Promise.all([ended, line.closed]);
    assert.match(line.got(), /^HTTP\/1\.1 200 OK[^]*connection: close/i);
  });
});

suite("a preStop hook", () => {
  test("httpGet without a host goes to the Pod's own address, a port by name", async (t) => {
    const address = await anAddress(t);
    const container: Container = { ...aContainer(), lifecycle: { preStop: { httpGet: { port: "other", path: "/hold" } } } };
    const application = startApplication(container, "web-1", address);
    t.after(application.kill);
    await application.ready;
    assert.equal(await runPreStop(container, at(address), AbortSignal.timeout(5000)), undefined);
    application.kill();
    assert.match((await runPreStop(container, at(address), AbortSignal.timeout(5000))) ?? "", /ECONNREFUSED/);
  });

  test("names a port that the container does not declare, and sleeps no longer than the grace period", async () => {
    const named: Container = { ...aContainer(), lifecycle: { preStop: { httpGet: { port: "admin" } } } };
    assert.match((await runPreStop(named, at("127.0.0.1"), AbortSignal.timeout(5000))) ?? "", /container web has no port named "admin"/);
    const sleepy: Container = { ...aContainer(), lifecycle: { preStop: { sleep: { seconds: 60 } } } };
    assert.ok(await runPreStop(sleepy, at("127.0.0.1"), AbortSignal.timeout(100)));
  });
});
