import assert from "node:assert/strict";
import { test } from "node:test";
import { fallen, RateLimit, recovered } from "../../../coordinator/cloud/rate-limit.ts";
import { aFakeClock } from "../pods.ts";

const START_MS = 1_790_000_000_000;
function aLimit(perSecond = 20) {
  const clock = aFakeClock(START_MS);
  const limit = new RateLimit(clock, { perSecond, pauseAfterThrottlingMs: 1_000 });
  const atMs: number[] = [];
  const { signal } = new AbortController();
  const call = (action = "A", into = atMs): void => void limit.take(action, signal).then(() => into.push(clock.now() - START_MS));
  return { clock, limit, atMs, call };
}
/** The most calls in any second, wherever it begins. */
const densest = (atMs: readonly number[]): number =>
  Math.max(...atMs.map((from) => atMs.filter((other) => other >= from - 1e-3 && other < from + 1_000).length));

for (const perSecond of [1, 3, 4, 20, 100])
  test(`never more than ${perSecond} in any second, after any rest, and close to it when many wait`, async () => {
    const { clock, atMs, call } = aLimit(perSecond);
    for (const pauseMs of [0, 70, 1_300, 10_000]) {
      await clock.advance(pauseMs);
      for (let calls = 0; calls < 3 * perSecond; calls++) call();
      await clock.advance(5_000);
    }
    assert.equal(atMs.length, 12 * perSecond);
    assert.ok(densest(atMs) <= perSecond, `${densest(atMs)} in a second`);
    assert.ok(densest(atMs) >= perSecond * 0.7, `only ${densest(atMs)} in a second`);
  });

test("half of a second's calls goes at once, and all of it is used when many wait", async () => {
  const { clock, atMs, call } = aLimit();
  for (let calls = 0; calls < 200; calls++) call();
  await clock.advance(1);
  assert.equal(atMs.length, 10);
  await clock.advance(9_999);
  assert.ok(atMs.length >= 185, `${atMs.length} calls in 10 s`);
});

test("calls in step with the rate all go at once, less what may arrive closer together", async () => {
  const { clock, atMs, call } = aLimit();
  for (let calls = 0; calls < 40; calls++) {
    call();
    await clock.advance(52.5);
  }
  assert.ok(
    atMs.every((at, n) => Math.abs(at - n * 52.5) < 1),
    String(atMs),
  );
});

test("where an action is slowed down, a quarter of a second's calls goes at once", async () => {
  const { clock, limit, atMs, call } = aLimit();
  limit.throttled("A");
  await clock.advance(3_000); // 13 a second by then
  for (let calls = 0; calls < 20; calls++) call();
  await clock.advance(1);
  assert.equal(atMs.length, 3);
});

test("those that are urgent go first, whenever they have become so", async () => {
  const clock = aFakeClock(START_MS);
  const urgent = new Set<string>();
  const limit = new RateLimit(clock, { perSecond: 1, pauseAfterThrottlingMs: 1_000 }, { isUrgent: (key) => urgent.has(key) });
  const order: string[] = [];
  const { signal } = new AbortController();
  for (const key of ["lb-1", "lb-2", "lb-3", "lb-4"]) void limit.take("A", signal, key).then(() => order.push(key));
  await clock.advance(10);
  urgent.add("lb-4");
  await clock.advance(5_000);
  assert.deepEqual(order, ["lb-1", "lb-4", "lb-2", "lb-3"]);
});

test("a place in the queue outlives who has taken it: its turn is told, kept for a second, and taken at once", async () => {
  const clock = aFakeClock(START_MS);
  const turns: string[] = [];
  const onTurn = (action: string, key: string): void => void turns.push(`${action} ${key} ${clock.now() - START_MS}`);
  const limit = new RateLimit(clock, { perSecond: 1, pauseAfterThrottlingMs: 1_000 }, { onTurn });
  const { signal } = new AbortController();
  assert.equal(limit.place("A", "lb-1"), true);
  await limit.take("A", signal, "lb-1");
  assert.deepEqual(
    ["lb-2", "lb-3", "lb-2", "lb-4"].map((key) => limit.place("A", key)),
    [false, false, false, false],
  );
  limit.leave("A", "lb-3");
  const order: string[] = [];
  void limit.take("A", signal, "lb-5").then(() => order.push("lb-5"));
  await clock.advance(1_100);
  assert.deepEqual(turns, ["A lb-2 1050"]);
  assert.equal(limit.place("A", "lb-2"), true);
  await limit.take("A", signal, "lb-2"); // although others wait
  assert.equal(limit.place("A", "lb-2"), false);
  limit.leave("A", "lb-2");
  await clock.advance(3_000);
  assert.deepEqual([turns.slice(1), order], [["A lb-4 2100"], ["lb-5"]]);
  await clock.advance(2_000);
  assert.equal(limit.place("A", "lb-4"), true); // what was kept for it is over, and nobody waits
});

test("an action that was throttled pauses, its neighbours do not", async () => {
  const { clock, limit, atMs, call } = aLimit();
  const neighbour: number[] = [];
  limit.throttled("A");
  call("A");
  call("B", neighbour);
  await clock.advance(2_000);
  assert.deepEqual([atMs, neighbour], [[1_000], [0]]);
});

test("a call that is called off rejects with the signal's reason, and the next one waits its turn", async () => {
  const { clock, limit } = aLimit(1);
  const calledOff = new AbortController();
  await limit.take("A", calledOff.signal);
  const waiting = limit.take("A", calledOff.signal);
  calledOff.abort(new Error("stop"));
  await assert.rejects(waiting, /^Error: stop$/);
  await assert.rejects(limit.take("B", calledOff.signal), /^Error: stop$/); // also where it need not wait
  assert.equal(clock.pendingSleeps, 0);
});

test("an action that was throttled goes on at half its rate and recovers, its neighbours keep theirs", async () => {
  const { clock, limit, atMs, call } = aLimit();
  const neighbour: number[] = [];
  limit.throttled("A");
  for (let calls = 0; calls < 100; calls++) call("A");
  for (let calls = 0; calls < 100; calls++) call("B", neighbour);
  await clock.advance(3_000);
  assert.ok(atMs.length >= 12 && atMs.length <= 22, `${atMs.length} calls in 2 s after the pause`);
  assert.ok(neighbour.length >= 45, `${neighbour.length} calls of the neighbour in 3 s`);
  await clock.advance(10_000);
  assert.equal(limit.state("A").perSecond, 20);
});

test("who waits is told of a refusal that comes meanwhile", async () => {
  const { clock, limit, atMs, call } = aLimit(1);
  call();
  call();
  await clock.advance(1_000);
  limit.throttled("A");
  await clock.advance(900);
  assert.deepEqual(atMs, [0]);
  await clock.advance(200);
  assert.deepEqual(atMs, [0, 2_000]);
});

test("waiting calls go in the order in which they came, also when one of them is called off", async () => {
  const { clock, limit } = aLimit(1);
  const order: string[] = [];
  const off = new AbortController();
  const { signal } = new AbortController();
  for (const name of ["a", "b", "c", "d"])
    void limit.take("A", name === "b" ? off.signal : signal).then(
      () => order.push(name),
      () => order.push(`${name} off`),
    );
  off.abort(new Error("stop"));
  await clock.advance(10_000);
  assert.deepEqual(order, ["a", "b off", "c", "d"]);
  assert.equal(limit.state("A").waiting, 0);
});

test("calls that nothing waits for go after all others, and still go", async () => {
  const { clock, limit } = aLimit(1);
  const order: string[] = [];
  const { signal } = new AbortController();
  for (const name of ["first", "patient 1", "patient 2", "a", "b"])
    void limit.take("A", signal, undefined, name.startsWith("patient")).then(() => order.push(name));
  await clock.advance(2_500);
  assert.deepEqual(order, ["first", "a", "b"]);
  await clock.advance(10_000);
  assert.deepEqual(order, ["first", "a", "b", "patient 1", "patient 2"]);
});

test("refusals of one moment count once, and the rate never falls to nothing", () => {
  let rate = { perSecond: 20, sinceMs: 0 };
  for (let n = 0; n < 10; n++) rate = fallen(rate, 20, 1_000 + n);
  assert.equal(rate.perSecond, 10);
  for (let n = 0; n < 20; n++) rate = fallen(rate, 20, 2_000 + n * 500);
  assert.ok(rate.perSecond >= 0.5 && rate.perSecond < 2, String(rate.perSecond));
  assert.equal(recovered({ perSecond: 10, sinceMs: 0 }, 20, 5_000), 15);
  assert.equal(recovered({ perSecond: 10, sinceMs: 0 }, 20, 60_000), 20);
});
