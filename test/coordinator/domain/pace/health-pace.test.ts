import assert from "node:assert/strict";
import { test } from "node:test";
import { type Awaited, nextQuestionMs, repeatPauseMs, shortestPauseMs } from "../../../../coordinator/domain/pace/health-pace.ts";

const PACE = 50;
/** `count` targets bound at once, checked twice, 2 s apart: their window is open from 2 000 to 4 000. */
const bound = (count: number, boundAtMs = 0): Awaited[] =>
  Array.from({ length: count }, () => ({ boundAtMs, intervalSeconds: 2, healthyCount: 2 }));

/** Times of all questions until `untilMs`, if each is asked when it is due. */
function questions(awaited: readonly Awaited[], untilMs: number): number[] {
  const asked: number[] = [];
  for (let nowMs = 0; ; ) {
    const atMs = nextQuestionMs(awaited, asked.at(-1), nowMs, PACE);
    if (atMs === undefined || atMs > untilMs) return asked;
    asked.push(atMs);
    nowMs = atMs;
  }
}

test("nobody waits, nothing is asked", () => assert.equal(nextQuestionMs([], 0, 0, PACE), undefined));

test("the first question comes one pause after the window opens, not before", () => {
  assert.equal(nextQuestionMs(bound(50), undefined, 0, PACE), 2_050);
  assert.equal(nextQuestionMs([{ boundAtMs: 500, intervalSeconds: 5, healthyCount: 3 }], 400, 600, PACE), 10_550);
});

test("one check suffices: the window opens with the bind", () =>
  assert.equal(Math.round(nextQuestionMs([{ boundAtMs: 500, intervalSeconds: 2, healthyCount: 1 }], undefined, 500, PACE) ?? 0), 550));

for (const count of [1, 6, 50, 500])
  test(`${count} targets bound together share the questions of their window, one every pause`, () => {
    const asked = questions(bound(count), 4_000);
    assert.equal(asked.length, 40);
    assert.ok(asked.every((atMs, n) => n === 0 || atMs - (asked[n - 1] ?? 0) === PACE));
  });

test("a longer window is asked about as often as a short one", () => {
  const slow = [{ boundAtMs: 0, intervalSeconds: 30, healthyCount: 2 }];
  assert.equal(nextQuestionMs(slow, 30_000, 30_000, PACE), 30_050);
});

test("targets that stay unhealthy are asked about ever more rarely", () => {
  const asked = questions(bound(1), 120_000);
  assert.ok(asked.length < 150, `${asked.length} questions in two minutes`);
  assert.ok((asked.at(-1) ?? 0) - (asked.at(-2) ?? 0) >= 1_990);
});

test("a late target does not slow down the question for a young one", () => {
  const late = bound(1);
  const young = bound(1, 100_000);
  assert.equal(Math.round(nextQuestionMs([...late, ...young], 101_900, 101_900, PACE) ?? 0), 102_050);
});

test("a tenth of the rate is left to others", () => assert.equal(Math.round(shortestPauseMs(20)), 56));

test("what brought nothing is repeated soon, then ever more rarely, down to a longest pause", () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 50].map((misses) => repeatPauseMs(misses, 5_000)),
    [500, 1_000, 2_000, 4_000, 5_000, 5_000],
  );
  assert.equal(repeatPauseMs(2_000, 30_000), 30_000);
});
