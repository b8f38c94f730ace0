import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { aWorld, type World } from "./world.ts";

const targets = ({ cloud }: World): readonly string[] =>
  cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets.map(({ ip }) => ip)));
const foreign = ({ cluster }: World): readonly string[] =>
  cluster.told.flatMap(({ reason, message }) => (reason === "ForeignBackend" ? [message] : []));

/** A fifth Pod is being bound when its coordinator is killed; it is deleted by force before another coordinator takes over. */
async function leftBehind(world: World, isUnderWay: (ip: string, uid: string) => boolean): Promise<void> {
  const { cluster, clock } = world;
  const [uid = ""] = cluster.start("one", 1);
  const ip = cluster.pods.get(uid)?.ips[0] ?? "";
  await world.until(
    () => `${uid} is being bound`,
    () => isUnderWay(ip, uid),
  );
  await world.kill();
  cluster.pods.delete(uid);
  world.start();
  await world.until(
    () => `${ip} is bound`,
    () => targets(world).includes(ip),
  );
  await clock.sleep(5 * 60_000);
  assert.deepEqual([targets(world).length, foreign(world)], [4, []]);
  await world.kill();
}

suite("a target of a Pod that ended while its coordinator was killed leaves", () => {
  test("although the first read came before the bind took effect", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4, profile: "tke2020" });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await leftBehind(world, (ip, uid) => world.cluster.addressClaims("lb-one").get(ip) === uid);
    });
  });

  test("although the first read was told of a state before the bind", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      world.cloud.faults.add({ kind: "stale", age: "5s", action: "DescribeTargets", for: "12s" });
      await leftBehind(world, (ip) => targets(world).includes(ip));
    });
  });
});
