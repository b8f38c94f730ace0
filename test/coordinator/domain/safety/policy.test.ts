import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../../coordinator/domain/call.ts";
import { allowedCalls, type Policy } from "../../../../coordinator/domain/safety/policy.ts";

const CALLS: readonly Call[] = [
  { lane: "conflict", slots: [] },
  { lane: "drain", weights: [] },
  { lane: "structure", create: { protocol: "TCP", healthCheck: {}, listeners: [] } },
  { lane: "bind", targets: [] },
  { lane: "unbind", slots: [] },
  { lane: "tune", weights: [] },
  { lane: "delete", listenerIds: [] },
];
const EXPECTED: readonly [Policy, readonly string[]][] = [
  ["enforce", ["conflict", "drain", "structure", "bind", "unbind", "tune", "delete"]],
  ["no-unbind", ["structure", "bind", "tune"]],
  ["observe", []],
];
test("policy no-unbind lets weights come back, whatever call they are in, and none go", () => {
  const weight = (ip: string, to: number) => ({ listenerId: "lbl-1", ip, port: 8080, weight: to });
  const [up, down] = [weight("10.244.0.1", 10), weight("10.244.0.2", 0)];
  const passed = (lane: "drain" | "tune" | "bind") => allowedCalls("no-unbind", [{ lane, weights: [up, down] }]);
  assert.deepEqual(passed("drain"), [{ lane: "bind", weights: [up] }]);
  assert.deepEqual(passed("tune"), [{ lane: "tune", weights: [up] }]);
  assert.deepEqual(allowedCalls("no-unbind", [{ lane: "tune", weights: [down] }]), []);
});

for (const [policy, lanes] of EXPECTED)
  test(`policy ${policy} lets pass: ${lanes.join(", ") || "nothing"}`, () =>
    assert.deepEqual(
      allowedCalls(policy, CALLS).map(({ lane }) => lane),
      lanes,
    ));
