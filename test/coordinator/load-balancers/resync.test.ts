import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { RateLimit } from "../../../coordinator/cloud/rate-limit.ts";
import type { Listener } from "../../../coordinator/domain/load-balancer.ts";
import { Resync } from "../../../coordinator/load-balancers/resync.ts";
import { Mirror } from "../../../coordinator/state/mirror.ts";
import { aListener, aLoadBalancer, CLUSTER, LISTENER_NAME } from "../../builders.ts";
import { assertNothingWrong, aWorld } from "../faults/world.ts";
import { aFakeClock } from "../pods.ts";

const RESYNC_MS = 60_000;
/** The most of these times within any second. */
const densest = (atMs: readonly number[]): number =>
  Math.max(0, ...atMs.map((from) => atMs.filter((other) => other >= from && other < from + 1_000).length));

type Options = { readonly loadBalancers?: number; readonly callsPerSecond?: number; readonly listeners?: readonly Listener[] };

/** A watch over load balancers that were all read at once. Who is called is read at once, unless `fails` says otherwise. */
function anAuditWatch(t: TestContext, { loadBalancers = 1, callsPerSecond = 20, listeners = [aListener()] }: Options = {}) {
  const clock = aFakeClock();
  const startedMs = clock.now();
  const mirror = new Mirror(() => undefined);
  const rateLimit = new RateLimit(clock, { perSecond: callsPerSecond, pauseAfterThrottlingMs: 1_000 });
  const fill = (id: string): void => mirror.fill({ ...aLoadBalancer({ loadBalancerId: id }), running: true }, listeners, clock.now());
  for (let n = 0; n < loadBalancers; n++) fill(`lb-${n}`);
  const called: { id: string; atMs: number }[] = [];
  const logged: string[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void logged.push(String(Reflect.get(JSON.parse(line), "msg"))) });
  const cloud = { fails: false };
  const watch: Resync = new Resync({
    mirror,
    rateLimit,
    clock,
    log,
    clusterId: CLUSTER,
    resyncMs: RESYNC_MS,
    callsPerSecond,
    due: (id) => {
      called.push({ id, atMs: clock.now() - startedMs });
      assert.ok(watch.isDue(id));
      if (cloud.fails) watch.failed(id);
      else void clock.sleep(100).then(() => fill(id));
    },
  });
  const stop = new AbortController();
  const ended = watch.run(stop.signal);
  t.after(async () => {
    stop.abort(new Error("stop"));
    await clock.advance(100); // the reads that were under way
    await ended;
    assert.equal(clock.pendingSleeps, 0);
  });
  return { clock, mirror, rateLimit, fill, called, logged, cloud, watch };
}

test("calls a load balancer before it is a period old, once, until it is read", async (t) => {
  const { clock, called, watch } = anAuditWatch(t);
  await clock.advance(53_000);
  assert.deepEqual(called, []);
  await clock.advance(1_500);
  assert.deepEqual([called, watch.isDue("lb-0")], [[{ id: "lb-0", atMs: 54_000 }], false]);
});

test("load balancers read together are called one by one over the period, each in time", async (t) => {
  const { clock, mirror, called } = anAuditWatch(t, { loadBalancers: 100 });
  let oldestMs = 0;
  for (let n = 0; n < 200; n++) {
    await clock.advance(1_000);
    oldestMs = Math.max(oldestMs, ...mirror.ids.map((id) => clock.now() - (mirror.readAtMs(id) ?? 0)));
  }
  assert.ok(oldestMs < RESYNC_MS, `${oldestMs} ms old`);
  assert.ok(densest(called.map(({ atMs }) => atMs)) <= 2, `${densest(called.map(({ atMs }) => atMs))} in a second`);
  assert.ok(called.length <= 380, `${called.length} resyncs in 200 s`);
});

test("an account too large for a quarter of the rate: the period stretches, and that is told once", async (t) => {
  const { clock, called, logged } = anAuditWatch(t, { loadBalancers: 400, callsPerSecond: 20 });
  await clock.advance(160_000);
  assert.ok(densest(called.map(({ atMs }) => atMs)) <= 6, `${densest(called.map(({ atMs }) => atMs))} in a second`);
  assert.equal(new Set(called.slice(0, 400).map(({ id }) => id)).size, 400);
  assert.ok((called[399]?.atMs ?? 0) > 75_000 && (called[399]?.atMs ?? 0) < 85_000, `all after ${called[399]?.atMs} ms`);
  assert.deepEqual(logged, ["too many load balancers to re-read each in time"]);
});

test("listeners of others cost nothing, own ones one call per 20 where there are many", async (t) => {
  const own = Array.from({ length: 41 }, (_, n) => aListener({ listenerId: `lbl-${n}`, name: LISTENER_NAME, port: n + 1 }));
  const foreign = Array.from({ length: 60 }, (_, n) => aListener({ listenerId: `other-${n}`, name: "somebody", port: n + 100 }));
  const { clock, called } = anAuditWatch(t, { loadBalancers: 200, listeners: [...own, ...foreign] });
  await clock.advance(60_000);
  // Three calls of DescribeTargets each, five a second.
  assert.ok(called.length >= 98 && called.length <= 101, `${called.length} resyncs in 60 s`);
});

test("waits while somebody else waits for a read, and goes on afterwards", async (t) => {
  const { clock, rateLimit, called } = anAuditWatch(t, { loadBalancers: 60 });
  const { signal } = new AbortController();
  await clock.advance(10_000);
  const before = called.length;
  for (let n = 0; n < 120; n++) void rateLimit.take("DescribeTargets", signal);
  await clock.advance(5_000);
  assert.deepEqual([called.length, rateLimit.state("DescribeTargets").waiting > 0], [before, true]);
  await clock.advance(5_000);
  assert.ok(called.length > before + 5, `${called.length - before} resyncs afterwards`);
});

test("slows down with an action that is throttled", async (t) => {
  const { clock, rateLimit, called } = anAuditWatch(t, { loadBalancers: 400 });
  const { signal } = new AbortController();
  await clock.advance(20_000);
  const before = called.length;
  for (let n = 0; n < 20; n++) {
    rateLimit.throttled("DescribeListeners");
    await rateLimit.take("DescribeTargets", signal);
    await clock.advance(500);
  }
  assert.ok(called.length - before <= 15, `${called.length - before} resyncs in 10 s of throttling`);
});

test("one in doubt is read anyway: it is not called, and the doubt stands", async (t) => {
  const { clock, mirror, called, watch } = anAuditWatch(t);
  mirror.markStale("lb-0", "a doubt");
  await clock.advance(120_000);
  assert.deepEqual([called, watch.isDue("lb-0"), mirror.staleBecause("lb-0")], [[], false, "a doubt"]);
});

test("a resync that fails is due again soon, others get their turns all the same, within the budget", async (t) => {
  const { clock, called, cloud, watch } = anAuditWatch(t, { loadBalancers: 60 });
  await clock.advance(50_000);
  cloud.fails = true;
  const before = called.length;
  await clock.advance(65_000);
  const tried = called.slice(before);
  assert.equal(new Set(tried.map(({ id }) => id)).size, 60);
  assert.ok(densest(tried.map(({ atMs }) => atMs)) <= 6, `${densest(tried.map(({ atMs }) => atMs))} in a second`);
  cloud.fails = false;
  await clock.advance(20_000);
  assert.equal(new Set(called.filter(({ atMs }) => atMs >= 115_000).map(({ id }) => id)).size, 60);
  assert.equal(watch.isDue("lb-0"), false);
});

test("load balancers that go are forgotten, those that come are taken into the round", async (t) => {
  const { clock, mirror, fill, called, watch } = anAuditWatch(t);
  await clock.advance(30_000);
  mirror.forget("lb-0");
  fill("lb-new");
  await clock.advance(70_000);
  assert.deepEqual([called, watch.isDue("lb-0")], [[{ id: "lb-new", atMs: 84_000 }], false]);
});

test("controllers with 60 load balancers re-read each once in 60 s, a few at a time, and with no other reads", async (t) => {
  const apps = Array.from({ length: 60 }, (_, n) => `app${n}`);
  const world = aWorld(t, { apps, pods: 1 });
  let quietMs = 0;
  await world.run(async () => {
    world.start();
    for (const app of apps) await world.converged(app);
    await world.clock.sleep(10_000);
    quietMs = world.clock.now();
    await world.clock.sleep(180_000);
    await world.kill();
  });
  for (const action of ["DescribeLoadBalancers", "DescribeListeners", "DescribeTargets"]) {
    const calls = world.cloud.journal.of("call").filter((call) => call.action === action && call.startMs >= quietMs);
    const most = densest(calls.map(({ startMs }) => startMs));
    assert.ok(most <= 5, `${most} ${action} in a second`);
    assert.ok(calls.length >= 180 && calls.length <= 210, `${calls.length} ${action} in 180 s`);
    for (const app of apps) {
      const times = calls.filter(({ loadBalancerIds }) => loadBalancerIds.includes(`lb-${app}`)).map(({ startMs }) => startMs);
      const gapMs = Math.max(...times.map((atMs, n) => atMs - (times[n - 1] ?? quietMs)));
      assert.ok(times.length >= 3 && gapMs <= RESYNC_MS, `${action} of lb-${app}: ${times.length} times, ${gapMs} ms apart`);
    }
  }
  assertNothingWrong(world);
});
