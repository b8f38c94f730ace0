/** The leader goes while Pods are held: the standby, which heard of every call as well, answers them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { changedExample, rollOut } from "./examples.ts";
import { heldByDefault, writtenOfHolds } from "./held.ts";
import { assertDrainedFirst, assertNoFailure, converged, eventsOf, startClient } from "./look.ts";
import { leads, takeOver, writersOf, writesSince } from "./two-coordinators.ts";
import { applyExample, startWorld, until } from "./world.ts";

const NODES = ["node-a", "node-b"];
const REPLICAS = 4;
/** Longer than the client keeps a connection (3 s). */
const DRAIN_MS = "4000";
/** So long the leader waits for weight 0 when it is killed. */
const SLOW = "20s";

test("a leader that is killed in the middle of holds: the standby lowers the weights and answers, no request fails", {
  timeout: 180_000,
}, async (t) => {
  const world = await startWorld(t, { holds: true, replicas: 2, nodes: NODES, coordinatorEnv: { DRAIN_MS } });
  await world.product.startCoordinator(1);
  await heldByDefault(world);
  await applyExample(world, changedExample({ replicas: REPLICAS, sleepSeconds: "none" }));
  await converged(world, { count: REPLICAS });
  assert.ok(await leads(world, "first"), "who comes first leads");
  const { faults, journal } = world.cloud.cloud;
  const client = startClient(world, { rate: 40 });
  t.after(() => client.stop());
  const [sinceSeq, sinceMs] = [journal.lastSeq, Date.now()];
  faults.add({ kind: "latency", delay: SLOW, action: "BatchModifyTargetWeight", count: 1 });
  await rollOut(world, "2");
  const isHeld = async (): Promise<boolean> => (await writtenOfHolds(world, NODES, "hold begins")).length > 0;
  await until("a Pod is held", isHeld, 40_000);
  const ended = await writtenOfHolds(world, NODES, "hold ends");
  assert.deepEqual(ended, [], "it is held when the leader goes: weight 0 takes a while");
  world.product.coordinator(0)?.signal("SIGKILL");
  await takeOver(world, "second");
  await converged(world, { count: REPLICAS, limitMs: 90_000 });
  assertNoFailure(await client.stop());
  assertDrainedFirst(world, sinceSeq, 0);
  const ends = await writtenOfHolds(world, NODES, "hold ends");
  assert.equal(ends.length, REPLICAS);
  for (const { pod, end, lowered, heldMs } of ends)
    assert.ok(lowered === true && (end === "drained" || end === "drain-time"), `${pod}: ${end} after ${heldMs} ms, lowered: ${lowered}`);
  assert.deepEqual(await eventsOf(world, "DrainTruncated"), []);
  assert.equal(writersOf(writesSince(world, sinceMs)).at(-1), "second");
});
