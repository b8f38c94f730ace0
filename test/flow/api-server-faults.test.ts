import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { disturbedRollout } from "./disturbed-rollout.ts";
import { startWorld, type World } from "./world.ts";

const AWAY_MS = 5_000;

type Trouble = { readonly befall: (world: World) => Promise<unknown>; readonly isAway: boolean };
const TROUBLES: Readonly<Record<string, Trouble>> = {
  "is gone for 5 s": { befall: ({ troubles }) => troubles.leave(AWAY_MS), isAway: true },
  "is frozen for 5 s": { befall: ({ troubles }) => troubles.freeze(AWAY_MS), isAway: true },
  "resets every watch, in the middle of a line where it can": { befall: async (world) => resetWatches(world), isAway: false },
  "has forgotten where the watches were (410)": { befall: ({ troubles }) => troubles.forget(), isAway: false },
};

suite("in the middle of a rollout the API server", () => {
  for (const [what, { befall, isAway }] of Object.entries(TROUBLES))
    test(what, { timeout: 180_000 }, async (t) => {
      const world = await startWorld(t, { wired: true });
      await disturbedRollout(t, world, async () => {
        const { journal } = world.cloud.cloud;
        const sinceSeq = journal.lastSeq;
        await befall(world);
        const removed = journal.since(sinceSeq).filter((entry) => entry.kind === "target" && entry.change === "unbound");
        if (isAway) assert.deepEqual(removed, [], "nothing is removed while nobody can tell anything");
      });
      assert.ok(!world.product.coordinator()?.hasExited(), "the coordinator lives through it");
      for (const node of ["node-a", "node-b"]) assert.ok(!world.product.agent(node)?.hasExited(), `the agent of ${node} lives through it`);
    });
});

/** The embedded server ends them cleanly within an event; before a real one the cable is torn, wherever in a TLS record that is. */
function resetWatches({ embedded, wires }: World): void {
  for (const kind of ["half-line", "reset-watches"] as const) embedded?.faults.inject({ kind });
  for (const wire of wires.values()) wire.tear();
}
