import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { changedExample, SERVICE, serviceOn } from "./examples.ts";
import {
  askOnce,
  assertAtRest,
  assertNoFailure,
  cloudWrites,
  converged,
  eventsOf,
  loadBalancer,
  servingTargets,
  startClient,
} from "./look.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

const REPLICAS = 2;
/** Several passes over each load balancer, one a second here. */
const AFTERMATH_MS = 2_500;

test("a Service that vanishes without a deletion keeps its listeners and backends", { timeout: 120_000 }, async (t) => {
  const world = await startWorld(t, { coordinatorEnv: { RESYNC_MS: "1000" } });
  const { loadBalancerId: otherId, vip: otherVip } = world.cloud.cloud.addLoadBalancer();
  const port = world.plan.servicePort;
  await applyExample(world, changedExample({ replicas: REPLICAS }));
  await world.client.create("/api/v1/namespaces/demo/services", serviceOn("other", otherId, port));
  await until("both listeners are there", () => world.cloud.cloud.state().loadBalancers.every(({ listeners }) => listeners.length === 1));
  await converged(world, { count: REPLICAS });
  const mainId = world.cloud.cloud.state().loadBalancers.find(({ id }) => id !== otherId)?.id ?? "";
  const client = startClient(world, { id: mainId });
  t.after(() => client.stop());
  const sinceSeq = world.cloud.cloud.journal.lastSeq;
  const unchanged = (): void => {
    assert.deepEqual(cloudWrites(world, sinceSeq), []);
    for (const id of [mainId, otherId]) assert.equal(loadBalancer(world, id).listeners.flatMap(servingTargets).length, REPLICAS);
  };

  await t.test("an event told it", async () => {
    const uid = await uidOf(world, SERVICE);
    await world.troubles.vanish("services", "demo", "web", false);
    await toldOnce(world, uid, mainId);
    unchanged();
  });
  await t.test("a new list lacks it", async () => {
    const uid = await uidOf(world, "/api/v1/namespaces/demo/services/other");
    await world.troubles.vanish("services", "demo", "other", true);
    await toldOnce(world, uid, otherId);
    unchanged();
    assert.match(await askOnce(otherVip, port), /^web-/);
  });
  await t.test("traffic went on all the time", async () => assertNoFailure(await client.stop()));
  await t.test("then nothing is written any more", () => assertAtRest(world));
});

const uidOf = async (world: World, path: string): Promise<string> =>
  (await world.client.get<{ metadata: { uid: string } }>(path)).metadata.uid;

/** One Event that names load balancer and listener, and none more after several passes. */
async function toldOnce(world: World, serviceUid: string, loadBalancerId: string): Promise<void> {
  const told = async () => (await eventsOf(world, "OrphanedListener")).filter(({ involvedObject }) => involvedObject.uid === serviceUid);
  await until("an Event OrphanedListener", async () => (await told()).length > 0, 40_000); // a real server was started anew
  await sleep(AFTERMATH_MS);
  const [event, ...more] = await told();
  assert.deepEqual(more, []);
  assert.equal(event?.count, 1);
  assert.equal(event?.type, "Warning");
  const [listener] = loadBalancer(world, loadBalancerId).listeners;
  assert.ok(event?.message.includes(loadBalancerId), event?.message);
  assert.ok(event?.message.includes(listener?.name ?? "?"), event?.message);
}
