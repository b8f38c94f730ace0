import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Fault } from "../cluster/embedded/faults.ts";
import { disturbedRollout, pause } from "./disturbed-rollout.ts";
import { startWorld } from "./world.ts";

const AWAY_MS = 5_000;

type Trouble = { readonly faults: readonly Fault[]; readonly lastsMs: number };
const TROUBLES: Readonly<Record<string, Trouble>> = {
  "is gone for 5 s": { faults: [{ kind: "gone", ms: AWAY_MS }], lastsMs: AWAY_MS },
  "is frozen for 5 s": { faults: [{ kind: "freeze", ms: AWAY_MS }], lastsMs: AWAY_MS },
  "resets every watch, in the middle of a line where it can": { faults: [{ kind: "half-line" }, { kind: "reset-watches" }], lastsMs: 0 },
  "has forgotten where the watches were (410)": { faults: [{ kind: "compact" }, { kind: "reset-watches" }], lastsMs: 0 },
};

suite("in the middle of a rollout the API server", () => {
  for (const [what, { faults, lastsMs }] of Object.entries(TROUBLES))
    test(what, { timeout: 180_000 }, async (t) => {
      const world = await startWorld(t);
      await disturbedRollout(t, world, async () => {
        const { journal } = world.cloud.cloud;
        const sinceSeq = journal.lastSeq;
        for (const fault of faults) world.api.faults.inject(fault);
        await pause(lastsMs);
        const removed = journal.since(sinceSeq).filter((entry) => entry.kind === "target" && entry.change === "unbound");
        if (lastsMs > 0) assert.deepEqual(removed, [], "nothing is removed while nobody can tell anything");
      });
      assert.ok(!world.product.coordinator()?.hasExited(), "the coordinator lives through it");
      for (const node of ["node-a", "node-b"]) assert.ok(!world.product.agent(node)?.hasExited(), `the agent of ${node} lives through it`);
    });
});
