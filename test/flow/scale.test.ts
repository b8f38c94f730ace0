import assert from "node:assert/strict";
import { test } from "node:test";
import { changedExample, scaleTo } from "./examples.ts";
import { assertAtRest, assertDrainedFirst, assertNoFailure, converged, fewestServing, loadBalancer, startClient } from "./look.ts";
import { applyExample, boundTargets, startWorld } from "./world.ts";

/** Longer than the client keeps a connection (3 s). */
const DRAIN_MS = 4_000;

test("a Deployment grows and shrinks while a client sends requests", { timeout: 120_000 }, async (t) => {
  const coordinatorEnv = { DRAIN_MS: String(DRAIN_MS), RESYNC_MS: "1000" };
  const world = await startWorld(t, { coordinatorEnv });
  await applyExample(world, changedExample({ replicas: 3 }));
  await converged(world, { count: 3 });
  const listenerId = loadBalancer(world).listeners[0]?.id ?? "";
  const startSeq = world.cloud.cloud.journal.lastSeq;
  const client = startClient(world);
  t.after(() => client.stop());

  await t.test("from 3 Pods to 6", async () => {
    await scaleTo(world, 6);
    await converged(world, { count: 6 });
    assert.ok(fewestServing(world, listenerId, startSeq) >= 3);
  });
  await t.test("from 6 Pods to 3: weight 0 first, then unbound", async () => {
    const sinceSeq = world.cloud.cloud.journal.lastSeq;
    await scaleTo(world, 3);
    await converged(world, { count: 3 });
    assert.equal(assertDrainedFirst(world, sinceSeq, DRAIN_MS), 3);
    assert.equal(fewestServing(world, listenerId, sinceSeq), 3);
    assert.equal(new Set(boundTargets(world).values()).size, 1, "all that is left has the same weight");
  });
  await t.test("no request was lost", async () => assertNoFailure(await client.stop()));
  await t.test("then nothing is written any more", () => assertAtRest(world));
});
