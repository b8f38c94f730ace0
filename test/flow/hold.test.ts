/** Pods of a plain manifest, without a preStop of their own: they are held until nothing is sent to them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { changedExample, rollOut, scaleTo } from "./examples.ts";
import { annotationsOf, heldByDefault } from "./held.ts";
import { assertDrainedFirst, assertNoFailure, converged, eventsOf, podsOf, startClient } from "./look.ts";
import { applyExample, startWorld } from "./world.ts";

const REPLICAS = 6;
/** Longer than the client keeps a connection (3 s). */
const DRAIN_MS = 4_000;
const HOLD = "clb-direct.io/hold";
const DRAIN = "clb-direct.io/drain";

test("rollout and scale-down of a plain manifest lose no request, and each Pod is held", { timeout: 180_000 }, async (t) => {
  const world = await startWorld(t, { holds: true, coordinatorEnv: { DRAIN_MS: String(DRAIN_MS), RESYNC_MS: "1000" } });
  await heldByDefault(world);
  await applyExample(world, changedExample({ replicas: REPLICAS, sleepSeconds: "none" }));
  await converged(world, { count: REPLICAS });
  const pods = await podsOf(world, "app=web");
  const annotations = pods.map((pod) => annotationsOf(pod));
  assert.deepEqual(new Set(annotations.map((all) => all?.[DRAIN])), new Set(["hold"]));
  assert.equal(new Set(annotations.map((all) => all?.[HOLD])).size, REPLICAS, "one token per Pod");
  const client = startClient(world);
  t.after(() => client.stop());
  const sinceSeq = world.cloud.cloud.journal.lastSeq;
  await rollOut(world, "2");
  await converged(world, { count: REPLICAS });
  await scaleTo(world, REPLICAS / 2);
  await converged(world, { count: REPLICAS / 2 });
  assertNoFailure(await client.stop());
  assertDrainedFirst(world, sinceSeq, 0);
  assert.deepEqual(await eventsOf(world, "DrainTruncated"), []);
});
