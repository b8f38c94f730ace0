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
for (const [policy, lanes] of EXPECTED)
  test(`policy ${policy} lets pass: ${lanes.join(", ") || "nothing"}`, () =>
    assert.deepEqual(
      allowedCalls(policy, CALLS).map(({ lane }) => lane),
      lanes,
    ));
