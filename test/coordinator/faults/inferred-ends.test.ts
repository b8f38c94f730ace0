/** A sign of an end (a deleted Node, an absence) unbinds nobody: only a deletion that was seen, or the API server's own answer, does. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { assertNothingWrong, aWorld, type World } from "./world.ts";

const MINUTE = 60_000;
const targets = ({ cloud }: World) =>
  cloud.state().loadBalancers.flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
const serving = (world: World): number => targets(world).filter(({ weight }) => weight > 0).length;
/** Changes of targets that take traffic away. */
const taken = ({ cloud }: World) =>
  cloud.journal.of("target").filter(({ change, weight }) => change === "unbound" || (change === "weight" && weight === 0));

suite("nothing is unbound for", () => {
  test("a Node object that is deleted while its machine and its Pods live on", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 8 });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      world.coordinator().registry.nodeDeleted({ name: "node-a", uid: "node-a" });
      await world.clock.sleep(3 * MINUTE);
      assert.deepEqual([taken(world), serving(world)], [[], 8]);
      await world.kill();
    });
  });

  test("an agent whose snapshots lack its Pods, as often as it says so", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 8 });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      const [agent] = world.coordinator().agents;
      for (let turn = 0; turn < 5; turn++) {
        agent?.lie(2);
        agent?.connect();
        await world.clock.sleep(MINUTE / 2);
      }
      assert.deepEqual([taken(world), serving(world)], [[], 8]);
      agent?.connect();
      await world.clock.sleep(MINUTE);
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("a first snapshot that is empty, after a restart", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 12 });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await world.kill();
      world.start();
      world.coordinator().agents[0]?.lie(1_000);
      await world.clock.sleep(3 * MINUTE);
      assert.deepEqual([taken(world), serving(world)], [[], 12]);
      world.coordinator().agents[0]?.lie(0);
      world.coordinator().agents[0]?.connect();
      await world.converged("one");
      await world.kill();
    });
    assertNothingWrong(world);
  });
});

suite("Pods that ended while nobody looked", () => {
  test("are drained before they are unbound: nobody saw them end", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 8 });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await world.kill();
      const gone = world.cluster.alive("one").slice(0, 3);
      world.cluster.end(gone.map(({ uid }) => uid));
      await world.clock.sleep(10_000);
      world.start();
      await world.converged("one");
      const changes = taken(world).map(({ change }) => change);
      assert.deepEqual([changes.slice(0, 3), changes.slice(3)], [Array(3).fill("weight"), Array(3).fill("unbound")]);
      await world.kill();
    });
    assertNothingWrong(world);
  });

  test("are asked for with one list where they are many, and go by themselves when the load balancer finds them dead", async (t) => {
    const dead = new Set<string>();
    const world = aWorld(t, { apps: ["one"], pods: 40, probe: async ({ ip }) => !dead.has(ip) });
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await world.kill();
      const gone = world.cluster.alive("one").slice(0, 30);
      world.cluster.end(gone.map(({ uid }) => uid));
      await world.clock.sleep(10_000);
      world.start();
      await world.clock.sleep(MINUTE);
      assert.equal(serving(world), 40, "more than half of the place is absent, and the load balancer finds it healthy");
      assert.ok(world.cluster.told.some(({ reason }) => reason === "RemovalParked"));
      const lists = world.cluster.namespaceLists();
      assert.ok(lists >= 1 && lists <= 2, `${lists} lists of the Namespace`);
      for (const { ips } of gone) for (const ip of ips) dead.add(ip);
      await world.until(
        () => "the dead ones are unbound",
        () => targets(world).length === 10,
      );
      await world.kill();
    });
  });
});

test("who ended while nobody led is asked about when the last Node has told its Pods, also where no re-read is near", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 3, resyncMs: 60 * MINUTE });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    await world.kill();
    const [first] = world.cluster.alive("one");
    world.cluster.end([first?.uid ?? ""]);
    await world.clock.sleep(2 * MINUTE);
    assert.equal(serving(world), 3);
    world.start({ withAgents: false });
    const { agents } = world.coordinator();
    for (const agent of agents.slice(0, -1)) agent.connect();
    await world.clock.sleep(5_000); // less than the grace of the last agent, on whose node none of these Pods is
    assert.deepEqual([world.coordinator().registry.complete, serving(world)], [false, 3]);
    agents.at(-1)?.connect();
    await world.clock.sleep(15_000);
    assert.deepEqual([serving(world), targets(world).length], [2, 2]);
    await world.kill();
  });
  assertNothingWrong(world);
});

test("a Pod whose Node was deleted gets weight 0 when it is deleted itself, also where no re-read is near", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 4, resyncMs: 60 * MINUTE });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    const [first] = world.cluster.alive("one");
    world.deleteNode(world.nodeOf(first?.uid ?? ""));
    await world.clock.sleep(20_000);
    assert.equal(serving(world), 4, "it lives, as far as anybody can say");
    world.cluster.end([first?.uid ?? ""], 5 * MINUTE);
    await world.clock.sleep(45_000);
    const weights = targets(world).map(({ ip, weight }) => [first?.ips.includes(ip), weight > 0]);
    assert.ok(
      weights.every(([isFirst, hasWeight]) => isFirst !== hasWeight),
      JSON.stringify(weights),
    );
    await world.kill();
  });
  assertNothingWrong(world);
});
