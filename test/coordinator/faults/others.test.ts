/** What one Service or load balancer goes through is not the others' trouble. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EXISTING_LOAD_BALANCER } from "../../../common/names.ts";
import { assertNothingWrong, aWorld } from "./world.ts";

test("a new Service whose load balancer is not created for minutes closes no gate but those of its own Pods", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 4 });
  const { cluster, cloud } = world;
  await world.run(async () => {
    world.start();
    await world.converged("one");
    cloud.faults.add({ kind: "task-stuck", action: "CreateLoadBalancer", hold: "400s" });
    const [known] = cluster.services.values();
    assert.ok(known);
    const { [EXISTING_LOAD_BALANCER]: _none, ...annotations } = known.annotations;
    const record = { ...known, uid: "f7077e57-0000-0000-0000-000000000000", name: "fresh", selector: { app: "fresh" }, annotations };
    cluster.services.set(record.uid, record);
    world.coordinator().controllers.serviceChanged({ kind: "added", record });
    const [uid = ""] = cluster.start("one", 1);
    await world.until(
      () => "the gate of a Pod of the old Service",
      () => cluster.pods.get(uid)?.gate === "True",
      20_000, // a start of 0.7 s, a bind, and a check that takes 10 to 15 s
    );
    assert.deepEqual(world.tooEarly, []);
    await world.kill();
  });
});

test("tasks that are stuck at very many load balancers hold up no drain at another", async (t) => {
  const apps = Array.from({ length: 52 }, (_, index) => `a${index}`);
  const world = aWorld(t, { apps, pods: 2 });
  const { cluster, clock, cloud } = world;
  await world.run(async () => {
    world.start();
    for (const app of apps) await world.converged(app);
    const [well = "", ...ill] = apps;
    cloud.faults.add({ kind: "task-stuck", loadBalancerId: ill.map((app) => `lb-${app}`), action: ["BatchModifyTargetWeight"] });
    const endOne = (app: string): string => {
      const [pod] = cluster.alive(app);
      cluster.end(pod === undefined ? [] : [pod.uid]);
      return pod?.ips[0] ?? "";
    };
    for (const app of ill) endOne(app);
    await clock.sleep(5_000);
    const fromMs = clock.now();
    const ip = endOne(well);
    const drained = (): number | undefined =>
      cloud.journal.of("target").find((entry) => entry.ip === ip && entry.timeMs >= fromMs && entry.change !== "bound")?.timeMs;
    await world.until(
      () => "the drain of a load balancer without troubles",
      () => drained() !== undefined,
      10_000,
    );
    cloud.faults.clear();
    assertNothingWrong(world);
    await world.kill();
  });
});

test("a listener that somebody deletes, and that the next bind meets before any re-read, is made anew and told", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 2 });
  const { cluster, cloud, clock } = world;
  await world.run(async () => {
    world.start();
    await world.converged("one");
    await clock.sleep(61_000); // a re-read has just been
    const [listener] = cloud.state().loadBalancers[0]?.listeners ?? [];
    await world.byHand("one", "DeleteListener", { ListenerId: listener?.id });
    cluster.start("one", 1);
    await clock.sleep(20_000);
    const told = cluster.told.flatMap(({ reason, message }) => (reason === "ListenerDrift" ? [message] : []));
    assert.deepEqual(
      told.map((message) => message.includes(`somebody else changed listener ${listener?.id}: it was deleted`)),
      [true],
    );
    await world.converged("one");
    await world.kill();
  });
});
