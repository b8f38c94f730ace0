import assert from "node:assert/strict";
import { test } from "node:test";
import { type Binding, readiness, type Step } from "../../../../coordinator/domain/readiness/gate-condition.ts";

const GATE = "cloud.tencent.com/load-balancer-backendgroup-ready";
const HEALTHY: Step = { kind: "healthy", checked: true };
const aBinding = (step: Step, listener = "TCP:80"): Binding => ({
  service: "Service demo/web",
  loadBalancerId: "lb-1",
  listener,
  step,
  sinceMs: 0,
});
const ready = (bindings: readonly Binding[], change: Partial<Parameters<typeof readiness>[0]> = {}) =>
  readiness({ gateType: GATE, gate: "absent", containersReady: true, ending: false, bindings, ...change });

const STEPS: readonly (readonly [title: string, step: Step, reason: string, says: string])[] = [
  [
    "pending: the step's own reason",
    { kind: "pending", reason: "PortNotDeclared", because: "name the port" },
    "PortNotDeclared",
    "name the port",
  ],
  ["bindable", { kind: "bindable", because: "waits for the next write" }, "WaitingForBind", "waits for the next write"],
  ["binding", { kind: "binding" }, "Binding", "being told to send"],
  ["checking", { kind: "checking", health: "Unknown" }, "HealthChecking", "waiting for the load balancer's health check"],
  ["checking in vain", { kind: "checking", health: "Dead" }, "HealthCheckFailing", "security groups"],
];

for (const [title, step, reason, says] of STEPS)
  test(`keeps the gate closed and says why: ${title}`, () => {
    const condition = ready([aBinding(HEALTHY, "TCP:443"), aBinding(step)]);
    assert.deepEqual([condition?.status, condition?.reason], ["False", reason]);
    assert.ok(condition?.message.startsWith("Service demo/web, CLB lb-1, listener TCP:80: "), condition?.message);
    assert.ok(condition?.message.includes(says), condition?.message);
  });

test("an installation that is about to go opens every gate that waits for it, and no other", () => {
  for (const [, step] of STEPS) assert.deepEqual(ready([aBinding(step)], { retired: true })?.reason, "Retired");
  assert.equal(ready([aBinding({ kind: "binding" })], { retired: true })?.status, "True");
  assert.equal(ready([], { retired: true })?.reason, "NoDirectAccess", "nothing of ours makes it wait");
  assert.equal(ready([aBinding({ kind: "binding" })], { retired: true, ending: true }), undefined);
});

test("every step of waiting has a reason of its own", () => {
  const reasons = STEPS.map(([, step]) => ready([aBinding(step)])?.reason);
  assert.equal(new Set(reasons).size, STEPS.length);
});

test("opens the gate with TKE's words when every binding is healthy, checked or not", () => {
  assert.deepEqual(ready([aBinding(HEALTHY), aBinding({ kind: "healthy", checked: false }, "TCP:81")]), {
    status: "True",
    reason: "LoadBalancerNetworkGroupReady",
    message: `Marking condition "${GATE}" to True.`,
  });
});

test("opens the gate of a Pod that only Services select of which nothing can be served; any other binding decides", () => {
  const sctp = aBinding({ kind: "pending", reason: "NotServed", because: "Service demo/web: port 132 has protocol SCTP" });
  const message = "Service demo/web: port 132 has protocol SCTP";
  assert.deepEqual(ready([sctp]), { status: "True", reason: "NotServed", message });
  assert.equal(ready([sctp], { containersReady: false }), undefined);
  assert.equal(ready([sctp, aBinding({ kind: "checking", health: "Unknown" })])?.status, "False");
  assert.equal(ready([sctp, aBinding(HEALTHY)])?.reason, "LoadBalancerNetworkGroupReady");
});

test("one of many that is not healthy keeps it closed, wherever it stands", () => {
  const open = aBinding({ kind: "checking", health: "Unknown" }, "TCP:81");
  for (const bindings of [
    [open, aBinding(HEALTHY)],
    [aBinding(HEALTHY), open],
  ])
    assert.equal(ready(bindings)?.status, "False");
});

test("names the missing load balancer", () => {
  const nowhere = { ...aBinding({ kind: "bindable", because: "it is being created" }), loadBalancerId: undefined };
  assert.ok(ready([nowhere])?.message.includes("CLB (none yet)"));
});

test("a Pod that no Service selects waits for nobody once its containers are ready", () => {
  assert.deepEqual([ready([])?.status, ready([])?.reason], ["True", "NoDirectAccess"]);
  assert.equal(ready([], { containersReady: false }), undefined);
});

test("never takes an open gate back", () => {
  for (const [, step] of STEPS) assert.equal(ready([aBinding(step)], { gate: "True" }), undefined);
  assert.equal(ready([], { gate: "True" }), undefined);
});

test("opens a gate that was closed or unknown", () => {
  for (const gate of ["absent", "False", "Unknown"] as const) assert.equal(ready([aBinding(HEALTHY)], { gate })?.status, "True");
});

test("leaves the gate of a Pod that ends as it is", () => {
  assert.equal(ready([aBinding(HEALTHY)], { ending: true }), undefined);
  assert.equal(ready([], { ending: true }), undefined);
  assert.equal(ready([aBinding({ kind: "draining" })]), undefined);
});

const SERVICE = { kind: "Service", namespace: "demo", name: "web", uid: "5e21" } as const;
const CHECKING = aBinding({ kind: "checking", health: "Unknown" });

test("a person opens it for one owner, whatever it waits for; another owner's binding still decides", () => {
  const opened = { ...CHECKING, openedBy: SERVICE };
  const other = { ...CHECKING, service: "Service demo/other" };
  const condition = ready([opened, aBinding(HEALTHY)]);
  assert.deepEqual([condition?.status, condition?.reason], ["True", "GateOpened"]);
  for (const part of ["of Service demo/web;", "HealthChecking: Service demo/web, CLB lb-1"])
    assert.ok(condition?.message.includes(part), condition?.message);
  assert.equal(ready([opened, other])?.status, "False");
  assert.equal(ready([{ ...opened, step: HEALTHY }])?.reason, "LoadBalancerNetworkGroupReady", "nothing was waited for");
  assert.equal(ready([opened], { containersReady: false })?.status, "False");
});

test("a person opens that of one Pod, for every owner", () => {
  const condition = ready([CHECKING, { ...CHECKING, service: "Service demo/other" }], { opened: true });
  assert.equal(condition?.reason, "GateOpened");
  assert.match(condition?.message ?? "", /of this Pod;/);
  assert.equal(ready([CHECKING], { opened: true, containersReady: false })?.status, "False");
});

test("it opens by itself so long after the containers were ready, where somebody wants that", () => {
  const at = (nowMs: number) => ready([CHECKING], { containersReadyAtMs: 1_000, expiry: { afterMs: 60_000, nowMs } });
  assert.equal(at(60_999)?.status, "False");
  assert.deepEqual([at(61_000)?.status, at(61_000)?.reason], ["True", "GateExpired"]);
  assert.match(at(61_000)?.message ?? "", /^Opened after 60 s \(GATE_EXPIRY\); what it waited for: HealthChecking: /);
  assert.equal(ready([CHECKING], { expiry: { afterMs: 60_000, nowMs: 1e12 } })?.status, "False", "nobody knows since when");
});

test("what it waits for says since when it could have been bound, where that is known", () => {
  assert.match(ready([CHECKING], { containersReadyAtMs: 1_000 })?.message ?? "", / \(containers ready at 1970-01-01T00:00:01Z\)$/);
  assert.match(ready([CHECKING])?.message ?? "", /health check$/);
});
