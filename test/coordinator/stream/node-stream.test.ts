import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { ChannelCredentials, type ClientDuplexStream, Metadata, status } from "@grpc/grpc-js";
import { makeClock } from "../../../common/clock.ts";
import { Health } from "../../../common/health.ts";
import { KubeApiError } from "../../../common/kubernetes/api-error.ts";
import { makeNodeRegistry } from "../../../coordinator/nodes/node-registry.ts";
import type { ConnectionLimits } from "../../../coordinator/stream/connections.ts";
import { type Intake, makeIntake } from "../../../coordinator/stream/intake.ts";
import { makeNodeStream } from "../../../coordinator/stream/node-stream.ts";
import { makeStreamServer } from "../../../coordinator/stream/server.ts";
import { makeTokenReview } from "../../../coordinator/stream/token-review.ts";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import type { Serving } from "../../../coordinator/tls/serving.ts";
import {
  type ConnectRequest,
  type ConnectResponse,
  NodeStreamServiceClient,
  NodeStreamServiceService,
} from "../../../proto/gen/clb/direct/v1/node_stream.ts";
import { HealthClient } from "../../../proto/gen/grpc/health/v1/health.ts";
import { digestOf, toPodReport } from "../../../proto/wire.ts";
import { aFakeClock, aPod, aRecordingObserver, believing, silentLog } from "../pods.ts";

const authority = await issueAuthority(Date.now());
const newLeaf = async (): Promise<Serving> => ({
  ...(await issueServing(authority, ["localhost"], ["127.0.0.1"], Date.now())),
  caBundlePem: authority.certPem,
});

/** A token as the kubelet brings it, with what the API server below will say about it in its payload. */
const aToken = (over: { node?: string; audience?: string; user?: string; exp?: number; error?: string } = {}): string => {
  const payload = { node: "a", audience: "clb-direct", user: "system:serviceaccount:clb-direct:clb-direct-agent", ...over };
  const claims = { exp: Math.floor(Date.now() / 1_000) + 3_600, ...payload };
  return `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.c2ln`;
};

/** The TokenReview API: answers as a real API server does (kubernetes.md §4); `away` refuses connections. */
function anApiServer() {
  const state = { away: false, reviews: 0, held: Promise.resolve() };
  const create = async <T>(path: string, body: unknown): Promise<T> => {
    state.reviews++;
    await state.held;
    if (state.away) throw new KubeApiError(`POST ${path}`, "transport", "connect ECONNREFUSED");
    const { token } = (body as { spec: { token: string } }).spec;
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
    const answer =
      claims.error !== undefined || claims.audience !== "clb-direct"
        ? { user: {}, error: claims.error ?? "[invalid bearer token, token audiences [x] is invalid]" }
        : {
            authenticated: true,
            audiences: ["clb-direct"],
            user: {
              username: claims.user,
              extra: claims.node === "" ? {} : { "authentication.kubernetes.io/node-name": [claims.node] },
            },
          };
    return { status: answer } as T;
  };
  return { state, create };
}

type Options = { keepalive?: { timeMs: number; timeoutMs: number }; intake?: Intake; limits?: Partial<ConnectionLimits> };

async function aCoordinator(t: TestContext, options: Options = {}) {
  const clock = makeClock();
  const stopped = new AbortController();
  const observer = aRecordingObserver();
  const api = anApiServer();
  const common = { clock, log: silentLog, observer };
  const watched: string[] = [];
  const watchNode = (node: string) => {
    watched.push(node);
    return { lastByteAtMs: 0 };
  };
  const registry = makeNodeRegistry({ ...common, ...believing, agentGraceMs: 60_000, watchNode }, stopped.signal);
  const review = makeTokenReview({ kube: api, namespace: "clb-direct", clock });
  const { intake = makeIntake(clock) } = options;
  const stream = makeNodeStream({ ...common, wallClock: clock, intake, registry, review, replica: "replica-1" });
  let leaf = await newLeaf();
  const subscribers = new Set<(serving: Serving) => void>();
  const serving = {
    get current() {
      return leaf;
    },
    subscribe(listener: (serving: Serving) => void) {
      subscribers.add(listener);
      return () => void subscribers.delete(listener);
    },
  };
  const health = new Health(["", "clb.direct.v1.NodeStreamService"]);
  const server = makeStreamServer({ ...common, intake, ...options, address: "127.0.0.1:0", stream, serving, health });
  const port = await server.start();
  t.after(async () => {
    stopped.abort();
    await server.stop();
    assert.equal(subscribers.size, 0, "the stopped server still listens for certificates");
  });
  const rotate = async (): Promise<void> => {
    leaf = await newLeaf();
    for (const subscriber of subscribers) subscriber(leaf);
  };
  return { port, registry, api, observer, intake, server, rotate, watched };
}

type Body = NonNullable<ConnectRequest["body"]>;

function aClient(port: number): NodeStreamServiceClient {
  const credentials = ChannelCredentials.createSsl(Buffer.from(authority.certPem));
  return new NodeStreamServiceClient(`localhost:${port}`, credentials, { "grpc.use_local_subchannel_pool": 1 });
}

/** An agent's end of a stream, on a connection of its own if none is given: what it hears, and how it ends. */
function anAgent(t: TestContext, port: number, token: string | undefined = aToken(), client = aClient(port)) {
  const metadata = new Metadata();
  if (token !== "") metadata.set("authorization", `Bearer ${token}`);
  const call: ClientDuplexStream<ConnectRequest, ConnectResponse> = client.connect(metadata);
  const heard: ConnectResponse[] = [];
  let wake = (): void => undefined;
  const over = new Promise<{ code: status; details: string; metadata: Metadata }>((resolve) => call.on("status", resolve));
  call
    .on("error", () => undefined)
    .on("data", (message: ConnectResponse) => {
      heard.push(message);
      wake();
    });
  t.after(() => client.close());
  t.after(() => call.cancel());
  const next = async (): Promise<ConnectResponse["body"]> => {
    const end = over.then(({ code, details }) => assert.fail(`stream ended: ${status[code]} ${details}`));
    end.catch(() => undefined);
    while (heard.length === 0) await within(Promise.race([new Promise<void>((resolve) => (wake = resolve)), end]), "answer");
    return heard.shift()?.body;
  };
  const say = (body: Body): boolean => call.write({ body });
  const hello = async (nodeName = "a", protocolVersion = 1): Promise<ConnectResponse["body"]> => {
    say({ $case: "hello", value: { nodeName, protocolVersion, instanceId: "i-1" } });
    return next();
  };
  const ended = () => within(over, "end of the stream");
  return { call, client, heard, say, next, hello, ended };
}

const snapshot = (sequence: bigint, ...uids: string[]): Body => ({
  $case: "snapshot",
  value: { sequence, pods: uids.map((uid) => toPodReport(aPod(uid))), more: false },
});
const difference = (sequence: bigint, changed: string[], removed: string[] = []): Body => ({
  $case: "difference",
  value: {
    sequence,
    changed: changed.map((uid) => toPodReport(aPod(uid))),
    removed: removed.map((uid) => ({ uid, evidence: 1 as const })),
  },
});
const ack = (sequence: bigint) => ({ $case: "ack", value: { sequence } });

/** Waits for what has no event of its own; fails after 5 s. */
async function until(claim: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (claim()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`never happened: ${what}`);
}

test("hello, snapshot, difference and digest reach the registry, each acknowledged after it was applied", async (t) => {
  const { port, registry, observer } = await aCoordinator(t);
  const agent = anAgent(t, port);
  assert.deepEqual(await agent.hello(), {
    $case: "welcome",
    value: { protocolVersion: 1, replica: "replica-1", maxMessageBytes: 1_048_576 },
  });
  agent.say(snapshot(1n, "p1", "p2"));
  assert.deepEqual(await agent.next(), ack(1n));
  assert.deepEqual([...registry.pods.values()], [aPod("p1"), aPod("p2")]);
  agent.say(difference(2n, ["p3"], ["p1"]));
  assert.deepEqual(await agent.next(), ack(2n));
  assert.deepEqual([...registry.pods.keys()], ["p2", "p3"]);
  assert.equal(registry.endOf("p1"), "deleted");
  agent.say({ $case: "digest", value: { sequence: 2n, sha256: digestOf([aPod("p2"), aPod("p3")]) } });
  agent.say(difference(3n, ["p4"]));
  assert.deepEqual(await agent.next(), ack(3n));
  agent.call.end();
  assert.equal((await agent.ended()).code, status.OK);
  await until(() => observer.lines.includes("stream closed"), "the session ends with the stream");
  assert.equal(registry.pods.size, 3);
});

const refused: { why: string; token?: string; node?: string; version?: number; code: status; told: RegExp }[] = [
  { why: "no token", token: "", code: status.UNAUTHENTICATED, told: /authorization: Bearer/ },
  { why: "a token for another audience", token: aToken({ audience: "x" }), code: status.UNAUTHENTICATED, told: /audiences \[x\]/ },
  { why: "an invalidated token", token: aToken({ error: "has been invalidated" }), code: status.UNAUTHENTICATED, told: /invalidated/ },
  { why: "an expired token", token: aToken({ exp: 1_000 }), code: status.UNAUTHENTICATED, told: /expired at 1970-01-01T00:16:40/ },
  { why: "another ServiceAccount", token: aToken({ user: "system:serviceaccount:x:y" }), code: status.PERMISSION_DENIED, told: /x:y/ },
  { why: "a token without node claim", token: aToken({ node: "" }), code: status.PERMISSION_DENIED, told: /names no node/ },
  { why: "another node's token", token: aToken({ node: "b" }), code: status.PERMISSION_DENIED, told: /node "b".*"a".*NODE_NAME/ },
  { why: "another protocol version", version: 7, code: status.FAILED_PRECONDITION, told: /protocol_version is 7.*speaks 1/ },
  { why: "a name that no Node has", node: "a/../b", code: status.FAILED_PRECONDITION, told: /no name of a Node/ },
  { why: "no node name", node: "", code: status.FAILED_PRECONDITION, told: /node_name is empty/ },
];
for (const { why, token, node, version, code, told } of refused)
  test(`refused: ${why}`, async (t) => {
    const { port, registry, observer } = await aCoordinator(t);
    const agent = anAgent(t, port, token);
    agent.hello(node, version).catch(() => undefined);
    const end = await agent.ended();
    assert.equal(status[end.code], status[code], end.details);
    assert.match(end.details, told);
    assert.deepEqual(registry.nodes(), []);
    assert.ok(!observer.lines.includes("stream opened"));
  });

test("a first message that is no hello is refused", async (t) => {
  const { port } = await aCoordinator(t);
  const agent = anAgent(t, port);
  agent.say(snapshot(1n, "p1"));
  const { code, details } = await agent.ended();
  assert.equal(code, status.FAILED_PRECONDITION);
  assert.match(details, /"snapshot": hello must come first/);
});

test("while the API server is away nobody is let in, and the agent is told to try again", async (t) => {
  const { port, api } = await aCoordinator(t);
  api.state.away = true;
  const agent = anAgent(t, port);
  agent.hello().catch(() => undefined);
  const { code, details } = await agent.ended();
  assert.equal(code, status.UNAVAILABLE);
  assert.match(details, /ECONNREFUSED/);
});

/** Takes all places but so many, each from another address. */
function crowd(intake: Intake, free: number): void {
  for (let n = 0; n < 128 - free; n++) assert.ok(intake.begin(`somebody-${n}:1`));
}

/** An agent on a connection of long ago: it was told and has ended its stream. */
async function anOldConnection(t: TestContext, port: number): Promise<NodeStreamServiceClient> {
  const agent = anAgent(t, port);
  await agent.hello();
  agent.say(snapshot(1n, "p1"));
  assert.deepEqual(await agent.next(), ack(1n));
  agent.call.end();
  await agent.ended();
  return agent.client;
}

test("an agent whose connection is there already waits for room, before its token is reviewed, and then comes in", async (t) => {
  const { port, api, observer, intake } = await aCoordinator(t);
  const client = await anOldConnection(t, port);
  const reviews = api.state.reviews;
  crowd(intake, 0);
  const gone = anAgent(t, port, aToken(), client);
  gone.hello().catch(() => undefined);
  const again = anAgent(t, port, aToken(), client);
  const welcome = again.hello();
  await sleep(100);
  assert.deepEqual([api.state.reviews, again.heard.length], [reviews, 0]);
  gone.call.cancel();
  await gone.ended();
  await sleep(50);
  intake.leave("somebody-0:1");
  assert.equal((await welcome)?.$case, "welcome");
  assert.deepEqual([api.state.reviews, observer.lines.includes("stream postponed")], [reviews + 1, false]);
});

test("where too many of its address wait an agent is told when to come again, and comes in on the same connection", async (t) => {
  const { port, api, observer, intake } = await aCoordinator(t);
  const client = await anOldConnection(t, port);
  const reviews = api.state.reviews;
  crowd(intake, 0);
  const over = new AbortController();
  const others = Array.from({ length: 2_048 }, (_, n) => intake.enter(`127.0.0.1:${n}`, over.signal));
  const again = anAgent(t, port, aToken(), client);
  again.hello().catch(() => undefined);
  const { code, details, metadata } = await again.ended();
  assert.equal(status[code], "RESOURCE_EXHAUSTED");
  assert.match(details, /come again in 100 ms/);
  assert.deepEqual(metadata.get("grpc-retry-pushback-ms"), ["100"]);
  assert.equal(api.state.reviews, reviews);
  assert.ok(observer.lines.includes("stream postponed"));
  over.abort();
  await Promise.allSettled(others);
  intake.leave("somebody-0:1");
  await anAgent(t, port, aToken(), client).hello();
});

test("who waits when the coordinator stops is sent to the other replica", async (t) => {
  const { port, intake, server } = await aCoordinator(t);
  const client = await anOldConnection(t, port);
  crowd(intake, 0);
  const again = anAgent(t, port, aToken(), client);
  again.hello().catch(() => undefined);
  await until(() => intake.crowded, "it waits");
  await server.stop();
  const { code, details } = await again.ended();
  assert.deepEqual([status[code], details], ["UNAVAILABLE", "this coordinator is stopping: use the other replica"]);
});

test("a new connection waits for room before its handshake, and the agent is let in then", async (t) => {
  const { port, server, intake } = await aCoordinator(t);
  crowd(intake, 0);
  const agent = anAgent(t, port);
  const welcome = agent.hello();
  await until(() => server.connections.waiting === 1, "a connection waits");
  intake.leave("somebody-0:1");
  assert.equal((await welcome)?.$case, "welcome");
});

test("a stranger with hundreds of connections that say one word and fall silent keeps no agent of another address waiting", async (t) => {
  const intake = makeIntake(aFakeClock()); // none of them loses its time
  const { port, server } = await aCoordinator(t, { intake });
  const strangers = Array.from({ length: 300 }, () => {
    const socket = connectTcp({ port, host: "127.0.0.1", localAddress: "127.0.0.2" }).on("error", () => undefined);
    socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00])); // the head of a record that never comes
    return socket;
  });
  await until(() => server.connections.waiting === strangers.length - 128, "the stranger has every place, and waits for more");
  assert.equal(intake.begin("127.0.0.2:1"), false);
  const agent = anAgent(t, port);
  assert.equal((await agent.hello())?.$case, "welcome");
  agent.say(snapshot(1n, "p1"));
  assert.deepEqual(await agent.next(), ack(1n));
  for (const socket of strangers) socket.destroy();
});

/** A call without our client, over a connection of its own, which stays. */
function aCallFrom(t: TestContext, port: number, path: string, token?: string, localAddress = "127.0.0.2"): ClientHttp2Stream {
  const socket = connectTcp({ port, host: "127.0.0.1", localAddress }).on("error", () => undefined);
  const secure = connectTls({ socket, servername: "localhost", ca: authority.certPem, ALPNProtocols: ["h2"] });
  const session = connectHttp2("https://localhost", { createConnection: () => secure }).on("error", () => undefined);
  t.after(() => session.destroy());
  const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
  return session.request({ ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) }).on("error", () => undefined);
}

for (const how of ["is open", "has said hello", "has ended"] as const)
  test(`a hundred connections that one agent's token was accepted for keep no other agent out: a stream over each ${how}`, async (t) => {
    const { port, server, registry, observer, intake } = await aCoordinator(t, { limits: { connections: 100 } });
    registry.nodeSeen({ name: "a", uid: "1" });
    const first = anAgent(t, port, aToken({ node: "b" }));
    await first.hello("b");
    first.say(snapshot(1n, "p1"));
    assert.deepEqual(await first.next(), ack(1n));
    let admitted = 0;
    const over: AbortSignal[] = [];
    intake.onAdmitted((admission) => over.push(admission.over) && admitted++);
    const hello = { body: { $case: "hello", value: { nodeName: "a", protocolVersion: 1, instanceId: "i-2" } } } as const;
    const bytes = NodeStreamServiceService.connect.requestSerialize(hello);
    for (let n = 0; n < 99; n++) {
      const call = aCallFrom(t, port, NodeStreamServiceService.connect.path, aToken());
      if (how === "has said hello") call.write(Buffer.concat([Buffer.from([0, 0, 0, 0, bytes.length]), bytes]));
      if (how === "has ended") call.end();
      await until(() => admitted === n + 1 && (how !== "has ended" || over[n]?.aborted === true), "its token is accepted");
    }
    assert.equal(server.connections.open, 100);
    const third = anAgent(t, port, aToken({ node: "c" }));
    assert.equal((await third.hello("c"))?.$case, "welcome");
    assert.ok(server.connections.open <= 60, `${server.connections.open} are open`);
    first.say(difference(2n, ["p2"]));
    assert.deepEqual(await first.next(), ack(2n), "who has a stream stays");
    assert.ok(observer.lines.includes("connection refused"));
  });

test("a full port makes way for an agent where one address only watches the health, and never at an agent's cost", async (t) => {
  const { port, server, observer } = await aCoordinator(t, { limits: { connections: 7, kept: 3 } });
  const first = anAgent(t, port);
  await first.hello();
  const watchers = Array.from({ length: 6 }, async () => {
    const watch = aCallFrom(t, port, "/grpc.health.v1.Health/Watch");
    watch.end(Buffer.alloc(5)); // a message without a field
    await within(once(watch, "response"), "answer");
  });
  await Promise.all(watchers);
  assert.equal(server.connections.open, 7);
  const second = anAgent(t, port, aToken({ node: "b" }));
  assert.equal((await second.hello("b"))?.$case, "welcome");
  assert.deepEqual([server.connections.open, observer.lines.filter((line) => line === "connection refused").length], [5, 3]);
  first.say(snapshot(1n, "p1"));
  assert.deepEqual(await first.next(), ack(1n));
});

test("one connection has a few streams at a time, not thousands: health needs no token", async (t) => {
  const { port } = await aCoordinator(t);
  const health = new HealthClient(`localhost:${port}`, ChannelCredentials.createSsl(Buffer.from(authority.certPem)), {
    "grpc.use_local_subchannel_pool": 1,
  });
  t.after(() => health.close());
  let answered = 0;
  const watches = Array.from({ length: 50 }, () =>
    health
      .watch({ service: "" })
      .on("error", () => undefined)
      .once("data", () => answered++),
  );
  await until(() => answered === 4, "the first ones are answered");
  await sleep(100);
  assert.equal(answered, 4);
  watches[0]?.cancel();
  await until(() => answered === 5, "the next one follows where one has ended");
  for (const watch of watches) watch.cancel();
});

test("an agent that is let in gives its place back with its first snapshot, or when its stream ends", async (t) => {
  const { port, intake } = await aCoordinator(t);
  const hasRoom = (): boolean => {
    const has = intake.begin("probe");
    if (has) intake.leave("probe");
    return has;
  };
  crowd(intake, 1);
  const first = anAgent(t, port);
  await first.hello();
  assert.equal(hasRoom(), false);
  first.say(snapshot(1n, "p1"));
  assert.deepEqual(await first.next(), ack(1n));
  assert.equal(hasRoom(), true);
  const second = anAgent(t, port, aToken({ node: "b" }));
  await second.hello("b");
  assert.equal(hasRoom(), false);
  second.call.cancel();
  await until(hasRoom, "the place is given back");
});

test("a deleted Node ends its stream, and a late agent of it is refused", async (t) => {
  const { port, registry } = await aCoordinator(t);
  registry.nodeSeen({ name: "a", uid: "1" });
  const agent = anAgent(t, port);
  await agent.hello();
  registry.nodeDeleted({ name: "a", uid: "1" });
  assert.equal((await agent.ended()).code, status.FAILED_PRECONDITION);
  const late = anAgent(t, port);
  late.hello().catch(() => undefined);
  assert.match((await late.ended()).details, /Node "a" was deleted/);
});

test("the second stream of a node ends the first with ABORTED", async (t) => {
  const { port, registry, observer } = await aCoordinator(t);
  const first = anAgent(t, port);
  await first.hello();
  const second = anAgent(t, port);
  await second.hello();
  assert.equal((await first.ended()).code, status.ABORTED);
  second.say(snapshot(1n, "p1"));
  assert.deepEqual(await second.next(), ack(1n));
  await until(() => observer.lines.includes("stream closed"), "the first session is closed");
  assert.equal(registry.nodes()[0]?.source, "agent");
});

test("a gap is answered with one resend; only a snapshot goes on from there", async (t) => {
  const { port, registry } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  agent.say(snapshot(1n, "p1", "p2", "p3"));
  assert.deepEqual(await agent.next(), ack(1n));
  agent.say(difference(3n, [], ["p1"]));
  assert.deepEqual(await agent.next(), { $case: "resend", value: { reason: "expected sequence 2, got 3" } });
  agent.say(difference(4n, [], ["p2"])); // was on its way
  agent.say(snapshot(5n, "p1", "p2"));
  assert.deepEqual(await agent.next(), ack(5n));
  assert.deepEqual([...registry.pods.keys()], ["p1", "p2"]);
});

test("a difference before any snapshot is answered with resend", async (t) => {
  const { port } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  agent.say(difference(1n, ["p1"]));
  assert.equal((await agent.next())?.$case, "resend");
});

test("digests that differ are answered with resend; one that covers another sequence is not compared", async (t) => {
  const { port, observer } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  agent.say(snapshot(1n, "p1"));
  await agent.next();
  const sha256 = digestOf([aPod("p1", { resourceVersion: "11" })]);
  agent.say({ $case: "digest", value: { sequence: 2n, sha256 } });
  agent.say({ $case: "digest", value: { sequence: 1n, sha256 } });
  assert.deepEqual(await agent.next(), { $case: "resend", value: { reason: "digests differ at sequence 1" } });
  assert.deepEqual(
    observer.lines.filter((line) => line.startsWith("resend")),
    ["resend digest"],
  );
});

test("a snapshot that drops most Pods is asked for again and then believed", async (t) => {
  const { port, registry } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  agent.say(snapshot(1n, "p1", "p2", "p3"));
  await agent.next();
  agent.say(snapshot(2n));
  assert.match((await agent.next().then((body) => (body?.$case === "resend" ? body.value.reason : ""))) ?? "", /confirm/);
  assert.equal(registry.pods.size, 3);
  agent.say(snapshot(3n));
  assert.deepEqual(await agent.next(), ack(3n));
  assert.equal(registry.pods.size, 0);
});

test("a snapshot of 500 kB is one message", async (t) => {
  const { port, registry } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  const annotated = { text: "x".repeat(1_000) };
  const pods = Array.from({ length: 500 }, (_, index) => toPodReport(aPod(`p${index}`, { labels: annotated })));
  agent.say({ $case: "snapshot", value: { sequence: 1n, pods, more: false } });
  assert.deepEqual(await agent.next(), ack(1n));
  assert.equal(registry.pods.size, 500);
});

test("nothing of a call is read before its token is accepted", async (t) => {
  const { port, api, observer } = await aCoordinator(t);
  const stranger = anAgent(t, port, "");
  const big = "x".repeat(900_000);
  stranger.say({ $case: "hello", value: { nodeName: "a", protocolVersion: 1, instanceId: big } });
  assert.equal((await stranger.ended()).code, status.UNAUTHENTICATED);
  const held = Promise.withResolvers<void>();
  api.state.held = held.promise;
  const agent = anAgent(t, port);
  const welcome = agent.hello();
  await until(() => api.state.reviews > 0, "the token is reviewed");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(
    observer.lines.filter((line) => line.startsWith("message")),
    [],
  );
  held.resolve();
  assert.equal((await welcome)?.$case, "welcome");
  assert.ok(observer.lines.includes("stream refused"));
});

test("a token that was refused is not reviewed again at once", async (t) => {
  const { port, api } = await aCoordinator(t);
  const token = aToken({ user: "system:serviceaccount:x:y" });
  for (let times = 0; times < 3; times++) assert.equal((await anAgent(t, port, token).ended()).code, status.PERMISSION_DENIED);
  assert.equal(api.state.reviews, 1);
});

test("a token that was refused waits in no line", async (t) => {
  const intake = makeIntake(aFakeClock()); // none of them loses its place
  const { port, api } = await aCoordinator(t, { intake });
  const token = aToken({ user: "system:serviceaccount:x:y" });
  const { client, ended } = anAgent(t, port, token);
  assert.equal((await ended()).code, status.PERMISSION_DENIED);
  crowd(intake, 0);
  assert.equal((await anAgent(t, port, token, client).ended()).code, status.PERMISSION_DENIED);
  const long = await anAgent(t, port, "x".repeat(9_000), client).ended();
  assert.deepEqual([status[long.code], long.details], ["UNAUTHENTICATED", "token is too long to be one of a ServiceAccount"]);
  assert.equal(api.state.reviews, 1);
});

test("a call with more headers than anybody needs is told so, with the limit", async (t) => {
  const { port, api } = await aCoordinator(t);
  const end = await anAgent(t, port, "x".repeat(20_000)).ended();
  assert.deepEqual(
    [status[end.code], end.details.replace(/\d+$/, "…")],
    ["RESOURCE_EXHAUSTED", "the headers of a call have at most 16384 bytes, these have …"],
  );
  assert.equal(api.state.reviews, 0);
});

test("a stream that has given its place back gives back none of another one over its connection", async (t) => {
  const { port, api, intake } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  agent.say(snapshot(1n, "p1"));
  assert.deepEqual(await agent.next(), ack(1n));
  const held = Promise.withResolvers<void>();
  api.state.held = held.promise;
  const again = anAgent(t, port, aToken(), agent.client);
  const welcome = again.hello();
  await until(() => api.state.reviews === 2, "its token is reviewed");
  crowd(intake, 1);
  agent.call.end();
  await agent.ended();
  await sleep(50);
  assert.equal(intake.begin("late:1"), false);
  held.resolve();
  assert.equal((await welcome)?.$case, "welcome");
});

test("a call that is cancelled while its review waits gives its place back at once", async (t) => {
  const intake = makeIntake(aFakeClock()); // none of them loses its place
  const { mock: enter } = t.mock.method(intake, "enter");
  const { port, api } = await aCoordinator(t, { intake });
  const held = Promise.withResolvers<void>();
  api.state.held = held.promise;
  for (let n = 0; n < 32; n++) aCallFrom(t, port, NodeStreamServiceService.connect.path, aToken({ node: `n${n}` }), `127.0.1.${n + 1}`);
  await until(() => api.state.reviews === 32, "as many tokens as may be are reviewed");
  crowd(intake, 33);
  const late = anAgent(t, port, aToken({ node: "late" }));
  await until(() => !intake.hasRoom && enter.callCount() === 33, "it has the last place, and its call has come");
  late.call.cancel();
  await until(() => intake.hasRoom, "its place is free");
  assert.equal(api.state.reviews, 32);
  held.resolve();
});

test("agents that come in numbers are a crowd, strangers are none", async (t) => {
  const { port, intake } = await aCoordinator(t);
  const client = aClient(port);
  for (let times = 0; times < 25; times++) await anAgent(t, port, aToken({ user: `system:serviceaccount:x:${times}` }), client).ended();
  assert.equal(intake.crowded, false);
  for (let times = 0; times < 25; times++) await anAgent(t, port, aToken({ node: `n${times}` })).hello(`n${times}`);
  assert.equal(intake.crowded, true);
});

test("a message of more than 1 MiB ends the stream", async (t) => {
  const { port } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  const labels = { text: "x".repeat(1_100_000) };
  agent.say({ $case: "snapshot", value: { sequence: 1n, pods: [toPodReport(aPod("p1", { labels }))], more: false } });
  assert.equal((await agent.ended()).code, status.RESOURCE_EXHAUSTED);
});

test("a snapshot in parts counts when its last part has come", async (t) => {
  const { port, registry } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  const part = (more: boolean, ...uids: string[]): Body => ({
    $case: "snapshot",
    value: { sequence: 1n, pods: uids.map((uid) => toPodReport(aPod(uid))), more },
  });
  agent.say(part(true, "p1", "p2"));
  agent.say(part(true, "p3"));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(registry.pods.size, 0);
  agent.say(part(false, "p4"));
  assert.deepEqual(await agent.next(), ack(1n));
  assert.deepEqual([...registry.pods.keys()], ["p1", "p2", "p3", "p4"]);
});

test("a snapshot that never ends does", async (t) => {
  const { port, registry } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  const pods = Array.from({ length: 2_000 }, (_, n) => toPodReport(aPod(`p${n}`)));
  for (let part = 0; part < 8; part++) agent.say({ $case: "snapshot", value: { sequence: 1n, pods, more: true } });
  const { code, details } = await agent.ended();
  assert.equal(code, status.RESOURCE_EXHAUSTED);
  assert.match(details, /more than 14000 Pods/);
  assert.equal(registry.pods.size, 0);
});

test("a snapshot in parts that are more together than is kept of a node is refused before its end; what was known stays", async (t) => {
  const { port, registry } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  agent.say(snapshot(1n, "p1", "p2"));
  assert.deepEqual(await agent.next(), ack(1n));
  for (let n = 0; n < 34; n++) {
    const pods = [toPodReport(aPod(`large-${n}`, { labels: { app: "x".repeat(1_000_000) } }))];
    agent.say({ $case: "snapshot", value: { sequence: 2n, pods, more: true } });
  }
  const { code, details } = await agent.ended();
  assert.equal(status[code], "RESOURCE_EXHAUSTED");
  assert.match(
    details,
    /^node "a": snapshot refused: .* of the first 34 Pods have 340\d+ characters, at most 33554432 .*delete the agent's Pod$/,
  );
  assert.deepEqual([...registry.pods.keys()], ["p1", "p2"]);
});

for (const field of ["uid", "resourceVersion"] as const)
  test(`a Pod whose ${field} is endless ends the stream: it would be kept with all that was told`, async (t) => {
    const { port, registry } = await aCoordinator(t);
    const agent = anAgent(t, port);
    await agent.hello();
    agent.say(snapshot(1n, "p1"));
    assert.deepEqual(await agent.next(), ack(1n));
    const changed = [toPodReport(aPod("p2", { [field]: "7".repeat(1_000) }))];
    agent.say({ $case: "difference", value: { sequence: 2n, changed, removed: [] } });
    const { code, details } = await agent.ended();
    assert.equal(status[code], "RESOURCE_EXHAUSTED");
    assert.equal(details, `node "a": ${field} of a Pod has 1000 characters, at most 256 are kept`);
    assert.deepEqual([...registry.pods.keys()], ["p1"]);
  });

test("so do differences that bring more and more Pods", async (t) => {
  const { port } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  agent.say({ $case: "snapshot", value: { sequence: 1n, pods: [], more: false } });
  for (let part = 0; part < 8; part++) {
    const changed = Array.from({ length: 2_000 }, (_, n) => toPodReport(aPod(`p${part}-${n}`, { phase: "Succeeded" })));
    agent.say({ $case: "difference", value: { sequence: BigInt(part + 2), changed, removed: [] } });
  }
  const { code, details } = await agent.ended();
  assert.equal(code, status.RESOURCE_EXHAUSTED);
  assert.match(details, /more than 14000 Pods/);
});

test("a client that vanishes without a word closes its session", async (t) => {
  const { port, registry, observer } = await aCoordinator(t);
  const { port: proxied, sockets } = await aProxy(t, port);
  const agent = anAgent(t, proxied);
  await agent.hello();
  agent.say(snapshot(1n, "p1"));
  await agent.next();
  for (const socket of sockets) socket.resetAndDestroy();
  await until(() => observer.lines.includes("stream closed"), "the session of a vanished client is closed");
  assert.equal(registry.pods.size, 1);
  assert.equal(registry.nodes()[0]?.source, "none");
});

test("a frozen peer is noticed within the keepalive time", async (t) => {
  const { port, observer } = await aCoordinator(t, { keepalive: { timeMs: 300, timeoutMs: 200 } });
  const { port: proxied, sockets } = await aProxy(t, port);
  const agent = anAgent(t, proxied);
  await agent.hello();
  for (const socket of sockets) socket.pause().unpipe();
  const frozenAtMs = Date.now();
  await until(() => observer.lines.includes("stream closed"), "the session of a frozen peer is closed");
  assert.ok(Date.now() - frozenAtMs < 2_000);
});

test("a node is watched soon where its agent was silent for the keepalive time, and after the whole grace where the agent or its connection ended", async (t) => {
  const { port, registry, observer, watched } = await aCoordinator(t, { keepalive: { timeMs: 500, timeoutMs: 500 } });
  const names = ["frozen", "reset", "closed", "cancelled"] as const;
  registry.setNodes(names.map((name) => ({ name, uid: `uid-${name}` })));
  const agents = new Map<string, { sockets: Set<Socket>; end: () => void }>();
  for (const name of names) {
    const { port: proxied, sockets } = await aProxy(t, port);
    const client = aClient(proxied);
    const agent = anAgent(t, proxied, aToken({ node: name }), client);
    await agent.hello(name);
    agent.say(snapshot(1n));
    await agent.next();
    agents.set(name, { sockets, end: () => (name === "closed" ? client.close() : agent.call.cancel()) });
  }
  const each = (name: string, act: (socket: Socket) => unknown): void => agents.get(name)?.sockets.forEach(act);
  each("frozen", (socket) => socket.pause().unpipe());
  each("reset", (socket) => socket.resetAndDestroy());
  for (const name of ["closed", "cancelled"]) agents.get(name)?.end();
  each("closed", (socket) => socket.end());
  await until(() => observer.lines.filter((line) => line === "stream closed").length === names.length, "all streams are over");
  await until(() => watched.includes("frozen"), "the node of a frozen agent is watched");
  await sleep(1_500);
  assert.deepEqual(watched, ["frozen"]);
});

test("a stream is asked for a fresh token, lives on with it, and ends when none comes", async (t) => {
  const { port, api } = await aCoordinator(t);
  const inSeconds = (seconds: number): number => Math.ceil(Date.now() / 1_000) + seconds;
  const agent = anAgent(t, port, aToken({ exp: inSeconds(1) }));
  await agent.hello();
  assert.equal((await agent.next())?.$case, "tokenWanted");
  const exp = inSeconds(2);
  agent.say({ $case: "token", value: { token: aToken({ exp }) } });
  await until(() => api.state.reviews === 2, "the fresh token is reviewed");
  const { code, details } = await agent.ended();
  assert.equal(code, status.UNAUTHENTICATED, details);
  assert.ok(Date.now() >= exp * 1_000 - 50, "ended with the old token's expiry");
});

test("a fresh token of another node ends the stream", async (t) => {
  const { port } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  agent.say({ $case: "token", value: { token: aToken({ node: "b" }) } });
  assert.equal((await agent.ended()).code, status.PERMISSION_DENIED);
});

test("a rotated certificate is served to new connections without a restart, and open streams go on", async (t) => {
  const { port, rotate } = await aCoordinator(t);
  const agent = anAgent(t, port);
  await agent.hello();
  const before = await servedFingerprint(port);
  assert.equal(await servedFingerprint(port), before);
  await rotate();
  assert.notEqual(await servedFingerprint(port), before);
  agent.say(snapshot(1n, "p1"));
  assert.deepEqual(await agent.next(), ack(1n));
  await anAgent(t, port, aToken({ node: "b" })).hello("b");
});

test("the health service answers on the same port, under TLS", async (t) => {
  const { port, server } = await aCoordinator(t);
  const client = new HealthClient(`localhost:${port}`, ChannelCredentials.createSsl(Buffer.from(authority.certPem)));
  t.after(() => client.close());
  const check = (service: string): Promise<number> =>
    new Promise((resolve, reject) => {
      client.check({ service }, (error, answer) => (error === null ? resolve(answer.status) : reject(error)));
    });
  assert.equal(await check("clb.direct.v1.NodeStreamService"), 1, "SERVING");
  await server.stop();
});

test("a stopping server ends its streams with UNAVAILABLE, in bounded time even if a peer is frozen", async (t) => {
  const { port, server } = await aCoordinator(t);
  const { port: proxied, sockets } = await aProxy(t, port);
  const agent = anAgent(t, port);
  await agent.hello();
  const frozen = anAgent(t, proxied, aToken({ node: "b" }));
  await frozen.hello("b");
  for (const socket of sockets) socket.pause().unpipe();
  const stopAtMs = Date.now();
  const stopped = server.stop();
  const { code, details } = await agent.ended();
  assert.equal(code, status.UNAVAILABLE);
  assert.match(details, /stopping/);
  await stopped;
  assert.ok(Date.now() - stopAtMs < 3_000);
});

/** Rejects after 30 s, which is long for a busy machine, instead of hanging the run. */
async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within 30 s`)), 30_000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** TCP in between, so that a connection can be frozen or cut without either end's doing. */
async function aProxy(t: TestContext, port: number): Promise<{ port: number; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connectTcp(port, "127.0.0.1");
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) sockets.add(socket.on("error", () => undefined));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return { port: address.port, sockets };
}

/** SHA-256 of the certificate that a new TLS connection is shown. */
async function servedFingerprint(port: number): Promise<string> {
  const { connect } = await import("node:tls");
  const socket = connect({ port, host: "127.0.0.1", ca: authority.certPem, ALPNProtocols: ["h2"] });
  await once(socket, "secureConnect");
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}
