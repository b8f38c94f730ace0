import assert from "node:assert/strict";
import { test } from "node:test";
import { RateLimit } from "../../../coordinator/cloud/rate-limit.ts";
import { aFakeClock } from "../stream/pods.ts";

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

test("a quarter of a second's calls goes at once", async () => {
  const { clock, atMs, call } = aLimit();
  for (let calls = 0; calls < 20; calls++) call();
  await clock.advance(1);
  assert.equal(atMs.length, 5);
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
