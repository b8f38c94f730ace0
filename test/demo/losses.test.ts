/** The demo without one of the product's parts: it loses requests, and says by which cause. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { perform } from "./testing.ts";

/** Without the hold an old Pod ends while it still gets requests. Without the gate, besides, the rollout may overtake the load balancer. */
const CAUSES = {
  "--without-hold": [/at an old Pod that was ending$/],
  "--without-gates": [/at an old Pod that was ending$/, /at no Pod: the load balancer had none to send to$/],
} as const;

suite("what each part of the product is for", () => {
  for (const [option, expected] of Object.entries(CAUSES))
    test(`${option} loses requests, for the cause that it should, and says so`, { timeout: 180_000 }, async (t) => {
      const { code, summary, output } = await perform(t, [option]);
      assert.equal(code, 1, output);
      assert.ok(summary.failed > 0);
      const causes = Object.keys(summary.causes);
      assert.ok(causes.some((cause) => expected[0].test(cause)));
      assert.deepEqual(
        causes.filter((cause) => !expected.some((pattern) => pattern.test(cause))),
        [],
        JSON.stringify(summary.causes),
      );
      assert.equal(
        Object.values(summary.causes).reduce((sum, count) => sum + count, 0),
        summary.failed,
      );
    });

  test("--without-admission has no Pod with the gate, and says by its exit code whether that cost requests", {
    timeout: 180_000,
  }, async (t) => {
    const { code, summary, output } = await perform(t, ["--without-admission"]);
    assert.equal(code, summary.failed > 0 ? 1 : 0, output);
    assert.match(output, /applied deploy\/examples\/web.yaml: \d+ Pods, without gate$/m);
    assert.deepEqual(summary.pods, [], "times to a gate");
  });
});
