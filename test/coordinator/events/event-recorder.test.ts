import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import { EventRecorder } from "../../../coordinator/events/event-recorder.ts";
import { refusedReport } from "../../../coordinator/events/refused-reports.ts";
import { aKube, eventually } from "../kube.ts";
import { aFakeClock, silentLog } from "../pods.ts";

const aProblem = (change: Partial<Problem> = {}): Problem => ({
  object: { kind: "Service", namespace: "demo", name: "web", uid: "uid-1" },
  type: "Warning",
  reason: "NoSelector",
  message: "Service demo/web has no spec.selector",
  ...change,
});

async function aSink(t: TestContext, kube: Awaited<ReturnType<typeof aKube>>, startMs = 1_790_000_000_000) {
  const clock = aFakeClock(startMs);
  const sink = new EventRecorder({ client: kube.client, clock, log: silentLog, component: "clb-direct" });
  const stop = new AbortController();
  const ended = sink.run(stop.signal);
  t.after(async () => {
    stop.abort(new Error("stop"));
    await ended;
  });
  return { clock, sink, stop, ended };
}
const idle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 60));

test("writes an Event about the object, and the same one only once", async (t) => {
  const kube = await aKube(t);
  const { sink } = await aSink(t, kube);
  for (let n = 0; n < 3; n++) sink.tell(aProblem());
  await eventually("it is written", () => kube.written.length > 0);
  sink.tell(aProblem());
  await idle();
  assert.equal(kube.written.length, 1);
  const [event] = (await kube.client.list<Record<string, unknown>>("/api/v1/namespaces/demo/events")).items;
  const { type, reason, message, count, involvedObject, source, firstTimestamp } = event ?? {};
  assert.deepEqual([type, reason, message, count], ["Warning", "NoSelector", "Service demo/web has no spec.selector", 1]);
  assert.deepEqual(involvedObject, { apiVersion: "v1", kind: "Service", namespace: "demo", name: "web", uid: "uid-1" });
  assert.deepEqual([source, firstTimestamp], [{ component: "clb-direct" }, "2026-09-21T14:13:20Z"]);
});

test("an Event about a Node, which has no Namespace, is kept in the default one", async (t) => {
  const kube = await aKube(t);
  const { sink } = await aSink(t, kube);
  sink.tell(refusedReport({ name: "node-a", uid: "uid-9" }, "foreign"));
  await eventually("it is written", () => kube.written.length > 0);
  const [event] = (await kube.client.list<Record<string, unknown>>("/api/v1/namespaces/default/events")).items;
  assert.deepEqual(event?.["involvedObject"], { apiVersion: "v1", kind: "Node", name: "node-a", uid: "uid-9" });
  assert.match(String(event?.["message"]), /^Node node-a: its agent reported Pods that the API server has on other nodes: /);
});

test("another object, reason or message is another Event", async (t) => {
  const kube = await aKube(t);
  const { sink } = await aSink(t, kube);
  const { object } = aProblem();
  for (const change of [{}, { reason: "ForeignBackend" as const }, { message: "other" }, { object: { ...object, uid: "uid-2" } }])
    sink.tell(aProblem(change));
  await eventually("all are written", () => kube.written.length === 4);
});

test("a restarted process finds what was told before, and says nothing twice", async (t) => {
  const kube = await aKube(t);
  const before = await aSink(t, kube);
  before.sink.tell(aProblem());
  await eventually("it is written", () => kube.written.length === 1);
  const after = await aSink(t, kube);
  after.sink.tell(aProblem());
  await eventually("it is tried again", () => kube.written.length === 2);
  after.sink.tell(aProblem());
  await idle();
  assert.match(kube.written[1] ?? "", /^create events .* 409$/);
  assert.equal(kube.written.length, 2);
  const [event, ...others] = (await kube.client.list<{ count: number }>("/api/v1/namespaces/demo/events")).items;
  assert.deepEqual([event?.count, others.length], [1, 0]);
});

test("what still holds after an hour is counted on", async (t) => {
  const kube = await aKube(t);
  const { clock, sink } = await aSink(t, kube);
  sink.tell(aProblem());
  await eventually("it is written", () => kube.written.length === 1);
  await clock.advance(3_600_000);
  sink.tell(aProblem());
  await eventually("it is refreshed", () => kube.written.length === 3); // 409, then the patch
  const [event] = (await kube.client.list<{ count: number; lastTimestamp: string }>("/api/v1/namespaces/demo/events")).items;
  assert.deepEqual([event?.count, event?.lastTimestamp], [2, "2026-09-21T15:13:20Z"]);
});

test("while the API server is away the Event waits, and is told later", async (t) => {
  const kube = await aKube(t);
  const { clock, sink } = await aSink(t, kube);
  kube.cluster.faults.inject({ kind: "fail", code: 503, times: 2, resource: "events" });
  sink.tell(aProblem());
  await eventually("it has failed", () => clock.pendingSleeps === 1);
  await clock.advance(1_000);
  await eventually("it has failed again", () => clock.pendingSleeps === 1);
  await clock.advance(1_000);
  await eventually("it is written", () => kube.written.some((line) => line.endsWith(" 201")));
});

test("an Event that is refused for good keeps no other from being told", async (t) => {
  const kube = await aKube(t);
  const { sink, clock } = await aSink(t, kube);
  sink.tell(aProblem({ object: { kind: "Service", namespace: "nowhere", name: "web", uid: "uid-9" } }));
  sink.tell(aProblem());
  await eventually("the other is written", () => kube.written.some((line) => line.endsWith(" 201")));
  await idle();
  assert.deepEqual([kube.written.length, clock.pendingSleeps], [2, 0]);
});

test("keeps a thousand at most while nobody takes them, the youngest ones", async (t) => {
  const kube = await aKube(t);
  const clock = aFakeClock();
  const sink = new EventRecorder({ client: kube.client, clock, log: silentLog, component: "clb-direct" });
  for (let n = 0; n < 1_005; n++) sink.tell(aProblem({ message: `problem ${n}` }));
  const stop = new AbortController();
  const ended = sink.run(stop.signal);
  await eventually("all that waited are written", () => kube.written.length === 1_000);
  await idle();
  stop.abort(new Error("stop"));
  await ended;
  const told = (await kube.client.list<{ message: string }>("/api/v1/namespaces/demo/events")).items.map(({ message }) => message);
  assert.equal(told.length, 1_000);
  assert.deepEqual([told.includes("problem 4"), told.includes("problem 5"), told.includes("problem 1004")], [false, true, true]);
});

test("stops at once, waiting or not", async (t) => {
  const kube = await aKube(t);
  for (const failing of [false, true]) {
    const { sink, clock, stop, ended } = await aSink(t, kube);
    if (failing) {
      kube.cluster.faults.inject({ kind: "fail", code: 500, times: 1, resource: "events" });
      sink.tell(aProblem());
      await eventually("it has failed", () => clock.pendingSleeps === 1);
    }
    stop.abort(new Error("stop"));
    await ended;
  }
});
