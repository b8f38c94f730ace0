import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { RELEASE } from "../../../common/names.ts";
import { aWorld, type World } from "./world.ts";

const MINUTE = 60_000;

const targets = ({ cloud }: World) =>
  cloud
    .state()
    .loadBalancers.filter(({ id }) => id === "lb-one")
    .flatMap(({ listeners }) => listeners.flatMap((listener) => listener.targets));
const serving = (world: World): number => targets(world).filter(({ weight, health }) => weight > 0 && health === "Alive").length;
const serves = (world: World, count: number) => (): boolean => serving(world) === count && targets(world).length === count;
/** The messages of Events that tell of parked removals, and the ids in them. */
const told = ({ cluster }: World): readonly string[] =>
  cluster.told.flatMap(({ reason, message }) => (reason === "RemovalParked" ? [message] : []));
const idIn = (message: string | undefined): string => /removal (r-[0-9a-f]{8})/.exec(message ?? "")?.[1] ?? "";

/** Eight Pods that serve; six of them lose the label that the Service selects. */
async function sixOfEight(world: World): Promise<readonly string[]> {
  world.start();
  await world.converged("one");
  const six = world.cluster
    .alive("one")
    .slice(0, 6)
    .map(({ uid }) => uid);
  for (const uid of six) world.cluster.relabel(uid, {});
  await world.until(
    () => "the removal is parked",
    () => told(world).length === 1,
  );
  return six;
}

suite("Pods that lost the label which their Service selects", () => {
  test("are drained at once when they end after that", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 8 });
    await world.run(async () => {
      const [uid = ""] = await sixOfEight(world);
      await world.clock.sleep(5_000);
      world.cluster.end([uid]);
      await world.clock.sleep(3_000);
      const drained = targets(world).filter(({ weight }) => weight === 0);
      assert.equal(drained.length + 8 - targets(world).length, 1, "nobody woke the load balancer");
      await world.kill();
    });
  });

  test("stay until a person lets them go; when the same ones are missed again, the release that still stands there is used up", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 8 });
    const { cluster, clock } = world;
    await world.run(async () => {
      const six = await sixOfEight(world);
      await clock.sleep(MINUTE);
      assert.ok(serves(world, 8)(), "the brake let them go");
      const id = idIn(told(world)[0]);
      cluster.annotate("one", { [RELEASE]: id });
      await world.until(() => "the six are unbound", serves(world, 2));
      for (const uid of six) cluster.relabel(uid, { app: "one" });
      await world.until(() => "all are bound again", serves(world, 8));
      await clock.sleep(MINUTE);
      for (const uid of six) cluster.relabel(uid, {});
      await world.until(
        () => "the removal is parked once more",
        () => told(world).length === 2,
      );
      await clock.sleep(MINUTE);
      assert.ok(serves(world, 8)(), "a release that was used up let them go");
      assert.equal(idIn(told(world)[1]), id);
      assert.match(told(world)[1] ?? "", /used up.* take the annotation away and set it again/);
      cluster.annotate("one", {});
      cluster.annotate("one", { [RELEASE]: id }); // at once: a watch tells both changes all the same
      await world.until(() => "the six are unbound again", serves(world, 2));
      await world.kill();
    });
  });

  test("are released by an id however it is written; of one that no removal has, the Event says so", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 8 });
    const { cluster, clock } = world;
    await world.run(async () => {
      await sixOfEight(world);
      const id = idIn(told(world)[0]);
      cluster.annotate("one", { [RELEASE]: "r-wrong" });
      await world.until(
        () => "the annotation is told of",
        () => told(world).length === 2,
      );
      assert.match(told(world)[1] ?? "", new RegExp(`removal ${id} .*, r-wrong, names nothing that is parked here$`));
      await clock.sleep(MINUTE);
      assert.ok(serves(world, 8)(), "another id let them go");
      cluster.annotate("one", { [RELEASE]: `R-wrong;${id.toUpperCase()}` });
      await world.until(() => "the six are unbound", serves(world, 2));
      assert.equal(told(world).length, 2);
      await world.kill();
    });
  });

  test("are released although the coordinator that told the id is gone", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 8 });
    await world.run(async () => {
      await sixOfEight(world);
      await world.kill();
      world.cluster.annotate("one", { [RELEASE]: idIn(told(world)[0]) });
      world.start();
      await world.until(() => "the six are unbound", serves(world, 2));
      await world.kill();
    });
  });

  test("stay where a release of another time stands, also under a new coordinator", async (t) => {
    const world = aWorld(t, { apps: ["one"], pods: 8 });
    const { cluster, clock } = world;
    await world.run(async () => {
      const six = await sixOfEight(world);
      cluster.annotate("one", { [RELEASE]: idIn(told(world)[0]) });
      await world.until(() => "the six are unbound", serves(world, 2));
      for (const uid of six) cluster.relabel(uid, { app: "one" });
      await world.until(() => "all are bound again", serves(world, 8));
      await world.kill();
      world.start();
      await clock.sleep(6 * MINUTE);
      for (const uid of six) cluster.relabel(uid, {});
      await clock.sleep(2 * MINUTE);
      assert.ok(serves(world, 8)(), "an old release let them go");
      assert.match(told(world).at(-1) ?? "", /since long before/);
      await world.kill();
    });
  });
});

test("Pods that one Service lost are doubted there, although another one on the same load balancer selects them still", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 8 });
  const { cluster, clock } = world;
  const [first] = cluster.services.values();
  assert.ok(first !== undefined);
  const [uid, selector] = ["f7077e57-0000-0000-0000-000000000000", { app: "one", tier: "front" }];
  cluster.services.set(uid, { ...first, uid, name: "front", selector, ports: first.ports.map((port) => ({ ...port, port: 81 })) });
  for (const pod of cluster.pods.values()) cluster.relabel(pod.uid, selector);
  await world.run(async () => {
    world.start();
    await world.converged("one");
    assert.equal(targets(world).length, 16);
    for (const pod of cluster.alive("one").slice(0, 6)) cluster.relabel(pod.uid, { app: "one" });
    await world.until(
      () => "the removal is parked",
      () => told(world).length === 1,
    );
    await clock.sleep(MINUTE);
    assert.ok(serves(world, 16)(), "what the one Service asks for let Pods of the other go");
    assert.match(told(world)[0] ?? "", /^Service demo\/front, /);
    await world.kill();
  });
});

suite("a Service that asks for two other Pods in place of six", () => {
  /** Six blue and two green Pods; the Service selects the blue ones, and the green ones after `change`. */
  async function reselect(world: World, between: () => Promise<void>): Promise<void> {
    const { cluster } = world;
    const [blue, green] = [
      { app: "one", tier: "blue" },
      { app: "one", tier: "green" },
    ];
    for (const [at, { uid }] of [...cluster.pods.values()].entries()) cluster.relabel(uid, at < 6 ? blue : green);
    cluster.edit("one", { selector: blue });
    world.start();
    await world.until(() => "the blue ones serve", serves(world, 6));
    await between();
    cluster.edit("one", { selector: green });
  }

  for (const [when, between, after] of [
    ["while it is served", async () => undefined, async () => undefined],
    ["while no coordinator runs", (world) => world.kill(), async (world) => world.start()],
    ["a moment before another coordinator takes over", async () => undefined, replaceSoon],
  ] as const satisfies readonly (readonly [string, (world: World) => Promise<void>, (world: World) => Promise<void>])[])
    test(`gets them, changed ${when}: nobody is asked`, async (t) => {
      const world = aWorld(t, { apps: ["one"], pods: 8 });
      await world.run(async () => {
        await reselect(world, () => between(world));
        await after(world);
        await world.until(() => "only the green ones are left", serves(world, 2));
        assert.deepEqual(told(world), []);
        await world.kill();
      });
    });
});

async function replaceSoon(world: World): Promise<void> {
  await world.clock.sleep(20);
  await world.kill();
  world.start();
}

test("a Pod that is taken out of its Service is unbound, although another one is broken for good", async (t) => {
  const dead = new Set<string>();
  const world = aWorld(t, { apps: ["one"], pods: 4, probe: async ({ ip }) => !dead.has(ip) });
  const { cluster, clock } = world;
  await world.run(async () => {
    world.start();
    await world.converged("one");
    const [broken, quarantined] = cluster.alive("one");
    assert.ok(broken !== undefined && quarantined !== undefined);
    dead.add(broken.ips[0] ?? "");
    await world.until(
      () => "one is dead",
      () => serving(world) === 3,
    );
    await clock.sleep(MINUTE / 2); // the coordinator asks rarely where nobody waits
    cluster.relabel(quarantined.uid, {});
    await clock.sleep(4 * MINUTE);
    assert.equal(targets(world).length, 4, "the dead one may come back");
    await clock.sleep(3 * MINUTE);
    assert.deepEqual([targets(world).length, serving(world), told(world)], [3, 2, []]);
    await world.kill();
  });
});

test("policy no-unbind: a Pod that got the address of a former one is let through when it answers itself; nothing is taken away", async (t) => {
  const silent = new Set<string>();
  const world = aWorld(t, { apps: ["one"], pods: 4, policy: "no-unbind", probe: async ({ ip }) => !silent.has(ip) });
  const { cluster, clock, cloud } = world;
  await world.run(async () => {
    world.start();
    await world.converged("one");
    const [former] = cluster.alive("one");
    const ip = former?.ips[0] ?? "";
    cluster.end([former?.uid ?? ""]);
    await world.until(
      () => "the former Pod is gone",
      () => !cluster.pods.has(former?.uid ?? ""),
    );
    const [heir = ""] = cluster.start("one", 1, ip);
    silent.add(ip);
    await clock.sleep(8_000); // its containers are ready, and the load balancer still finds it alive: it speaks of the former Pod
    assert.equal(targets(world).find((target) => target.ip === ip)?.health, "Alive");
    assert.equal(cluster.pods.get(heir)?.gate, "False");
    silent.delete(ip);
    await world.until(
      () => "its gate opens",
      () => cluster.pods.get(heir)?.gate === "True",
    );
    assert.equal(cluster.addressClaims("lb-one").get(ip), heir);
    const changes = cloud.journal.since(0).flatMap((entry) => (entry.kind === "target" && entry.change !== "bound" ? [entry] : []));
    assert.deepEqual([changes, targets(world).length, told(world)], [[], 4, []]);
    await world.kill();
  });
});
