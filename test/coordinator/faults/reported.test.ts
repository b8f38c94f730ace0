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

for (const [title, count, surge, startMs] of [
  ["500 Pods, fifty at a time", 500, 50, 700],
  ["120 Pods, four at a time that take 20 s to start", 120, 4, 20_000],
] as const)
  test(`a rollout of ${title}, costs at most 50 reads of Pods`, async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: count, startMs: () => startMs, limits: { targetsPerPlace: 2 * count } });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      const start = { ...world.reads };
      await world.rollOut("one", { surge });
      await world.converged("one");
      const [gets, lists, watches] = [world.reads.get - start.get, world.reads.list - start.list, world.reads.watch - start.watch];
      t.diagnostic(`${gets} GETs, ${lists} lists, ${watches} watches`);
      assert.ok(gets + lists + watches <= 50, `${gets} GETs, ${lists} lists and ${watches} watches`);
      await world.kill();
    }, 7_200_000);
    assertNothingWrong(world);
  });
