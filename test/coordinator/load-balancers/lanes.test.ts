import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../coordinator/domain/call.ts";
import type { LaneTimes } from "../../../coordinator/domain/plan/lane-order.ts";
import { Lanes } from "../../../coordinator/load-balancers/lanes.ts";

const DRAIN: Call = { lane: "drain", weights: [] };
const BIND: Call = { lane: "bind", targets: [] };
/** Of the drains, and what was last. */
const figures = ({ waitedMs, tookMs, last }: LaneTimes): unknown[] => [waitedMs("drain"), tookMs("drain"), last];

test("a lane waits since it was first due without a break", () => {
  const lanes = new Lanes();
  lanes.planned("lb-1", [DRAIN], 1_000);
  lanes.planned("lb-1", [DRAIN, BIND], 2_000);
  assert.deepEqual([lanes.waitedMs("lb-1", "drain", 3_000), lanes.waitedMs("lb-1", "bind", 3_000)], [2_000, 1_000]);
  lanes.planned("lb-1", [BIND], 4_000);
  lanes.planned("lb-1", [BIND, DRAIN], 5_000);
  assert.deepEqual([lanes.waitedMs("lb-1", "drain", 6_000), lanes.waitedMs("lb-1", "bind", 6_000)], [1_000, 4_000]);
  assert.equal(lanes.waitedMs("lb-2", "drain", 6_000), 0);
});

test("what a write has left over waits since its beginning", () => {
  const lanes = new Lanes();
  lanes.planned("lb-1", [DRAIN, BIND], 1_000);
  lanes.wrote("lb-1", "drain", { startedMs: 5_000, endedMs: 5_500 });
  lanes.planned("lb-1", [DRAIN, BIND], 5_500);
  const turn = lanes.times("lb-1", 5_500);
  assert.deepEqual([...figures(turn), turn.waitedMs("bind")], [500, 500, "drain", 4_500]);
});

test("a lane that pauses holds up no other, and comes back by itself", () => {
  const lanes = new Lanes();
  lanes.pause("lb-1", "drain", 5_000);
  assert.deepEqual(lanes.running("lb-1", [DRAIN, BIND], 4_999), [BIND]);
  assert.deepEqual(lanes.running("lb-2", [DRAIN, BIND], 4_999), [DRAIN, BIND]);
  assert.deepEqual([lanes.nextMs("lb-1", 4_999), lanes.nextMs("lb-2", 4_999)], [5_000, undefined]);
  assert.deepEqual(lanes.running("lb-1", [DRAIN, BIND], 5_000), [DRAIN, BIND]);
  assert.equal(lanes.nextMs("lb-1", 5_000), undefined);
});

test("failures of a lane count in a row", () => {
  const lanes = new Lanes();
  assert.deepEqual([lanes.failed("lb-1", "drain"), lanes.failed("lb-1", "drain"), lanes.failed("lb-1", "bind")], [1, 2, 1]);
  lanes.worked("lb-1", "drain");
  assert.deepEqual([lanes.failed("lb-1", "drain"), lanes.failed("lb-1", "bind")], [1, 2]);
});

test("a load balancer that is forgotten begins anew", () => {
  const lanes = new Lanes();
  lanes.planned("lb-1", [DRAIN], 1_000);
  lanes.wrote("lb-1", "drain", { startedMs: 1_000, endedMs: 1_321 });
  lanes.pause("lb-1", "drain", 5_000);
  assert.deepEqual(figures(lanes.times("lb-1", 2_000)), [1_000, 321, "drain"]);
  lanes.forget("lb-1");
  assert.deepEqual([figures(lanes.times("lb-1", 2_000)), lanes.running("lb-1", [DRAIN], 2_000)], [[0, 5_000, undefined], [DRAIN]]);
});

test("the next write waits 20 ms for company after a quick one, and not at all after a slow one", () => {
  const lanes = new Lanes();
  assert.equal(lanes.companyMs("lb-1", 0), 0); // the first one goes at once
  lanes.wrote("lb-1", "bind", { startedMs: 1_000, endedMs: 1_099 });
  assert.deepEqual(
    [1_099, 1_110, 1_119, 2_000].map((nowMs) => lanes.companyMs("lb-1", nowMs)),
    [20, 9, 0, 0],
  );
  assert.equal(lanes.companyMs("lb-2", 1_100), 0);
  lanes.wrote("lb-1", "drain", { startedMs: 2_000, endedMs: 2_100 });
  assert.equal(lanes.companyMs("lb-1", 2_100), 0);
});

test("where writes are quick, unbinds alone wait up to 5 s for more of them", () => {
  const lanes = new Lanes();
  const unbind: Call = { lane: "unbind", slots: [] };
  lanes.planned("lb-1", [unbind], 1_000);
  assert.equal(lanes.unbindCompanyMs("lb-1", [unbind], 1_000), 0); // nobody knows how quick it is
  lanes.wrote("lb-1", "unbind", { startedMs: 1_000, endedMs: 1_020 });
  lanes.planned("lb-1", [], 1_020);
  lanes.planned("lb-1", [unbind], 5_000);
  assert.deepEqual(
    [5_000, 7_000, 10_000].map((nowMs) => lanes.unbindCompanyMs("lb-1", [unbind], nowMs)),
    [5_000, 3_000, 0],
  );
  assert.equal(lanes.unbindCompanyMs("lb-1", [unbind, DRAIN], 5_000), 0); // what else is due does not wait
  lanes.wrote("lb-1", "unbind", { startedMs: 9_000, endedMs: 9_100 });
  assert.equal(lanes.unbindCompanyMs("lb-1", [unbind], 9_100), 0);
});
