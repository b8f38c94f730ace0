/** An agent stands still before a Pod of its node is deleted: the hold server has timers of its own, the coordinator another way to know. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Manifest } from "../cluster/manifests.ts";
import { changedExample } from "./examples.ts";
import { heldByDefault, writtenOfHolds } from "./held.ts";
import { assertNoFailure, converged, eventsOf, podsOf, startClient } from "./look.ts";
import { applyExample, boundTargets, startWorld, until } from "./world.ts";

const NODE = "node-b";
const REPLICAS = 4;
/** Longer than the client keeps a connection (3 s). */
const DRAIN_MS = "4000";
const GRACE_SECONDS = 90;

const example = changedExample({ replicas: REPLICAS, sleepSeconds: "none" });
type Deployment = { readonly template: { readonly spec: object } };
function withLongGrace(manifest: Manifest): Manifest {
  const changed = example(manifest);
  if (changed.kind !== "Deployment") return changed;
  const spec = changed["spec"] as Deployment;
  const podSpec = { ...spec.template.spec, terminationGracePeriodSeconds: GRACE_SECONDS };
  return { ...changed, spec: { ...spec, template: { ...spec.template, spec: podSpec } } };
}

test("an agent that stands still before a deletion: its Pod is held until weight 0 is effective, no request fails", {
  timeout: 180_000,
}, async (t) => {
  const world = await startWorld(t, { holds: true, coordinatorEnv: { DRAIN_MS } });
  await heldByDefault(world);
  await applyExample(world, withLongGrace);
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
  agent?.signal("SIGCONT");
  await converged(world, { count: REPLICAS, limitMs: 90_000 });
  assertNoFailure(await client.stop());
  const [held, ...others] = await writtenOfHolds(world, [NODE], "hold ends");
  assert.equal(others.length, 0);
  const { end, lowered, heldMs } = held ?? {};
  assert.ok(lowered === true && (end === "drained" || end === "drain-time"), `${end} after ${heldMs} ms, lowered: ${lowered}`);
  assert.deepEqual(await eventsOf(world, "DrainTruncated"), []);
});
