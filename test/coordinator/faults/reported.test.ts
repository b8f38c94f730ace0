import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNothingWrong, aWorld } from "./world.ts";

test("a rollout of 200 Pods costs at most 20 reads of Pods", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 200 });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    const start = { ...world.reads };
    await world.rollOut("one", { surge: 50 });
    await world.converged("one");
    const [gets, lists] = [world.reads.get - start.get, world.reads.list - start.list];
    t.diagnostic(`at start ${start.get} GETs and ${start.list} lists; for the rollout ${gets} GETs and ${lists} lists`);
    assert.ok(start.get + start.list <= 20 && gets + lists <= 20, `${gets} GETs and ${lists} lists`);
    await world.kill();
  });
  assertNothingWrong(world);
});
