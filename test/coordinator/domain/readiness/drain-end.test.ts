import assert from "node:assert/strict";
import { test } from "node:test";
import type { Dial } from "../../../../common/holds.ts";
import { isStopping } from "../../../../coordinator/domain/readiness/drain-end.ts";
import { aPod } from "../../../builders.ts";

const NOW_MS = 100_000;
const dial = (change: Partial<Dial> = {}): Dial => ({
  uid: "pod-1",
  node: "node-a",
  sinceMs: 90_000,
  releasedAtMs: 95_000,
  readyAtMs: 1_000,
  openConnections: undefined,
  restarts: 2,
  ...change,
});

test("restarts say whether a container was started anew; where nobody counts them, readiness does; where neither is known, time alone", () => {
  const anew = { containersReadyAtMs: 99_000 };
  for (const [what, known, pod, expected] of [
    ["the same container", dial(), aPod({ restarts: 2 }), true],
    ["the same one, ready once more", dial(), aPod({ restarts: 2, ...anew }), true],
    ["another one, of which no moment was seen in which it was not ready", dial(), aPod({ restarts: 3 }), false],
    ["another one that is not ready", dial(), aPod({ restarts: 3, ...anew, containersReady: false }), true],
    ["an agent that does not count", dial({ restarts: undefined }), aPod({ restarts: 3 }), true],
    ["an agent that does not count, ready once more", dial({ restarts: undefined }), aPod({ restarts: 3, ...anew }), false],
    ["nobody counts, ready once more", dial(), aPod({ restarts: undefined, ...anew }), false],
    ["nobody has seen it when it dialled", dial({ restarts: undefined, readyAtMs: undefined }), aPod(anew), true],
    ["the Pod is not known yet", dial(), undefined, true],
    ["its grace period is over", dial({ sinceMs: 0, releasedAtMs: 65_000 }), aPod({ restarts: 2 }), false],
    ["it is held", dial({ releasedAtMs: undefined }), aPod({ restarts: 3 }), true],
    ["of another node", dial({ node: "node-b" }), aPod({ restarts: 2 }), false],
  ] as const)
    assert.equal(isStopping(known, pod, NOW_MS), expected, what);
});
