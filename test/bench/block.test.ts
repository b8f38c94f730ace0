import assert from "node:assert/strict";
import { test } from "node:test";
import { BLOCK_GOALS, block } from "../../bench/sync/block.ts";

test("60 Pods on a cloud without latency take no more writes than a controller without weights makes, and their gates open soon", async () => {
  const figures = await block();
  assert.ok(figures.writes <= BLOCK_GOALS.writes, JSON.stringify(figures));
  assert.ok(figures.gateMsP90 <= BLOCK_GOALS.gateMsP90 && figures.gateMsMax <= BLOCK_GOALS.gateMsMax, JSON.stringify(figures));
});
