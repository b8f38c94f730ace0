import { test } from "node:test";
import { FINALIZER } from "../../../common/names.ts";
import { aWorld, type World } from "./world.ts";

const DIRECT = { "service.cloud.tencent.com/direct-access": "true" };
const made = (world: World) => world.cloud.state().loadBalancers.filter(({ id }) => id !== "lb-one");
const isServed = (world: World): boolean => made(world).some(({ listeners }) => listeners.some(({ targets }) => targets.length === 2));

/** The Service gets a load balancer of ours, and it is served there. */
async function served(world: World): Promise<void> {
  world.cluster.edit("one", { annotations: DIRECT });
  world.start();
  await world.until(
    () => "served",
    () => isServed(world),
  );
}

test("a Service that was of type ClusterIP for a while gets a new load balancer at once, although its former order is remembered", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 2 });
  await world.run(async () => {
    await served(world);
    await world.clock.sleep(10_000);
    world.cluster.edit("one", { type: "ClusterIP" });
    await world.until(
      () => "deleted",
      () => made(world).length === 0,
    );
    world.cluster.edit("one", { finalizers: [], annotations: DIRECT, ingress: [] });
    await world.clock.sleep(60_000);
    world.cluster.edit("one", { type: "LoadBalancer", finalizers: [FINALIZER], annotations: DIRECT });
    await world.until(
      () => "served again",
      () => isServed(world),
      30_000,
    );
    await world.kill();
  });
});

test("a load balancer that a person deletes after a restart is replaced soon", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 2 });
  await world.run(async () => {
    await served(world);
    const first = made(world)[0]?.id;
    await world.clock.sleep(120_000);
    await world.kill();
    world.start();
    await world.clock.sleep(10_000);
    await world.cloud.call("clb", "DeleteLoadBalancer", { LoadBalancerIds: [first] }, { name: "a person" });
    await world.until(
      () => "another one",
      () => isServed(world) && made(world).every(({ id }) => id !== first),
      120_000,
    );
    await world.kill();
  });
});
