import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, connect as dial, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { pino } from "pino";
import { makeCoordinatorLink } from "../../agent/coordinator-link.ts";
import type { ConversationLimits } from "../../agent/domain/conversation.ts";
import type { Report } from "../../agent/domain/plan-report.ts";
import { makeClock } from "../../common/clock.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { digestOf } from "../../proto/wire.ts";
import { aPod } from "../builders.ts";
import { anAuthority, FakeCoordinator, SERVER_NAME } from "./fake-coordinator.ts";
import { pause, until } from "./until.ts";

const aReport = (...pods: PodFact[]): Report => ({ pods: new Map(pods.map((pod) => [pod.uid, pod])), deleted: new Set() });
const at = (version: number): Report => aReport(aPod({ resourceVersion: String(version) }));

type Options = {
  readonly limits?: Partial<ConversationLimits>;
  readonly latest?: Report | undefined;
  readonly coordinator?: FakeCoordinator;
  readonly serverName?: string;
  readonly through?: (port: number) => Promise<number>;
  readonly keepaliveMs?: number;
};

/** A coordinator and a link to it; both end with the test. */
async function start(t: TestContext, options: Options = {}) {
  const directory = await mkdtemp(join(tmpdir(), "link-"));
  const files = { ca: join(directory, "ca.crt"), token: join(directory, "token") };
  const authority = await anAuthority();
  await Promise.all([writeFile(files.ca, authority.certPem), writeFile(files.token, "token-1\n")]);
  const coordinator = options.coordinator ?? new FakeCoordinator();
  const port = await coordinator.start(authority);
  const seen = {
    sent: new Array<string>(),
    acks: 0,
    ackTimeouts: 0,
    resends: 0,
    asked: new Array<string>(),
    ends: new Array<string>(),
    lines: new Array<{ level: number; waitMs?: number }>(),
  };
  let latest = "latest" in options ? options.latest : at(1);
  const link = makeCoordinatorLink({
    address: `127.0.0.1:${(await options.through?.(port)) ?? port}`,
    connection: {
      serverName: options.serverName ?? SERVER_NAME,
      readCaBundle: () => readFile(files.ca),
      readToken: async () => (await readFile(files.token, "utf8")).trim(),
      keepaliveMs: options.keepaliveMs ?? 10_000,
      keepaliveTimeoutMs: options.keepaliveMs ?? 5_000,
    },
    hello: { nodeName: "node-a", instanceId: "instance-1" },
    limits: { ackTimeoutMs: 5_000, digestIntervalMs: 60_000, ...options.limits },
    latest: () => latest,
    onAsked: (asked) => void seen.asked.push(asked.$case),
    observer: {
      onSent: (kind) => seen.sent.push(kind),
      onAck: () => seen.acks++,
      onAckTimeout: () => seen.ackTimeouts++,
      onResend: () => seen.resends++,
      onStreamEnd: (code) => seen.ends.push(code),
      onState: () => undefined,
    },
    clock: makeClock(),
    log: pino({ level: "debug" }, { write: (line: string) => void seen.lines.push(JSON.parse(line)) }),
    random: () => 0.5,
  });
  const over = new AbortController();
  const ended = link.run(over.signal);
  t.after(async () => {
    over.abort();
    await ended;
    coordinator.stop();
    await rm(directory, { recursive: true });
  });
  const report = (next: Report): void => {
    latest = next;
    link.changed();
  };
  return { coordinator, link, report, files, authority, port, seen, over, ended };
}

test("says hello with the token, then a snapshot, then differences", async (t) => {
  const { coordinator, link, report, seen } = await start(t);
  await until(() => link.state === "acknowledged");
  report(at(2));
  await until(() => seen.acks === 2);
  report({ pods: new Map(), deleted: new Set(["pod-1"]) });
  await until(() => seen.acks === 3);
  const [stream] = coordinator.streams;
  assert.equal(stream?.authorization, "Bearer token-1");
  assert.deepEqual(stream?.kinds, ["hello", "snapshot", "difference", "difference"]);
  assert.deepEqual(stream?.of("hello"), [{ protocolVersion: 1, nodeName: "node-a", instanceId: "instance-1" }]);
  assert.deepEqual(
    stream?.of("snapshot").map(({ sequence, pods }) => [sequence, pods.map(({ uid }) => uid)]),
    [[1n, ["pod-1"]]],
  );
  assert.deepEqual(
    stream
      ?.of("difference")
      .map(({ sequence, changed, removed }) => [sequence, changed.map(({ resourceVersion }) => resourceVersion), removed]),
    [
      [2n, ["2"], []],
      [3n, [], [{ uid: "pod-1", evidence: 1 }]],
    ],
  );
});

const many = (version: number): Report =>
  aReport(...Array.from({ length: 60 }, (_, n) => aPod({ uid: `pod-${n}`, resourceVersion: String(version) })));

test("what is too long for one message is said as a snapshot in parts, all with one sequence", async (t) => {
  const coordinator = new FakeCoordinator();
  coordinator.maxMessageBytes = 8_192;
  coordinator.behaviour = (stream, body) => {
    if (body.$case !== "snapshot" || !body.value.more) stream.answer(body);
  };
  const { link, report, seen } = await start(t, { coordinator, latest: many(1) });
  await until(() => link.state === "acknowledged");
  report(many(2));
  await until(() => seen.acks === 2);
  const parts = coordinator.last?.of("snapshot") ?? [];
  assert.deepEqual([...new Set(coordinator.last?.kinds)], ["hello", "snapshot"]);
  for (const [sequence, version] of [
    [1n, "1"],
    [2n, "2"],
  ] as const) {
    const of = parts.filter((part) => part.sequence === sequence);
    assert.ok(of.length > 1);
    assert.deepEqual(
      of.map(({ more }) => more),
      of.map((_, index) => index < of.length - 1),
    );
    const pods = of.flatMap((part) => part.pods);
    assert.equal(pods.length, 60);
    assert.ok(pods.every(({ resourceVersion }) => resourceVersion === version));
  }
});

test("a coordinator of the former version gets its snapshot as a whole", async (t) => {
  const { coordinator, link } = await start(t, { latest: many(1) });
  await until(() => link.state === "acknowledged");
  assert.deepEqual(
    coordinator.last?.of("snapshot").map(({ pods, more }) => [pods.length, more]),
    [[60, false]],
  );
});

test("sends no snapshot before there is a report", async (t) => {
  const { coordinator, link, report } = await start(t, { latest: undefined });
  await until(() => link.state === "connected");
  await pause(50);
  assert.deepEqual(coordinator.last?.kinds, ["hello"]);
  report(at(1));
  await until(() => link.state === "acknowledged");
});

test("begins anew with sequence 1 and everything after a cut", async (t) => {
  const { coordinator, link, report, authority, port } = await start(t);
  await until(() => link.state === "acknowledged");
  coordinator.stop();
  await until(() => link.state === "away");
  report(at(7));
  await coordinator.start(authority, port);
  await until(() => coordinator.streams.length === 2 && link.state === "acknowledged");
  assert.deepEqual(coordinator.last?.kinds, ["hello", "snapshot"]);
  assert.deepEqual(
    coordinator.last?.of("snapshot").map(({ sequence, pods }) => [sequence, pods[0]?.resourceVersion]),
    [[1n, "7"]],
  );
});

test("follows a difference that was not acknowledged by a snapshot", async (t) => {
  const coordinator = new FakeCoordinator();
  coordinator.behaviour = (stream, body) => body.$case !== "difference" && stream.answer(body);
  const { link, report, seen } = await start(t, { coordinator, limits: { ackTimeoutMs: 80 } });
  await until(() => link.state === "acknowledged");
  report(at(2));
  await until(() => seen.acks === 2);
  assert.deepEqual(coordinator.last?.kinds, ["hello", "snapshot", "difference", "snapshot"]);
  assert.deepEqual(
    coordinator.last?.of("snapshot").map(({ sequence }) => sequence),
    [1n, 3n],
  );
  assert.deepEqual([seen.ackTimeouts, coordinator.streams.length], [1, 1]);
});

test("resends everything on request", async (t) => {
  const { coordinator, link, seen } = await start(t);
  await until(() => link.state === "acknowledged");
  coordinator.last?.resend();
  await until(() => seen.acks === 2);
  assert.deepEqual(coordinator.last?.kinds, ["hello", "snapshot", "snapshot"]);
  assert.equal(seen.resends, 1);
});

test("one difference is under way; all changes meanwhile become one", async (t) => {
  const coordinator = new FakeCoordinator();
  const { link, report, seen } = await start(t, { coordinator });
  await until(() => link.state === "acknowledged");
  coordinator.behaviour = () => undefined;
  report(at(2));
  await until(() => coordinator.last?.of("difference").length === 1);
  for (let version = 3; version <= 50; version++) {
    report(at(version));
    await pause(1);
  }
  assert.equal(coordinator.last?.of("difference").length, 1);
  coordinator.behaviour = (stream, body) => stream.answer(body);
  coordinator.last?.say({ $case: "ack", value: { sequence: 2n } });
  await until(() => seen.acks === 3);
  assert.deepEqual(
    coordinator.last?.of("difference").map(({ sequence, changed }) => [sequence, changed[0]?.resourceVersion]),
    [
      [2n, "2"],
      [3n, "50"],
    ],
  );
});

test("keeps its memory while the coordinator does not read", async (t) => {
  const coordinator = new FakeCoordinator();
  coordinator.reads = false;
  const big = (round: number): Report =>
    aReport(
      ...Array.from({ length: 500 }, (_, index) =>
        aPod({ uid: `pod-${index}`, resourceVersion: `${round}`, labels: { filler: `${round}`.padStart(2_000, "x") } }),
      ),
    );
  const { link, report, seen } = await start(t, { coordinator, latest: big(0) });
  await until(() => seen.sent.length > 0);
  const before = process.memoryUsage();
  for (let round = 1; round <= 400; round++) {
    report(big(round)); // 1 MB each
    await pause(1);
  }
  const after = process.memoryUsage();
  assert.deepEqual(seen.sent, ["snapshot"]);
  assert.equal(link.state, "connected");
  const grownMb = (after.heapUsed + after.external - before.heapUsed - before.external) / 1e6;
  assert.ok(grownMb < 100, `grew by ${grownMb} MB over 400 MB of reports`);
});

test("writes no more than fits on the wire to a coordinator that asks and does not read", async (t) => {
  const coordinator = new FakeCoordinator();
  coordinator.reads = false;
  const { files, seen } = await start(t, { coordinator });
  await until(() => seen.sent.length > 0);
  await writeFile(files.token, "x".repeat(20_000));
  for (let times = 0; times < 500; times++) {
    coordinator.last?.say({ $case: "tokenWanted", value: { expiresAt: new Date() } });
    await pause(1);
  }
  const tokens = seen.sent.filter((kind) => kind === "token").length;
  assert.ok(tokens > 0 && tokens < 150, `${tokens} of 500 tokens written`); // 72 here, however often it asks
});

test("leaves a coordinator that does not read, and tries again", async (t) => {
  const coordinator = new FakeCoordinator();
  coordinator.reads = false;
  const { link, seen } = await start(t, { coordinator, limits: { ackTimeoutMs: 30 } });
  await until(() => seen.ends.includes("DEADLINE_EXCEEDED"));
  coordinator.reads = true;
  await until(() => link.state === "acknowledged");
});

test("answers the wish for a token with what the file has by then, and reconnects with it", async (t) => {
  const { coordinator, link, files, authority, port } = await start(t);
  await until(() => link.state === "acknowledged");
  await writeFile(files.token, "token-2\n");
  coordinator.last?.say({ $case: "tokenWanted", value: { expiresAt: new Date() } });
  await until(() => coordinator.last?.of("token").length === 1);
  assert.deepEqual(coordinator.last?.of("token"), [{ token: "token-2" }]);
  coordinator.stop();
  await coordinator.start(authority, port);
  await until(() => coordinator.streams.length === 2);
  assert.equal(coordinator.last?.authorization, "Bearer token-2");
});

test("survives a token file that is missing for a while", async (t) => {
  const { coordinator, link, files, authority, port, seen } = await start(t);
  await until(() => link.state === "acknowledged");
  await rm(files.token);
  coordinator.last?.say({ $case: "tokenWanted", value: { expiresAt: new Date() } });
  await pause(50);
  assert.equal(link.state, "acknowledged");
  coordinator.stop();
  await coordinator.start(authority, port);
  await until(() => seen.ends.includes("UNKNOWN"));
  await writeFile(files.token, "token-3\n");
  await until(() => link.state === "acknowledged");
});

test("trusts a new authority as soon as the bundle file has it", async (t) => {
  const { coordinator, link, files, authority, port, seen } = await start(t);
  await until(() => link.state === "acknowledged");
  coordinator.stop();
  const next = await anAuthority();
  await coordinator.start(next, port);
  await until(() => seen.ends.length >= 3);
  assert.equal(coordinator.streams.length, 1, "an unknown authority gets neither stream nor token");
  await writeFile(files.ca, authority.certPem + next.certPem);
  await until(() => link.state === "acknowledged");
});

test("speaks to no server of another name", async (t) => {
  const { coordinator, seen } = await start(t, { serverName: "other.test" });
  await until(() => seen.ends.length >= 2);
  assert.equal(coordinator.streams.length, 0);
});

test("tries on for as long as the coordinator is gone, and tells it once", async (t) => {
  const { coordinator, link, authority, port, seen } = await start(t);
  await until(() => link.state === "acknowledged");
  coordinator.stop();
  await until(() => seen.ends.length >= 5);
  const warnings = seen.lines.filter(({ level }) => level === 40);
  assert.ok(warnings.length <= 2, `the cut, then the refusals: ${JSON.stringify(warnings)}`);
  await coordinator.start(authority, port);
  await until(() => link.state === "acknowledged");
  assert.ok(seen.ends.every((code) => code === "UNAVAILABLE"));
});

test("gives way for seconds when another agent of the node took over, else returns at once", async (t) => {
  const { coordinator, link, seen } = await start(t);
  await until(() => link.state === "acknowledged");
  coordinator.last?.fail(status.INTERNAL);
  await until(() => coordinator.streams.length === 2 && link.state === "acknowledged");
  coordinator.last?.fail(status.ABORTED);
  await until(() => seen.ends.length === 2);
  const waits = seen.lines.flatMap(({ waitMs }) => (waitMs === undefined ? [] : [waitMs]));
  assert.deepEqual(
    [seen.ends, waits],
    [
      ["INTERNAL", "ABORTED"],
      [100, 2_500],
    ],
  );
});

test("comes again when the coordinator says, on the same connection, with the token that the file has by then", async (t) => {
  const coordinator = new FakeCoordinator();
  const cameAtMs: number[] = [];
  coordinator.behaviour = (stream, body) => {
    if (body.$case === "hello") cameAtMs.push(performance.now());
    if (coordinator.streams.length > 2) stream.answer(body);
    else stream.fail(status.RESOURCE_EXHAUSTED, "150");
  };
  const { link, files, seen } = await start(t, { coordinator });
  await until(() => coordinator.streams.length === 1);
  await writeFile(files.token, "token-2\n");
  await until(() => link.state === "acknowledged");
  assert.equal(new Set(coordinator.streams.map(({ peer }) => peer)).size, 1);
  assert.equal(coordinator.last?.authorization, "Bearer token-2");
  assert.deepEqual(seen.ends, ["RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"]);
  const [first = 0, second = 0, third = 0] = cameAtMs;
  assert.ok(second - first >= 149 && third - second >= 149, `came after ${second - first} and ${third - second} ms`);
});

test("a server that is exhausted and gives no time, or forbids another attempt, is left for longer each time", async (t) => {
  const coordinator = new FakeCoordinator();
  const answers = [undefined, "-1", "soon"];
  coordinator.behaviour = (stream, body) => {
    const index = coordinator.streams.length - 1;
    if (index < answers.length) stream.fail(status.RESOURCE_EXHAUSTED, answers[index]);
    else stream.answer(body);
  };
  const { link, seen } = await start(t, { coordinator });
  await until(() => link.state === "acknowledged", 10_000);
  const waits = seen.lines.flatMap(({ waitMs }) => (waitMs === undefined ? [] : [waitMs]));
  assert.deepEqual(waits, [500, 1_000, 2_000]);
  assert.equal(new Set(coordinator.streams.map(({ peer }) => peer)).size, 4);
});

test("a coordinator that was away long and has just begun is left no longer than one that was there", async (t) => {
  const { coordinator, link, authority, port, seen } = await start(t);
  await until(() => link.state === "acknowledged");
  coordinator.stop();
  await until(() => seen.ends.length >= 5);
  const before = coordinator.streams.length;
  coordinator.behaviour = (stream, body) => {
    if (coordinator.streams.length === before + 1) stream.fail(status.RESOURCE_EXHAUSTED);
    else stream.answer(body);
  };
  await coordinator.start(authority, port);
  await until(() => link.state === "acknowledged", 10_000);
  assert.equal(seen.ends.at(-1), "RESOURCE_EXHAUSTED");
  assert.equal(seen.lines.findLast(({ waitMs }) => waitMs !== undefined)?.waitMs, 500);
});

test("notices a coordinator that froze", async (t) => {
  const sockets = new Set<Socket>();
  const through = async (port: number): Promise<number> => {
    const proxy = createServer((near) => {
      const far = dial(port, "127.0.0.1");
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(one);
        one.pipe(other);
        one.on("error", () => undefined).on("close", () => other.destroy());
      }
    });
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      proxy.close();
    });
    return await new Promise((resolve) => {
      proxy.listen(0, "127.0.0.1", () => resolve(Object(proxy.address()).port));
    });
  };
  const { link, coordinator } = await start(t, { through, keepaliveMs: 100 });
  await until(() => link.state === "acknowledged");
  for (const socket of sockets) socket.unpipe().pause();
  await until(() => link.state === "away", 2_000);
  await until(() => coordinator.streams.length === 2 && link.state === "acknowledged");
});

test("sends the digest of what was acknowledged", async (t) => {
  const { coordinator, link } = await start(t, { limits: { digestIntervalMs: 50 } });
  await until(() => link.state === "acknowledged");
  await until(() => coordinator.last?.of("digest").length === 2);
  const expected = { sequence: 1n, sha256: digestOf([{ uid: "pod-1", resourceVersion: "1" }]) };
  assert.deepEqual(
    coordinator.last?.of("digest").map((digest) => ({ ...digest, sha256: Buffer.from(digest.sha256) })),
    [expected, expected],
  );
});

test("ends at once when told to, whatever it is doing", async (t) => {
  const connected = await start(t);
  await until(() => connected.link.state === "acknowledged");
  const away = await start(t);
  away.coordinator.stop();
  await until(() => away.seen.ends.length >= 1);
  const fromMs = Date.now();
  for (const { over, ended } of [connected, away]) {
    over.abort();
    await ended;
  }
  assert.ok(Date.now() - fromMs < 5_000);
  assert.equal(connected.link.state, "away");
});
