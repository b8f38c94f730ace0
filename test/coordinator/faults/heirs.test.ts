import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { assertNothingWrong, aWorld, type World } from "./world.ts";

/** The address of the first Pod, "one-0", which is on the first node. */
const IP = "10.244.0.1";

const changes = ({ cloud }: World) => cloud.journal.of("target").filter(({ ip }) => ip === IP);
const isBoundAnew = (world: World) => (): boolean =>
  changes(world).filter(({ change }) => change === "bound").length === 2 && changes(world).at(-1)?.change === "bound";

/** The first Pod ends and its address passes on at once, while the Pod itself still terminates. */
async function passOn({ cluster, clock }: World): Promise<string> {
  cluster.end(["one-0"]);
  await clock.sleep(100);
  const [heir] = cluster.start("one", 1, IP);
  assert.ok(heir !== undefined);
  return heir;
}

suite("a Pod with the address of another one that still terminates", () => {
  for (const former of ["goes soon", "is kept by a finalizer"])
    test(`stays bound over a restart that hears of the former Pod first; the former Pod ${former}`, async (t) => {
      const world = aWorld(t, { apps: ["one"], pods: 7 });
      const { cluster, clock } = world;
      const passed = { loadBalancerId: "lb-one", fromMs: 0, untilMs: 0 };
      await world.run(async () => {
        world.start();
        await world.converged("one");
        passed.fromMs = clock.now();
        const heir = await passOn(world);
        const ending = cluster.pods.get("one-0");
        const isOpen = (): boolean => cluster.pods.get(heir)?.gate === "True";
        assert.deepEqual([ending?.nodeName, cluster.pods.get(heir)?.nodeName], ["node-a", "node-d"]); // the first and the last that tell
        await world.until(() => "the heir is bound", former === "goes soon" ? isBoundAnew(world) : isOpen);
        if (former !== "goes soon" && ending !== undefined) cluster.pods.set("one-0", ending);
        assert.ok(cluster.pods.get("one-0")?.deletionAtMs !== undefined, "the former Pod is gone already");
        await world.kill();
        passed.untilMs = clock.now();
        world.start();
        await clock.sleep(20_000);
        assert.deepEqual(
          changes(world).filter(({ timeMs }) => timeMs > passed.untilMs),
          [],
          "the heir's target was touched",
        );
        assert.ok(isOpen());
        await world.kill();
      });
      assertNothingWrong(world, { byHand: [passed] }); // the former Pod's target is drained and unbound
    });

  for (const [age, waitedMs] of [
    ["3s", 8_000],
    ["5s", 8_000],
    ["8s", 4_000],
  ] as const)
    test(`is not let through by the former Pod's health, which answers of ${age} ago tell`, async (t) => {
      const world = aWorld(t, { apps: ["one"], pods: 4 });
      const { cluster, clock, cloud } = world;
      await world.run(async () => {
        world.start();
        await world.converged("one");
        cloud.faults.add({ kind: "stale", age, action: "DescribeTargetHealth", for: "60s" });
        cluster.start("one", 1); // waits for its health, so it is asked for all the time
        await clock.sleep(waitedMs);
        const heir = await passOn(world);
        await world.until(
          () => `the gate of ${heir} opens`,
          () => cluster.pods.get(heir)?.gate === "True",
        );
        await world.kill();
      });
      assert.deepEqual(world.tooEarly, []);
    });
});
