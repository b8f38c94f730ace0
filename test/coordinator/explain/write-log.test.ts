import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../coordinator/domain/call.ts";
import { type Causes, reasonsOf } from "../../../coordinator/events/causes.ts";
import { WriteLog, writeLogText } from "../../../coordinator/explain/write-log.ts";
import { slots } from "../stage.ts";

const causes: Causes = {
  pod: ({ ip }, podUid) => `Pod ${podUid ?? ip}`,
  weight: ({ ip, weight }) => `${ip} gets ${weight}`,
  owner: (subject) => `Service of ${"name" in subject ? subject.name : subject.listenerId}`,
  gone: (listenerId, what) => `${what} of ${listenerId} is gone`,
};
const CASES: readonly [Call, readonly string[]][] = [
  [{ lane: "bind", targets: slots("lbl-1", 2) }, ["Pod pod-0", "Pod pod-1"]],
  [
    { lane: "drain", weights: [...slots("lbl-1", 1), ...slots("lbl-1", 1, 1).map((slot) => ({ ...slot, weight: 0 }))] },
    ["10.244.0.1 gets 10", "Pod 10.244.0.2"],
  ],
  [{ lane: "bind", weights: slots("lbl-1", 1) }, ["10.244.0.1 gets 10"]],
  [{ lane: "tune", weights: slots("lbl-1", 2).map((slot) => ({ ...slot, weight: 0 })) }, ["10.244.0.1 gets 0", "10.244.0.2 gets 0"]],
  [{ lane: "conflict", slots: slots("lbl-1", 1) }, ["Pod 10.244.0.1"]],
  [{ lane: "unbind", slots: slots("lbl-1", 1) }, ["Pod 10.244.0.1"]],
  [{ lane: "structure", create: { protocol: "TCP", healthCheck: {}, listeners: [{ name: "cd-1", port: 80 }] } }, ["Service of cd-1"]],
  [{ lane: "structure", createRules: { listenerId: "lbl-2", rules: [{ domain: "", url: "/", healthCheck: {} }] } }, ["Service of lbl-2"]],
  [{ lane: "tune", weights: slots("lbl-1", 3) }, ["Service of lbl-1"]],
  [{ lane: "delete", listenerIds: ["lbl-1", "lbl-2"] }, ["listener of lbl-1 is gone", "listener of lbl-2 is gone"]],
  [{ lane: "delete", rules: { listenerId: "lbl-3", locationIds: ["loc-1"] } }, ["rule of lbl-3 is gone"]],
];
for (const [call, expected] of CASES)
  test(`a call of lane ${call.lane} names ${expected.join(", ")}`, () => assert.deepEqual(reasonsOf(call, causes), expected));

test("a full batch names a few Pods and how many more", () => {
  const reasons = reasonsOf({ lane: "bind", targets: slots("lbl-1", 500) }, causes);
  assert.deepEqual([reasons.length, reasons.at(-1)], [6, "and 495 more"]);
});

test("the ring keeps the newest thousand, in order, and can be asked for one load balancer", () => {
  const writeLog = new WriteLog();
  const entry = { atMs: 0, ms: 450.4, lane: "bind", items: 3, result: "ok", because: ["Pod shop/web-1 is ready"] } as const;
  for (let n = 0; n < 1_200; n++) writeLog.add({ ...entry, loadBalancerId: `lb-${n % 2}` });
  assert.deepEqual([writeLog.of().length, writeLog.of()[0]?.seq, writeLog.of().at(-1)?.seq], [1_000, 201, 1_200]);
  assert.ok(writeLog.of("lb-1").length === 500 && writeLog.of("lb-1").every(({ loadBalancerId }) => loadBalancerId === "lb-1"));
  assert.equal(writeLogText(writeLog.of("lb-1").slice(0, 1)), "1970-01-01T00:00:00.000Z lb-1 bind 3 ok 450 ms: Pod shop/web-1 is ready\n");
  assert.match(writeLogText([]), /nothing was written/);
});
