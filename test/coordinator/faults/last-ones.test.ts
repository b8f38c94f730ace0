/** Pods that end all together and are held: they serve on until others do, as far as their grace period allows. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { holdBudgetMs } from "../../../common/holds.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import { assertNothingWrong, aWorld, type Options, type World } from "./world.ts";

/** The usual grace period; containers that are held serve nearly as long. */
const STOP_MS = 28_000;
const PODS = 6;
/** So long a container with that grace period is held. */
const HELD_MS = holdBudgetMs(30);

type Seen = { readonly atMs: number; readonly serving: number; readonly weighted: ReadonlySet<string> };

/** Bound targets of lb-one with a weight, and how many of them the load balancer sends to. */
function look(world: World): Omit<Seen, "atMs"> {
  const targets = world.cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
  const weighted = targets.filter(({ weight }) => weight > 0);
  const serving = weighted.filter(({ ip, health }) => health === "Alive" && world.cluster.isServing(ip));
  return { serving: serving.length, weighted: new Set(weighted.map(({ ip }) => ip)) };
}

/** Ends all Pods of the app, each with its dial; what is seen every 100 ms of the next `forMs`. */
async function endAll(world: World, forMs: number, options: { readonly grace?: number; readonly leave?: number } = {}) {
  const { cluster, clock } = world;
  const old = cluster.alive("one").slice(options.leave ?? 0);
  const atMs = clock.now();
  cluster.end(
    old.map(({ uid }) => uid),
    STOP_MS,
  );
  for (const { uid } of old) world.agentOf(uid).dial(uid, options.grace ?? 30);
  const seen: Seen[] = [];
  while (clock.now() < atMs + forMs) {
    seen.push({ atMs: clock.now() - atMs, ...look(world) });
    await clock.sleep(100);
  }
  const ips = old.flatMap((pod) => pod.ips);
  /** When the last of them had lost its weight, milliseconds after their end. */
  const loweredMs = seen.find(({ weighted }) => ips.every((ip) => !weighted.has(ip)))?.atMs ?? Infinity;
  return { seen, loweredMs };
}

/** The first Pods start as usual, those after them never. */
function slowly(): Options {
  let left = PODS;
  return { startMs: () => (left-- > 0 ? 700 : 600_000) };
}

/** The first Pods start as usual, those after them one after the other. */
function oneByOne(lateMs: number, options: Options): Options {
  let started = 0;
  return { ...options, startMs: () => (started++ < PODS ? 700 : 4_000 + lateMs + (started - PODS) * 1_900) };
}

const inWorld = (name: string, options: Options, work: (world: World, pods: readonly PodFact[]) => Promise<void>): void =>
  void test(name, async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: PODS, ...options });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      for (const { uid } of world.cluster.alive("one")) world.cluster.hook(uid);
      await world.clock.sleep(15_000);
      await work(world, world.cluster.alive("one"));
      await world.kill();
    });
  });

suite("all Pods of a Service end together:", () => {
  const check = { intervalSeconds: 2, healthyCount: 2 };
  inWorld("they keep their weight until enough of those that replace them serve", { check }, async (world) => {
    const { cluster, clock } = world;
    const born = clock.sleep(1_500).then(() => cluster.start("one", PODS));
    const { seen, loweredMs } = await endAll(world, 20_000);
    await born;
    const empty = seen.filter(({ serving }) => serving === 0);
    assert.deepEqual(empty, [], "at any time somebody serves");
    assert.ok(loweredMs > 3_000 && loweredMs < 12_000, `lowered after ${loweredMs} ms`);
    assertNothingWrong(world);
  });

  inWorld("with the cloud's own checks, which take 15 s, some serve before the grace period is over", {}, async (world) => {
    const { cluster, clock } = world;
    const born = clock.sleep(1_500).then(() => cluster.start("one", PODS));
    const { seen, loweredMs } = await endAll(world, 22_000);
    await born;
    assert.deepEqual(
      seen.filter(({ serving }) => serving === 0),
      [],
      "at any time somebody serves",
    );
    assert.ok(loweredMs < 18_000, `lowered after ${loweredMs} ms`);
  });

  // A write takes 4 s; each Pod becomes ready while the one before is being bound, so there is always something to write.
  const slowWrites: Options = { profile: "tke2020", check: { intervalSeconds: 2, healthyCount: 2 } };
  for (const lateMs of [0, 700, 1_400, 2_100, 2_800, 3_500])
    inWorld(
      `no other write stands in the way when their time is up: Pods that become ready ${lateMs} ms later`,
      oneByOne(lateMs, slowWrites),
      async (world) => {
        const { cluster, clock, cloud } = world;
        const old = cluster.alive("one");
        const fromMs = clock.now();
        const born = clock.sleep(1_500).then(() => cluster.start("one", PODS));
        const dialled = new Map<string, number>();
        for (const pod of old) {
          cluster.end([pod.uid], STOP_MS);
          world.agentOf(pod.uid).dial(pod.uid, 30);
          dialled.set(pod.ips[0] ?? "", clock.now());
          await clock.sleep(600);
        }
        while (clock.now() < fromMs + 30_000) {
          assert.ok(look(world).serving > 0, `nobody serves after ${clock.now() - fromMs} ms`);
          await clock.sleep(100);
        }
        await born;
        const lowered = cloud.journal.of("target").flatMap((entry) => {
          const sinceMs = dialled.get(entry.ip);
          return entry.change === "weight" && entry.weight === 0 && sinceMs !== undefined ? [entry.timeMs - sinceMs] : [];
        });
        assert.equal(lowered.length, PODS);
        // where nobody else serves yet, who does is bound first
        assert.ok(Math.max(...lowered) <= HELD_MS - 1_000, `weight 0 after ${lowered.join(", ")} ms`);
        assertNothingWrong(world);
      },
    );

  inWorld("where nobody replaces them weight 0 comes after four seconds", {}, async (world) => {
    const { loweredMs } = await endAll(world, 10_000);
    assert.ok(loweredMs > 3_900 && loweredMs < 6_500, `lowered after ${loweredMs} ms`);
  });

  inWorld("what replaces them never serves: weight 0 comes while the grace period lasts", slowly(), async (world) => {
    const born = world.clock.sleep(500).then(() => world.cluster.start("one", PODS));
    const { loweredMs } = await endAll(world, 25_000);
    await born;
    assert.ok(loweredMs > 14_500 && loweredMs < 17_500, `lowered after ${loweredMs} ms`);
  });

  inWorld("a grace period that leaves no time is not waited in", slowly(), async (world) => {
    const born = world.clock.sleep(500).then(() => world.cluster.start("one", PODS));
    const { loweredMs } = await endAll(world, 5_000, { grace: 10 });
    await born;
    assert.ok(loweredMs < 2_500, `lowered after ${loweredMs} ms`);
  });

  inWorld(
    "a deletion that gives them less time than their spec says is what counts, also where it becomes known late",
    slowly(),
    async (world, pods) => {
      const born = world.clock.sleep(500).then(() => world.cluster.start("one", PODS));
      const shortened = (async () => {
        await world.clock.sleep(3_300);
        for (const { uid } of pods) world.agentOf(uid).dial(uid, 15);
      })();
      const { loweredMs } = await endAll(world, 12_000);
      await Promise.all([born, shortened]);
      assert.ok(loweredMs < holdBudgetMs(15) - 2_500, `lowered after ${loweredMs} ms`);
    },
  );

  inWorld(
    "those whose containers are not ready any more leave while others of them are, and not where none is",
    slowly(),
    async (world, pods) => {
      const { cluster, clock } = world;
      const born = clock.sleep(500).then(() => cluster.start("one", PODS));
      const [failing, others] = [pods.slice(0, 3), pods.slice(3)];
      const weighted = (some: readonly PodFact[]): number => some.filter(({ ips }) => look(world).weighted.has(ips[0] ?? "")).length;
      const seen: (readonly number[])[] = [];
      const failed = (async () => {
        await clock.sleep(2_000);
        cluster.setReady(
          failing.map(({ uid }) => uid),
          false,
        ); // e.g. a sidecar with a preStop of its own has stopped
        await clock.sleep(3_000);
        seen.push([weighted(failing), weighted(others)]);
        cluster.setReady(
          others.map(({ uid }) => uid),
          false,
        );
        await clock.sleep(3_000);
        seen.push([weighted(failing), weighted(others)]);
      })();
      await endAll(world, 10_000);
      await Promise.all([born, failed]);
      assert.deepEqual(seen, [
        [0, 3],
        [0, 3],
      ]);
    },
  );

  inWorld("a third of them stay, half as many as leave: the others lose their weight at once", {}, async (world) => {
    const { loweredMs } = await endAll(world, 5_000, { leave: PODS / 3 });
    assert.ok(loweredMs < 2_500, `lowered after ${loweredMs} ms`);
  });

  inWorld("a Service that is made smaller does not wait either", {}, async (world) => {
    const { loweredMs } = await endAll(world, 5_000, { leave: 1 });
    assert.ok(loweredMs < 2_500, `lowered after ${loweredMs} ms`);
  });

  for (const releasedMs of [1_000, 6_000])
    inWorld(`Pods whose hold is over after ${releasedMs} ms lose their weight then`, slowly(), async (world, pods) => {
      const born = world.clock.sleep(500).then(() => world.cluster.start("one", PODS));
      const released = (async () => {
        await world.clock.sleep(releasedMs);
        for (const { uid } of pods) world.agentOf(uid).release(uid, "aborted");
      })();
      const { loweredMs } = await endAll(world, 12_000);
      await Promise.all([born, released]);
      assert.ok(loweredMs > releasedMs - 100 && loweredMs < releasedMs + 2_500, `lowered after ${loweredMs} ms`);
    });

  inWorld("an agent whose stream is torn for a moment ends no hold: they serve on", slowly(), async (world, pods) => {
    const born = world.clock.sleep(500).then(() => world.cluster.start("one", PODS));
    const torn = (async () => {
      await world.clock.sleep(2_000);
      const agents = [...new Set(pods.map(({ uid }) => world.agentOf(uid)))];
      for (const agent of agents) agent.disconnect();
      await world.clock.sleep(1_500);
      for (const agent of agents) agent.connect();
    })();
    const { loweredMs } = await endAll(world, 25_000);
    await Promise.all([born, torn]);
    assert.ok(loweredMs > 14_500 && loweredMs < 17_500, `lowered after ${loweredMs} ms`);
  });

  inWorld("a new leader does not conclude from nodes that have not told their Pods that nobody replaces them", slowly(), async (world) => {
    const born = world.clock.sleep(500).then(() => world.cluster.start("one", PODS));
    const led = (async () => {
      await world.clock.sleep(5_000);
      await world.kill();
      await world.clock.sleep(200);
      world.start();
    })();
    const { loweredMs } = await endAll(world, 25_000);
    await Promise.all([born, led]);
    assert.ok(loweredMs > 14_500 && loweredMs < 17_500, `lowered after ${loweredMs} ms`);
  });

  inWorld(
    "a new leader that knows all Pods at once does not conclude from what it has not asked that nobody serves",
    slowly(),
    async (world) => {
      const born = world.clock.sleep(500).then(() => world.cluster.start("one", PODS));
      const led = world.clock.sleep(5_000).then(() => world.coordinator().leadAgain());
      const { loweredMs } = await endAll(world, 25_000);
      await Promise.all([born, led]);
      assert.ok(loweredMs > 14_500 && loweredMs < 17_500, `lowered after ${loweredMs} ms`);
    },
  );

  inWorld("a new leader does not let Pods serve on whose hold was over before", slowly(), async (world, pods) => {
    const born = world.clock.sleep(500).then(() => world.cluster.start("one", PODS));
    const released = (async () => {
      await world.clock.sleep(1_000);
      for (const { uid } of pods) world.agentOf(uid).release(uid, "aborted");
      await world.kill();
      world.start();
    })();
    const { loweredMs } = await endAll(world, 12_000);
    await Promise.all([born, released]);
    assert.ok(loweredMs < 4_500, `lowered after ${loweredMs} ms`);
  });
});
