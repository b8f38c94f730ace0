import assert from "node:assert/strict";
import { test } from "node:test";
import { strategicMerge } from "../embedded/patch.ts";
import { conditionOf, isReady, kubernetesTime, type Pod } from "./objects.ts";
import { type PodRuntime, planPodStatus } from "./pod-status.ts";

const T0 = Date.parse("2026-11-21T09:00:00Z");
const GATE = "example.com/gate";

const aRuntime = (over: Partial<PodRuntime> = {}): PodRuntime => ({
  phase: "Running",
  ip: "10.244.1.1",
  hostIp: "10.244.1.210",
  startedAtMs: T0,
  containersReady: false,
  restarts: 0,
  reason: "ContainersNotReady",
  message: "containers with unready status: [web]",
  ...over,
});
const aPod: Pod = {
  metadata: { name: "web-1", uid: "u-1" },
  spec: { containers: [{ name: "web" }], readinessGates: [{ conditionType: GATE }] },
  status: { phase: "Pending" },
};

/** As the API server does it; fails if a second look would write again. */
function written(pod: Pod, runtime: PodRuntime, nowMs = T0): Pod {
  const next = strategicMerge(pod, planPodStatus(pod, runtime, nowMs)) as Pod;
  assert.equal(planPodStatus(next, runtime, nowMs + 5000), undefined, "what was written once is not written again");
  return next;
}

test("Ready follows the containers and every gate, and keeps the conditions of others", () => {
  const starting = written(aPod, aRuntime());
  assert.deepEqual([starting.status?.phase, starting.status?.podIP, isReady(starting)], ["Running", "10.244.1.1", false]);
  const gated = written(starting, aRuntime({ containersReady: true }), T0 + 2000);
  assert.equal(conditionOf(gated.status?.conditions, "ContainersReady")?.status, "True");
  assert.equal(conditionOf(gated.status?.conditions, "ContainersReady")?.reason, undefined, "no reason is left of the time before");
  assert.equal(conditionOf(gated.status?.conditions, "Ready")?.reason, "ReadinessGatesNotReady");
  const gate = { type: GATE, status: "True" };
  const opened = strategicMerge(gated, { status: { conditions: [gate] } }) as Pod;
  const ready = written(opened, aRuntime({ containersReady: true }), T0 + 3000);
  assert.ok(isReady(ready));
  assert.deepEqual(conditionOf(ready.status?.conditions, GATE), gate);
  assert.equal(conditionOf(ready.status?.conditions, "Ready")?.lastTransitionTime, kubernetesTime(T0 + 3000));
  assert.equal(conditionOf(ready.status?.conditions, "PodScheduled")?.lastTransitionTime, kubernetesTime(T0));
});

test("an ended Pod is not ready, gate or not", () => {
  const open: Pod = { ...aPod, status: { phase: "Running", conditions: [{ type: GATE, status: "True" }] } };
  const ready = written(open, aRuntime({ containersReady: true }));
  const over = written(ready, aRuntime({ phase: "Succeeded", reason: "PodCompleted", message: "" }));
  assert.deepEqual([over.status?.phase, isReady(over)], ["Succeeded", false]);
  assert.equal(conditionOf(over.status?.conditions, "Ready")?.reason, "PodCompleted");
});
