import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent } from "node:http";
import { connect, createServer } from "node:net";
import { suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "./fixture.ts";
import { ask, dial, httpBackend, layer7, portOf } from "./traffic-fixture.ts";

const ONE = "127.244.2.1";
const TWO = "127.244.2.2";

suite("layer 7: where a request goes", () => {
  test("by host and path; what fits no rule gets 404, a missing slash a redirect", async (t) => {
    const { vip, bindTo, LocationIds } = await layer7(t, {
      rules: [
        { Domain: "e.com", Url: "/" },
        { Domain: "e.com", Url: "/api/" },
        { Domain: "*.other.com", Url: "/only", HealthCheck: { HealthSwitch: 0 } },
      ],
    });
    const backends = await Promise.all([1, 2, 3].map((digit) => httpBackend(t, `127.244.2.${digit}`)));
    for (const [index, backend] of backends.entries()) await bindTo(LocationIds[index] ?? "", "Alive", [backend]);
    const bodyOf = async (host: string, path: string): Promise<string> => {
      const { status, body } = await ask(vip, { path, headers: { host } });
      return status === 200 ? body : String(status);
    };
    assert.equal(await bodyOf("e.com", "/x?y=/api/"), ONE);
    assert.equal(await bodyOf("e.com:8000", "/api/users"), TWO);
    assert.equal(await bodyOf("unknown.com", "/"), ONE, "the default domain");
    assert.equal(await bodyOf("a.other.com", "/only/x"), "127.244.2.3");
    assert.equal(await bodyOf("a.other.com", "/else"), "404");
    const redirected = await ask(vip, { path: "/api?x=1" });
    assert.deepEqual([redirected.status, redirected.headers.location], [301, "http://e.com/api/?x=1"]);
  });

  test("a rule that is redirected sends its clients to the other one, with the path that they asked for or with its own", async (t) => {
    const { vip, sdk, done, LoadBalancerId, ListenerId, LocationIds } = await layer7(t, {
      rules: ["/", "/kept", "/old", "/new"].map((Url) => ({ Domain: Url === "/new" || Url === "/" ? "b.com" : "a.com", Url })),
    });
    const [root = "", kept = "", old = "", fresh = ""] = LocationIds;
    const redirect = (SourceLocationId: string, TargetLocationId: string, TakeUrl: boolean, RewriteCode: number) => ({
      LoadBalancerId,
      SourceListenerId: ListenerId,
      TargetListenerId: ListenerId,
      RewriteInfos: [{ SourceLocationId, TargetLocationId, TakeUrl, RewriteCode, SourceDomain: "a.com" }],
    });
    await done(await sdk.ManualRewrite(redirect(kept, root, true, 301)));
    await done(await sdk.ManualRewrite(redirect(old, fresh, false, 307)));
    const asked = async (path: string) => {
      const { status, headers } = await ask(vip, { path, headers: { host: "a.com:8000" } });
      return [status, headers.location];
    };
    assert.deepEqual(await asked("/kept/x?y=1"), [301, "http://b.com:8000/kept/x?y=1"]);
    assert.deepEqual(await asked("/old/x"), [307, "http://b.com:8000/new"]);
    await done(await sdk.DeleteRewrite(redirect(old, fresh, false, 307)));
    assert.equal((await asked("/old/x"))[0], 502, "a rule without backends");
  });

  test("a rule that is created, changed or deleted counts from the next request on, without a new connection", async (t) => {
    const { vip, bind, sdk, done, LoadBalancerId, ListenerId, LocationIds } = await layer7(t, {
      rules: [{ Domain: "e.com", Url: "/old" }],
    });
    await bind(await httpBackend(t, ONE));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const before = await ask(vip, { path: "/old", agent });
    assert.equal((await ask(vip, { path: "/new", agent })).status, 404);
    const [LocationId = ""] = LocationIds;
    await done(await sdk.ModifyRule({ LoadBalancerId, ListenerId, LocationId, Url: "/new" }));
    const after = await ask(vip, { path: "/new", agent });
    assert.deepEqual([before.status, after.status, after.port], [200, 200, before.port]);
    await done(await sdk.DeleteRule({ LoadBalancerId, ListenerId, LocationIds: [LocationId] }));
    assert.equal((await ask(vip, { path: "/new", agent })).status, 404);
  });

  test("each request of one kept connection is balanced by itself", async (t) => {
    const { vip, bind } = await layer7(t);
    const [one, two] = await Promise.all([httpBackend(t, ONE), httpBackend(t, TWO)]);
    await bind({ ...one, weight: 10 }, { ...two, weight: 30 });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.after(() => agent.destroy());
    const answers = [];
    for (let turn = 0; turn < 8; turn++) answers.push(await ask(vip, { agent }));
    assert.equal(new Set(answers.map(({ port }) => port)).size, 1);
    assert.equal(answers.filter(({ body }) => body === TWO).length, 6);
  });

  test("LEAST_CONN gives a request to the backend with fewer of them", async (t) => {
    const { vip, bind } = await layer7(t, { rules: [{ Domain: "e.com", Url: "/", Scheduler: "LEAST_CONN" }] });
    let release = (): void => undefined;
    const slow = await httpBackend(t, ONE, (_request, response) => {
      release = () => void response.end(ONE);
    });
    await bind(slow);
    const held = ask(vip);
    await eventually("the slow one has it", () => slow.seen.length === 1);
    await bind(await httpBackend(t, TWO));
    for (let turn = 0; turn < 3; turn++) assert.equal((await ask(vip)).body, TWO);
    release();
    assert.equal((await held).body, ONE);
  });
});

suite("layer 7: what the backend sees", () => {
  test("client address and protocol in headers and as the connection's source; a connection of its own for each request", async (t) => {
    const { vip, bind } = await layer7(t);
    const backend = await httpBackend(t, ONE);
    await bind(backend);
    for (let turn = 0; turn < 2; turn++) await ask(vip, { localAddress: "127.9.8.7", headers: { "x-forwarded-for": "1.1.1.1" } });
    const [request] = backend.seen;
    const { host, connection, "x-forwarded-for": chain, "x-real-ip": ip, "x-client-proto": proto } = request?.headers ?? {};
    assert.deepEqual([host, connection, chain, ip, proto], ["e.com", "close", "1.1.1.1, 127.9.8.7", "127.9.8.7", "http"]);
    assert.equal(request?.headers["x-client-proto-ver"], "HTTP/1.1");
    assert.deepEqual(backend.sources, ["127.9.8.7", "127.9.8.7"]);
  });

  test("with KeepaliveEnable connections are kept, and have no client's address", async (t) => {
    const { vip, bind } = await layer7(t, { listener: { KeepaliveEnable: 1 } });
    const backend = await httpBackend(t, ONE);
    await bind(backend);
    for (let turn = 0; turn < 3; turn++) await ask(vip, { localAddress: "127.9.8.7" });
    assert.equal(backend.connections.size, 1);
    assert.equal(backend.seen[2]?.headers["x-forwarded-for"], "127.9.8.7");
    assert.notEqual(backend.sources[0], "127.9.8.7");
  });

  test("a kept connection that the backend ends when the next request comes costs none, unless that may not be sent twice", async (t) => {
    const { vip, bind, cloud } = await layer7(t, { listener: { KeepaliveEnable: 1 } });
    let connections = 0;
    const tired = createServer((socket) => {
      connections++;
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        socket.once("data", () => socket.destroy());
      });
      socket.on("error", () => undefined);
    });
    await new Promise<void>((resolve) => void tired.listen(0, ONE, resolve));
    t.after(() => tired.close());
    await bind({ ip: ONE, port: portOf(tired) });
    for (let turn = 0; turn < 3; turn++) assert.equal((await ask(vip)).body, "ok");
    assert.equal(connections, 3);
    assert.deepEqual(cloud.journal.of("data-plane"), []);
    assert.equal((await ask(vip, { method: "POST", body: "x" })).status, 502);
  });

  test("bodies pass whole both ways, with a length, in chunks, and until the end of the connection", async (t) => {
    const { vip, bind, cloud } = await layer7(t);
    const large = "y".repeat(300_000);
    const echo = await httpBackend(t, ONE, (request, response) => {
      if (request.url === "/length") response.setHeader("Content-Length", large.length);
      if (request.url === "/empty") response.writeHead(204).end();
      else request.pipe(response);
    });
    await bind(echo);
    const chunked = await ask(vip, { method: "POST", path: "/chunks", body: large, headers: { "transfer-encoding": "chunked" } });
    assert.equal(chunked.body, large);
    const sized = await ask(vip, { method: "POST", path: "/length", body: large, headers: { "content-length": `${large.length}` } });
    assert.deepEqual([sized.body.length, sized.headers["content-length"]], [large.length, `${large.length}`]);
    assert.equal((await ask(vip, { path: "/empty" })).status, 204);
    const head = await ask(vip, { method: "HEAD", path: "/length" });
    assert.deepEqual([head.status, head.headers["content-length"], head.body], [200, `${large.length}`, ""]);
    await eventually("counted", () => cloud.counts().backends[0]?.open === 0);
    const [counted] = cloud.counts().backends;
    assert.equal(counted?.connections, 4);
    assert.ok((counted?.bytesTo ?? 0) > 2 * large.length && (counted?.bytesFrom ?? 0) > 2 * large.length);
  });

  test("an old backend's answer without a length ends with its connection", async (t) => {
    const { vip, bind } = await layer7(t);
    const old = createServer((socket) => {
      socket.once("data", () => socket.end("HTTP/1.0 200 OK\r\nX-A: 1\r\nX-A: 2\r\n\r\nold"));
      socket.on("error", () => undefined);
    });
    await new Promise<void>((resolve) => void old.listen(0, ONE, resolve));
    t.after(() => old.close());
    await bind({ ip: ONE, port: portOf(old) });
    const { status, body, headers } = await ask(vip);
    assert.deepEqual([status, body, headers["x-a"]], [200, "old", "1, 2"]);
  });

  test("a WebSocket passes", async (t) => {
    const { vip, bind, cloud } = await layer7(t);
    const backend = await httpBackend(t, ONE);
    backend.server.on("upgrade", (request, socket) => {
      const seen = `${request.headers.upgrade} ${String(request.headers["x-real-ip"])}`;
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Seen: ${seen}\r\n\r\n`);
      socket.on("data", (data: Buffer) => socket.write(`back ${data.toString()}`));
      socket.on("error", () => undefined);
    });
    await bind(backend);
    const client = connect({ host: vip, port: 8000, localAddress: "127.9.8.7" });
    t.after(() => client.destroy());
    client.write("GET /chat HTTP/1.1\r\nHost: e.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n");
    const [head] = await once(client, "data");
    assert.match(String(head), /^HTTP\/1\.1 101 [\s\S]*X-Seen: websocket 127\.9\.8\.7/);
    client.write("hello");
    assert.equal(String((await once(client, "data"))[0]), "back hello");
    assert.equal(cloud.counts().backends[0]?.open, 1);
  });
});

suite("layer 7: sessions, weight, failure", () => {
  test("a session cookie keeps the backend, also on a new connection, until its weight is 0", async (t) => {
    const rule = { Domain: "e.com", Url: "/", SessionExpireTime: 60, CookieName: "route" };
    const { vip, bind, sdk, done, LoadBalancerId, ListenerId, LocationIds } = await layer7(t, { rules: [rule] });
    const backends = await Promise.all([httpBackend(t, ONE), httpBackend(t, TWO)]);
    await bind(...backends);
    const first = await ask(vip);
    const [set = ""] = first.headers["set-cookie"] ?? [];
    assert.match(set, /^route=[0-9a-f]{32}; Path=\/; Max-Age=60; HttpOnly$/);
    const cookie = set.split(";")[0] ?? "";
    for (let turn = 0; turn < 4; turn++) assert.equal((await ask(vip, { headers: { cookie } })).body, first.body);
    const [LocationId = ""] = LocationIds;
    const kept = backends.find(({ ip }) => ip === first.body);
    assert.ok(kept);
    const Targets = [{ EniIp: kept.ip, Port: kept.port, Weight: 0 }];
    await done(await sdk.ModifyTargetWeight({ LoadBalancerId, ListenerId, LocationId, Targets }));
    const moved = await ask(vip, { headers: { cookie } });
    assert.notEqual(moved.body, first.body);
    assert.notEqual(moved.headers["set-cookie"]?.[0]?.split(";")[0], cookie);
  });

  test("weight 0 lets a request that runs end; checking and dead backends get none", async (t) => {
    const { vip, bind, bindTo, sdk, done, LoadBalancerId, ListenerId, LocationIds } = await layer7(t);
    let release = (): void => undefined;
    const slow = await httpBackend(t, ONE, (_request, response) => {
      release = () => void response.end(ONE);
    });
    await bind(slow);
    const running = ask(vip);
    await eventually("it runs", () => slow.seen.length === 1);
    const [LocationId = ""] = LocationIds;
    const Targets = [{ EniIp: slow.ip, Port: slow.port, Weight: 0 }];
    await done(await sdk.ModifyTargetWeight({ LoadBalancerId, ListenerId, LocationId, Targets }));
    const [checking, dead] = await Promise.all([httpBackend(t, TWO), httpBackend(t, "127.244.2.3")]);
    await bindTo(LocationId, "Unknown", [checking]);
    await bindTo(LocationId, "Dead", [dead]);
    assert.equal((await ask(vip)).status, 502);
    release();
    assert.equal((await running).body, ONE);
    assert.deepEqual([checking.connections.size, dead.connections.size], [0, 0]);
  });

  test("unbinding cuts the request that runs", async (t) => {
    const { vip, bind, sdk, cloud, LoadBalancerId, ListenerId, LocationIds } = await layer7(t);
    const slow = await httpBackend(t, ONE, () => undefined);
    await bind(slow);
    const running = ask(vip);
    await eventually("it runs", () => slow.seen.length === 1);
    const [LocationId = ""] = LocationIds;
    await sdk.BatchDeregisterTargets({ LoadBalancerId, Targets: [{ ListenerId, LocationId, EniIp: slow.ip, Port: slow.port }] });
    const { status, port = 0 } = await running;
    assert.equal(status, 502);
    const [record] = cloud.connectionsOf({ port });
    assert.deepEqual([record?.cause, record?.backend, record?.locationId], ["unbound", `${slow.ip}:${slow.port}`, LocationId]);
  });

  test("a backend that refuses is passed over and left out after three times, but never hidden from the journal", async (t) => {
    const { vip, bind, cloud } = await layer7(t);
    const [gone, well] = await Promise.all([httpBackend(t, ONE), httpBackend(t, TWO)]);
    await bind(gone, well);
    gone.server.closeAllConnections();
    await new Promise<void>((resolve) => void gone.server.close(() => resolve()));
    for (let turn = 0; turn < 12; turn++) assert.equal((await ask(vip)).body, TWO);
    const refused = cloud.journal.of("data-plane").map(({ cause, backend }) => `${cause} ${backend}`);
    assert.deepEqual(refused, Array(3).fill(`refused ${gone.ip}:${gone.port}`));
  });

  test("no backend gives 502, one that breaks off 502, one that does not accept 504 in the end", async (t) => {
    const { vip, bind, cloud } = await layer7(t);
    assert.equal((await ask(vip)).status, 502);
    const rude = await httpBackend(t, ONE, (request) => request.socket.destroy());
    await bind(rude);
    assert.equal((await ask(vip, { method: "POST", body: "x" })).status, 502);
    assert.deepEqual(
      cloud.journal.of("data-plane").map(({ cause }) => cause),
      ["no-backend", "reset"],
    );
  });

  test("an answer that breaks off in the middle breaks off for the client", async (t) => {
    const { vip, bind } = await layer7(t);
    const half = await httpBackend(t, ONE, (request, response) => {
      response.writeHead(200, { "content-length": 100 }).write("half");
      setImmediate(() => request.socket.destroy());
    });
    await bind(half);
    await assert.rejects(ask(vip), { code: "ECONNRESET" });
  });

  test("a client that leaves takes its request with it and is nobody's failure", async (t) => {
    const { vip, bind, cloud } = await layer7(t);
    const slow = await httpBackend(t, ONE, () => undefined);
    await bind(slow);
    const { socket } = dial(vip);
    socket.write("GET / HTTP/1.1\r\nHost: e.com\r\n\r\n");
    await eventually("it runs", () => slow.seen.length === 1);
    socket.destroy();
    await eventually("the backend sees it", () => [...slow.connections].every(({ destroyed }) => destroyed));
    await delay(20);
    assert.deepEqual(cloud.journal.of("data-plane"), []);
    assert.equal(cloud.counts().backends[0]?.open, 0);
  });

  test("what is no HTTP gets 400", async (t) => {
    const { vip } = await layer7(t);
    assert.match(await dial(vip).say("what?\r\n\r\n"), /^HTTP\/1\.1 400 /);
  });

  test("deleting the listener ends kept connections and frees the port", async (t) => {
    const { vip, bind, sdk, done, LoadBalancerId, ListenerId } = await layer7(t);
    await bind(await httpBackend(t, ONE));
    const idle = dial(vip);
    await idle.say("GET / HTTP/1.1\r\nHost: e.com\r\n\r\n");
    await done(await sdk.DeleteListener({ LoadBalancerId, ListenerId }));
    assert.equal(await idle.ended, "ECONNRESET");
    assert.equal(await dial(vip).ended, "ECONNREFUSED");
  });
});
