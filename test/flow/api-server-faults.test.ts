import assert from "node:assert/strict";
import { test } from "node:test";
import { disturbedRollouts, metric } from "./disturbed-rollout.ts";
import { startWorld, until, type World } from "./world.ts";

const AWAY_MS = 5_000;

type Trouble = {
  readonly befall: (world: World) => Promise<unknown>;
  readonly isAway: boolean;
  /** Labels by which the coordinator counts the watches that it had to begin anew; undefined: none has to be. */
  readonly restarts?: string;
};
const TROUBLES: Readonly<Record<string, Trouble>> = {
  "is gone for 5 s": { befall: ({ troubles }) => troubles.leave(AWAY_MS), isAway: true, restarts: "" },
  "is frozen for 5 s": { befall: ({ troubles }) => troubles.freeze(AWAY_MS), isAway: true },
  "has forgotten where the watches were (410)": { befall: ({ troubles }) => troubles.forget(), isAway: false, restarts: 'cause="gone"' },
};

test("in the middle of a rollout the API server", { timeout: 400_000 }, async (t) => {
  const world = await startWorld(t, { wired: true });
  const roll = await disturbedRollouts(t, world);
  const counted = (labels: string): Promise<number> => metric(world.product.opsUrl, "clb_direct_watch_restarts_total", labels);
  for (const [what, { befall, isAway, restarts }] of Object.entries(TROUBLES))
    await t.test(what, { timeout: 180_000 }, async () => {
      await roll(async () => {
        const { journal } = world.cloud.cloud;
        const sinceSeq = journal.lastSeq;
        const before = restarts === undefined ? 0 : await counted(restarts);
        await befall(world);
        const removed = journal.since(sinceSeq).filter((entry) => entry.kind === "target" && entry.change === "unbound");
        if (restarts !== undefined) await until("the coordinator has noticed", async () => (await counted(restarts)) > before);
        if (isAway) assert.deepEqual(removed, [], "nothing is removed while nobody can tell anything");
      });
      assert.ok(!world.product.coordinator()?.hasExited(), "the coordinator lives through it");
      for (const node of ["node-a", "node-b"]) assert.ok(!world.product.agent(node)?.hasExited(), `the agent of ${node} lives through it`);
    });
});
