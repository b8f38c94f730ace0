import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../coordinator/domain/call.ts";
import { planTable } from "../../../coordinator/dry-run/plan-table.ts";
import { describeForTable } from "../../../coordinator/events/wording.ts";
import { slots } from "../stage.ts";

const REDIRECTS = {
  listenerId: "lbl-1",
  targetListenerId: "lbl-2",
  rules: [{ locationId: "loc-1", targetLocationId: "loc-2", domain: "a.example", code: 301, keepsPath: true }],
} as const;
const CASES: readonly [Call, string, string][] = [
  [{ lane: "bind", targets: slots("lbl-1", 1) }, "BatchRegisterTargets", "1 target: 10.244.0.1:8080"],
  [
    { lane: "unbind", slots: slots("lbl-1", 5) },
    "BatchDeregisterTargets",
    "5 targets: 10.244.0.1:8080, 10.244.0.2:8080, 10.244.0.3:8080 and 2 more",
  ],
  [{ lane: "conflict", slots: slots("lbl-1", 1) }, "BatchDeregisterTargets", "1 target: 10.244.0.1:8080"],
  [{ lane: "drain", weights: slots("lbl-1", 1) }, "BatchModifyTargetWeight", "1 target: 10.244.0.1:8080"],
  [
    { lane: "structure", create: { protocol: "TCP", healthCheck: {}, listeners: [{ name: "cd", port: 80 }] } },
    "CreateListener",
    "1 listener: TCP:80",
  ],
  [
    { lane: "structure", createRules: { listenerId: "lbl-1", rules: [{ domain: "a.example", url: "/", healthCheck: {} }] } },
    "CreateRule",
    "1 rule: a.example/",
  ],
  [{ lane: "tune", weights: slots("lbl-1", 1) }, "BatchModifyTargetWeight", "1 target: 10.244.0.1:8080"],
  [{ lane: "structure", redirects: REDIRECTS }, "ManualRewrite", "1 redirect: loc-1 to loc-2"],
  [{ lane: "delete", redirects: REDIRECTS }, "DeleteRewrite", "1 redirect: loc-1 to loc-2"],
  [{ lane: "delete", listenerIds: ["lbl-1"] }, "DeleteLoadBalancerListeners", "1 listener: lbl-1"],
  [{ lane: "delete", rules: { listenerId: "lbl-1", locationIds: ["loc-1", "loc-2"] } }, "DeleteRule", "2 rules: loc-1, loc-2"],
];
for (const [call, action, what] of CASES)
  test(`lane ${call.lane} is told as ${action} of ${what}`, () => assert.deepEqual(describeForTable(call), { call: action, what }));

test("the table's columns are as wide as what they hold, and nothing to do is said so", () => {
  const row = {
    loadBalancerId: "lb-1",
    lane: "bind",
    call: "BatchRegisterTargets",
    what: "1 target: 10.244.0.1:8080",
    why: "Pod shop/web-1 is ready",
  };
  assert.equal(
    planTable([row]),
    [
      "LOAD BALANCER  LANE  CALL                  WHAT                       WHY",
      "lb-1           bind  BatchRegisterTargets  1 target: 10.244.0.1:8080  Pod shop/web-1 is ready",
      "",
    ].join("\n"),
  );
  assert.match(planTable([]), /^nothing to do/);
});
