import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNothingWrong, aWorld } from "./world.ts";

for (const age of ["1s", "3s", "5s"] as const)
  test(`reads are ${age} old for ten minutes of rollouts: nobody is accused of a change, and nothing is bound twice`, async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 12 });
    const bound: string[] = [];
    await world.run(async () => {
      world.start();
      await world.converged("one");
      for (const action of ["DescribeTargets", "DescribeListeners"]) world.cloud.faults.add({ kind: "stale", age, action });
      world.intercept.by = (action, request) => {
        if (action === "BatchRegisterTargets") bound.push(...(JSON.stringify(request).match(/10\.244\.\d+\.\d+/g) ?? []));
        return undefined;
      };
      const rollouts = async (): Promise<never> => {
        for (;;) await world.rollOut("one", { surge: 1 });
      };
      await Promise.race([rollouts().catch(() => undefined), world.clock.sleep(600_000)]);
      await world.kill();
    });
    assertNothingWrong(world);
    assert.ok(bound.length > 12, `${bound.length} addresses were bound`);
    assert.equal(new Set(bound).size, bound.length);
    assert.deepEqual(
      world.cluster.told.filter(({ reason }) => reason !== "EnsureServiceSuccess"),
      [],
    );
  });

test("a read that is due because another contradicted us, and that the cloud refuses, is repeated every few seconds only", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 4 });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    let reads = 0;
    let isDenied = false;
    const ip = world.cluster.alive("one")[0]?.ips[0];
    const ListenerId = world.cloud.state().loadBalancers[0]?.listeners[0]?.id;
    await world.byHand("one", "DeregisterTargets", { ListenerId, Targets: [{ EniIp: ip, Port: 8080 }] });
    world.intercept.by = (action) => {
      if (action === "DescribeListeners") reads += 1;
      return isDenied && action === "DescribeListeners" ? "InternalError" : undefined;
    };
    await world.until(
      () => "a read",
      () => reads >= 1,
      120_000,
    );
    await world.clock.sleep(1_000);
    isDenied = true;
    await world.clock.sleep(11_500);
    reads = 0;
    await world.clock.sleep(30_000);
    assert.ok(reads >= 3 && reads <= 10, `${reads} reads in 30 s`);
    await world.kill();
  });
});
