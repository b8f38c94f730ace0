import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../coordinator/domain/call.ts";
import type { LoadBalancer } from "../../../coordinator/domain/load-balancer.ts";
import { LISTENER_NAME } from "../../builders.ts";
import { PROFILES } from "../../cloud/runtime/options.ts";
import { aListeningLoadBalancer, aStage, newListeners, type Stage, slots, withCode } from "../stage.ts";

/** In an order of its own, since neither the cloud nor the mirror promises one. */
const sorted = (one: LoadBalancer | undefined) =>
  one && {
    ...one,
    listeners: one.listeners
      .map((listener) => ({ ...listener, targets: listener.targets.toSorted((a, b) => (a.ip < b.ip ? -1 : 1)) }))
      .toSorted((a, b) => (a.listenerId < b.listenerId ? -1 : 1)),
  };

async function make(stage: Stage, id: string, call: Call): Promise<void> {
  await stage.finish(stage.writer.make(id, call, stage.signal));
  await stage.clock.advance(1_000); // the lock is kept a little after the answer
}

test("every write leaves the mirror exactly as a fresh read shows the load balancer", async (t) => {
  const stage = aStage(t);
  const { loadBalancerId: id } = stage.cloud.addLoadBalancer({ tags: { team: "web" } });
  await stage.fill(id);
  const listeners = [80, 81].map((port) => ({ name: LISTENER_NAME.replace("tcp80", `tcp${port}`), port }));
  await make(stage, id, { lane: "structure", create: newListeners({ listeners, healthCheck: { intervalSeconds: 7, unhealthyCount: 4 } }) });
  const [a = "", b = ""] = stage.mirror.read(id)?.listeners.map(({ listenerId }) => listenerId) ?? [];
  const [first, second, ...rest] = slots(a, 70);
  assert.ok(first !== undefined && second !== undefined);
  const healthCheck = { enabled: false, intervalSeconds: 9, timeoutSeconds: 3, healthyCount: 2, unhealthyCount: 5 };
  const calls: readonly Call[] = [
    {
      lane: "structure",
      create: newListeners({ protocol: "UDP", listeners: [{ name: LISTENER_NAME.replace("tcp80", "udp53"), port: 53 }] }),
    },
    { lane: "bind", targets: [first, second, ...rest, ...slots(b, 3)] },
    { lane: "drain", weights: [first, second, ...rest.slice(0, 55)].map((slot) => ({ ...slot, weight: 0 })) },
    { lane: "tune", weights: [{ ...second, weight: 33 }, ...slots(b, 1).map((slot) => ({ ...slot, weight: 7 }))] },
    { lane: "unbind", slots: [first] },
    { lane: "conflict", slots: [rest[0] ?? second, ...slots(b, 1)] },
    { lane: "tune", listenerId: a, healthCheck },
    { lane: "delete", listenerIds: [b] },
  ];
  for (const call of calls) {
    await make(stage, id, call);
    assert.deepEqual(sorted(stage.mirror.read(id)), sorted(await stage.look(id)), `after ${call.lane}`);
    assert.equal(stage.mirror.staleBecause(id), undefined);
  }
  assert.equal(stage.mirror.read(id)?.listeners.length, 2);
  const before = stage.mirror.read(id);
  await stage.fill(id);
  assert.deepEqual(sorted(stage.mirror.read(id)), sorted(before)); // reading it again changes nothing
  assert.equal(stage.cloud.counts().overlaps, 0);
});

test("claims the addresses before the cloud hears of them, and keeps what is still bound somewhere", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  const second = { ...newListeners(), listeners: [{ name: LISTENER_NAME.replace("tcp80", "tcp81"), port: 81 }] };
  await make(stage, id, { lane: "structure", create: second });
  const other = stage.mirror.read(id)?.listeners.find(({ port }) => port === 81)?.listenerId ?? "";
  let claimedAtBind: readonly string[] = [];
  stage.intercept.by = (action) => {
    if (action === "BatchRegisterTargets") claimedAtBind = [...stage.addressClaims.claims];
  };
  await make(stage, id, { lane: "bind", targets: [...slots(listenerId, 1), ...slots(other, 1)] });
  assert.deepEqual(claimedAtBind, [`${id} 10.244.0.1 pod-0`]);
  await make(stage, id, { lane: "unbind", slots: slots(listenerId, 1) });
  stage.writer.confirm(id, stage.mirror.read(id)?.listeners ?? []);
  assert.equal(stage.addressClaims.podOf(id, "10.244.0.1"), "pod-0"); // still bound to the other listener
  await make(stage, id, { lane: "unbind", slots: slots(other, 1) });
  stage.writer.confirm(id, stage.mirror.read(id)?.listeners ?? []);
  assert.equal(stage.addressClaims.podOf(id, "10.244.0.1"), undefined);
});

test("binds nothing whose claims could not be stored", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  stage.addressClaims.claim = () => Promise.reject(new Error("API server away"));
  await assert.rejects(make(stage, id, { lane: "bind", targets: slots(listenerId, 1) }), /API server away/);
  assert.deepEqual((await stage.look(id)).listeners[0]?.targets, []);
});

test("a bind tells how long its claim took, apart from the call; what claims nothing took no time for it", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  stage.addressClaims.claim = (_id, _claims, signal) => stage.clock.sleep(300, signal);
  const targets = slots(listenerId, 2);
  const bound = await stage.finish(stage.writer.make(id, { lane: "bind", targets }, stage.signal));
  await stage.clock.advance(1_000);
  const drained = await stage.finish(
    stage.writer.make(id, { lane: "drain", weights: targets.map((slot) => ({ ...slot, weight: 0 })) }, stage.signal),
  );
  assert.deepEqual([bound.claimMs, drained.claimMs], [300, 0]);
});

test("a claim that hangs is given up after three seconds; nothing was asked of the cloud, so nothing is in doubt", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  stage.addressClaims.claim = (_id, _claims, signal) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const [startedMs, calls] = [stage.clock.now(), stage.calls.length];
  await assert.rejects(stage.finish(stage.writer.make(id, { lane: "bind", targets: slots(listenerId, 1) }, stage.signal)), {
    name: "KubeApiError",
    failure: "timeout",
  });
  assert.equal(stage.clock.now() - startedMs, 3_000);
  assert.deepEqual([stage.calls.length, stage.mirror.staleBecause(id), stage.clock.pendingSleeps], [calls, undefined, 0]);
});

test("a bind that failed in part leaves the mirror in doubt, and the next read tells", async (t) => {
  const stage = aStage(t, { keepGoodTargetsOfFailedListener: true });
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  const [good, bad] = slots(listenerId, 2);
  assert.ok(good !== undefined && bad !== undefined);
  await assert.rejects(make(stage, id, { lane: "bind", targets: [good, { ...bad, ip: "192.0.2.1" }] }), (error: unknown) => {
    assert.ok(withCode("PartialFailure")(error));
    assert.ok(error instanceof Error && error.message.includes(listenerId) && error.message.includes("192.0.2.1"), String(error));
    return true;
  });
  assert.equal(stage.mirror.staleBecause(id), "bind ended in doubt");
  assert.deepEqual(stage.mirror.read(id)?.listeners[0]?.targets, []);
  await stage.fill(id);
  assert.deepEqual([stage.mirror.staleBecause(id), stage.mirror.read(id)?.listeners[0]?.targets.length], [undefined, 1]);
});

test("a write whose answer was lost leaves the mirror in doubt, and the next read shows that it took effect", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  stage.cloud.faults.add({ kind: "lost-response", action: "BatchRegisterTargets", count: 1 });
  await assert.rejects(make(stage, id, { lane: "bind", targets: slots(listenerId, 2) }), withCode("Transport"));
  assert.equal(stage.mirror.staleBecause(id), "bind ended in doubt");
  assert.equal(stage.writer.running(id), undefined);
  await stage.fill(id);
  assert.equal(stage.mirror.read(id)?.listeners[0]?.targets.length, 2);
});

test("a failed task leaves the mirror in doubt", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  await make(stage, id, { lane: "bind", targets: slots(listenerId, 1) });
  stage.cloud.faults.add({ kind: "task-failed", message: "device busy", count: 1 });
  const drain: Call = { lane: "drain", weights: slots(listenerId, 1).map((slot) => ({ ...slot, weight: 0 })) };
  await assert.rejects(make(stage, id, drain), (error: unknown) => withCode("TaskFailed")(error) && String(error).includes("device busy"));
  assert.equal(stage.mirror.staleBecause(id), "drain ended in doubt");
  assert.equal(stage.mirror.read(id)?.listeners[0]?.targets[0]?.weight, 10);
});

test("a clear refusal leaves no doubt", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  stage.cloud.faults.add({ kind: "error", code: "LimitExceeded", action: "BatchRegisterTargets", count: 1 });
  await assert.rejects(make(stage, id, { lane: "bind", targets: slots(listenerId, 1) }), withCode("LimitExceeded"));
  assert.equal(stage.mirror.staleBecause(id), undefined);
  assert.equal(stage.writer.overQuota(id), 1);
  await make(stage, id, { lane: "bind", targets: slots(listenerId, 1) });
  assert.equal(stage.writer.overQuota(id), 0); // there is room again
});

test("a refusal that says that the listener is not there means that the mirror is wrong", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  await stage.finish(stage.api.deleteListeners(id, [listenerId], stage.signal)); // by hand
  await assert.rejects(make(stage, id, { lane: "bind", targets: slots(listenerId, 1) }), withCode("InvalidParameter.ListenerIdNotFound"));
  assert.equal(stage.mirror.staleBecause(id), "bind ended in doubt");
});

test("a write that another one is in the way of is told by the lock, without doubt", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  const other = stage.api.createListeners(id, newListeners({ listeners: [{ name: "by hand", port: 9 }] }), stage.signal);
  await stage.clock.advance(100);
  const locked = withCode("FailedOperation.ResourceInOperating");
  await assert.rejects(make(stage, id, { lane: "bind", targets: slots(listenerId, 1) }), locked);
  assert.equal(stage.mirror.staleBecause(id), undefined);
  await stage.finish(other);
});

test("never makes two writes to one load balancer at once, and tells which one runs", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  const call: Call = { lane: "bind", targets: slots(listenerId, 1) };
  const first = stage.writer.make(id, call, stage.signal);
  assert.equal(stage.writer.running(id), call);
  await assert.rejects(stage.writer.make(id, call, stage.signal), /is running already/);
  await stage.finish(first);
  assert.equal(stage.writer.running(id), undefined);
});

const RUNS_ON = { ...PROFILES.fast, batchTargets: { mode: "async", busyAfterReturnMs: 500 } } as const;

test("a batch that runs on after its answer is believed when it is done; one that fails then leaves the mirror in doubt", async (t) => {
  const stage = aStage(t, { profile: RUNS_ON });
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  const startedMs = stage.clock.now();
  await stage.finish(stage.writer.make(id, { lane: "bind", targets: slots(listenerId, 2) }, stage.signal));
  assert.ok(stage.clock.now() - startedMs >= 400, `believed after ${stage.clock.now() - startedMs} ms`);
  assert.deepEqual(sorted(stage.mirror.read(id)), sorted(await stage.look(id)));
  await stage.clock.advance(1_000);
  stage.cloud.faults.add({ kind: "task-failed", message: "device busy", action: "BatchDeregisterTargets", count: 1 });
  const unbind: Call = { lane: "unbind", slots: slots(listenerId, 1) };
  await assert.rejects(make(stage, id, unbind), (error: unknown) => withCode("TaskFailed")(error) && String(error).includes("device busy"));
  assert.deepEqual([stage.mirror.staleBecause(id), stage.addressClaims.podOf(id, "10.244.0.1")], ["unbind ended in doubt", "pod-0"]);
});

test("a batch that fails in part and runs on is over before it is told: what is read then is what is there", async (t) => {
  const stage = aStage(t, { profile: RUNS_ON, keepGoodTargetsOfFailedListener: true });
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  const [good, bad] = slots(listenerId, 2);
  assert.ok(good !== undefined && bad !== undefined);
  const bind: Call = { lane: "bind", targets: [good, { ...bad, ip: "192.0.2.1" }] };
  await assert.rejects(stage.finish(stage.writer.make(id, bind, stage.signal)), withCode("PartialFailure"));
  await stage.fill(id);
  assert.equal(stage.mirror.read(id)?.listeners[0]?.targets.length, 1);
});

test("a batch is asked about once, however long its answer took; one whose task nobody knows is believed", async (t) => {
  const asked = (stage: Stage): number => stage.calls.filter(({ action }) => action === "DescribeTaskStatus").length;
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  const before = asked(stage);
  await make(stage, id, { lane: "bind", targets: slots(listenerId, 2) });
  await stage.clock.advance(1_000);
  await make(stage, id, { lane: "unbind", slots: slots(listenerId, 2) });
  assert.equal(asked(stage), before + 2);
  const quick = aStage(t, { profile: RUNS_ON });
  const other = await aListeningLoadBalancer(quick);
  quick.cloud.faults.add({ kind: "error", code: "InvalidParameterValue", message: "no such task", action: "DescribeTaskStatus" });
  await make(quick, other.id, { lane: "bind", targets: slots(other.listenerId, 2) });
  assert.equal(quick.mirror.staleBecause(other.id), undefined);
});

test("a batch whose answer takes as long as a whole write and whose task runs on is waited for", async (t) => {
  const slow = { default: 30, write: 50, jitterPct: 0, byAction: { BatchDeregisterTargets: 450, BatchRegisterTargets: 450 } };
  const taskMs = { base: 1_500, perRuleOnLb: 0, perTarget: 0 };
  const stage = aStage(t, { profile: { ...RUNS_ON, apiLatencyMs: slow, taskMs } });
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  stage.cloud.faults.add({ kind: "task-failed", message: "device busy", action: "BatchRegisterTargets", count: 1 });
  await assert.rejects(make(stage, id, { lane: "bind", targets: slots(listenerId, 2) }), withCode("TaskFailed"));
  await stage.clock.advance(5_000);
  await stage.fill(id);
  await make(stage, id, { lane: "bind", targets: slots(listenerId, 2) });
  await stage.clock.advance(5_000);
  const startedMs = stage.clock.now();
  await stage.finish(stage.writer.make(id, { lane: "unbind", slots: slots(listenerId, 2) }, stage.signal));
  assert.ok(stage.clock.now() - startedMs >= 1_950, `believed after ${stage.clock.now() - startedMs} ms`);
});

test("an unbind that fails in part tells the cloud's reason", async (t) => {
  const stage = aStage(t);
  const { id, listenerId } = await aListeningLoadBalancer(stage);
  await make(stage, id, { lane: "bind", targets: slots(listenerId, 2) });
  await stage.clock.advance(1_000);
  stage.cloud.faults.add({ kind: "partial", ips: ["10.244.0.1"], message: "why it failed", action: "BatchDeregisterTargets" });
  await assert.rejects(
    make(stage, id, { lane: "unbind", slots: slots(listenerId, 2) }),
    (error: unknown) => withCode("PartialFailure")(error) && String(error).includes("why it failed"),
  );
});
