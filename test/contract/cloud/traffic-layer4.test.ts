import assert from "node:assert/strict";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { suite, type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { aCertificate } from "../../certificates.ts";
import { echoBackend, eventually } from "./fixture.ts";
import { dial, layer4, portOf } from "./traffic-fixture.ts";

const ONE = "127.244.3.1";
const TWO = "127.244.3.2";
/** Shortest session that the API takes, in s; 1.5 s of real time here. */
const SESSION_S = 30;

/** The first words of the answers to some connections, each ended by the client. */
async function served(vip: string, count: number, localAddress?: string): Promise<string[]> {
  const answers: string[] = [];
  for (let turn = 0; turn < count; turn++) {
    const { say, socket } = dial(vip, 8000, localAddress);
    answers.push((await say("x")).split(" ")[0] ?? "");
    socket.destroy();
  }
  return answers;
}

suite("TCP: who is chosen", () => {
  test("a session keeps a client's address at one backend, others take turns; weight 0 ends it", async (t) => {
    const { vip, bind, sdk, done, LoadBalancerId, ListenerId } = await layer4(t, { SessionExpireTime: SESSION_S });
    const [one, two] = await Promise.all([echoBackend(t, ONE), echoBackend(t, TWO)]);
    await bind(one, two);
    const mine = await served(vip, 4, "127.9.0.1");
    assert.equal(new Set(mine).size, 1);
    assert.notDeepEqual(new Set(await served(vip, 1, "127.9.0.2")), new Set(mine));
    const kept = mine[0] === ONE ? one : two;
    const Targets = [{ EniIp: kept.ip, Port: kept.port, Weight: 0 }];
    await done(await sdk.ModifyTargetWeight({ LoadBalancerId, ListenerId, Targets }));
    assert.deepEqual(await served(vip, 2, "127.9.0.1"), Array(2).fill(kept.ip === ONE ? TWO : ONE));
  });

  test("LEAST_CONN looks at open connections, by weight", async (t) => {
    const { vip, bind } = await layer4(t, { Scheduler: "LEAST_CONN" });
    const [one, two] = await Promise.all([echoBackend(t, ONE), echoBackend(t, TWO)]);
    await bind({ ...one, weight: 10 }, { ...two, weight: 30 });
    const open = Array.from({ length: 8 }, () => dial(vip));
    const answers = [];
    for (const { say } of open) answers.push((await say("x")).split(" ")[0]);
    assert.equal(answers.filter((answer) => answer === TWO).length, 6);
    for (const { socket } of open) socket.destroy();
  });

  test("with the switch off, dead backends stay dead when there are only dead ones", async (t) => {
    const { vip, bindTo } = await layer4(t, {}, { allDeadAllAlive: false });
    await bindTo("", "Dead", [await echoBackend(t, ONE)]);
    assert.deepEqual(await served(vip, 1), ["ECONNRESET"]);
  });
});

suite("TCP: connections", () => {
  test("the backend sees the client's address", async (t) => {
    const { vip, bind } = await layer4(t);
    const backend = createServer((socket) => void socket.end(`from ${socket.remoteAddress}`));
    await new Promise<void>((resolve) => void backend.listen(0, ONE, resolve));
    t.after(() => backend.close());
    await bind({ ip: ONE, port: portOf(backend) });
    for (const address of ["127.9.0.1", "127.9.0.2"]) assert.equal(await dial(vip, 8000, address).say("x"), `from ${address}`);
  });

  test("what moves no byte for the idle time is reset, what does is kept", async (t) => {
    const { vip, bind } = await layer4(t, { IdleConnectTimeout: 10 }); // 500 ms here
    await bind(await echoBackend(t, ONE));
    const [idle, busy] = [dial(vip), dial(vip)];
    await idle.say("x");
    const started = Date.now();
    const talking = setInterval(() => busy.socket.write("x"), 50);
    t.after(() => clearInterval(talking));
    assert.equal(await idle.ended, "ECONNRESET");
    const tookMs = Date.now() - started;
    assert.ok(tookMs >= 450, `after ${tookMs} ms`);
    assert.equal(await busy.say("y").then((answer) => answer.startsWith(ONE)), true);
    busy.socket.destroy();
  });

  test("unbinding resets where the listener says so", async (t) => {
    const { vip, bind, sdk, LoadBalancerId, ListenerId } = await layer4(t, { DeregisterTargetRst: true });
    const backend = await echoBackend(t, ONE);
    await bind(backend);
    const client = dial(vip);
    await client.say("x");
    await sdk.BatchDeregisterTargets({ LoadBalancerId, Targets: [{ ListenerId, EniIp: ONE, Port: backend.port }] });
    assert.equal(await client.ended, "ECONNRESET");
  });
});

/** A UDP client; `say` gives the answer, or "" if none comes within 100 ms. */
async function udpClient(t: TestContext, vip: string, address = "127.0.0.1") {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => void socket.bind({ address, port: 0 }, resolve));
  t.after(() => socket.close());
  const say = async (text: string): Promise<string> => {
    const answered = once(socket, "message").then(([message]) => String(message));
    answered.catch(() => undefined);
    socket.send(text, 8000, vip);
    return Promise.race([answered, delay(100, "")]);
  };
  return { say, port: socket.address().port };
}

/** Answers with its address, where the message came from, and the message. */
async function udpBackend(t: TestContext, ip: string): Promise<{ ip: string; port: number; socket: UdpSocket }> {
  const socket = createSocket("udp4");
  socket.on("message", (message, { address, port }) => socket.send(`${ip} ${address} ${message.toString()}`, port, address));
  await new Promise<void>((resolve) => void socket.bind({ address: ip, port: 0 }, resolve));
  t.after(() => socket.close());
  return { ip, port: socket.address().port, socket };
}

suite("QUIC", () => {
  test("what a client's datagrams hold is one stream to one backend, and comes back as datagrams", async (t) => {
    const { name: CertName, certPem: CertContent, keyPem: CertKey } = await aCertificate("quic");
    const { vip, bind } = await layer4(t, { Protocol: "QUIC", Certificate: { CertName, CertContent, CertKey } });
    await bind(await echoBackend(t, ONE), await echoBackend(t, TWO));
    const [a, b] = [await udpClient(t, vip, "127.9.0.1"), await udpClient(t, vip, "127.9.0.2")];
    assert.deepEqual([await a.say("1"), await b.say("2")], [`${ONE} 1`, `${TWO} 2`]);
  });
});

suite("UDP", () => {
  test("a client's address and port are a session; another one may go elsewhere; the backend sees the client's address", async (t) => {
    const { vip, bind, cloud } = await layer4(t, { Protocol: "UDP" });
    await bind(await udpBackend(t, ONE), await udpBackend(t, TWO));
    const [a, b] = [await udpClient(t, vip, "127.9.0.1"), await udpClient(t, vip, "127.9.0.2")];
    const answers = [await a.say("1"), await a.say("2"), await b.say("3")];
    assert.deepEqual(answers, [`${ONE} 127.9.0.1 1`, `${ONE} 127.9.0.1 2`, `${TWO} 127.9.0.2 3`]);
    assert.deepEqual(
      cloud.counts().backends.map(({ connections, open, bytesTo }) => [connections, open, bytesTo]),
      [
        [1, 1, 2],
        [1, 1, 1],
      ],
    );
    assert.equal(cloud.connectionsOf({ port: a.port })[0]?.backend.split(":")[0], ONE);
  });

  test("weight 0 keeps a session, unbinding moves it, idle time ends it", async (t) => {
    const { vip, bind, cloud, sdk, done, LoadBalancerId, ListenerId } = await layer4(t, { Protocol: "UDP", IdleConnectTimeout: 10 });
    const one = await udpBackend(t, ONE);
    await bind(one);
    const client = await udpClient(t, vip);
    assert.equal(await client.say("1"), `${ONE} 127.0.0.1 1`);
    await bind(await udpBackend(t, TWO));
    await done(await sdk.ModifyTargetWeight({ LoadBalancerId, ListenerId, Targets: [{ EniIp: ONE, Port: one.port, Weight: 0 }] }));
    assert.equal(await client.say("2"), `${ONE} 127.0.0.1 2`);
    await sdk.BatchDeregisterTargets({ LoadBalancerId, Targets: [{ ListenerId, EniIp: ONE, Port: one.port }] });
    assert.equal(await client.say("3"), `${TWO} 127.0.0.1 3`);
    await eventually("no session is open", () => cloud.counts().backends.every(({ open }) => open === 0));
  });

  test("checking and dead backends get no byte; without a backend there is no answer", async (t) => {
    const { vip, bindTo } = await layer4(t, { Protocol: "UDP" }, { allDeadAllAlive: false });
    const [checking, dead] = [await udpBackend(t, ONE), await udpBackend(t, TWO)];
    const got: string[] = [];
    for (const { socket, ip } of [checking, dead]) socket.on("message", () => got.push(ip));
    await bindTo("", "Unknown", [checking]);
    await bindTo("", "Dead", [dead]);
    assert.equal(await (await udpClient(t, vip)).say("1"), "");
    assert.deepEqual(got, []);
  });

  test("a TCP and a UDP listener share a port; deleting the UDP one frees it", async (t) => {
    const { vip, bind, sdk, done, LoadBalancerId, ListenerId } = await layer4(t, { Protocol: "UDP" });
    await bind(await udpBackend(t, ONE));
    const other = await done(await sdk.CreateListener({ LoadBalancerId, Ports: [8000], Protocol: "TCP" }));
    const client = await udpClient(t, vip);
    assert.equal(await client.say("1"), `${ONE} 127.0.0.1 1`);
    await done(await sdk.DeleteListener({ LoadBalancerId, ListenerId }));
    assert.equal(await client.say("2"), "");
    await done(await sdk.CreateListener({ LoadBalancerId, Ports: [8000], Protocol: "UDP" }));
    assert.ok(other.ListenerIds?.length === 1);
  });
});
