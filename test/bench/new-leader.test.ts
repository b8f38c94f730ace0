import assert from "node:assert/strict";
import { test } from "node:test";
import { ALL_READ_TIMES, newLeader } from "../../bench/sync/new-leader.ts";

test("a new leader reads the list of its load balancers once at most, and first those where a Pod ends", async () => {
  const figures = await newLeader(120);
  assert.ok(figures.pages <= 2, `${figures.pages} pages`); // none where the records tell it
  assert.ok(figures.allReadSeconds <= ALL_READ_TIMES * figures.boundSeconds, JSON.stringify(figures));
  assert.ok(figures.drainSeconds <= 1, JSON.stringify(figures));
});
