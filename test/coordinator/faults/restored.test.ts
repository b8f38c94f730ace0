/** A cluster's database that is restored from a backup: versions go back, deleted Pods are there again, and younger ones never were. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { assertNothingWrong, aWorld, type World } from "./world.ts";

const MINUTE = 60_000;
/** Where nothing is in the way, a drain has taken effect within 1.6 s. Milliseconds. */
const SOON_MS = 3_000;

const targets = ({ cloud }: World) =>
  cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
const targetOf = (world: World, ips: readonly string[] | undefined) => targets(world).find(({ ip }) => ips?.includes(ip));

suite("after a restore from a backup", () => {
  for (const heard of ["agents", "our own watches"])
    test(`Pods that changed since are served, drained and bound as the restored data has them, heard through ${heard}`, async (t) => {
      const world = aWorld(t, { apps: ["one"], pods: 8 });
      const { cluster, clock, cloud } = world;
      await world.run(async () => {
        world.start();
        await world.converged("one");
        if (heard !== "agents") for (const agent of world.coordinator().agents) agent.disconnect();
        await clock.sleep(MINUTE);
        const [deleted, ending, changed, ends] = cluster.alive("one");
        const restore = cluster.backup();
        // Since the backup: one Pod has gone, one is going, two have changed many times, and one is new.
        cluster.end([deleted?.uid ?? ""]);
        await clock.sleep(9_000);
        for (let n = 0; n < 40; n++) cluster.setReady([changed?.uid ?? "", ends?.uid ?? ""], true);
        const [young] = cluster.start("one", 1);
        await clock.sleep(20_000);
        cluster.end([ending?.uid ?? ""]);
        await clock.sleep(2_000);
        const youngIps = cluster.pods.get(young ?? "")?.ips;
        assert.equal(targetOf(world, deleted?.ips), undefined, "it was gone");
        assert.equal(targetOf(world, ending?.ips)?.weight, 0, "it was going");
        assert.equal(targetOf(world, youngIps)?.weight, 10, "it was new");

        restore();
        await clock.sleep(SOON_MS);
        const endedMs = clock.now();
        cluster.end([ends?.uid ?? ""]);
        await clock.sleep(SOON_MS);
        assert.equal(targetOf(world, ends?.ips)?.weight, 0, "whoever ends now is drained at once");
        await clock.sleep(MINUTE);
        assert.deepEqual([targetOf(world, deleted?.ips)?.weight, targetOf(world, ending?.ips)?.weight], [10, 10], "they live");
        assert.equal(targetOf(world, youngIps), undefined, "it never was");
        const ofYoung = cloud.journal
          .of("target")
          .filter(({ ip, timeMs }) => youngIps?.includes(ip) === true && timeMs > endedMs - SOON_MS);
        assert.deepEqual(
          ofYoung.map(({ change, weight }) => (change === "weight" ? weight : change)),
          [0, "unbound"],
          "drained before it is unbound",
        );
        await world.converged("one");
        await world.kill();
      });
      assertNothingWrong(world);
    });

  test("a leader that lost its Lease meanwhile drains a Pod that neither the backup nor the restored record has", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock, cloud } = world;
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await clock.sleep(MINUTE);
      const restore = cluster.backup();
      const [young] = cluster.start("one", 1);
      await world.converged("one");
      const ips = cluster.pods.get(young ?? "")?.ips;
      const restoredMs = clock.now();
      restore();
      await world.coordinator().leadAgain();
      await world.converged("one");
      const changes = cloud.journal.of("target").filter(({ ip, timeMs }) => ips?.includes(ip) === true && timeMs > restoredMs);
      assert.deepEqual(
        changes.map(({ change, weight }) => (change === "weight" ? weight : change)),
        [0, "unbound"],
      );
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("records that went back are written again from what is known, and the next leader decides as this one", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock } = world;
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await clock.sleep(MINUTE);
      const restore = cluster.backup();
      const [changed] = cluster.alive("one");
      for (let n = 0; n < 100; n++) cluster.setReady([changed?.uid ?? ""], true);
      cluster.start("one", 2);
      await world.converged("one");
      const claims = cluster.addressClaims("lb-one");
      restore();
      let writes = 0;
      const patch = cluster.client.patch.bind(cluster.client);
      const counting: typeof patch = (path, ...rest) => {
        if (path.includes("/configmaps/")) writes++;
        return patch(path, ...rest);
      };
      Object.assign(cluster.client, { patch: counting });
      cluster.start("one", 1); // other versions than before
      await world.converged("one");
      await clock.sleep(MINUTE);
      assert.ok(writes < 20, `${writes} writes of records`);
      assert.ok(claims.size > cluster.addressClaims("lb-one").size, "those of Pods that never were are forgotten");
      assert.equal(cluster.addressClaims("lb-one").size, 5);
      await world.kill();
      world.start();
      await world.converged("one");
      await world.kill();
    });
    assertNothingWrong(world);
  });
});
