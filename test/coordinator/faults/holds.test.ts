/** Pods whose preStop hook was called: weight 0 at once, and an answer when it is effective, whoever leads. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { HoldAnswer } from "../../../common/holds.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import { assertNothingWrong, aWorld, type Options, type World } from "./world.ts";

/** Where nothing is in the way, a drain has taken effect within 1.6 s. Milliseconds. */
const SOON_MS = 3_000;

const weightsOf = ({ cloud }: World, ip: string | undefined): readonly number[] =>
  cloud
    .state()
    .loadBalancers.flatMap(({ listeners }) =>
      listeners.flatMap(({ targets }) => targets.flatMap((target) => (target.ip === ip ? [target.weight] : []))),
    );
const answerOf = (world: World, uid: string): HoldAnswer | undefined => world.agentOf(uid).answers.get(uid);

/** It has weight 0 all the time. */
async function weightless(world: World, { ips }: PodFact, forMs: number): Promise<void> {
  for (const endMs = world.clock.now() + forMs; world.clock.now() < endMs; await world.clock.sleep(100))
    assert.deepEqual(weightsOf(world, ips[0]), [0], `${endMs - world.clock.now()} ms before the end`);
}

/** Bound and healthy, for long enough that health is read. */
async function settled(world: World): Promise<void> {
  world.start();
  for (const app of world.apps) await world.converged(app);
  await world.clock.sleep(15_000);
}

const inWorld = (name: string, options: Options, work: (world: World) => Promise<void>): void =>
  void test(name, async (t) => {
    const world = aWorld(t, { apps: ["one"], ...options });
    await world.run(async () => {
      await settled(world);
      await work(world);
      if (world.isRunning()) await world.kill();
    });
  });

const answered = (world: World, uid: string, state: HoldAnswer["state"], limitMs = SOON_MS): Promise<void> =>
  world.until(
    () => `${uid} is answered ${state}: ${JSON.stringify(answerOf(world, uid))}`,
    () => answerOf(world, uid)?.state === state,
    limitMs,
  );

/** The first Pod, which lives and is held, and whose weight is 0. */
async function heldAtZero(world: World, graceSeconds?: number): Promise<PodFact> {
  const [pod] = world.cluster.alive("one");
  assert.ok(pod !== undefined);
  world.agentOf(pod.uid).dial(pod.uid, graceSeconds);
  await answered(world, pod.uid, "lowered");
  return pod;
}

suite("a Pod that terminates:", () => {
  inWorld("its answer is `lowered` when the cloud has confirmed weight 0, not earlier", {}, async (world) => {
    const { cluster, cloud, clock } = world;
    const [pod] = cluster.alive("one");
    assert.ok(pod !== undefined);
    const atMs = clock.now();
    cluster.end([pod.uid]);
    world.agentOf(pod.uid).dial(pod.uid);
    await clock.sleep(100);
    const held = world.coordinator().controllers.explain.pod(`demo/${pod.name}`)?.held;
    assert.equal(held, "for 0 s: wait (weight 0 at lb-one TCP:80)");
    assert.deepEqual([answerOf(world, pod.uid)?.state, answerOf(world, pod.uid)?.terminating], ["wait", true]);
    await answered(world, pod.uid, "lowered");
    assert.deepEqual(weightsOf(world, pod.ips[0]), [0]);
    const lowered = cloud.journal.of("target").find(({ ip, weight, timeMs }) => pod.ips.includes(ip) && weight === 0 && timeMs >= atMs);
    assert.ok(lowered !== undefined);
    assert.equal(answerOf(world, pod.uid)?.deletionAtMs, cluster.pods.get(pod.uid)?.deletionAtMs);
    assert.equal(answerOf(world, pod.uid)?.drainMs, 3_000);
    world.agentOf(pod.uid).release(pod.uid);
    await world.clock.sleep(20_000);
    assertNothingWrong(world);
  });

  inWorld("behind two load balancers it is lowered when it is so at both", { apps: ["one", "two"] }, async (world) => {
    const { cluster, clock, cloud } = world;
    const [pod] = cluster.alive("one");
    assert.ok(pod !== undefined);
    // The Service of the other load balancer selects all Pods of the Namespace from now on.
    cluster.edit("two", { selector: { tier: "web" } });
    for (const one of [...cluster.alive("one"), ...cluster.alive("two")]) cluster.relabel(one.uid, { ...one.labels, tier: "web" });
    await world.until(
      () => "it is bound twice",
      () => weightsOf(world, pod.ips[0]).length === 2,
    );
    await clock.sleep(10_000);
    cloud.faults.add({ kind: "latency", delay: "2s", action: "BatchModifyTargetWeight", count: 1 });
    cluster.end([pod.uid]);
    world.agentOf(pod.uid).dial(pod.uid);
    await world.until(
      () => "one of both is 0",
      () => weightsOf(world, pod.ips[0]).includes(0),
    );
    await clock.sleep(300);
    assert.equal(answerOf(world, pod.uid)?.state, "wait", answerOf(world, pod.uid)?.reason);
    assert.match(answerOf(world, pod.uid)?.reason ?? "", /^weight 0 at lb-(one|two) TCP:80$/);
    await answered(world, pod.uid, "lowered", 8_000);
    assert.deepEqual(weightsOf(world, pod.ips[0]), [0, 0]);
  });

  inWorld("one read, younger than the dial, tells that it terminates where no watch does", {}, async (world) => {
    const { cluster, clock } = world;
    const [pod] = cluster.alive("one");
    assert.ok(pod !== undefined);
    const agent = world.agentOf(pod.uid);
    agent.mute(true);
    cluster.end([pod.uid]);
    agent.dial(pod.uid);
    await clock.sleep(50);
    assert.equal(answerOf(world, pod.uid), undefined, "an answer that it lives, as far as is known, would end its hold after 5 s");
    await world.until(
      () => "it is known to terminate",
      () => answerOf(world, pod.uid)?.terminating === true,
      1_000,
    );
    await answered(world, pod.uid, "lowered");
    assert.equal(answerOf(world, pod.uid)?.terminating, true);
    await clock.sleep(1_000);
    agent.mute(false);
  });

  inWorld("a hundred dials at once are asked about with one list, and not at all where the watch tells", { pods: 120 }, async (world) => {
    const { cluster, clock } = world;
    const pods = cluster.alive("one").slice(0, 100);
    const before = cluster.namespaceLists();
    const reads = cluster.podGets();
    cluster.end(pods.map(({ uid }) => uid));
    for (const { uid } of pods) world.agentOf(uid).dial(uid);
    await clock.sleep(4_000);
    for (const { uid } of pods) assert.equal(answerOf(world, uid)?.state, "lowered", uid);
    assert.deepEqual([cluster.namespaceLists() - before, cluster.podGets() - reads], [0, 0]);
  });

  inWorld("bound nowhere: nothing is waited for", {}, async (world) => {
    const { cluster } = world;
    const [pod] = cluster.alive("one");
    assert.ok(pod !== undefined);
    cluster.relabel(pod.uid, {});
    await world.until(
      () => "it is bound nowhere",
      () => weightsOf(world, pod.ips[0]).length === 0,
    );
    await world.clock.sleep(1_000);
    cluster.end([pod.uid]);
    world.agentOf(pod.uid).dial(pod.uid);
    await answered(world, pod.uid, "release", 1_000);
    assert.equal(answerOf(world, pod.uid)?.reason, "it is bound nowhere");
  });
});

suite("a Pod that does not terminate:", () => {
  inWorld("weight 0 at once, and its weight back when its container has been started anew", {}, async (world) => {
    const { cluster, clock } = world;
    const [pod] = cluster.alive("one");
    assert.ok(pod !== undefined);
    const agent = world.agentOf(pod.uid);
    agent.dial(pod.uid);
    await answered(world, pod.uid, "lowered");
    assert.deepEqual([answerOf(world, pod.uid)?.terminating, weightsOf(world, pod.ips[0])], [false, [0]]);
    assert.deepEqual(world.coordinator().controllers.writeLog.of("lb-one").at(-1)?.because, [`Pod demo/${pod.name} is being stopped`]);
    agent.release(pod.uid);
    // Its container stops, and is ready all the while: nothing is sent there.
    await clock.sleep(10_000);
    assert.deepEqual(weightsOf(world, pod.ips[0]), [0]);
    cluster.setReady([pod.uid], false);
    await clock.sleep(3_000);
    cluster.setReady([pod.uid], true);
    await weightless(world, pod, 3_000); // it is the same container
    cluster.restart([pod.uid]);
    await world.until(
      () => "it has its weight again",
      () => weightsOf(world, pod.ips[0])[0] === 10,
      3_000,
    );
    assert.deepEqual(
      cluster.told.filter(({ reason }) => reason === "DrainTruncated"),
      [],
    );
  });

  inWorld("whose container nobody sees restart gets its weight back after 35 s", {}, async (world) => {
    const { clock } = world;
    const pod = await heldAtZero(world);
    world.agentOf(pod.uid).release(pod.uid);
    await clock.sleep(33_000);
    assert.deepEqual(weightsOf(world, pod.ips[0]), [0]);
    await clock.sleep(5_000);
    assert.deepEqual(weightsOf(world, pod.ips[0]), [10]);
  });

  inWorld("with a long grace period gets its weight back when that is over, not while its container may still serve", {}, async (world) => {
    const { clock } = world;
    const pod = await heldAtZero(world, 300);
    world.agentOf(pod.uid).release(pod.uid);
    for (const seconds of [40, 100, 155]) {
      await clock.sleep(seconds * 1_000);
      assert.deepEqual(weightsOf(world, pod.ips[0]), [0]);
    }
    await clock.sleep(15_000);
    assert.deepEqual(weightsOf(world, pod.ips[0]), [10]);
  });

  inWorld("a dependency that fails every liveness probe empties no listener: all are answered at once", { pods: 10 }, async (world) => {
    const { cluster, clock } = world;
    const pods = cluster.alive("one");
    for (const { uid } of pods) world.agentOf(uid).dial(uid);
    await clock.sleep(2_500);
    const states = pods.map(({ uid }) => answerOf(world, uid)?.state);
    // All Pods are being stopped: nobody is left to take over, so all keep their weight.
    assert.deepEqual(new Set(states), new Set(["release"]), JSON.stringify(states));
    assert.ok(pods.every(({ ips }) => weightsOf(world, ips[0])[0] === 10));
  });

  inWorld("of ten, seven that dial at once: five lose their weight, two are answered at once", { pods: 10 }, async (world) => {
    const { cluster, clock } = world;
    const pods = cluster.alive("one").slice(0, 7);
    for (const { uid } of pods) world.agentOf(uid).dial(uid);
    await clock.sleep(2_500);
    const states = pods.map(({ uid }) => answerOf(world, uid)?.state);
    assert.deepEqual([states.filter((one) => one === "lowered").length, states.filter((one) => one === "release").length], [5, 2]);
    assert.equal(pods.filter(({ ips }) => weightsOf(world, ips[0])[0] === 0).length, 5);
    assert.match(answerOf(world, pods[states.indexOf("release")]?.uid ?? "")?.reason ?? "", /keeps its weight at lb-one TCP:80: too few/);
  });

  inWorld(
    "a node that shuts down: its Pods lose their weight in one call, and are unbound in one when they are over",
    { pods: 12 },
    async (world) => {
      const { cluster, clock, cloud } = world;
      const pods = cluster.alive("one").filter(({ nodeName }) => nodeName === "node-a");
      assert.equal(pods.length, 3);
      const since = cloud.journal.lastSeq;
      const calls = () =>
        cloud.journal.since(since).flatMap((one) => (one.kind === "call" && !one.action.startsWith("Describe") ? [one.action] : []));
      for (const { uid } of pods) world.agentOf(uid).dial(uid);
      await clock.sleep(2_500);
      assert.deepEqual(new Set(pods.map(({ uid }) => answerOf(world, uid)?.state)), new Set(["lowered"]));
      for (const { uid } of pods) world.agentOf(uid).release(uid);
      await clock.sleep(5_000);
      cluster.finish(
        pods.map(({ uid }) => uid),
        "Succeeded",
      ); // as a stock kubelet says it of containers that end well
      await clock.sleep(5_000);
      assert.deepEqual(calls(), ["BatchModifyTargetWeight", "BatchDeregisterTargets"]);
      assert.deepEqual(
        pods.flatMap(({ ips }) => weightsOf(world, ips[0])),
        [],
      );
    },
  );

  inWorld("the last one of its place keeps its weight and is answered at once", { pods: 1 }, async (world) => {
    const [pod] = world.cluster.alive("one");
    assert.ok(pod !== undefined);
    world.agentOf(pod.uid).dial(pod.uid);
    await answered(world, pod.uid, "release", 1_500);
    assert.deepEqual(weightsOf(world, pod.ips[0]), [10]);
  });

  inWorld("that terminates a while later is drained like any other", { pods: 2 }, async (world) => {
    const [pod, other] = world.cluster.alive("one");
    assert.ok(pod !== undefined && other !== undefined);
    world.agentOf(pod.uid).dial(pod.uid);
    await answered(world, pod.uid, "lowered");
    world.agentOf(other.uid).dial(other.uid);
    await answered(world, other.uid, "release");
    world.cluster.start("one", 1);
    await world.clock.sleep(6_000);
    world.cluster.end([other.uid]);
    await answered(world, other.uid, "lowered");
    assert.equal(answerOf(world, other.uid)?.terminating, true);
  });
});

suite("whoever leads:", () => {
  inWorld("a new leader answers what is held, and a released Pod's weight is not raised too early", {}, async (world) => {
    const { cluster, clock, cloud } = world;
    const [pod, other] = cluster.alive("one");
    assert.ok(pod !== undefined && other !== undefined);
    cloud.faults.add({ kind: "latency", delay: "6s", action: "BatchModifyTargetWeight", count: 1 });
    cluster.end([pod.uid]);
    world.agentOf(pod.uid).dial(pod.uid);
    world.agentOf(other.uid).dial(other.uid);
    await clock.sleep(500);
    await world.kill();
    world.start();
    await answered(world, pod.uid, "lowered", 15_000);
    await answered(world, other.uid, "lowered", 15_000);
    assert.deepEqual([weightsOf(world, pod.ips[0]), weightsOf(world, other.ips[0])], [[0], [0]]);
  });

  inWorld("an agent that tells a new leader of another node's Pod before that node's own does not hinder it", {}, async (world) => {
    const pod = world.cluster.alive("one").find(({ uid }) => world.nodeOf(uid) === 2);
    assert.ok(pod !== undefined);
    await world.kill();
    world.start();
    world.coordinator().agents[0]?.dial(pod.uid); // none of its node
    world.agentOf(pod.uid).dial(pod.uid);
    await answered(world, pod.uid, "lowered", 15_000);
    assert.deepEqual(weightsOf(world, pod.ips[0]), [0]);
  });

  for (const isNewLeader of [false, true])
    inWorld(
      `another container that is started anew while it is held does not bring its weight back${isNewLeader ? ", also under a new leader" : ""}`,
      {},
      async (world) => {
        const { cluster, clock } = world;
        const pod = await heldAtZero(world);
        cluster.restart([pod.uid]); // e.g. a sidecar whose failure made the liveness probe fail
        await clock.sleep(500);
        world.agentOf(pod.uid).release(pod.uid);
        if (isNewLeader) {
          await world.kill();
          world.start();
        }
        await weightless(world, pod, 20_000);
        cluster.restart([pod.uid]);
        await world.converged("one");
      },
    );

  inWorld(
    "a Pod whose calls were answered under a former leader has no weight before its container has been started anew",
    {},
    async (world) => {
      const { cluster, clock } = world;
      const pod = await heldAtZero(world);
      world.agentOf(pod.uid).release(pod.uid);
      await world.kill();
      world.start();
      await weightless(world, pod, 20_000); // its container stops, and is ready all the while
      cluster.setReady([pod.uid], false);
      await clock.sleep(1_000);
      cluster.restart([pod.uid]);
      await world.until(
        () => "it has its weight again",
        () => weightsOf(world, pod.ips[0])[0] === 10,
        3_000,
      );
      await world.kill();
      world.start(); // its agent still remembers
      await clock.sleep(10_000);
      assert.deepEqual(weightsOf(world, pod.ips[0]), [10]);
    },
  );

  inWorld("a Pod that was held under both leaders has no weight before its container has been started anew", {}, async (world) => {
    const pod = await heldAtZero(world);
    await world.kill();
    world.start();
    await answered(world, pod.uid, "lowered", 15_000);
    world.agentOf(pod.uid).release(pod.uid);
    await weightless(world, pod, 20_000);
  });

  inWorld("an agent whose stream was torn is told all answers again", {}, async (world) => {
    const [pod] = world.cluster.alive("one");
    assert.ok(pod !== undefined);
    const agent = world.agentOf(pod.uid);
    world.cluster.end([pod.uid]);
    agent.dial(pod.uid);
    await answered(world, pod.uid, "lowered");
    agent.answers.clear();
    agent.connect();
    await answered(world, pod.uid, "lowered", 1_000);
  });

  inWorld("POLICY no-unbind: no weight is lowered, and nobody waits for that", { policy: "no-unbind" }, async (world) => {
    const [pod] = world.cluster.alive("one");
    assert.ok(pod !== undefined);
    world.cluster.end([pod.uid]);
    world.agentOf(pod.uid).dial(pod.uid);
    await answered(world, pod.uid, "release", 500);
    assert.match(answerOf(world, pod.uid)?.reason ?? "", /POLICY is no-unbind/);
  });
});

suite("a hold that was cut short:", () => {
  inWorld("is told on the Pod where it was still sent to, and not where weight 0 was effective", {}, async (world) => {
    const { cluster, clock, cloud } = world;
    const [pod, other] = cluster.alive("one");
    assert.ok(pod !== undefined && other !== undefined);
    cluster.end([other.uid]);
    world.agentOf(other.uid).dial(other.uid);
    await answered(world, other.uid, "lowered");
    world.agentOf(other.uid).release(other.uid, "budget");
    cloud.faults.add({ kind: "latency", delay: "9s", action: "BatchModifyTargetWeight", count: 1 });
    cluster.end([pod.uid]);
    world.agentOf(pod.uid).dial(pod.uid);
    await clock.sleep(3_000);
    assert.equal(answerOf(world, pod.uid)?.state, "wait");
    world.agentOf(pod.uid).release(pod.uid, "budget");
    await clock.sleep(2_000);
    const told = cluster.told.filter(({ reason }) => reason === "DrainTruncated");
    assert.deepEqual(
      told.map(({ object }) => object),
      [pod.name],
    );
    assert.match(told[0]?.message ?? "", /got SIGTERM before lb-one TCP:80 had weight 0/);
  });

  inWorld("an agent is not believed about a Pod of another node", {}, async (world) => {
    const { cluster, clock } = world;
    const [pod] = cluster.alive("one");
    assert.ok(pod !== undefined);
    const stranger = world.coordinator().agents.find((agent) => agent !== world.agentOf(pod.uid));
    stranger?.dial(pod.uid);
    await clock.sleep(3_000);
    assert.deepEqual([stranger?.answers.size, weightsOf(world, pod.ips[0])], [0, [10]]);
  });
});
