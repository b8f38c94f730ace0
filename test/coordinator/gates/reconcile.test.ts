import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { Problem } from "../../../coordinator/domain/problem.ts";
import type { Step } from "../../../coordinator/domain/readiness/gate-condition.ts";
import { makePodGateReconciler, type PodGateDeps } from "../../../coordinator/gates/reconcile.ts";
import { aPod, aService } from "../../builders.ts";
import { aKube } from "../kube.ts";
import { somePodFacts } from "../pod-facts.ts";
import { aFakeClock, silentLog } from "../pods.ts";

const GATE = "cloud.tencent.com/load-balancer-backendgroup-ready";
const HEALTHY: Step = { kind: "healthy", checked: true };
const CHECKING: Step = { kind: "checking", health: "Unknown" };
const { signal } = new AbortController();

type Raw = {
  metadata: { uid: string };
  status: { conditions?: { type: string; status: string; reason?: string; message?: string; lastTransitionTime?: string }[] };
};

/** A Pod in a real API server, and the reconciler for its gate; `steps` are the Pod's bindings. */
async function aWorld(t: TestContext, change: Partial<PodFact> = {}, over: Partial<PodGateDeps> = {}) {
  const { client, written } = await aKube(t);
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", namespace: "demo" },
    spec: { containers: [{ name: "app", image: "app:1" }] },
  };
  const { uid } = (await client.create<Raw>("/api/v1/namespaces/demo/pods", pod)).metadata;
  const known = somePodFacts(aPod({ uid, ...change }));
  const clock = aFakeClock(1_790_000_000_000);
  const steps: Step[] = [];
  const of = () =>
    steps.map((step, n) => ({
      service: "Service demo/web",
      loadBalancerId: "lb-1",
      listener: `TCP:${80 + n}`,
      step,
      sinceMs: 0,
      isBeginSeen: true,
      at: undefined,
    }));
  const told: Problem[] = [];
  const ready: (number | undefined)[] = [];
  const reconcile = makePodGateReconciler({
    client,
    facts: known.facts,
    podBindings: { of },
    clock,
    log: silentLog,
    gateType: GATE,
    tell: (problem) => void told.push(problem),
    services: { known: () => "known", servedElsewhere: () => [], forget: () => undefined },
    onReady: (_pod, waitedMs) => void ready.push(waitedMs),
    ...over,
  });
  const pass = (key = uid) => reconcile(key, signal);
  const patches = (): number => written.filter((line) => line.startsWith("patch")).length;
  const condition = async () =>
    (await client.get<Raw>("/api/v1/namespaces/demo/pods/web-1")).status.conditions?.find(({ type }) => type === GATE);
  return { client, uid, told, known, clock, steps, ready, reconcile, pass, patches, condition };
}

test("opens the gate at once when every binding is healthy, once", async (t) => {
  const { clock, steps, pass, patches, condition, ready } = await aWorld(t, { containersReadyAtMs: 1_789_999_997_000 });
  steps.push(HEALTHY, HEALTHY);
  assert.deepEqual(await pass(), { kind: "done" });
  const { status, reason, lastTransitionTime } = (await condition()) ?? {};
  assert.deepEqual([status, reason, lastTransitionTime], ["True", "LoadBalancerNetworkGroupReady", "2026-09-21T14:13:20Z"]);
  assert.deepEqual(ready, [3_000]);
  await clock.advance(10_000);
  await pass();
  assert.equal(patches(), 1);
});

test("tells how long the patch took that opened the gate, apart from the time before it", async (t) => {
  const told: (number | undefined)[] = [];
  const over: Partial<PodGateDeps> = { onReady: (_pod, waitedMs, patchMs) => void told.push(waitedMs, patchMs) };
  const slow: PodGateDeps["client"] = {
    patch: async (...request) => {
      await world.clock.sleep(40);
      return await world.client.patch(...request);
    },
  };
  const world = await aWorld(t, { containersReadyAtMs: 1_789_999_997_000 }, { ...over, client: slow });
  const { clock, steps, pass } = world;
  steps.push(HEALTHY);
  const passed = pass();
  await clock.advance(40);
  await passed;
  assert.deepEqual(told, [3_000, 40]);
});

test("a gate that opens because its Pod serves tells what took how long; what is known of that later is no reason for another patch", async (t) => {
  let stages: { wait: number; bind: number; check: number } | undefined = { wait: 0.12, bind: 1.2, check: 4.44 };
  const { clock, steps, pass, patches, condition } = await aWorld(t, {}, { stagesSoFar: () => stages });
  steps.push(HEALTHY);
  await pass();
  const told = `Marking condition "${GATE}" to True. 5.8 s after its containers were ready: wait 0.1, bind 1.2, check 4.4.`;
  assert.equal((await condition())?.message, told);
  for (stages of [{ wait: 0.12, bind: 1.2, check: 5 }, undefined]) {
    await clock.advance(10_000);
    await pass();
  }
  assert.deepEqual([patches(), (await condition())?.message], [1, told]);
  const unseen = await aWorld(t);
  unseen.steps.push(HEALTHY);
  await unseen.pass();
  assert.equal((await unseen.condition())?.message, `Marking condition "${GATE}" to True.`);
  const unselected = await aWorld(t, {}, { stagesSoFar: () => ({ wait: 1, bind: 1, check: 1 }) });
  await unselected.pass();
  await unselected.clock.advance(3_000);
  await unselected.pass();
  assert.match((await unselected.condition())?.message ?? "", /waits for no load balancer\.$/);
});

test("opens the gate at once when the installation is about to go, with that reason", async (t) => {
  const { steps, pass, condition } = await aWorld(t, {}, { retire: "on" });
  steps.push(CHECKING);
  assert.deepEqual(await pass(), { kind: "done" });
  assert.deepEqual([(await condition())?.status, (await condition())?.reason], ["True", "Retired"]);
});

test("opened by hand: by its Service, told there; by the Pod itself, told there; a word that means nothing is told", async (t) => {
  const owner = { kind: "Service", namespace: "demo", name: "web", uid: "5e21" } as const;
  const binding = { service: "Service demo/web", loadBalancerId: undefined, listener: "(none yet)", step: CHECKING, sinceMs: 0 };
  const of = () => [{ ...binding, isBeginSeen: true, at: undefined, openedBy: owner }];
  const byService = await aWorld(t, {}, { podBindings: { of } });
  await byService.pass();
  await byService.pass();
  assert.deepEqual([(await byService.condition())?.reason, byService.patches()], ["GateOpened", 1]);
  assert.deepEqual(
    byService.told.map(({ reason, object }) => [reason, object.kind, object.name]),
    [["GateOpened", "Service", "web"]],
  );
  const byPod = await aWorld(t, { gateWish: "open" });
  byPod.steps.push(CHECKING);
  await byPod.pass();
  assert.deepEqual([(await byPod.condition())?.reason, byPod.told.map(({ object }) => object.kind)], ["GateOpened", ["Pod"]]);
  const slip = await aWorld(t, { gateWish: "opne" });
  slip.steps.push(CHECKING);
  await slip.pass();
  assert.deepEqual(
    slip.told.map(({ reason }) => reason),
    ["InvalidAnnotation"],
  );
  assert.match(slip.told[0]?.message ?? "", /clb-direct\.io\/gate is "opne".*use "open"/);
});

test("a gate that waits for too long opens by itself where somebody wants that, and is looked at again when it is time", async (t) => {
  const world = await aWorld(t, { containersReadyAtMs: 1_790_000_000_000 }, { expiryMs: 60_000 });
  const { clock, steps, pass, condition, told, known, uid } = world;
  steps.push(CHECKING);
  await pass();
  await clock.advance(1_000);
  assert.deepEqual(await pass(), { kind: "again", afterMs: 59_000, because: "expiry" });
  await clock.advance(59_000);
  assert.deepEqual(await pass(), { kind: "done" });
  assert.equal((await condition())?.reason, "GateExpired");
  assert.deepEqual(
    told.map(({ reason, object }) => [reason, object.kind]),
    [["GateExpired", "Pod"]],
  );
  known.set(aPod({ uid, containersReady: false, containersReadyAtMs: 1_000 })); // since when it is not ready
  steps.splice(0, 1, { kind: "pending", reason: "ContainersNotReady", because: "they are not" });
  await pass();
  await clock.advance(1_000);
  assert.deepEqual(await pass(), { kind: "done" });
});

test("a cause is written only when it lasts, and only once", async (t) => {
  const { clock, steps, pass, patches, condition, ready } = await aWorld(t);
  steps.push(CHECKING);
  assert.deepEqual(await pass(), { kind: "again", afterMs: 1_000, because: "HealthChecking" });
  await clock.advance(400);
  assert.deepEqual(await pass(), { kind: "again", afterMs: 600, because: "HealthChecking" });
  assert.equal(patches(), 0);
  await clock.advance(600);
  await pass();
  await pass();
  assert.deepEqual([patches(), (await condition())?.status, (await condition())?.reason, ready], [1, "False", "HealthChecking", []]);
});

test("a cause that gives way to another one in time is never written", async (t) => {
  const { clock, steps, pass, patches, condition } = await aWorld(t);
  steps.push({ kind: "binding" });
  await pass();
  await clock.advance(900);
  steps.splice(0, 1, CHECKING);
  assert.deepEqual(await pass(), { kind: "again", afterMs: 1_000, because: "HealthChecking" });
  steps.splice(0, 1, HEALTHY);
  await pass();
  assert.deepEqual([patches(), (await condition())?.status], [1, "True"]);
});

test("the time of the transition moves only when the status does", async (t) => {
  const { clock, steps, pass, condition, known, uid } = await aWorld(t);
  const closed = async (step: Step): Promise<string | undefined> => {
    steps.splice(0, 1, step);
    await pass();
    await clock.advance(1_000);
    await pass();
    return (await condition())?.lastTransitionTime;
  };
  const first = await closed(CHECKING);
  known.set(aPod({ uid, gate: "False" })); // the watch tells what we wrote
  await clock.advance(5_000);
  assert.equal(await closed({ kind: "checking", health: "Dead" }), first);
  assert.equal((await condition())?.reason, "HealthCheckFailing");
  steps.splice(0, 1, HEALTHY);
  await pass();
  assert.notEqual((await condition())?.lastTransitionTime, first);
});

test("believes that no Service selects the Pod only after a while", async (t) => {
  const { clock, steps, pass, patches, condition } = await aWorld(t);
  assert.deepEqual(await pass(), { kind: "again", afterMs: 3_000, because: "NoDirectAccess" });
  await clock.advance(2_900);
  steps.push(CHECKING); // the Service came a moment later
  await pass();
  assert.equal(patches(), 0);
  steps.length = 0;
  await pass();
  await clock.advance(3_000);
  await pass();
  assert.deepEqual([patches(), (await condition())?.reason], [1, "NoDirectAccess"]);
});

const ELSEWHERE = [
  { of: "TKE's own", theirs: aService({ name: "theirs" }), opener: "TKE's service controller" },
  {
    of: "a foreign class",
    theirs: aService({ name: "theirs", loadBalancerClass: "other.io/lb" }),
    opener: "the controller of .*other.io/lb",
  },
];
for (const { of, theirs, opener } of ELSEWHERE)
  test(`never writes a Pod that only a Service of ${of} selects, and says who has to open its gate`, async (t) => {
    const services = { known: () => "known" as const, servedElsewhere: () => [theirs], forget: () => undefined };
    const { clock, pass, patches, steps, told } = await aWorld(t, {}, { services });
    steps.push({ kind: "pending", reason: "NotServed", because: "Service demo/web: only SCTP" });
    for (let turn = 0; turn < 2; turn++) {
      assert.deepEqual(await pass(), { kind: "done" });
      await clock.advance(10_000);
      steps.length = 0;
    }
    assert.equal(patches(), 0);
    const [first] = told;
    assert.deepEqual([first?.reason, first?.object.name, new Set(told.map(({ message }) => message)).size], ["ForeignGate", "theirs", 1]);
    assert.match(first?.message ?? "", new RegExp(`^Service demo/theirs is not served by clb-direct: ${opener} has to open the gate`));
    steps.push(HEALTHY);
    await pass();
    assert.equal(patches(), 1); // a Service of ours selects it as well
  });

test("a gate of a type of our own is nobody else's to open", async (t) => {
  const services = { known: () => "known" as const, servedElsewhere: () => [aService()], forget: () => undefined };
  const { clock, pass, patches } = await aWorld(t, {}, { services, gateType: "example.com/gate" });
  await pass();
  await clock.advance(3_000);
  await pass();
  assert.equal(patches(), 1);
});

test("a short absence of the Service counts for nothing at the next one", async (t) => {
  const { clock, steps, pass, condition } = await aWorld(t);
  steps.push(CHECKING);
  await pass();
  await clock.advance(1_000);
  await pass();
  for (let flip = 0; flip < 2; flip++) {
    steps.length = 0;
    assert.deepEqual(await pass(), { kind: "again", afterMs: 3_000, because: "NoDirectAccess" });
    await clock.advance(200);
    steps.push(CHECKING);
    assert.deepEqual(await pass(), { kind: "done" });
    await clock.advance(10_000);
  }
  assert.notEqual((await condition())?.reason, "NoDirectAccess");
});

test("decides nothing before every Service is known", async (t) => {
  const asked: { answer: "known" | "later" | "unsynced" } = { answer: "unsynced" };
  const services = { known: () => asked.answer, servedElsewhere: () => [], forget: () => undefined };
  const { pass, patches } = await aWorld(t, {}, { services });
  assert.equal((await pass()).kind, "again");
  asked.answer = "later";
  assert.equal((await pass()).kind, "done"); // the Service's first pass brings it back
  assert.equal(patches(), 0);
});

test("never touches a Pod that was replaced under the same name", async (t) => {
  const { steps, pass, condition, known, ready } = await aWorld(t);
  known.set(aPod({ uid: "former-pod" }));
  steps.push(HEALTHY);
  assert.deepEqual(await pass("former-pod"), { kind: "done" });
  assert.deepEqual([await condition(), ready], [undefined, []]);
});

test("a Pod that is gone needs no gate", async (t) => {
  const { client, steps, pass } = await aWorld(t);
  steps.push(HEALTHY);
  await client.delete("/api/v1/namespaces/demo/pods/web-1", { gracePeriodSeconds: 0 });
  assert.deepEqual(await pass(), { kind: "done" });
});

for (const [title, change] of [
  ["a Pod without our gate", { hasGate: false }],
  ["an open gate", { gate: "True" }],
  ["a Pod that ends", { deletionAtMs: 1 }],
] as const)
  test(`leaves ${title} alone`, async (t) => {
    const { steps, pass, patches } = await aWorld(t, change);
    steps.push(HEALTHY);
    assert.deepEqual(await pass(), { kind: "done" });
    assert.equal(patches(), 0);
  });

test("a write that failed is made again", async (t) => {
  const { client, uid, steps, pass, reconcile } = await aWorld(t);
  steps.push(HEALTHY);
  const patch = client.patch.bind(client);
  client.patch = () => Promise.reject(new Error("connection reset"));
  await assert.rejects(pass(), /connection reset/);
  client.patch = patch;
  assert.deepEqual(await reconcile(uid, signal), { kind: "done" });
});
