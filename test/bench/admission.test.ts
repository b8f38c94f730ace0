/** What bench:admission makes of what it measured. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { between, faultsOf, type Inside, type Row, timesOf } from "../../bench/admission/rows.ts";

test("p50 and p99 of what creations took, in milliseconds", () => {
  assert.deepEqual(timesOf([]), { p50: 0, p99: 0 });
  assert.deepEqual(timesOf(Array.from({ length: 101 }, (_, at) => 100 - at)), { p50: 50, p99: 99 });
});

test("of the webhook's process counts what happened between two readings", () => {
  const reading = (reviews: number, fast: number, cpuSeconds: number, connections: number): Inside => ({
    reviews,
    connections,
    cpuSeconds,
    buckets: [
      [0.0005, fast],
      [0.005, reviews],
      [Number.POSITIVE_INFINITY, reviews],
    ],
  });
  const { inside, cpuMsPerReview, connections } = between(reading(1_000, 10, 5, 3), reading(2_000, 910, 5.2, 7));
  assert.deepEqual([inside, cpuMsPerReview, connections], [{ p50: 0.5, p99: 5 }, 0.2, 4]);
});

test("a row is wrong where our own work is slow, or where the goal is missed by more than a webhook that thinks nothing explains", () => {
  const row = (inside: number, [control, again]: readonly [number, number], webhook: number, insideControl = 0.3): Row => ({
    parallel: 20,
    times: {
      alone: { p50: 1, p99: 1 },
      control: { p50: 1, p99: control },
      webhook: { p50: 1, p99: webhook },
      again: { p50: 1, p99: again },
    },
    inside: { p50: 0.5, p99: inside },
    insideControl: { p50: 0.1, p99: insideControl },
    cpuMsPerReview: 0.1,
    connections: 3,
  });
  assert.deepEqual(faultsOf(row(1, [50, 50], 60)), []);
  assert.deepEqual(faultsOf(row(1, [0.5, 0.5], 10.9)), [], "the goal is met");
  assert.deepEqual(faultsOf(row(1, [390, 410], 430)), [], "the control's own runs are 20 ms apart");
  assert.match(faultsOf(row(1, [400, 400], 411)).join(), /adds 410 ms \(p99\), goal 10; that is 11 ms more than a bare one, .* 0 ms apart/);
  assert.match(faultsOf(row(1, [390, 410], 431)).join(), /31 ms more than a bare one, whose two runs are 20 ms apart/);
  assert.match(faultsOf(row(50, [50, 50], 50)).join(), /the webhook itself takes up to 50 ms/);
  assert.deepEqual(faultsOf(row(50, [50, 50], 50, 25)), [], "the other one waits for a core as well");
});
