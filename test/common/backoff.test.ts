import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffMs } from "../../common/backoff.ts";

const limits = { baseMs: 250, maxMs: 30_000 };

test("the longest possible delay doubles from baseMs and stops at maxMs", () => {
  const longest = [0, 1, 2, 6, 7, 50, 5_000].map((attempt) => backoffMs(attempt, limits, () => 1));
  assert.deepEqual(longest, [250, 500, 1_000, 16_000, 30_000, 30_000, 30_000]);
});

test("delays spread evenly from 0, so that clients which failed together come back apart", () => {
  assert.deepEqual(
    [0, 0.25, 0.5].map((random) => backoffMs(2, limits, () => random)),
    [0, 250, 500],
  );
});

test("a negative attempt counts as the first", () => {
  assert.equal(
    backoffMs(-3, limits, () => 1),
    250,
  );
});
