import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type HealthState, type PlaceId, slotKey } from "../../../coordinator/domain/load-balancer.ts";
import type { Awaited } from "../../../coordinator/domain/pace/health-pace.ts";
import { HealthPoller } from "../../../coordinator/health/health-poller.ts";
import type { CloudOptions } from "../../cloud/runtime/options.ts";
import { aWorld } from "../faults/world.ts";
import { silentLog } from "../pods.ts";
import { aListeningLoadBalancer, aStage, newListeners, type Stage, slots } from "../stage.ts";

const IDLE_MS = 30_000;

type MadePlace = PlaceId & { readonly id: string };
const aListenerPlace = async (stage: Stage): Promise<MadePlace> => await aListeningLoadBalancer(stage);
async function aRulePlace(stage: Stage): Promise<MadePlace> {
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer();
  const [listenerId = ""] = await stage.finish(stage.api.createListeners(id, newListeners({ protocol: "HTTP" }), stage.signal));
  const rules = [{ domain: "shop.example.com", url: "/cart", healthCheck: {} }];
  const [locationId = ""] = await stage.finish(stage.api.createRules(id, { listenerId, rules }, stage.signal));
  await stage.fill(id);
  return { id, listenerId, locationId };
}

/** A running watch over one load balancer with one bound target, in a listener or in a rule of one. `askedMs` is when it asked, milliseconds since it began. `first`: before that. */
async function aWatch(t: TestContext, options: CloudOptions = {}, first: (stage: Stage) => void = () => undefined, make = aListenerPlace) {
  const stage = aStage(t, options);
  const { id, ...place } = await make(stage);
  const targets = slots(place.listenerId, 1).map((slot) => ({ ...slot, ...place }));
  await stage.clock.advance(1_000);
  await stage.finish(stage.writer.make(id, { lane: "bind", targets }, stage.signal));
  const waiting = new Map<string, readonly Awaited[]>();
  const doubted: string[] = [];
  const answered: string[] = [];
  const answer: { isSilent: boolean; by?: typeof stage.api.health } = { isSilent: false };
  const asked: (readonly string[])[] = [];
  const api = {
    ...stage.api,
    health: async (...from: Parameters<typeof stage.api.health>) => {
      asked.push(from[0]);
      const said = await (answer.by ?? stage.api.health)(...from);
      return answer.isSilent ? new Map<string, ReadonlyMap<string, HealthState>>() : said;
    },
  };
  const watch = new HealthPoller({
    api,
    mirror: stage.mirror,
    clock: stage.clock,
    log: silentLog,
    idleMs: IDLE_MS,
    pollMs: 50,
    callsPerSecond: () => 20,
    awaited: (one) => waiting.get(one) ?? [],
    onAnswer: (ids) => void answered.push(...ids),
    doubt: (one) => void doubted.push(one),
  });
  const stop = new AbortController();
  first(stage);
  const startedMs = stage.clock.now();
  const ended = watch.run(stop.signal);
  t.after(async () => {
    stop.abort(new Error("stop"));
    await stage.clock.advance(1);
    await ended;
  });
  const askedMs = (): number[] =>
    stage.calls.filter(({ action }) => action === "DescribeTargetHealth").map(({ atMs }) => Math.round(atMs - startedMs));
  const slot = targets[0] ?? { ...place, ip: "", port: 0 };
  const setHealth = (status: "Alive" | "Dead") => stage.cloud.setHealth({ loadBalancerId: id, ...slot }, status);
  return { stage, id, watch, waiting, doubted, answered, answer, asked, askedMs, slot, setHealth, stop, ended, startedMs };
}

test("asks once at the beginning, and rarely while nobody waits", async (t) => {
  const { stage, askedMs } = await aWatch(t);
  await stage.clock.advance(65_000);
  assert.deepEqual(askedMs(), [0, 30_000, 60_000]);
});

test("asks not before the check window can end, then as often as the rate allows, and no more when nobody waits", async (t) => {
  const { stage, id, watch, waiting, askedMs, startedMs } = await aWatch(t);
  await stage.clock.advance(1_000);
  waiting.set(id, [{ boundAtMs: startedMs, intervalSeconds: 5, healthyCount: 2 }]);
  watch.wake();
  await stage.clock.advance(4_040);
  assert.deepEqual(askedMs(), [0]);
  await stage.clock.advance(2_000);
  const [, first = 0, ...later] = askedMs();
  assert.equal(first, 5_056);
  assert.ok(later.length >= 30 && later.every((atMs, n) => atMs - (askedMs()[n + 1] ?? 0) >= 50), String(askedMs()));
  waiting.clear();
  const count = askedMs().length;
  await stage.clock.advance(20_000);
  assert.ok(askedMs().length <= count + 1);
});

test("questions overlap: a slow answer does not keep the next question waiting, but only four are under way", async (t) => {
  const { stage, id, watch, waiting, asked, startedMs, setHealth, slot } = await aWatch(t);
  await stage.clock.advance(11_000); // three checks, one every 5 s
  stage.cloud.faults.add({ kind: "latency", delay: 170, action: "DescribeTargetHealth" });
  waiting.set(id, [{ boundAtMs: startedMs, intervalSeconds: 5, healthyCount: 3 }]);
  watch.wake();
  await stage.clock.advance(500);
  const before = asked.length;
  await stage.clock.advance(1_000);
  assert.ok(asked.length - before >= 16, `${asked.length - before} questions in a second, answers take 200 ms`);
  setHealth("Alive");
  await stage.clock.advance(260); // one pause and one answer
  assert.equal(stage.mirror.health(id, slot)?.state, "Alive");
  stage.cloud.faults.clear();
  stage.cloud.faults.add({ kind: "latency", delay: 5_000, action: "DescribeTargetHealth" });
  await stage.clock.advance(300);
  const then = asked.length;
  await stage.clock.advance(3_000);
  assert.ok(asked.length - then <= 4, `${asked.length - then} questions while none is answered`);
});

test("an answer that a later question has overtaken says nothing any more", async (t) => {
  const { stage, id, watch, waiting, answer, startedMs, slot } = await aWatch(t);
  await stage.clock.advance(11_000);
  const states: HealthState[] = ["Dead", "Alive"]; // of the first question, which is answered late, and of the next one
  answer.by = async (_ids, signal) => {
    const state = states.shift() ?? "Alive";
    await stage.clock.sleep(state === "Dead" ? 150 : 10, signal);
    return new Map([[id, new Map([[slotKey(slot), state]])]]);
  };
  waiting.set(id, [{ boundAtMs: startedMs, intervalSeconds: 5, healthyCount: 3 }]);
  watch.wake();
  await stage.clock.advance(100);
  assert.equal(stage.mirror.health(id, slot)?.state, "Alive");
  waiting.clear();
  await stage.clock.advance(200);
  assert.deepEqual([states.length, stage.mirror.health(id, slot)?.state], [0, "Alive"]);
});

test("where more wait than fit into a question the questions take turns, and none is about those for whom nobody waits", async (t) => {
  const { stage, id, watch, waiting, asked } = await aWatch(t);
  const ids: string[] = [];
  for (let n = 0; n < 120; n++) ids.push(stage.cloud.addLoadBalancer().loadBalancerId);
  for (const one of ids) await stage.fill(one);
  watch.wake();
  await stage.clock.advance(2_000);
  const boundAtMs = stage.clock.now();
  for (const one of ids.slice(0, 60)) waiting.set(one, [{ boundAtMs, intervalSeconds: 10, healthyCount: 1 }]);
  watch.wake();
  await stage.clock.advance(500);
  const before = asked.length;
  await stage.clock.advance(1_000);
  const questions = asked.slice(before);
  assert.ok(questions.length >= 16 && questions.length <= 20, `${questions.length} questions in a second`);
  for (const one of ids.slice(0, 60)) assert.ok(questions.filter((names) => names.includes(one)).length >= 8, one);
  assert.ok(questions.every((names) => !names.includes(id) && names.every((name) => ids.indexOf(name) < 60)));
});

test("what it hears reaches the mirror, and a change is told", async (t) => {
  const { stage, id, slot, setHealth } = await aWatch(t);
  await stage.clock.advance(1_000);
  setHealth("Alive");
  const changes = stage.changed.length;
  await stage.clock.advance(IDLE_MS);
  assert.equal(stage.mirror.health(id, slot)?.state, "Alive");
  assert.ok(stage.changed.length > changes);
});

test("what it hears of a target in a rule reaches the mirror as that rule's", async (t) => {
  const { stage, id, slot, setHealth } = await aWatch(t, {}, undefined, aRulePlace);
  await stage.clock.advance(1_000);
  setHealth("Alive");
  await stage.clock.advance(IDLE_MS);
  assert.notEqual(slot.locationId, undefined);
  assert.equal(stage.mirror.health(id, slot)?.state, "Alive");
  const { locationId: _none, ...inListener } = slot;
  assert.equal(stage.mirror.health(id, inListener), undefined);
});

test("a load balancer whose targets are all in rules is one with targets", async (t) => {
  const { stage, id, answer, answered } = await aWatch(t, {}, undefined, aRulePlace);
  answer.isSilent = true;
  await stage.clock.advance(IDLE_MS);
  assert.equal(answered.length, 0); // left out: nothing is known of it yet
  answer.isSilent = false;
  await stage.clock.advance(IDLE_MS);
  assert.ok(answered.includes(id));
});

test("an answer that leaves out a load balancer with targets says nothing of it; one without targets needs no answer", async (t) => {
  const { stage, id, answer, answered } = await aWatch(t);
  answer.isSilent = true;
  const { loadBalancerId: empty } = stage.cloud.addLoadBalancer();
  await stage.fill(empty);
  await stage.clock.advance(IDLE_MS);
  assert.deepEqual([...new Set(answered)], [empty]);
  answer.isSilent = false;
  await stage.clock.advance(IDLE_MS);
  assert.ok(answered.includes(id));
});

test("asks about 30 load balancers at once, and about all of them", async (t) => {
  const { stage, askedMs } = await aWatch(t);
  await stage.clock.advance(100);
  for (let n = 0; n < 44; n++) await stage.fill(stage.cloud.addLoadBalancer().loadBalancerId);
  const before = askedMs().length;
  await stage.clock.advance(IDLE_MS + 1_000);
  assert.equal(askedMs().length - before, 2);
});

test("load balancers whose windows are open at different times share their questions", async (t) => {
  const { stage, waiting, watch, askedMs, startedMs } = await aWatch(t);
  await stage.clock.advance(100);
  for (let n = 0; n < 10; n++) {
    const { loadBalancerId } = stage.cloud.addLoadBalancer();
    await stage.fill(loadBalancerId);
    waiting.set(loadBalancerId, [{ boundAtMs: startedMs + 1_000 + n * 13, intervalSeconds: 2, healthyCount: 2 }]);
  }
  watch.wake();
  await stage.clock.advance(5_000);
  const inWindow = askedMs().filter((atMs) => atMs >= 3_500 && atMs < 4_500).length;
  assert.ok(inWindow >= 16 && inWindow <= 20, `${inWindow} questions in a second for ten load balancers`);
});

test("a load balancer that is gone puts all that were asked about in doubt, so that each is read at once", async (t) => {
  const { stage, id, doubted } = await aWatch(t);
  await stage.clock.advance(100);
  const { loadBalancerId: gone } = stage.cloud.addLoadBalancer();
  await stage.fill(gone);
  await stage.finish(stage.api.deleteLoadBalancer(gone, stage.signal));
  await stage.clock.advance(IDLE_MS);
  assert.deepEqual([...new Set(doubted)].toSorted(), [gone, id].toSorted());
});

for (const [title, code] of [
  ["throttling", "RequestLimitExceeded"],
  ["a fault of the cloud", "InternalError"],
] as const)
  test(`${title} puts nothing in doubt: the question is asked again`, async (t) => {
    const { stage, id, doubted, waiting, watch, slot, setHealth, startedMs } = await aWatch(t);
    await stage.clock.advance(10_000); // the check has had its time
    stage.cloud.faults.add({ kind: "error", code, action: "DescribeTargetHealth", count: 1 });
    setHealth("Alive");
    waiting.set(id, [{ boundAtMs: startedMs, intervalSeconds: 0, healthyCount: 1 }]);
    watch.wake();
    await stage.clock.advance(3_000);
    assert.deepEqual([doubted, stage.mirror.staleBecause(id), stage.mirror.health(id, slot)?.state], [[], undefined, "Alive"]);
  });

test("a question that fails is repeated after 500 ms, then ever more rarely, and every 5 s at last", async (t) => {
  const { stage, askedMs, answered } = await aWatch(t, {}, ({ cloud }) =>
    cloud.faults.add({ kind: "error", code: "InternalError", action: "DescribeTargetHealth" }),
  );
  await stage.clock.advance(20_000);
  const pauses = askedMs().map((atMs, n) => atMs - (askedMs()[n - 1] ?? 0));
  assert.ok(
    [0, 500, 1_000, 2_000, 4_000, 5_000, 5_000].every((pauseMs, n) => Math.abs((pauses[n] ?? 0) - pauseMs) <= 300),
    String(pauses),
  );
  assert.deepEqual(answered, []);
  stage.cloud.faults.clear();
  await stage.clock.advance(5_500);
  assert.equal(answered.length, 1);
  await stage.clock.advance(26_000);
  assert.equal(answered.length, 1); // all is well: rarely again
});

test("load balancers that are read one after the other share their first questions, and none waits for long", async (t) => {
  const { stage, watch, asked } = await aWatch(t);
  await stage.clock.advance(1_000);
  const [before, startedMs] = [asked.length, stage.clock.now()];
  for (let n = 0; n < 25; n++) {
    await stage.fill(stage.cloud.addLoadBalancer().loadBalancerId);
    watch.wake();
  }
  await stage.clock.advance(300);
  const questions = asked.slice(before);
  assert.deepEqual([questions.flat().length, questions[0]?.length], [25, 1]);
  const most = Math.ceil((stage.clock.now() - startedMs) / 250);
  assert.ok(questions.length <= most, `${questions.length} questions in ${stage.clock.now() - startedMs} ms`);
});

test("one that was never answered is asked for before others that are due for longer", async (t) => {
  const { stage, watch, asked } = await aWatch(t);
  for (let n = 0; n < 160; n++) await stage.fill(stage.cloud.addLoadBalancer().loadBalancerId);
  watch.wake();
  await stage.clock.advance(IDLE_MS - 500);
  const { loadBalancerId: late } = stage.cloud.addLoadBalancer();
  await stage.fill(late);
  stage.cloud.faults.add({ kind: "error", code: "InternalError", action: "DescribeTargetHealth", count: 1 });
  watch.wake();
  await stage.clock.advance(100);
  assert.deepEqual(asked.at(-1), [late]);
  // The next questions are asked when everybody is due.
  await stage.clock.advance(5_000);
  const places = asked.slice(asked.findIndex((ids) => ids[0] === late) + 1).flatMap((ids) => (ids.includes(late) ? ids.indexOf(late) : []));
  assert.deepEqual(places, [0], String(places));
});

test("an answer that leaves out one that was never known: it is asked for again soon, then rarely", async (t) => {
  const { stage, id, answer, asked, answered } = await aWatch(t);
  answer.isSilent = true;
  await stage.clock.advance(4_500);
  assert.ok(asked.length >= 3 && asked.length <= 5, `${asked.length} questions in 4.5 s`);
  answer.isSilent = false;
  await stage.clock.advance(5_000);
  assert.deepEqual(answered, [id]);
  answer.isSilent = true;
  const before = asked.length;
  await stage.clock.advance(IDLE_MS);
  assert.equal(asked.length, before + 1); // it had something to tell before
});

test("one load balancer that the cloud refuses to speak of is found by halves, and keeps no other from its answer", async (t) => {
  const { stage, id, watch, doubted, answered } = await aWatch(t);
  const ids = Array.from({ length: 29 }, () => stage.cloud.addLoadBalancer().loadBalancerId);
  const [bad = ""] = ids.slice(17);
  stage.intercept.by = (action, request) => {
    if (action !== "DescribeTargetHealth" || !JSON.stringify(request).includes(bad)) return;
    throw Object.assign(new Error("no such load balancer"), { code: "InvalidParameter.LBIdNotFound", requestId: "r" });
  };
  for (const one of ids) await stage.fill(one);
  watch.wake();
  await stage.clock.advance(12_000);
  assert.deepEqual([...new Set(answered)].toSorted(), [id, ...ids].filter((one) => one !== bad).toSorted());
  const before = doubted.length;
  await stage.clock.advance(20_000);
  assert.deepEqual([...new Set(doubted.slice(before))], [bad]);
});

test("a question whose answer never comes holds up nobody else, and is asked again after 10 s", async (t) => {
  const { stage, id, watch, asked, answered, startedMs } = await aWatch(t, {}, ({ cloud }) =>
    cloud.faults.add({ kind: "latency", delay: 60_000, action: "DescribeTargetHealth", count: 1 }),
  );
  const others = Array.from({ length: 40 }, () => stage.cloud.addLoadBalancer().loadBalancerId);
  for (const one of others) await stage.fill(one);
  watch.wake();
  await stage.clock.advance(1_500);
  assert.deepEqual(answered.toSorted(), others.toSorted());
  await stage.clock.advance(startedMs + 10_400 - stage.clock.now());
  assert.equal(asked.filter((ids) => ids.includes(id)).length, 1);
  await stage.clock.advance(600);
  assert.ok(answered.includes(id));
});

test("a new leader whose first question fails knows the health of all soon, so that gates and the brake do not wait", async (t) => {
  const world = aWorld(t, { pods: 2 });
  let knownMs = 0;
  await world.run(async () => {
    world.start();
    for (const app of world.apps) await world.converged(app);
    await world.kill();
    world.cloud.faults.add({ kind: "error", code: "InternalError", action: "DescribeTargetHealth", count: 1 });
    world.start();
    const startedMs = world.clock.now();
    await world.until(
      () => "everything is read",
      () => world.coordinator().controllers.progress.unread === undefined,
    );
    knownMs = world.clock.now() - startedMs;
    await world.kill();
  });
  assert.ok(knownMs <= 3_000, `known after ${knownMs} ms`);
});

test("stops while it sleeps", async (t) => {
  const { stage, stop, ended } = await aWatch(t);
  await stage.clock.advance(2_000);
  stop.abort(new Error("stop"));
  await ended;
  assert.equal(stage.clock.pendingSleeps, 0);
});
