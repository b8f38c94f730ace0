import assert from "node:assert/strict";
import { test } from "node:test";
import { changedExample, checkQuickly, foreignListener, serviceOn } from "./examples.ts";
import { askOnce, assertIdle, assertNoOwnOverlaps, isGone, isReady, loadBalancer, podsOf, servingTargets } from "./look.ts";
import { applyExample, startWorld, until, type World } from "./world.ts";

const CLUSTERS = ["aaaaaaaa", "bbbbbbbb"] as const;
const REPLICAS = 2;
const SHARED = "/api/v1/namespaces/demo/services/shared";

test("two clusters share a load balancer of a user", { timeout: 120_000 }, async (t) => {
  const first = await startWorld(t, { coordinatorEnv: { CLUSTER_ID: CLUSTERS[0], RESYNC_MS: "1000" } });
  const second = await startWorld(t, { coordinatorEnv: { CLUSTER_ID: CLUSTERS[1], RESYNC_MS: "1000" }, sharing: first });
  const { loadBalancerId: id, vip } = first.cloud.cloud.addLoadBalancer();
  const foreign = await foreignListener(first, id, 9000);
  await serve(first, id, 8001);
  await serve(second, id, 8002);
  await until(
    "both clusters' listeners serve and their Pods are ready",
    async () => {
      const pods = (await Promise.all([first, second].map((world) => podsOf(world, "app=web")))).flat();
      const serving = [8001, 8002].every((port) => servingOn(first, id, port).length === REPLICAS);
      return serving && pods.length === 2 * REPLICAS && pods.every(isReady);
    },
    40_000,
  );

  await t.test("each listener has the Pods of its own cluster", async () => {
    assert.deepEqual(
      loadBalancer(first, id)
        .listeners.map(({ name, port }) => `${name.replace(/-[0-9a-f]{12}-/, "-owner-")} ${port}`)
        .toSorted(),
      ["cd-aaaaaaaa-owner-tcp8001 8001", "cd-bbbbbbbb-owner-tcp8002 8002", "theirs 9000"],
    );
    assert.deepEqual(servingOn(first, id, 8001), await addresses(first));
    assert.deepEqual(servingOn(second, id, 8002), await addresses(second));
  });
  await t.test("both go idle: neither undoes what the other did", async () => {
    await Promise.all([assertIdle(first), assertIdle(second)]);
  });
  await t.test("a deletion in one leaves the other's listener and a third one's alone", async () => {
    const kept = loadBalancer(first, id).listeners.filter(({ port }) => port !== 8001);
    await first.client.delete(SHARED);
    await until("the Service is gone", () => isGone(first, SHARED));
    const left = loadBalancer(first, id).listeners;
    assert.deepEqual(left.map(shape), kept.map(shape));
    assert.ok(left.some((one) => one.id === foreign));
    assert.match(await askOnce(vip, 8002), /^web-/);
  });
  await t.test("and then the other one", async () => {
    await second.client.delete(SHARED);
    await until("the Service is gone", () => isGone(second, SHARED));
    assert.deepEqual(
      loadBalancer(first, id).listeners.map((one) => one.id),
      [foreign],
    );
    assertNoOwnOverlaps(first);
  });
});

/** The example, with a Service of our own making instead of its own. */
async function serve(world: World, loadBalancerId: string, port: number): Promise<void> {
  const change = changedExample({ replicas: REPLICAS });
  await applyExample(world, (manifest) => (manifest.kind === "Service" ? serviceOn("shared", loadBalancerId, port) : change(manifest)));
  await checkQuickly(world, [port]);
}

const addresses = async (world: World): Promise<string[]> =>
  (await podsOf(world, "app=web")).map(({ status }) => `${status?.podIP}:8080`).toSorted();

const servingOn = (world: World, id: string, port: number): string[] =>
  loadBalancer(world, id)
    .listeners.filter((listener) => listener.port === port)
    .flatMap(servingTargets)
    .toSorted();

type Listener = ReturnType<typeof loadBalancer>["listeners"][number];
const shape = ({ id, targets }: Listener): object => ({ id, targets: targets.map(({ ip, port, weight }) => ({ ip, port, weight })) });
