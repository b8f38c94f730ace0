/** A Pod that is not ready gets no new traffic, and no load balancer is left without anybody for that. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { aWorld, type World } from "./world.ts";

const MINUTE = 60_000;

const targets = ({ cloud }: World) =>
  cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
const weightAt = (world: World, ip: string | undefined): number | undefined => targets(world).find((target) => target.ip === ip)?.weight;
const told = ({ cluster }: World, reason: string): readonly string[] =>
  cluster.told.flatMap((one) => (one.reason === reason ? [one.message] : []));

/** How many had a weight at each moment since then, and when each lost or got it. */
function weights(
  { cloud }: World,
  sinceMs: number,
): { readonly fewest: number; readonly changes: readonly { ip: string; weight: number; atMs: number }[] } {
  const now = new Map<string, number>();
  let fewest = Number.POSITIVE_INFINITY;
  const changes: { ip: string; weight: number; atMs: number }[] = [];
  for (const { ip, weight, change, timeMs } of cloud.journal.of("target")) {
    if (timeMs >= sinceMs && change === "weight") changes.push({ ip, weight, atMs: timeMs });
    now.set(ip, change === "unbound" ? 0 : weight);
    if (timeMs >= sinceMs) fewest = Math.min(fewest, [...now.values()].filter((one) => one > 0).length);
  }
  return { fewest, changes };
}

test("a Pod that is not ready loses its weight within two seconds and gets it back at once; the gate stays, and everybody says why", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 4 });
  const { cluster, clock } = world;
  await world.run(async () => {
    world.start();
    await world.converged("one");
    await clock.sleep(15_000); // health is read
    const [pod] = cluster.alive("one");
    assert.ok(pod !== undefined);
    const { explain, writeLog } = world.coordinator().controllers;
    cluster.setReady([pod.uid], false);
    await clock.sleep(500);
    assert.match(explain.pod(`demo/${pod.name}`)?.bindings[0]?.awaited ?? "", /its weight becomes 0/);
    await world.until(
      () => "its weight is 0",
      () => weightAt(world, pod.ips[0]) === 0,
      3_500,
    );
    await clock.sleep(2_000); // the coordinator has heard of it
    assert.deepEqual(writeLog.of("lb-one").at(-1)?.because, [`Pod demo/${pod.name} is not ready`]);
    const binding = explain.pod(`demo/${pod.name}`)?.bindings[0];
    assert.deepEqual([binding?.weight, binding?.from], [0, "the Pod"]);
    assert.match(binding?.awaited ?? "", /so its weight is 0: it gets no new traffic/);
    await clock.sleep(2 * MINUTE);
    assert.deepEqual([weightAt(world, pod.ips[0]), cluster.pods.get(pod.uid)?.gate, told(world, "ListenerDrift")], [0, "True", []]);
    cluster.setReady([pod.uid], true);
    await world.until(
      () => "it has its weight again",
      () => weightAt(world, pod.ips[0]) === 10,
      2_500,
    );
    await clock.sleep(2_000); // the coordinator has heard of it
    assert.deepEqual(writeLog.of("lb-one").at(-1)?.because, [`Pod demo/${pod.name} gets its weight back`]);
    await world.kill();
  });
});

suite("two replicas, one flaps while a node drain deletes the other:", () => {
  for (const recoversMs of [0, 300, 1_000, 3_000, Number.POSITIVE_INFINITY])
    for (const lowered of [true, false])
      test(`it ${lowered ? "has lost its weight" : "is unready for a moment"} and recovers ${recoversMs} ms after the deletion`, async (t) => {
        const world = aWorld(t, { apps: ["one"], pods: 2 });
        const { cluster, clock } = world;
        await world.run(async () => {
          world.start();
          await world.converged("one");
          await clock.sleep(15_000);
          const [flapping, leaving] = cluster.alive("one");
          assert.ok(flapping !== undefined && leaving !== undefined);
          const sinceMs = clock.now();
          cluster.setReady([flapping.uid], false);
          if (lowered)
            await world.until(
              () => "its weight is 0",
              () => weightAt(world, flapping.ips[0]) === 0,
            );
          else await clock.sleep(900);
          cluster.end([leaving.uid]);
          const endedMs = clock.now();
          if (recoversMs < MINUTE) void clock.sleep(recoversMs).then(() => cluster.setReady([flapping.uid], true));
          await world.until(
            () => "the other one is drained",
            () => (weightAt(world, leaving.ips[0]) ?? 0) === 0,
          );
          const tookMs = clock.now() - endedMs;
          await clock.sleep(20_000);
          assert.equal(weightAt(world, flapping.ips[0]), 10);
          assert.equal(weights(world, sinceMs).fewest, 1, "nobody had a weight");
          assert.ok(tookMs < 7_000, `the drain took ${tookMs} ms`); // not later than its containers stop
          await world.kill();
        });
      });
});

test("200 Pods that flap out of step delay no bind by more than a call, and the place is never below the brake's floor", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 200 });
  const { cluster, clock, cloud } = world;
  await world.run(async () => {
    world.start();
    await world.converged("one");
    await clock.sleep(15_000);
    const pods = cluster.alive("one").slice(0, 180);
    const sinceMs = clock.now();
    const state = { over: false };
    const flap = async (uid: string, at: number): Promise<void> => {
      await clock.sleep((at * 37) % 4_000);
      for (; !state.over; ) {
        cluster.setReady([uid], false);
        await clock.sleep(1_700 + (at % 7) * 150);
        cluster.setReady([uid], true);
        await clock.sleep(1_100 + (at % 5) * 170);
      }
    };
    const flapping = pods.map(({ uid }, at) => flap(uid, at));
    const waits: number[] = [];
    for (let n = 0; n < 8; n++) {
      await clock.sleep(2_000 + n * 137);
      const [uid = ""] = cluster.start("one", 1);
      await world.until(
        () => "it is ready",
        () => cluster.pods.get(uid)?.containersReady === true,
      );
      const readyMs = cluster.pods.get(uid)?.containersReadyAtMs ?? 0;
      const ip = cluster.pods.get(uid)?.ips[0];
      const bound = () => cloud.journal.of("target").find((entry) => entry.ip === ip && entry.change === "bound");
      await world.until(
        () => "it is bound",
        () => bound() !== undefined,
      );
      const boundMs = bound()?.timeMs ?? 0;
      // Writes that ended while it waited: the one that ran when it became ready, and no other.
      const others = cloud.journal.of("call").filter((call) => {
        return (
          call.isWrite && call.code === "OK" && call.timeMs > readyMs && call.timeMs < boundMs && call.action !== "BatchRegisterTargets"
        );
      });
      waits.push(others.length);
    }
    state.over = true;
    await Promise.all(flapping);
    assert.ok(Math.max(...waits) <= 1, `binds waited for ${waits.join()} other writes`);
    const { fewest, changes } = weights(world, sinceMs);
    assert.ok(fewest >= 100, `only ${fewest} had a weight`);
    assert.ok(changes.filter(({ weight }) => weight === 0).length > 100, "hardly any weight was lowered");
    for (const { uid, ips } of pods) {
      const lowered = changes.filter(({ ip, weight }) => ip === ips[0] && weight === 0).map(({ atMs }) => atMs);
      for (const [at, ms] of lowered.entries())
        assert.ok(at === 0 || ms - (lowered[at - 1] ?? 0) > 9_000, `${uid} was lowered twice within ten seconds`);
    }
    await world.until(
      () => "all have their weight again",
      () => targets(world).every(({ weight }) => weight === 10),
    );
    await world.kill();
  });
});

suite("how far it goes:", () => {
  test("half of what served keeps its weight, and where nobody is ready all do", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 6 });
    const { cluster, clock } = world;
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await clock.sleep(15_000);
      const uids = cluster.alive("one").map(({ uid }) => uid);
      const at = (weight: number): number => targets(world).filter((target) => target.weight === weight).length;
      cluster.setReady(uids.slice(0, 5), false);
      await clock.sleep(MINUTE);
      assert.deepEqual([at(0), at(10)], [3, 3]);
      cluster.setReady(uids, true);
      await clock.sleep(MINUTE);
      assert.equal(at(10), 6);
      cluster.setReady(uids, false);
      await clock.sleep(MINUTE);
      assert.equal(at(10), 6);
      await world.kill();
    });
  });

  test("a Service with publishNotReadyAddresses sends to them", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock } = world;
    await world.run(async () => {
      cluster.edit("one", { publishNotReady: true });
      world.start();
      await world.converged("one");
      await clock.sleep(15_000);
      cluster.setReady([cluster.alive("one")[0]?.uid ?? ""], false);
      await clock.sleep(MINUTE);
      assert.ok(targets(world).every(({ weight }) => weight === 10));
      cluster.edit("one", { publishNotReady: false });
      await world.until(
        () => "one has lost its weight",
        () => targets(world).filter(({ weight }) => weight === 0).length === 1,
      );
      cluster.edit("one", { publishNotReady: true });
      await world.until(
        () => "it has it again",
        () => targets(world).every(({ weight }) => weight === 10),
      );
      await world.kill();
    });
  });

  test("the next leader leaves a lowered weight as it is, raises it when the Pod is ready, and tells nobody of a drift", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock } = world;
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await clock.sleep(15_000);
      const [pod] = cluster.alive("one");
      cluster.setReady([pod?.uid ?? ""], false);
      await world.until(
        () => "its weight is 0",
        () => weightAt(world, pod?.ips[0]) === 0,
      );
      await world.kill();
      world.start();
      await clock.sleep(2 * MINUTE);
      assert.equal(weightAt(world, pod?.ips[0]), 0);
      cluster.setReady([pod?.uid ?? ""], true);
      await world.until(
        () => "it has its weight again",
        () => weightAt(world, pod?.ips[0]) === 10,
        2_500,
      );
      assert.deepEqual(told(world, "ListenerDrift"), []);
      await world.kill();
    });
  });

  test("a weight that a person sets to 0 is told as a drift and put back, unlike ours", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 4 });
    const { cluster, clock, cloud } = world;
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await clock.sleep(15_000);
      const [ours, theirs] = cluster.alive("one");
      cluster.setReady([ours?.uid ?? ""], false);
      await world.until(
        () => "its weight is 0",
        () => weightAt(world, ours?.ips[0]) === 0,
      );
      const ListenerId = cloud.state().loadBalancers[0]?.listeners[0]?.id;
      await world.byHand("one", "ModifyTargetWeight", { ListenerId, Targets: [{ EniIp: theirs?.ips[0], Port: 8080 }], Weight: 0 });
      await world.until(
        () => "it is put back",
        () => weightAt(world, theirs?.ips[0]) === 10,
        2 * MINUTE,
      );
      assert.equal(weightAt(world, ours?.ips[0]), 0);
      assert.equal(told(world, "ListenerDrift").length, 1);
      assert.match(told(world, "ListenerDrift")[0] ?? "", new RegExp(`weights changed: 1 \\(${theirs?.ips[0]}:8080\\)`));
      await world.kill();
    });
  });
});
