import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { bestReads, bestWrites } from "../../bench/sync/best.ts";

const pod = (readyAtMs: number, endingAtMs?: number, goneAtMs?: number) => ({ readyAtMs, aliveAtMs: readyAtMs, endingAtMs, goneAtMs });

suite("the fewest writes of somebody who never lets a Pod wait", () => {
  const cases: readonly [what: string, pods: readonly ReturnType<typeof pod>[], writes: number][] = [
    ["nobody", [], 0],
    ["one Pod", [pod(0)], 1],
    ["all at once", [pod(5), pod(5), pod(5)], 1],
    ["the first goes alone, who comes meanwhile goes together", [pod(0), pod(10), pod(90), pod(100)], 2],
    ["who comes after that needs one more", [pod(0), pod(10), pod(250)], 3],
    ["bound, drained, unbound", [pod(0, 500, 900)], 3],
    ["each kind needs a write of its own", [pod(0), pod(10), pod(-1000, 50, 5000)], 5],
  ];
  for (const [what, pods, writes] of cases) test(what, () => assert.equal(bestWrites(pods, 100), writes));
});

suite("the fewest questions that see each healthy Pod in time", () => {
  const cases: readonly [what: string, alive: readonly number[], reads: number][] = [
    ["nobody", [], 0],
    ["within the time, in any order", [250, 0, 100], 1],
    ["one is too late for the first look", [0, 250, 251], 2],
    ["far apart", [0, 1000, 2000], 3],
  ];
  for (const [what, alive, reads] of cases)
    test(what, () =>
      assert.equal(
        bestReads(
          alive.map((ms) => pod(ms)),
          250,
        ),
        reads,
      ),
    );
});
