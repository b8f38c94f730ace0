import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNothingWrong, aWorld } from "./world.ts";

/** An application answers on its port after 2 s, and is ready after 20 s: a window of checks (10 to 15 s) fits in between. */
const SLOW = { apps: ["one"], listenMs: 2_000, startMs: () => 20_000 } as const;
const MOST_GATE_MS = 1_000;

/** What was written of each target, in order: "<uid> bound 0". */
const written = (world: ReturnType<typeof aWorld>): string[] =>
  world.cloud.journal.since(0).flatMap((entry) => {
    if (entry.kind !== "target") return [];
    const uid = world.cluster.lives.find(({ ip }) => ip === entry.ip)?.uid;
    return [`${uid} ${entry.change} ${entry.weight}`];
  });

for (const [earlyBind, expected] of [
  [true, ["one-0 bound 0", "one-0 weight 10"]],
  [false, ["one-0 bound 10"]],
] as const)
  test(`a Pod that listens before it is ready is bound ${earlyBind ? "at weight 0 meanwhile, and gets its weight when it is" : "when it is, unless EARLY_BIND says otherwise"}`, async (t) => {
    const world = aWorld(t, { ...SLOW, pods: 1, earlyBind });
    let openedMs = Number.NaN;
    world.cluster.onGate(() => void (openedMs = world.clock.now()));
    await world.run(async () => {
      world.start();
      await world.converged("one");
      await world.kill();
    });
    assert.deepEqual(written(world), expected);
    const gateMs = openedMs - (world.cluster.readyMs.get("one-0") ?? Number.NaN);
    assert.equal(gateMs < MOST_GATE_MS, earlyBind, `the gate opened after ${gateMs} ms`);
    assertNothingWrong(world);
  });

test("a rollout with early binds loses nobody, and the brake counts nobody who has no weight yet", async (t) => {
  const world = aWorld(t, { ...SLOW, pods: 4, earlyBind: true });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    await world.rollOut("one", { surge: 2 });
    await world.converged("one");
    await world.kill();
  });
  assert.deepEqual(
    world.cluster.told.filter(({ reason }) => reason === "RemovalParked"),
    [],
  );
  assertNothingWrong(world);
});

test("where all that serve end, Pods that were bound early and are not ready get no weight", async (t) => {
  const world = aWorld(t, { apps: ["one"], pods: 2, listenMs: 500, startMs: () => 6_000, earlyBind: true });
  await world.run(async () => {
    world.start();
    await world.converged("one");
    const old = world.cluster.alive("one").map(({ uid }) => uid);
    const [coming = ""] = world.cluster.start("one", 1);
    await world.until(
      () => `${coming} is bound early`,
      () => written(world).includes(`${coming} bound 0`),
    );
    world.cluster.end(old);
    await world.converged("one");
    const readyMs = world.cluster.readyMs.get(coming) ?? Number.NaN;
    const raised = world.cloud.journal
      .since(0)
      .find(
        (entry) =>
          entry.kind === "target" &&
          entry.change === "weight" &&
          entry.weight > 0 &&
          entry.timeMs < readyMs &&
          entry.timeMs > readyMs - 6_000,
      );
    assert.equal(raised, undefined);
    await world.kill();
  });
});

test("a Pod whose port closes again, or that a new leader finds bound early, waits for its weight as before", async (t) => {
  const world = aWorld(t, { ...SLOW, pods: 2, earlyBind: true });
  await world.run(async () => {
    world.start();
    await world.until(
      () => "bound early",
      () => written(world).length === 2,
    );
    await world.kill();
    world.start();
    await world.converged("one");
    await world.kill();
  });
  assert.deepEqual(written(world).toSorted(), ["one-0 bound 0", "one-0 weight 10", "one-1 bound 0", "one-1 weight 10"]);
  assertNothingWrong(world);
});
