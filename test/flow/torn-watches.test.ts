import assert from "node:assert/strict";
import { test } from "node:test";
import { disturbedRollout, metric } from "./disturbed-rollout.ts";
import { startWorld, until, type World } from "./world.ts";

test("every watch of ours ends within a message, in the middle of a rollout", { timeout: 180_000 }, async (t) => {
  const world = await startWorld(t, { wired: true });
  const restarts = (): Promise<number> => metric(world.product.opsUrl, "clb_direct_watch_restarts_total");
  await disturbedRollout(t, world, async () => {
    const before = await restarts();
    tear(world);
    await until("the coordinator has noticed", async () => (await restarts()) > before);
  });
  for (const one of [world.product.coordinator(), world.product.agent("node-a"), world.product.agent("node-b")])
    assert.ok(one?.hasExited() === false, `${one?.name} lives through it`);
});

/** The embedded server ends them cleanly within an event; before a real one the cable is torn, wherever in a TLS record that is. */
function tear({ embedded, wires }: World): void {
  for (const kind of ["half-line", "reset-watches"] as const) embedded?.faults.inject({ kind });
  for (const wire of wires.values()) wire.tear();
}
