import assert from "node:assert/strict";
import { test } from "node:test";
import { PassPace } from "../../../coordinator/load-balancers/pass-pace.ts";

test("passes of one load balancer take 40 % of the time at most", () => {
  const pace = new PassPace();
  assert.equal(pace.waitMs("lb-1", 1_000), 0);
  pace.passed("lb-1", 2, 1_002);
  assert.deepEqual([pace.waitMs("lb-1", 1_002), pace.waitMs("lb-1", 1_004), pace.waitMs("lb-1", 1_007)], [5, 3, 0]);
});

test("many that have passes all the time share this, each with fewer passes", () => {
  const pace = new PassPace();
  for (let n = 0; n < 20; n++) pace.passed(`lb-${n}`, 2, 1_000);
  assert.equal(pace.waitMs("lb-0", 1_000), 100);
  for (let n = 20; n < 1_000; n++) pace.passed(`lb-${n}`, 2, 1_000);
  assert.equal(pace.waitMs("lb-0", 1_000), 250); // never longer
});

test("a load balancer that has rested has its pass at once, whatever the others cost", () => {
  const pace = new PassPace();
  for (let n = 0; n < 100; n++) pace.passed(`lb-${n}`, 2, 1_000);
  assert.equal(pace.waitMs("lb-new", 1_001), 0);
  assert.equal(pace.waitMs("lb-7", 1_251), 0);
  pace.passed("lb-7", 2, 1_253);
  assert.equal(pace.waitMs("lb-7", 1_253), 5); // the others are forgotten
});

test("a load balancer that is gone counts no longer", () => {
  const pace = new PassPace();
  pace.passed("lb-1", 10, 1_000);
  pace.passed("lb-2", 2, 1_000);
  pace.forget("lb-1");
  assert.deepEqual([pace.waitMs("lb-1", 1_000), pace.waitMs("lb-2", 1_000)], [0, 5]);
});
