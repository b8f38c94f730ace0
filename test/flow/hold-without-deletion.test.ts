/** Kubelets that end Pods by themselves, without a deletion: a failed liveness probe, a node that shuts down. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { KILLED } from "../cluster/simulated/pod-worker.ts";
import type { LoadResult } from "../demo/load.ts";
import { changedExample } from "./examples.ts";
import { heldByDefault, writtenOfHolds } from "./held.ts";
import { converged, eventsOf, podsOf, startClient } from "./look.ts";
import { applyExample, boundTargets, startWorld, until, type World } from "./world.ts";

const NODES = ["node-a", "node-b"];
const NODE = "node-b";
const REPLICAS = 6;
/** What the floor does not refuse: half of a place keep their weight. */
const KILLED_AT_ONCE = 2;
/** Of the held ones that live on, as far as anybody knows (hold-budget.ts). */
const SIGN_MS = 5_000;
/** A busy machine notices a timer late. */
const LATE_MS = 1_500;

const start = async (world: World): Promise<void> => {
  await heldByDefault(world);
  await applyExample(world, changedExample({ replicas: REPLICAS, sleepSeconds: "none" }));
  await converged(world, { count: REPLICAS });
};
const kill = (world: World, pod: string, how: string): Promise<unknown> =>
  world.client.patch(`/api/v1/namespaces/demo/pods/${pod}`, { metadata: { annotations: { [KILLED]: how } } }, "merge");
const weightOf = (world: World, ip: string | undefined): number | undefined => boundTargets(world).get(`${ip}:8080`);

/** A sign is held until weight 0 is effective and no longer: what is open then is cut by an application that ends at once. */
function assertNoNewFailure({ requests, failures }: LoadResult): void {
  assert.deepEqual(
    failures.filter(({ connection }) => connection === "new"),
    [],
    `${failures.length} of ${requests} requests failed`,
  );
  assert.ok(requests >= 100, `only ${requests} requests were sent`);
}

test("containers that a liveness probe kills are held until weight 0 is effective, and get their weight back when they are ready anew", {
  timeout: 180_000,
}, async (t) => {
  const world = await startWorld(t, { holds: true });
  await start(world);
  const client = startClient(world);
  t.after(() => client.stop());
  const pods = (await podsOf(world, "app=web")).slice(0, KILLED_AT_ONCE);
  for (const { metadata } of pods) await kill(world, metadata.name, "restart");
  await until("both are held", async () => (await writtenOfHolds(world, NODES, "hold ends")).length === pods.length, 30_000);
  for (const { end, lowered, heldMs = 0 } of await writtenOfHolds(world, NODES, "hold ends")) {
    assert.deepEqual([end, lowered], ["drained", true]);
    assert.ok(heldMs < SIGN_MS + LATE_MS, `${heldMs} ms`);
  }
  await until("they have their weight again", () => pods.every(({ status }) => weightOf(world, status?.podIP) === 10), 40_000);
  await converged(world, { count: REPLICAS });
  assertNoNewFailure(await client.stop());
  assert.deepEqual(await eventsOf(world, "DrainTruncated"), []);
});

test("a node that shuts down: its Pods are held until weight 0 is effective, as far as the floor lets; then they have ended and are unbound", {
  timeout: 180_000,
}, async (t) => {
  const world = await startWorld(t, { holds: true });
  await start(world);
  const client = startClient(world);
  t.after(() => client.stop());
  const there = (await podsOf(world, "app=web")).filter(({ spec }) => spec.nodeName === NODE);
  assert.ok(there.length > 0 && there.length <= REPLICAS / 2, `${there.length} of ${REPLICAS} Pods are on ${NODE}`);
  await world.client.patch(`/api/v1/nodes/${NODE}`, { spec: { unschedulable: true } }, "merge");
  for (const { metadata } of there) await kill(world, metadata.name, "shutdown 20");
  await until("all holds are over", async () => (await writtenOfHolds(world, [NODE], "hold ends")).length === there.length, 30_000);
  for (const { end, lowered, heldMs = 0 } of await writtenOfHolds(world, [NODE], "hold ends")) {
    assert.deepEqual([end, lowered], ["drained", true]);
    assert.ok(heldMs < SIGN_MS + LATE_MS, `${heldMs} ms`);
  }
  await until("nothing of the node is bound", () => there.every(({ status }) => weightOf(world, status?.podIP) === undefined), 60_000);
  assertNoNewFailure(await client.stop());
  assert.deepEqual(await eventsOf(world, "DrainTruncated"), []);
});
