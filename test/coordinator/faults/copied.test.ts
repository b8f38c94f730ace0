/** A database that was restored into a second cluster, or a copied control plane: the same Services, records and Node objects, and no Pod. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { NODES_SCOPE, ORIGINAL_CLUSTER, RECORD_PREFIX } from "../../../common/names.ts";
import { assertNothingWrong, aWorld, type World } from "./world.ts";

const MINUTE = 60_000;
/** Most of what a leader waits for the proof where no agent is: two renewals of a Lease, and a look at them. Milliseconds. */
const PROOF_MS = 16_000;
const NODES_RECORD = `${RECORD_PREFIX}${NODES_SCOPE}-0`;

/** What coordinators wrote to the cloud since then; milliseconds since the epoch. */
const writesSince = ({ cloud }: World, sinceMs: number): string[] =>
  cloud.journal
    .of("call")
    .flatMap(({ action, caller, timeMs }) =>
      timeMs >= sinceMs && caller.startsWith("coordinator") && !action.startsWith("Describe") ? [action] : [],
    );
const told = ({ cluster }: World): string[] => cluster.told.filter(({ reason }) => reason === "ClusterCopied").map(({ object }) => object);
const ready = ({ cluster }: World): string => `${cluster.service("one")?.ready?.status} ${cluster.service("one")?.ready?.reason}`;

/** A cluster that has served for a while and has no leader now. */
async function aServedCluster(world: World): Promise<void> {
  world.start();
  await world.converged("one");
  await world.clock.sleep(MINUTE);
  await world.kill();
}

/** The API server that the next leader sees is a copy: every Pod of the original is absent. */
function copy({ cluster }: World): void {
  cluster.kubelets.areAlive = false;
  cluster.pods.clear();
}

/** None of the Nodes on record has an object any more; those that are there are others. */
function replaceNodes({ cluster }: World): void {
  const former = Object.keys(cluster.records.all.get(NODES_RECORD)?.data ?? {}).map((key) => [key, "another UID"]);
  cluster.records.patch(`/${NODES_RECORD}`, { data: Object.fromEntries(former) });
}

suite("a copied cluster", () => {
  test("writes nothing to the load balancers, whatever happens in it, and says why and what to do", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 6 });
    const { cluster, clock } = world;
    await world.run(async () => {
      await aServedCluster(world);
      copy(world);
      const sinceMs = clock.now();
      world.start({ withAgents: false });
      await clock.sleep(5 * MINUTE);
      cluster.edit("one", { ports: [{ name: "http", protocol: "TCP", port: 81, targetPort: 8080 }] });
      await clock.sleep(MINUTE);
      cluster.recreate("one", { uid: "5e21c0ff-ee99-0000-0000-000000000000", name: "new" });
      cluster.remove("one");
      await clock.sleep(5 * MINUTE);
      assert.deepEqual(writesSince(world, sinceMs), []);
      assert.deepEqual([...new Set(told(world))].toSorted(), ["new", "one"]);
      assert.equal(ready(world), "False ClusterCopied");
      assert.match(cluster.told.find(({ reason }) => reason === "ClusterCopied")?.message ?? "", /CLUSTER_ID/);
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("is one also where its API server, which has just begun, refuses everybody for a moment", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 6 });
    const { cluster, clock } = world;
    await world.run(async () => {
      await aServedCluster(world);
      copy(world);
      const sinceMs = clock.now();
      cluster.kubelets.leasesDeniedUntilMs = sinceMs + 8_000;
      world.start({ withAgents: false });
      await clock.sleep(5 * MINUTE);
      assert.deepEqual(writesSince(world, sinceMs), []);
      assert.equal(ready(world), "False ClusterCopied");
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("goes on when a person says that it is none; that word holds once", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 2 });
    const { cluster, clock } = world;
    await world.run(async () => {
      await aServedCluster(world);
      cluster.kubelets.areAlive = false; // the Nodes have lost the API server for long
      world.start({ withAgents: false });
      await clock.sleep(2 * MINUTE);
      assert.equal(ready(world), "False ClusterCopied");
      cluster.records.patch(`/${NODES_RECORD}`, { metadata: { annotations: { [ORIGINAL_CLUSTER]: "true" } } });
      cluster.start("one", 1);
      await world.converged("one");
      assert.equal(ready(world), "True Success");
      assert.equal(cluster.records.all.get(NODES_RECORD)?.metadata.annotations[ORIGINAL_CLUSTER], undefined);
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("is one also where its own Nodes have replaced all of the original's, whose backends the load balancer finds healthy", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 6 });
    const { cluster, clock, cloud } = world;
    await world.run(async () => {
      await aServedCluster(world);
      replaceNodes(world);
      cluster.pods.clear();
      const sinceMs = clock.now();
      world.start();
      cluster.start("one", 6);
      await clock.sleep(10 * MINUTE);
      assert.deepEqual(writesSince(world, sinceMs), []);
      assert.equal(cloud.journal.of("target").filter(({ timeMs }) => timeMs >= sinceMs).length, 0);
      assert.equal(ready(world), "False ClusterCopied");
      assert.match(cluster.told.find(({ reason }) => reason === "ClusterCopied")?.message ?? "", /lb-one.* healthy/);
      await world.kill();
    });
  });

  test("is none where all Nodes were replaced and what is bound serves nobody any more", async (t) => {
    const serving = new Set<string>();
    const world = aWorld(t, { apps: ["one"], pods: 6, probe: ({ ip }) => Promise.resolve(serving.size === 0 || serving.has(ip)) });
    const { cluster, clock } = world;
    await world.run(async () => {
      await aServedCluster(world);
      replaceNodes(world);
      cluster.pods.clear();
      cluster.start("one", 6);
      for (const { ips } of cluster.alive("one")) for (const ip of ips) serving.add(ip);
      await clock.sleep(MINUTE); // the checks fail
      world.start();
      await world.converged("one");
      assert.equal(ready(world), "True Success");
      await world.kill();
    });
  });

  test("is none when its Nodes come back late", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 2 });
    const { cluster, clock } = world;
    await world.run(async () => {
      await aServedCluster(world);
      cluster.kubelets.areAlive = false;
      world.start({ withAgents: false });
      await clock.sleep(5 * MINUTE);
      cluster.kubelets.areAlive = true;
      cluster.start("one", 1);
      await world.converged("one");
      await world.kill();
    });
    assertNothingWrong(world);
  });
});

suite("nobody waits for the proof that a cluster is no copy", () => {
  test("where an agent of a recorded Node is connected", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock, cloud } = world;
    await world.run(async () => {
      await aServedCluster(world);
      cluster.kubelets.areAlive = false; // their Leases say nothing
      const [ends] = cluster.alive("one");
      const sinceMs = clock.now();
      cluster.end([ends?.uid ?? ""]);
      world.start();
      await world.until(
        () => "its weight is 0",
        () => cloud.journal.of("target").some(({ ip, weight, timeMs }) => timeMs > sinceMs && ends?.ips.includes(ip) && weight === 0),
        3_000,
      );
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("in a new installation", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 2 });
    await world.run(async () => {
      world.cluster.kubelets.areAlive = false;
      world.start();
      await world.until(
        () => "the first write",
        () => writesSince(world, 0).length > 0,
        3_000,
      );
      await world.kill();
    });
  });
});

suite("a cluster without agents", () => {
  test("is proven by a Lease that is renewed, before long", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock } = world;
    await world.run(async () => {
      await aServedCluster(world);
      const sinceMs = clock.now();
      cluster.start("one", 1);
      world.start({ withAgents: false });
      await world.until(
        () => "a write",
        () => writesSince(world, sinceMs).length > 0,
        PROOF_MS + 11_000, // its Pods are watched after the agent grace
      );
      await world.converged("one");
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("cannot be proven where the role of a former version may not read Leases, and is served", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock } = world;
    await world.run(async () => {
      await aServedCluster(world);
      cluster.start("one", 1);
      cluster.kubelets.leasesDeniedUntilMs = clock.now() + 60 * MINUTE;
      world.start({ withAgents: false });
      await world.converged("one");
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("whose Nodes were all replaced meanwhile is proven by the new ones", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster } = world;
    await world.run(async () => {
      await aServedCluster(world);
      const record = cluster.records.all.get(NODES_RECORD);
      assert.deepEqual(Object.keys(record?.data ?? {}).toSorted(), ["node.node-a", "node.node-b", "node.node-c", "node.node-d"]);
      replaceNodes(world);
      cluster.start("one", 1);
      world.start({ withAgents: false });
      await world.converged("one");
      assert.equal(cluster.records.all.get(NODES_RECORD)?.data["node.node-a"], "node-a", "the record follows");
      await world.kill();
    });
    assertNothingWrong(world);
  });
});
