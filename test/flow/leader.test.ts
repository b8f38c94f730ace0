import assert from "node:assert/strict";
import { test } from "node:test";
import type { JournalEntry } from "../cloud/journal.ts";
import { TEST_KEY } from "../cloud/options.ts";
import { converged, isConverged } from "./disturbed-rollout.ts";
import { rollOut } from "./examples.ts";
import { assertNoOverlaps, startClient } from "./look.ts";
import { applyExample, SECOND_KEY, startWorld, until, type World } from "./world.ts";

type Call = Extract<JournalEntry, { kind: "call" }>;
const isWrite = ({ action }: Call): boolean => !action.startsWith("Describe");
const writes = (world: World): Call[] => world.cloud.cloud.journal.of("call").filter(isWrite);

/** Who wrote, without repetitions, e.g. ["first", "second"]; an interleaving would show as ["first", "second", "first"]. */
function writers(world: World, sinceMs: number): string[] {
  const order: string[] = [];
  const names = new Map([
    [TEST_KEY.secretId, "first"],
    [SECOND_KEY.secretId, "second"],
  ]);
  for (const call of writes(world)
    .filter(({ startMs }) => startMs >= sinceMs)
    .sort((a, b) => a.startMs - b.startMs)) {
    const writer = names.get(call.caller) ?? call.caller;
    if (order.at(-1) !== writer) order.push(writer);
  }
  return order;
}

async function twoCoordinators(t: Parameters<typeof startWorld>[0]): Promise<World> {
  const world = await startWorld(t, { replicas: 2 });
  await world.product.startCoordinator(1);
  await applyExample(world);
  await converged(world, 6);
  return world;
}

/** Time until the other replica explains, i.e. leads. */
async function takeOver(url: string): Promise<number> {
  const fromMs = performance.now();
  await until(
    "the other replica to lead",
    () =>
      fetch(`${url}/explain`, { signal: AbortSignal.timeout(1_000) }).then(
        ({ ok }) => ok,
        () => false,
      ),
    20_000,
    20,
  );
  return performance.now() - fromMs;
}
const secondUrl = (world: World): string => `http://${world.plan.standby}:9090`;

test("a leader that is killed in the middle of a rollout is replaced within 5 s, and nobody else wrote meanwhile", {
  timeout: 150_000,
}, async (t) => {
  const world = await twoCoordinators(t);
  const client = startClient(world);
  const sinceMs = Date.now();
  await rollOut(world, "1");
  await until("the first new Pod bound", () =>
    writes(world).some(({ startMs, action }) => startMs >= sinceMs && action === "BatchRegisterTargets"),
  );
  world.product.coordinator()?.signal("SIGKILL");
  const ms = await takeOver(secondUrl(world));
  assert.ok(ms <= 5_000, `took over after ${Math.round(ms)} ms`);
  await converged(world, 6, 90_000);
  assert.deepEqual(writers(world, sinceMs), ["first", "second"]);
  assert.deepEqual((await client.stop()).failures, []);
});

test("a leader that is stopped hands over within a second", { timeout: 150_000 }, async (t) => {
  const world = await twoCoordinators(t);
  const client = startClient(world);
  const sinceMs = Date.now();
  await rollOut(world, "2");
  await until("the first new Pod bound", () =>
    writes(world).some(({ startMs, action }) => startMs >= sinceMs && action === "BatchRegisterTargets"),
  );
  const stopped = world.product.coordinator()?.stop();
  const lastWriteEnds = until("the first's last call to end", async () => {
    await stopped;
    return true;
  });
  const ms = await takeOver(secondUrl(world));
  await lastWriteEnds;
  assert.ok(ms <= 1_500, `took over after ${Math.round(ms)} ms`); // a second, and half a one for a call that was on its way
  await converged(world, 6, 90_000);
  assert.deepEqual(writers(world, sinceMs), ["first", "second"]);
  assert.deepEqual((await client.stop()).failures, []);
  assertNoOverlaps(world);
});

test("a leader that was frozen for longer than its Lease writes nothing when it wakes up", { timeout: 150_000 }, async (t) => {
  const world = await twoCoordinators(t);
  const client = startClient(world);
  const sinceMs = Date.now();
  await rollOut(world, "3");
  await until("the first new Pod bound", () =>
    writes(world).some(({ startMs, action }) => startMs >= sinceMs && action === "BatchRegisterTargets"),
  );
  world.product.coordinator()?.signal("SIGSTOP");
  await takeOver(secondUrl(world));
  await until("the second to write", () => writers(world, sinceMs).at(-1) === "second");
  world.product.coordinator()?.signal("SIGCONT");
  await converged(world, 6, 90_000);
  assert.deepEqual(writers(world, sinceMs), ["first", "second"]);
  assert.deepEqual((await client.stop()).failures, []);
  assert.ok(isConverged(world, 6));
});

test("a Lease that is deleted or edited by hand, and both restarted at once: one writer at any time", { timeout: 150_000 }, async (t) => {
  const world = await twoCoordinators(t);
  const client = startClient(world);
  const lease = "/apis/coordination.k8s.io/v1/namespaces/clb-direct/leases/clb-direct-leader";
  await rollOut(world, "4");
  await world.client.delete(lease);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await world.client.patch(lease, { spec: { holderIdentity: "somebody" } }, "merge");
  await converged(world, 6, 90_000);
  await Promise.all([world.product.coordinator(0)?.stop(), world.product.coordinator(1)?.stop()]);
  await Promise.all([world.product.startCoordinator(0), world.product.startCoordinator(1)]);
  await rollOut(world, "5");
  await converged(world, 6, 90_000);
  assertNoOverlaps(world);
  assert.deepEqual((await client.stop()).failures, []);
});
