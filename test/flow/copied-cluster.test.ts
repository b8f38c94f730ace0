/** Two API servers from one database, and one cloud: the copy's coordinator has the same cluster id, the same Services and the same records. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeProduct } from "../cluster/product.ts";
import { type CopiedCluster, onlyOn } from "./cluster.ts";
import { changedExample } from "./examples.ts";
import { cloudWrites, converged, type Told } from "./look.ts";
import { applyExample, boundTargets, SECOND_KEY, startWorld, until, type World } from "./world.ts";

const REPLICAS = 3;
const NODES = ["node-a", "node-b"];
/** The proof is waited for 45 s, after a Lease that the original holds in the copy has run out. Milliseconds. */
const TOLD_MS = 120_000;

test("the coordinator of a copied cluster writes nothing to the load balancers of the original", {
  timeout: 400_000,
  skip: onlyOn("real", "it has no database that could be copied"),
}, async (t) => {
  const world = await startWorld(t, { nodes: NODES });
  assert.ok(world.troubles.copy);
  await applyExample(world, changedExample({ replicas: REPLICAS }));
  await converged(world, { count: REPLICAS });
  await until("the Nodes are on record", () =>
    world.client.get("/api/v1/namespaces/clb-direct/configmaps/clb-direct-record-nodes-0").then(
      () => true,
      () => false,
    ),
  );
  const copy = await world.troubles.copy();
  t.after(() => copy.stop());
  const product = await coordinatorOf(t, world, copy);
  const sinceSeq = world.cloud.cloud.journal.lastSeq;
  await product.startCoordinator();
  // Nobody runs them there: whoever cleans up says that they are over, and proves it.
  await copy.client.delete("/api/v1/namespaces/demo/pods", { gracePeriodSeconds: 0 });
  await until(
    "the Service says that it is a copy",
    async () => {
      const { items } = await copy.client.list<Told>("/api/v1/namespaces/demo/events");
      return items.some(({ reason, involvedObject }) => reason === "ClusterCopied" && involvedObject.kind === "Service");
    },
    TOLD_MS,
    500,
  );
  assert.deepEqual(cloudWrites(world, sinceSeq), []);
  assert.deepEqual([...boundTargets(world).values()], Array(REPLICAS).fill(10));
});

async function coordinatorOf(t: { after: (end: () => Promise<unknown>) => void }, world: World, copy: CopiedCluster) {
  const directory = await mkdtemp(join(tmpdir(), "clb-direct-copy-"));
  const { cluster, apiServer, plan } = copy;
  const product = makeProduct({
    cluster,
    apiServer,
    plan,
    directory,
    install: "everything",
    cloudEndpoint: world.cloud.endpoint,
    keys: [SECOND_KEY],
    nodes: NODES,
    coordinatorEnv: { DRAIN_MS: "3000" },
  });
  t.after(async () => {
    await product.stop();
    await rm(directory, { recursive: true, force: true });
  });
  return product;
}
