import assert from "node:assert/strict";
import { test } from "node:test";
import { RECORD_PREFIX } from "../../common/names.ts";
import { listAll } from "../cluster/simulated/cluster.ts";
import type { Metadata } from "../cluster/simulated/objects.ts";
import { changedExample, foreignListener, SERVICE, serviceOn } from "./examples.ts";
import { askOnce, assertAtRest, isGone, loadBalancer, podsOf } from "./look.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

const OTHER = "/api/v1/namespaces/demo/services/other";

test("a Service is deleted: what we made for it goes, and nothing else", { timeout: 120_000 }, async (t) => {
  const world = await startWorld(t, { coordinatorEnv: { RESYNC_MS: "1000" } });
  const { loadBalancerId: userId, vip: userVip } = world.cloud.cloud.addLoadBalancer({ name: "by-a-user", tags: { team: "a" } });
  const foreign = await foreignListener(world, userId, 9000);
  await applyExample(world, changedExample({ replicas: 2 }));
  const port = world.plan.servicePort;
  await world.client.create("/api/v1/namespaces/demo/services", serviceOn("other", userId, port));
  await until("both load balancers serve both Pods", () => portsOf(world).filter(({ serving }) => serving === 2).length === 2, 40_000);
  const created = world.cloud.cloud.state().loadBalancers.find(({ id }) => id !== userId);
  assert.ok(created);
  assert.deepEqual(await claimedAt(world), [created.id, userId].toSorted());

  await t.test("on a load balancer of a user: only our listener", async () => {
    await deleted(world, OTHER);
    const { tags, listeners } = loadBalancer(world, userId);
    assert.deepEqual(
      listeners.map(({ id, name }) => ({ id, name })),
      [{ id: foreign, name: "theirs" }],
    );
    assert.deepEqual(tags, { team: "a" });
    assert.equal(await askOnce(userVip, port), "ECONNREFUSED");
    assert.deepEqual(await claimedAt(world), [created.id]);
    assert.match(await askOnce(created.vip, port), /^web-/, "the other Service goes on");
  });
  await t.test("on a load balancer that we created: all of it", async () => {
    await deleted(world, SERVICE);
    assert.deepEqual(
      world.cloud.cloud.state().loadBalancers.map(({ id }) => id),
      [userId],
    );
    assert.deepEqual(await claimedAt(world), []);
    assert.equal((await podsOf(world, "app=web")).length, 2, "the Pods stay");
  });
  await t.test("then nothing is written any more", () => assertAtRest(world));
});

/** Deletes and waits until the object is gone, which is after its finalizer. */
async function deleted(world: World, path: string): Promise<void> {
  await world.client.delete(path);
  const name = path.split("/").at(-1) ?? "";
  await until(`Service ${name} is gone`, () => isGone(world, path));
}

/** Ids of the load balancers that the coordinator keeps address claims of. */
const claimedAt = async (world: World): Promise<string[]> =>
  (await listAll<{ readonly metadata: Metadata }>(world.client, "/api/v1/namespaces/clb-direct/configmaps"))
    .map(({ metadata }) => metadata.name)
    .flatMap((name) => new RegExp(`^${RECORD_PREFIX}(lb-.+)-\\d+$`).exec(name)?.[1] ?? [])
    .toSorted();

const portsOf = (world: World) =>
  world.cloud.cloud.state().loadBalancers.flatMap(({ listeners }) =>
    listeners.map(({ port, targets }) => ({
      port,
      serving: targets.filter(({ health, weight }) => health === "Alive" && weight > 0).length,
    })),
  );
