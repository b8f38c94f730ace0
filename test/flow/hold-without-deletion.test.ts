/** Kubelets that end Pods by themselves, without a deletion: a failed liveness probe, a node that shuts down. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../cluster/simulated/objects.ts";
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

/** So long a container that was told to end takes to do so, and refuses connections meanwhile. */
const STOPPING_SECONDS = 24;

async function restartsOf({ client }: World, { metadata }: Pod): Promise<number | undefined> {
  type Restarted = { readonly status?: { readonly containerStatuses?: readonly { readonly restartCount: number }[] } };
  const now: Restarted = await client.get(`/api/v1/namespaces/demo/pods/${metadata.name}`);
  return now.status?.containerStatuses?.[0]?.restartCount;
}

const weightOf = (world: World, { status }: Pod): number | undefined => boundTargets(world).get(`${status?.podIP}:8080`);

/** Its kubelet ends these Pods; over when weight 0 was effective for each, within the time of a sign. */
async function kill(world: World, pods: readonly Pod[], how: string): Promise<void> {
  const names = new Set(pods.map(({ metadata }) => `demo/${metadata.name}`));
  const ends = async () => (await writtenOfHolds(world, NODES, "hold ends")).filter(({ pod = "" }) => names.has(pod));
  const change = { metadata: { annotations: { [KILLED]: how } } };
  for (const { metadata } of pods) await world.client.patch(`/api/v1/namespaces/demo/pods/${metadata.name}`, change, "merge");
  await until("all holds are over", async () => (await ends()).length === pods.length, 30_000);
  for (const { pod, end, lowered, heldMs = 0 } of await ends()) {
    assert.deepEqual([end, lowered], ["drained", true], pod);
    assert.ok(heldMs < SIGN_MS + LATE_MS, `${pod}: ${heldMs} ms`);
  }
}

/** A sign is held until weight 0 is effective and no longer: what is open then is cut by an application that ends at once. */
function assertNoNewFailure({ requests, failures }: LoadResult): void {
  assert.deepEqual(
    failures.filter(({ connection }) => connection === "new"),
    [],
    `${failures.length} of ${requests} requests failed`,
  );
  assert.ok(requests >= 100, `only ${requests} requests were sent`);
}

test("Pods that their kubelet ends without a deletion are held until weight 0 is effective; no new connection fails", {
  timeout: 240_000,
}, async (t) => {
  const world = await startWorld(t, { holds: true });
  await heldByDefault(world);
  await applyExample(world, changedExample({ replicas: REPLICAS, sleepSeconds: "none" }));
  await converged(world, { count: REPLICAS });
  const client = startClient(world);
  t.after(() => client.stop());
  const pods = await podsOf(world, "app=web");

  const restarted = pods.filter(({ spec }) => spec.nodeName !== NODE).slice(0, KILLED_AT_ONCE); // as after a failed liveness probe
  await kill(world, restarted, "restart");
  await until("they have their weight again", () => restarted.every((pod) => weightOf(world, pod) === 10), 40_000);
  await converged(world, { count: REPLICAS });

  const there = pods.filter(({ spec }) => spec.nodeName === NODE);
  assert.ok(there.length > 0 && there.length <= REPLICAS / 2, `${there.length} of ${REPLICAS} Pods are on ${NODE}`);
  await world.client.patch(`/api/v1/nodes/${NODE}`, { spec: { unschedulable: true } }, "merge");
  await kill(world, there, "shutdown 20");
  await until("nothing of the node is bound: they have ended", () => there.every((pod) => weightOf(world, pod) === undefined), 60_000);
  assertNoNewFailure(await client.stop());
  assert.deepEqual(await eventsOf(world, "DrainTruncated"), []);
});

test("a coordinator that starts while a container is being stopped sends it nothing: no new connection fails", {
  timeout: 240_000,
}, async (t) => {
  const world = await startWorld(t, { holds: true });
  await heldByDefault(world);
  await applyExample(world, changedExample({ replicas: REPLICAS, sleepSeconds: "none", stoppingSeconds: STOPPING_SECONDS }));
  await converged(world, { count: REPLICAS });
  const client = startClient(world);
  t.after(() => client.stop());
  const [pod] = await podsOf(world, "app=web");
  assert.ok(pod !== undefined);
  await kill(world, [pod], "restart");
  const former = world.product.coordinator();
  former?.signal("SIGKILL"); // what it knew of the hold is gone
  await former?.exited;
  await world.product.startCoordinator();
  await until("it has its weight again", () => weightOf(world, pod) === 10, 60_000);
  const restarts = await restartsOf(world, pod);
  await converged(world, { count: REPLICAS });
  assertNoNewFailure(await client.stop());
  assert.equal(restarts, 1);
});
