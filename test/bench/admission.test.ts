/** What bench:admission makes of what it measured. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { addedCpu, between, faultsOf, type Inside, leastAdded, type Row, timesOf } from "../../bench/admission/rows.ts";

test("p50 and p99 of what creations took, in milliseconds", () => {
  assert.deepEqual(timesOf([]), { p50: 0, p99: 0 });
  assert.deepEqual(timesOf(Array.from({ length: 101 }, (_, at) => 100 - at)), { p50: 50, p99: 99 });
});

test("of the webhook's process counts what happened between two readings", () => {
  const reading = (reviews: number, fast: number, connections: number): Inside => ({
    reviews,
    connections,
    buckets: [
      [0.0005, fast],
      [0.005, reviews],
      [Number.POSITIVE_INFINITY, reviews],
    ],
  });
  const { inside, connections } = between(reading(1_000, 10, 3), reading(2_000, 910, 7));
  assert.deepEqual([inside, connections], [{ p50: 0.5, p99: 5 }, 4]);
});

const CPU = { api: 1, webhook: 0.25, creators: 0.5 };
const NONE_LATE = { alone: 0, control: 0, webhook: 0, again: 0 };

test("what a webhook adds to the CPU of a creation, and how much longer creators that always wait wait at least", () => {
  const control = { api: 1.5, webhook: 0.5, creators: 0.5 };
  const again = { api: 1.7, webhook: 0.7, creators: 0.6 };
  const { bare, ours } = addedCpu({ alone: CPU, control, again, webhook: { api: 2, webhook: 0.75, creators: 0.5 } });
  assert.deepEqual(bare, { api: 0.6, webhook: 0.35, creators: 0.05, all: 1 });
  assert.deepEqual(ours, { api: 1, webhook: 0.5, creators: 0, all: 1.5 });
  assert.equal(leastAdded(ours.all, 200, 2), 150);
});

test("a burst is wrong where more of our reviews are late than of those of a webhook that thinks nothing", () => {
  const times = { p50: 1, p99: 1 };
  const row = (late: Row["late"]): Row => ({
    parallel: 1_024,
    created: 4_096,
    times: { alone: times, control: times, webhook: { p50: 900, p99: 900 }, again: times },
    cpu: { alone: CPU, control: CPU, webhook: CPU, again: CPU },
    late,
    inside: times,
    insideControl: times,
    connections: 1_024,
    connectionsControl: 2_048,
  });
  assert.deepEqual(faultsOf(row({ ...NONE_LATE, control: 3, webhook: 4, again: 4 })), [], "there is no goal for how long a burst takes");
  assert.match(
    faultsOf(row({ ...NONE_LATE, control: 3, webhook: 5, again: 4 })).join(),
    /5 reviews of the webhook were late, .* 4; their Pods have no gate/,
  );
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
    created: 2_000,
    cpu: { alone: CPU, control: CPU, webhook: CPU, again: CPU },
    late: NONE_LATE,
    connections: 3,
    connectionsControl: 6,
  });
  assert.deepEqual(faultsOf(row(1, [50, 50], 60)), []);
  assert.deepEqual(faultsOf(row(1, [0.5, 0.5], 10.9)), [], "the goal is met");
  assert.deepEqual(faultsOf(row(1, [390, 410], 430)), [], "the control's own runs are 20 ms apart");
  assert.match(faultsOf(row(1, [400, 400], 411)).join(), /adds 410 ms \(p99\), goal 10; that is 11 ms more than a bare one, .* 0 ms apart/);
  assert.match(faultsOf(row(1, [390, 410], 431)).join(), /31 ms more than a bare one, whose two runs are 20 ms apart/);
  assert.match(faultsOf(row(50, [50, 50], 50)).join(), /the webhook itself takes up to 50 ms/);
  assert.deepEqual(faultsOf(row(50, [50, 50], 50, 25)), [], "the other one waits for a core as well");
});
