import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { onlyOn } from "./cluster.ts";
import { relist } from "./embedded-cluster.ts";
import { changedExample } from "./examples.ts";
import { assertAtRest, assertNoFailure, cloudWrites, converged, loadBalancer, servingTargets, startClient } from "./look.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

const REPLICAS = 4;
/** Several passes over the load balancer, one a second here. */
const AFTERMATH_MS = 2_500;
/** How many watches of it the product has: each agent watches its node's Pods. */
const READERS = { pods: 2, services: 1, nodes: 1 } as const;

const skip = onlyOn("embedded", "a real API server cannot be made to answer an empty list while there are objects");

test("an empty list removes nothing", { skip, timeout: 120_000 }, async (t) => {
  const world = await startWorld(t, { coordinatorEnv: { RESYNC_MS: "1000" } });
  await applyExample(world, changedExample({ replicas: REPLICAS }));
  await converged(world, { count: REPLICAS });
  const client = startClient(world);
  t.after(() => client.stop());
  const sinceSeq = world.cloud.cloud.journal.lastSeq;

  for (const resource of ["pods", "services", "nodes"] as const)
    await t.test(`of ${resource}`, async () => {
      await emptyRelist(world, resource);
      assert.deepEqual(cloudWrites(world, sinceSeq), []);
      assert.equal(loadBalancer(world).listeners.flatMap(servingTargets).length, REPLICAS);
    });
  await t.test("traffic went on all the time", async () => assertNoFailure(await client.stop()));
  await t.test("then nothing is written any more", () => assertAtRest(world));
});

/**
 * Every reader gets an empty list, the simulated cluster's own readers included. All first lists come within half a second; a doubtful
 * one is read again 1 s later (common/kubernetes/list-watch.ts), and the product is seen to have read twice.
 */
async function emptyRelist(world: World, resource: keyof typeof READERS): Promise<void> {
  const api = world.embedded;
  assert.ok(api);
  const since = world.requests().length;
  const lists = (): number =>
    world
      .requests()
      .slice(since)
      .filter((request) => request.byProduct && request.verb === "list" && request.resource === resource).length;
  api.faults.inject({ kind: "empty-list", resource, times: Number.POSITIVE_INFINITY });
  relist(api, resource);
  await until(`the product has read an empty list of ${resource}`, () => lists() >= READERS[resource], 5_000, 5);
  await sleep(200); // the simulated cluster's readers, too
  api.faults.inject({ kind: "clear" });
  await until(`the product has read the list of ${resource} again`, () => lists() >= 2 * READERS[resource], 5_000);
  await sleep(AFTERMATH_MS);
}
