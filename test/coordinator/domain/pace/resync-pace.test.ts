import assert from "node:assert/strict";
import { test } from "node:test";
import { nextResync, type ResyncState, resyncCalls, resyncPeriodMs } from "../../../../coordinator/domain/pace/resync-pace.ts";

const many = (count: number, readAtMs: (n: number) => number = () => 0, calls = 1): ResyncState[] =>
  Array.from({ length: count }, (_, n) => ({ id: `lb-${n}`, readAtMs: readAtMs(n), calls }));

/** When each is re-read until `untilMs`, if every one is re-read when its turn comes. */
function resync(all: readonly ResyncState[], periodMs: number, untilMs: number): { readonly id: string; readonly atMs: number }[] {
  const made: { id: string; atMs: number }[] = [];
  let round = [...all];
  for (let nowMs = 0; ; ) {
    const next = nextResync(round, periodMs);
    nowMs = Math.max(nowMs, next?.atMs ?? untilMs);
    if (next === undefined || nowMs >= untilMs) return made;
    made.push({ id: next.id, atMs: nowMs });
    const { id, calls } = next;
    round = [...round.filter((one) => one.id !== id), { id, calls, readAtMs: nowMs }];
  }
}
const oldest = (all: readonly ResyncState[], made: readonly { readonly id: string; readonly atMs: number }[]): number =>
  Math.max(
    ...all.map(({ id, readAtMs }) => {
      const times = [readAtMs, ...made.filter((one) => one.id === id).map(({ atMs }) => atMs)];
      return Math.max(...times.map((atMs, n) => atMs - (times[n - 1] ?? readAtMs)));
    }),
  );

test("nothing to re-read", () => assert.equal(nextResync([], 60_000), undefined));

test("one load balancer is re-read when it is a period old", () =>
  assert.deepEqual(
    nextResync(
      many(1, () => 500),
      60_000,
    ),
    { id: "lb-0", readAtMs: 500, calls: 1, atMs: 60_500 },
  ));

test("those that were read at the same time are re-read evenly, and none gets older than the period", () => {
  const all = many(60);
  const made = resync(all, 60_000, 300_000);
  assert.ok(made.length >= 299 && made.length <= 301, `${made.length} reads`);
  assert.ok(
    made.every(({ atMs }, n) => Math.abs(atMs - (n + 1) * 1_000) < 1),
    "not one a second",
  );
  assert.ok(oldest(all, made) <= 60_000, String(oldest(all, made)));
});

test("those that were just read for another reason come a period later: nothing is re-read for nothing", () => {
  const all = many(60, (n) => (n < 10 ? 0 : 50_000));
  const made = resync(all, 60_000, 109_000);
  assert.ok(oldest(all, made) <= 60_000, String(oldest(all, made)));
  assert.ok(made.length <= 70, `${made.length} reads`);
});

test("a large one takes the room of what it costs", () => {
  const all = [...many(9), { id: "large", readAtMs: 0, calls: 3 }];
  const made = resync(all, 60_000, 600_000);
  assert.ok(oldest(all, made) <= 60_000, String(oldest(all, made)));
  const after = made
    .filter((_, n) => made[n - 1]?.id === "large")
    .map(({ atMs }, n) => atMs - (made.filter(({ id }) => id === "large")[n]?.atMs ?? 0));
  assert.ok(Math.min(...after) >= 14_999, `${Math.min(...after)} ms after the large one`);
});

test("the period is as asked for, less a little for the read itself, while the rate suffices, and stretches beyond", () => {
  assert.equal(resyncPeriodMs(many(1), 60_000, 5), 54_000);
  assert.equal(resyncPeriodMs(many(270), 60_000, 5), 54_000);
  assert.equal(resyncPeriodMs(many(600), 60_000, 5), 120_000);
  assert.equal(resyncPeriodMs(many(200, undefined, 3), 60_000, 5), 120_000);
});

test("a re-read costs as many calls of one action as its listeners need: one for all of a load balancer that is not large", () => {
  const calls = (wanted: number, places: number): number => resyncCalls({ wanted, places });
  assert.deepEqual([calls(0, 0), calls(1, 900), calls(20, 900), calls(21, 21), calls(50, 100)], [1, 1, 1, 1, 1]);
  assert.deepEqual([calls(21, 101), calls(50, 101)], [2, 3]);
});
