import assert from "node:assert/strict";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { suite, type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { echoBackend, eventually, FAST_CHECK, hurried, withCloud } from "./fixture.ts";
import { dial } from "./traffic-fixture.ts";

/** A load balancer with one listener on a free port; time runs twenty times as fast, so that a check of 2 s takes 100 ms. */
async function start(t: TestContext, options: Parameters<typeof withCloud>[1] = {}, check = FAST_CHECK) {
  const started = await withCloud(t, { clock: hurried(), ...options });
  const { loadBalancerId: LoadBalancerId, vip } = started.cloud.addLoadBalancer();
  const ListenerId = await started.listener(LoadBalancerId, 8000, check);
  const { sdk } = started;
  return {
    ...started,
    LoadBalancerId,
    ListenerId,
    bind: (...backends: { ip: string; port: number; weight?: number }[]) =>
      sdk.BatchRegisterTargets({
        LoadBalancerId,
        Targets: backends.map(({ ip, port, weight = 10 }) => ({ ListenerId, EniIp: ip, Port: port, Weight: weight })),
      }),
    unbind: (...backends: { ip: string; port: number }[]) =>
      sdk.BatchDeregisterTargets({ LoadBalancerId, Targets: backends.map(({ ip, port }) => ({ ListenerId, EniIp: ip, Port: port })) }),
    healthOf: async (backend: { ip: string; port: number }) => {
      const { LoadBalancers } = await sdk.DescribeTargetHealth({ LoadBalancerIds: [LoadBalancerId] });
      const targets = LoadBalancers?.[0]?.Listeners?.[0]?.Rules?.[0]?.Targets ?? [];
      return targets.find((target) => target.IP === backend.ip && target.Port === backend.port)?.HealthStatusDetail;
    },
    open: () => dial(vip, 8000),
  };
}

suite("health", () => {
  test("a target is Unknown, then Alive after HealthNum probes, Dead after UnHealthNum, and Alive again", async (t) => {
    const { bind, healthOf, cloud } = await start(t);
    const backend = await echoBackend(t, "127.244.1.1");
    await bind(backend);
    assert.equal(await healthOf(backend), "Unknown");
    await eventually("Alive", async () => (await healthOf(backend)) === "Alive");
    await backend.stop();
    await eventually("Dead", async () => (await healthOf(backend)) === "Dead");
    await echoBackend(t, backend.ip, backend.port);
    await eventually("Alive again", async () => (await healthOf(backend)) === "Alive");
    assert.deepEqual(
      cloud.journal.of("health").map(({ from, to }) => `${from} ${to}`),
      ["Unknown Alive", "Alive Dead", "Dead Alive"],
    );
  });

  test("the first probe comes within one interval, the next ones an interval apart, also at weight 0", async (t) => {
    const probes: number[] = [];
    const clock = hurried();
    const probe = async (): Promise<boolean> => probes.push(clock.now()) > 0;
    const { bind, healthOf, cloud } = await start(t, { clock, probe }, { ...FAST_CHECK, IntervalTime: 10, HealthNum: 3 });
    const backend = { ip: "127.244.1.1", port: 1, weight: 0 };
    await bind(backend);
    await eventually("Alive", async () => (await healthOf(backend)) === "Alive");
    const boundMs = cloud.journal.of("target")[0]?.timeMs ?? 0;
    const [first = 0, second = 0, third = 0] = probes;
    assert.ok(first - boundMs < 10_300, `first after ${first - boundMs} ms`);
    // 500 ms of the clock are 25 ms of real time: what timers may be late.
    for (const gap of [second - first, third - second]) assert.ok(Math.abs(gap - 10_000) < 1500, `gap of ${gap} ms`);
    assert.equal(cloud.journal.of("health").length, 1, "Alive with the third probe and not before");
  });

  test("with checks off a target is Close and served; switching them on begins with Unknown", async (t) => {
    const { sdk, done, bind, healthOf, open, LoadBalancerId, ListenerId } = await start(t, {}, { HealthSwitch: 0 });
    const backend = await echoBackend(t, "127.244.1.1");
    await bind(backend);
    assert.equal(await healthOf(backend), "Close");
    assert.equal(await open().say("hi"), "127.244.1.1 hi");
    await done(await sdk.ModifyListener({ LoadBalancerId, ListenerId, HealthCheck: { ...FAST_CHECK, HealthSwitch: 1 } }));
    assert.equal(await healthOf(backend), "Unknown");
    await eventually("Alive", async () => (await healthOf(backend)) === "Alive");
  });

  test("an HTTP check looks at the status class and at the check port", async (t) => {
    let status = 500;
    const seen: string[] = [];
    const page = createHttpServer((request, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers.host} ${request.headers["user-agent"]}`);
      response.writeHead(status).end();
    });
    await new Promise<void>((resolve) => void page.listen(0, "127.244.1.1", resolve));
    t.after(() => page.close());
    const address = page.address();
    assert.ok(typeof address === "object" && address !== null);
    const http = { CheckType: "HTTP", HttpVersion: "HTTP/1.1", HttpCheckDomain: "app.local", HttpCheckPath: "/live", HttpCode: 2 };
    const { bind, healthOf } = await start(t, {}, { ...FAST_CHECK, ...http, CheckPort: address.port });
    const backend = { ip: "127.244.1.1", port: 1 };
    await bind(backend);
    await eventually("Dead", async () => (await healthOf(backend)) === "Dead");
    status = 204;
    await eventually("Alive", async () => (await healthOf(backend)) === "Alive");
    assert.equal(seen[0], "HEAD /live app.local clb-healthcheck");
  });

  test("a script may say what the health is", async (t) => {
    const { bind, healthOf, cloud, LoadBalancerId, ListenerId } = await start(t, { health: "scripted" });
    const backend = { ip: "127.244.1.1", port: 1 };
    await bind(backend);
    await delay(150);
    assert.equal(await healthOf(backend), "Unknown");
    cloud.setHealth({ loadBalancerId: LoadBalancerId, listenerId: ListenerId, ...backend }, "Dead");
    assert.equal(await healthOf(backend), "Dead");
  });
});

suite("traffic", () => {
  /** Health by script, so that each test says which backends are well. */
  const scripted = async (t: TestContext) => {
    const started = await start(t, { health: "scripted" });
    const { cloud, LoadBalancerId: loadBalancerId, ListenerId: listenerId } = started;
    const set = (backend: { ip: string; port: number }, status: "Alive" | "Dead" | "Unknown"): void =>
      cloud.setHealth({ loadBalancerId, listenerId, ip: backend.ip, port: backend.port }, status);
    const talkTo = async (count: number): Promise<string[]> => {
      const answers: string[] = [];
      for (let turn = 0; turn < count; turn++) {
        const { say, socket } = started.open();
        answers.push(await say("x"));
        socket.destroy();
      }
      return answers;
    };
    return { ...started, set, talkTo };
  };

  test("healthy backends share it by weight; checking, dead and weightless ones get no byte", async (t) => {
    const { bind, set, talkTo } = await scripted(t);
    const [one, two, checking, dead, idle] = await Promise.all([1, 2, 3, 4, 5].map((digit) => echoBackend(t, `127.244.1.${digit}`)));
    assert.ok(one && two && checking && dead && idle);
    await bind({ ...one, weight: 10 }, { ...two, weight: 30 }, checking, dead, { ...idle, weight: 0 });
    set(idle, "Alive");
    set(dead, "Dead");
    assert.deepEqual(await talkTo(1), ["ECONNRESET"], "the healthy one has weight 0, and it keeps the dead ones dead");
    for (const backend of [one, two]) set(backend, "Alive");
    const answers = await talkTo(20);
    assert.equal(answers.filter((answer) => answer === "127.244.1.1 x").length, 5);
    assert.equal(answers.filter((answer) => answer === "127.244.1.2 x").length, 15);
    assert.deepEqual(
      [checking, dead, idle].map(({ open, talked }) => open.size + talked.size),
      [0, 0, 0],
    );
  });

  test("when all are dead, all dead ones get it; a checking one does not, and shields the others only while health is recent", async (t) => {
    const { bind, set, talkTo } = await scripted(t);
    const [one, two] = await Promise.all([echoBackend(t, "127.244.1.1"), echoBackend(t, "127.244.1.2")]);
    await bind(one, two);
    assert.deepEqual(await talkTo(1), ["ECONNRESET"], "both are still checked");
    set(one, "Dead");
    set(two, "Dead");
    assert.deepEqual((await talkTo(2)).toSorted(), ["127.244.1.1 x", "127.244.1.2 x"]);
    set(one, "Alive");
    set(one, "Dead");
    set(two, "Unknown");
    assert.deepEqual(await talkTo(1), ["ECONNRESET"], "one was healthy within the last interval");
    await delay(150); // the interval is 2 s, 100 ms here
    assert.deepEqual(await talkTo(2), ["127.244.1.1 x", "127.244.1.1 x"]);
  });

  test("weight 0 and ill health keep an established connection, unbinding ends it", async (t) => {
    const { sdk, done, bind, unbind, set, open, cloud, LoadBalancerId, ListenerId } = await scripted(t);
    const [one, two] = await Promise.all([echoBackend(t, "127.244.1.1"), echoBackend(t, "127.244.1.2")]);
    await bind(one);
    set(one, "Alive");
    const kept = open();
    assert.equal(await kept.say("a"), "127.244.1.1 a");
    await bind(two);
    set(two, "Alive");
    await done(await sdk.ModifyTargetWeight({ LoadBalancerId, ListenerId, Targets: [{ EniIp: one.ip, Port: one.port, Weight: 0 }] }));
    assert.equal(await kept.say("b"), "127.244.1.1 b");
    assert.equal(await open().say("new"), "127.244.1.2 new");
    set(one, "Dead");
    assert.equal(await kept.say("c"), "127.244.1.1 c");
    const port = kept.socket.localPort ?? 0;
    await unbind(one);
    assert.equal(await kept.ended, "closed");
    await eventually("the backend's side ends too", () => one.open.size === 0);
    const [record] = cloud.connectionsOf({ port });
    assert.deepEqual([record?.backend, record?.cause], [`${one.ip}:${one.port}`, "unbound"]);
  });

  test("a refused backend resets the client and is named in the journal", async (t) => {
    const { bind, set, open, cloud, ListenerId } = await scripted(t);
    const gone = await echoBackend(t, "127.244.1.1");
    await gone.stop();
    await bind(gone);
    set(gone, "Alive");
    const client = open();
    assert.equal(await client.say("x"), "ECONNRESET");
    const [entry] = cloud.journal.of("data-plane");
    assert.deepEqual(
      [entry?.cause, entry?.backend, entry?.listenerId, entry?.detail],
      ["refused", `${gone.ip}:${gone.port}`, ListenerId, "ECONNREFUSED"],
    );
    assert.deepEqual(
      [entry?.clientAddress, entry?.clientPort],
      ["127.0.0.1", cloud.connectionsOf({ port: entry?.clientPort ?? 0 })[0]?.clientPort],
    );
  });

  test("a backend that resets in the middle resets the client; a client that resets is nobody's failure", async (t) => {
    const { bind, set, open, cloud } = await scripted(t);
    const backend = await echoBackend(t, "127.244.1.1");
    await bind(backend);
    set(backend, "Alive");
    const rude = open();
    await rude.say("x");
    rude.socket.resetAndDestroy();
    await eventually("the backend sees it", () => backend.open.size === 0);
    assert.deepEqual(cloud.journal.of("data-plane"), []);
    const client = open();
    await client.say("x");
    for (const socket of backend.open) socket.resetAndDestroy();
    assert.equal(await client.ended, "ECONNRESET");
    assert.deepEqual(
      cloud.journal.of("data-plane").map(({ cause }) => cause),
      ["reset"],
    );
  });

  test("half-closed connections and large bodies pass whole, both ways, and are counted", async (t) => {
    const { bind, set, open, cloud } = await scripted(t);
    const SIZE = 5_000_000;
    const sink = createServer({ allowHalfOpen: true }, (socket) => {
      let size = 0;
      socket.on("data", (data) => {
        size += data.length;
      });
      socket.on("end", () => socket.end(Buffer.alloc(size, "y")));
    });
    await new Promise<void>((resolve) => void sink.listen(0, "127.244.1.1", resolve));
    t.after(() => sink.close());
    const address = sink.address();
    assert.ok(typeof address === "object" && address !== null);
    const backend = { ip: "127.244.1.1", port: address.port };
    await bind(backend);
    set(backend, "Alive");
    const { socket } = open();
    socket.end(Buffer.alloc(SIZE, "x"));
    let received = 0;
    for await (const data of socket as AsyncIterable<Buffer>) received += data.length;
    assert.equal(received, SIZE);
    await eventually("counted", () => cloud.counts().backends[0]?.open === 0);
    const [counted] = cloud.counts().backends;
    assert.deepEqual([counted?.connections, counted?.bytesTo, counted?.bytesFrom], [1, SIZE, SIZE]);
  });

  test("deleting the listener frees its port and ends its connections, by a reset where the listener says so", async (t) => {
    const { sdk, done, bind, set, open, LoadBalancerId, ListenerId } = await scripted(t);
    const backend = await echoBackend(t, "127.244.1.1");
    await bind(backend);
    set(backend, "Alive");
    const client = open();
    await client.say("x");
    await done(await sdk.ModifyListener({ LoadBalancerId, ListenerId, DeregisterTargetRst: true }));
    await done(await sdk.DeleteListener({ LoadBalancerId, ListenerId }));
    assert.equal(await client.ended, "ECONNRESET");
    assert.equal(await open().ended, "ECONNREFUSED");
  });
});
