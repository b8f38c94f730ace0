import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { makeClock } from "../../common/clock.ts";
import { type PodTimes, watchPods } from "../demo/pods.ts";
import { changedExample, rollOut } from "./examples.ts";
import { assertAtRest, assertDrainedFirst, assertNoFailure, converged, fewestServing, loadBalancer, startClient } from "./look.ts";
import { applyExample, startWorld, type World } from "./world.ts";

const REPLICAS = 4;
/** Longer than the client keeps a connection (3 s). */
const DRAIN_MS = 4_000;

test("a rollout replaces every Pod while a client sends requests", { timeout: 120_000 }, async (t) => {
  const world = await startWorld(t, { coordinatorEnv: { DRAIN_MS: String(DRAIN_MS), RESYNC_MS: "1000" } });
  await applyExample(world, changedExample({ replicas: REPLICAS }));
  const old = new Set((await converged(world, { count: REPLICAS })).map(({ metadata }) => metadata.uid));
  const listenerId = loadBalancer(world).listeners[0]?.id ?? "";
  const watch = await watchPods({ client: world.client, clock: makeClock(), log: pino({ level: "silent" }) }, "demo");
  t.after(watch.stop);
  const client = startClient(world);
  t.after(() => client.stop());
  const sinceSeq = world.cloud.cloud.journal.lastSeq;

  await t.test("every Pod is a new one", async () => {
    await rollOut(world, "2");
    const pods = await converged(world, { count: REPLICAS });
    assert.deepEqual(
      pods.filter(({ metadata }) => old.has(metadata.uid)),
      [],
    );
  });
  await t.test("no request was lost", async () => assertNoFailure(await client.stop()));
  await t.test("never fewer serving targets than replicas", () => {
    assert.ok(fewestServing(world, listenerId, sinceSeq) >= REPLICAS, `${fewestServing(world, listenerId, sinceSeq)} at one moment`);
    assert.equal(assertDrainedFirst(world, sinceSeq, DRAIN_MS), REPLICAS);
  });
  await t.test("a Pod is ready only after the cloud found it alive", () => {
    const fresh = [...watch.pods].filter(([uid]) => !old.has(uid)).map(([, times]) => times);
    assert.equal(fresh.length, REPLICAS);
    for (const pod of fresh) assertAliveBeforeReady(world, pod);
  });
  await t.test("then nothing is written any more", () => assertAtRest(world));
});

/** By the cloud's journal and the API server's watch, never by the product's own word. */
function assertAliveBeforeReady(world: World, { name, ip, containersReadyMs = 0, gateTrueMs = 0, readyMs = 0 }: PodTimes): void {
  const found = world.cloud.cloud.journal
    .of("health")
    .filter((one) => one.ip === ip && one.to === "Alive" && one.timeMs > containersReadyMs);
  const aliveMs = found[0]?.timeMs ?? Infinity;
  assert.ok(gateTrueMs >= aliveMs, `${name}: gate True ${aliveMs - gateTrueMs} ms before the cloud found it alive`);
  assert.ok(readyMs >= aliveMs, `${name}: ready ${aliveMs - readyMs} ms before the cloud found it alive`);
}
