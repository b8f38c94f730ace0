/** An agent stands still before a Pod of its node is deleted: the hold server has timers of its own, the coordinator another way to know. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { changedExample } from "./examples.ts";
import { heldByDefault, writtenOfHolds } from "./held.ts";
import { assertNoFailure, converged, podsOf, startClient } from "./look.ts";
import { applyExample, boundTargets, startWorld, until } from "./world.ts";

const NODE = "node-b";
const REPLICAS = 4;
const DRAIN_MS = "4000";
/** As if it had answered a ping of every 10 s just before it stood still: after 15 s of silence, no earlier, its stream ends. */
const LATEST = { KEEPALIVE_MS: "1000", KEEPALIVE_TIMEOUT_MS: "14000" };
/** Of 30 s, where nobody tells of the deletion (hold-budget.ts). */
const BUDGET_MS = 23_000;

test("an agent that stands still before a deletion: its Pod is held until weight 0 is effective, no request fails", {
  timeout: 180_000,
}, async (t) => {
  const world = await startWorld(t, { holds: true, coordinatorEnv: { DRAIN_MS, ...LATEST } });
  await heldByDefault(world);
  await applyExample(world, changedExample({ replicas: REPLICAS, sleepSeconds: "none" })); // with the usual grace period
  await converged(world, { count: REPLICAS });
  const there = (await podsOf(world, "app=web")).filter(({ spec }) => spec.nodeName === NODE);
  const [pod] = there;
  assert.ok(pod !== undefined, "a Pod is on each node");
  const client = startClient(world, { rate: 40 });
  t.after(() => client.stop());
  const agent = world.product.agent(NODE);
  agent?.signal("SIGSTOP");
  t.after(() => agent?.signal("SIGCONT"));
  await world.client.delete(`/api/v1/namespaces/demo/pods/${pod.metadata.name}`);
  await until("it is held", async () => (await writtenOfHolds(world, [NODE], "hold begins")).length > 0);
  await until("weight 0 is effective", () => boundTargets(world).get(`${pod.status?.podIP}:8080`) === 0, 60_000);
  assert.deepEqual(await writtenOfHolds(world, [NODE], "hold ends"), [], "nobody could say so to the hold server");
  await until("the budget is used up", async () => (await writtenOfHolds(world, [NODE], "hold ends")).length > 0, 60_000);
  const [held, ...others] = await writtenOfHolds(world, [NODE], "hold ends");
  assert.equal(others.length, 0);
  assert.equal(held?.end, "no-word");
  const { heldMs = 0 } = held;
  assert.ok(heldMs >= BUDGET_MS, `held for ${heldMs} ms`);
  await converged(world, { count: REPLICAS, limitMs: 90_000 });
  assertNoFailure(await client.stop());
  agent?.signal("SIGCONT");
});
