import assert from "node:assert/strict";
import { test } from "node:test";
import { lowerBoundSeconds, PUBLISHED } from "../../bench/sync/tables.ts";

test("the lower bounds are those of the page they come from", () => {
  const bounds = (rulesPerCall: number): string[] => PUBLISHED.map((row) => lowerBoundSeconds(row, rulesPerCall).toFixed(1));
  // clb-api.md §7.6, column L1
  assert.deepEqual(bounds(20), ["19.6", "39.1", "58.7", "78.2", "97.7", "64.3", "141.0", "230.3", "332.0"]);
  assert.deepEqual(bounds(50).slice(5), ["51.9", "114.7", "188.6", "273.4"]);
});
