import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { Call } from "../../../coordinator/domain/call.ts";
import type { Drift } from "../../../coordinator/domain/safety/drift.ts";
import { RefusedItems } from "../../../coordinator/load-balancers/refused-items.ts";
import { aPod, CLUSTER, SERVICE_UID } from "../../builders.ts";
import { desiredInRules } from "../rules.ts";
import { newListeners } from "../stage.ts";
import { aWorld } from "./one-load-balancer.ts";

test("one call per pass: reads, creates the listener, binds, and then rests until the resync", async (t) => {
  const { stage, pass, bound } = aWorld(t);
  assert.deepEqual(await pass(), { kind: "again", afterMs: 0, because: "structure" });
  await stage.clock.advance(1_000);
  assert.deepEqual(await pass(), { kind: "again", afterMs: 0, because: "bind" });
  const calls = stage.calls.length;
  const rest = await pass();
  assert.deepEqual([rest.kind, stage.calls.length, bound().length], ["again", calls, 3]);
  assert.ok(rest.kind === "again" && rest.afterMs > 50_000 && rest.afterMs <= 60_000);
});

test("the resync finds what somebody else changed, and puts it right", async (t) => {
  const drifts: string[] = [];
  const onDrift = (_id: string, found: readonly Drift[]): void => void drifts.push(...found.map(({ what }) => what));
  const { stage, id, listenerId, passes, bound, ip } = aWorld(t, { deps: { onDrift } });
  await passes(5_000, () => bound().length === 3);
  await stage.clock.advance(1_000);
  await stage.finish(stage.api.unbind(id, [{ listenerId: listenerId(), ip: ip(0), port: 8080 }], stage.signal));
  assert.equal(bound().length, 2);
  await passes(70_000);
  assert.deepEqual([bound().length, drifts], [3, ["targets removed: 1 (10.244.0.1:8080)"]]);
  await passes(130_000);
  assert.equal(drifts.length, 1); // told once; our own writes are no drift
});

test("a resync that fails holds up nothing and puts nothing in doubt", async (t) => {
  const { stage, id, ip, known, failedAudits, passes, bound } = aWorld(t);
  await passes(5_000, () => bound().length === 3);
  await stage.clock.advance(61_000);
  stage.cloud.faults.add({ kind: "error", code: "InternalError", action: "DescribeListeners", count: 1 });
  known.end("pod-0");
  await passes(20_000, () => bound().length === 2);
  assert.deepEqual([failedAudits, stage.mirror.staleBecause(id), bound().includes(ip(0))], [[id], undefined, false]);
});

test("targets of foreign listeners are not read", async (t) => {
  const { stage, id, passes, pass, bound, ip } = aWorld(t);
  const foreign = newListeners({ listeners: [{ name: "somebody-else", port: 443 }] });
  const [listenerId = ""] = await stage.finish(stage.api.createListeners(id, foreign, stage.signal));
  await stage.finish(stage.api.bind(id, [{ listenerId, ip: ip(0), port: 8443, weight: 10, podUid: "" }], stage.signal));
  const asked: unknown[] = [];
  stage.intercept.by = (action, request) => {
    if (action === "DescribeTargets") asked.push(...(Reflect.get(request, "ListenerIds") as unknown[])); // oxlint-disable-line typescript/no-unsafe-type-assertion -- our own request
  };
  await passes(5_000, () => bound().length === 4);
  stage.mirror.markStale(id, "test");
  await pass();
  const [own] = stage.mirror.read(id)?.listeners.filter((one) => one.listenerId !== listenerId) ?? [];
  assert.deepEqual(asked, [own?.listenerId]);
  assert.deepEqual(
    stage.mirror
      .read(id)
      ?.listeners.map(({ targets }) => targets.length)
      .toSorted((a, b) => a - b),
    [0, 3],
  );
});

test("a target that the cloud does not unbind is tried again in a while, and costs few calls meanwhile", async (t) => {
  const { stage, ip, known, passes, bound, count } = aWorld(t);
  await passes(5_000, () => bound().length === 3);
  stage.cloud.faults.add({ kind: "partial", ips: [ip(0)], action: "BatchDeregisterTargets" });
  known.end("pod-0");
  await passes(20_000);
  assert.deepEqual([bound().length, count("BatchDeregisterTargets") > 4], [3, true]);
  assert.ok(count("BatchDeregisterTargets") <= 20, `${count("BatchDeregisterTargets")} tries in 20 s`);
  stage.cloud.faults.clear();
  await passes(5_000, () => bound().length === 2);
  assert.equal(bound().length, 2);
});

test("a load balancer whose last owner goes while it is read is remembered no longer", async (t) => {
  const { stage, id, intents, pass, passes, bound } = aWorld(t);
  await passes(5_000, () => bound().length === 3);
  stage.mirror.markStale(id, "test");
  stage.intercept.by = (action) => {
    if (action !== "DescribeTargets") return;
    intents.forgetLoadBalancer(id);
    stage.mirror.drop(id);
  };
  await pass();
  assert.deepEqual(stage.mirror.ids, []);
  await stage.fill(id); // however it got there
  assert.deepEqual(await pass(), { kind: "done" });
  assert.deepEqual(stage.mirror.ids, []);
});

test("a target that somebody took away behind our back holds up no drain of its neighbours", async (t) => {
  const { stage, id, listenerId, known, passes, bound, ip } = aWorld(t, { pods: 6 });
  await passes(5_000, () => bound().length === 6);
  await stage.clock.advance(1_000);
  await stage.finish(stage.api.unbind(id, [{ listenerId: listenerId(), ip: ip(0), port: 8080 }], stage.signal));
  for (let n = 0; n < 3; n++)
    known.set(aPod({ uid: `pod-${n}`, name: `web-${n}`, ips: [ip(n)], deletionAtMs: stage.clock.now() + 30_000 }));
  const weights = (): number[] =>
    stage.cloud.state().loadBalancers.flatMap((one) => one.listeners.flatMap(({ targets }) => targets.map(({ weight }) => weight)));
  const tookMs = await passes(60_000, () => weights().filter((weight) => weight === 0).length === 2);
  assert.ok(tookMs < 5_000, `drained after ${tookMs} ms`);
});

test("a quota that is met during a rollout: what is drained makes room, then the new Pod is bound", async (t) => {
  const { stage, passes, bound, known, ip } = aWorld(t, { cloud: { limits: { targetsPerPlace: 3 } } });
  await passes(5_000, () => bound().length === 3);
  known.set(aPod({ uid: "pod-0", name: "web-0", ips: [ip(0)], deletionAtMs: stage.clock.now() + 30_000 }));
  known.set(aPod({ uid: "new", name: "new", ips: ["10.244.1.9"] }));
  const tookMs = await passes(60_000, () => bound().includes("10.244.1.9"));
  assert.deepEqual(bound().sort(), [ip(1), ip(2), "10.244.1.9"].sort());
  assert.ok(tookMs < 15_000, `took ${tookMs} ms`); // the drain takes 5 s
  const full = stage.codes.filter((line) => line === "BatchRegisterTargets LimitExceeded").length;
  assert.ok(full > 0 && full <= 3, `the quota was met ${full} times`); // at once, after 1 s, and 2 s later
  assert.equal(stage.writer.overQuota("lb-nowhere"), 0);
});

test("after a lost answer the load balancer is read, and the call not repeated blindly", async (t) => {
  const { stage, passes, bound, count } = aWorld(t);
  stage.cloud.faults.add({ kind: "lost-response", action: "BatchRegisterTargets", count: 1 });
  await passes(10_000);
  assert.deepEqual([bound().length, count("BatchRegisterTargets")], [3, 1]);
});

test("a listener that somebody removed is made anew soon, and its Pods are not blamed", async (t) => {
  const { stage, id, listenerId, passes, bound, known, refused } = aWorld(t);
  await passes(5_000, () => bound().length === 3);
  await stage.clock.advance(1_000);
  await stage.finish(stage.api.deleteListeners(id, [listenerId()], stage.signal));
  await stage.clock.advance(1_000);
  known.set(aPod({ uid: "pod-9", name: "web-9", ips: ["10.244.9.9"] }));
  await passes(5_000, () => bound().length === 4);
  assert.deepEqual([bound().length, refused], [4, []]);
});

test("drains a Pod that ends, unbinds it when the drain is over, and not before", async (t) => {
  const { stage, passes, bound, known, ip, id, listenerId } = aWorld(t);
  await passes(5_000, () => bound().length === 3);
  await stage.clock.advance(1_000);
  known.set(aPod({ uid: "pod-0", name: "web-0", ips: [ip(0)], deletionAtMs: 1 }));
  const startedMs = stage.clock.now();
  await passes(20_000, () => bound().length === 2);
  const tookMs = stage.clock.now() - startedMs;
  assert.ok(tookMs >= 5_000 && tookMs < 8_000, `unbound after ${tookMs} ms`);
  await passes(61_000); // the address is forgotten when the resync has seen it gone
  assert.equal(stage.addressClaims.podOf(id, ip(0)), undefined);
  assert.notEqual(listenerId(), "");
});

test("a Pod that ends is drained in each of its rules, and unbound there when the drain is over; the pass comes back for that", async (t) => {
  const { stage, pass, passes, targets, bound, known, ip } = aWorld(t, { asks: desiredInRules });
  const first = (change: Partial<PodFact> = {}): void =>
    known.set(aPod({ uid: "pod-0", name: "web-0", ips: [ip(0)], labels: { app: "web", tier: "front" }, ...change }));
  first();
  await passes(60_000, () => bound().length === 4); // three in one rule, one of them in the other as well
  await passes(5_000);
  first({ deletionAtMs: 1 });
  const drained = (): number => targets().filter(({ weight }) => weight === 0).length;
  await passes(20_000, () => drained() === 2);
  const writes = stage.codes.filter((line) => line === "BatchModifyTargetWeight ok").length;
  assert.deepEqual([drained(), writes], [2, 1]); // both rules in one call
  const rest = await pass();
  assert.ok(rest.kind === "again" && rest.because === "time" && rest.afterMs > 3_000 && rest.afterMs <= 5_000, JSON.stringify(rest));
  await stage.clock.advance(rest.afterMs - 100);
  assert.equal((await pass()).kind, "again");
  assert.equal(bound().length, 4); // not before the drain is over
  await stage.clock.advance(100);
  await passes(5_000, () => bound().length === 2);
  assert.deepEqual(bound().sort(), [ip(1), ip(2)].sort());
});

test("a read keeps the claims of what is bound in rules, also of Pods that nobody knows any more", async (t) => {
  const { stage, id, ip, pass, passes, bound } = aWorld(t, { asks: desiredInRules });
  await passes(60_000, () => bound().length === 3);
  const needed: boolean[] = [];
  stage.addressClaims.keepOnly = (_id, isNeeded) => void needed.push(...[0, 1, 2, 9].map((n) => isNeeded(ip(n), "gone")));
  stage.mirror.markStale(id, "test");
  await pass();
  assert.deepEqual(needed, [true, true, true, false]);
});

/** Refuses every bind that names one of these addresses, as a whole. */
const refusing =
  (addresses: readonly string[], code: string) =>
  (action: string, request: object): void => {
    if (action === "BatchRegisterTargets" && addresses.some((ip) => JSON.stringify(request).includes(`"${ip}"`)))
      throw Object.assign(new Error("EniIp is no attached ENI"), { code, requestId: "req-1" });
  };

test("one bad target among 500, refused with its whole batch: the others are bound within seconds, it is named", async (t) => {
  const { stage, passes, bound, refused, ip, count } = aWorld(t, { pods: 500 });
  stage.intercept.by = refusing([ip(321)], "InvalidParameterValue");
  const tookMs = await passes(120_000, () => bound().length === 499);
  assert.equal(bound().length, 499);
  assert.ok(tookMs < 30_000, `took ${tookMs} ms`);
  // The whole, log2(500) halves, and the rest; each may meet the rest of the lock a few times.
  const locked = stage.codes.filter((line) => line === "BatchRegisterTargets FailedOperation.ResourceInOperating").length;
  assert.ok(count("BatchRegisterTargets") - locked <= 11, `${count("BatchRegisterTargets")} binds, ${locked} met the lock`);
  await passes(2_000);
  assert.equal(new Set(refused).size, 1);
  assert.match(refused[0] ?? "", /^pod-321 .*no attached ENI/);
});

test("one bad target in a batch that fails in part: the others are bound, it is named", async (t) => {
  const { passes, bound, refused, refusedItems, known, id, listenerId } = aWorld(t, { pods: 60 });
  known.set(aPod({ uid: "bad", name: "bad", ips: ["192.0.2.1"] })); // no address of this network
  await passes(60_000, () => bound().length === 60 && refused.length > 0);
  assert.deepEqual([bound().length, new Set(refused).size], [60, 1]);
  assert.match(refusedItems.why(id, `${listenerId()} 192.0.2.1:8080`, "bad") ?? "", /192\.0\.2\.1/);
  assert.equal(refusedItems.why(id, `${listenerId()} 192.0.2.1:8080`, "its heir"), undefined);
});

test("two bad targets are both found", async (t) => {
  const { stage, passes, bound, refused, ip } = aWorld(t, { pods: 100 });
  stage.intercept.by = refusing([ip(3), ip(77)], "InvalidParameterValue");
  const blamed = (): Set<string> => new Set(refused.map((line) => line.split(" ")[0] ?? ""));
  await passes(60_000, () => bound().length === 98 && blamed().size === 2);
  assert.deepEqual([bound().length, blamed()], [98, new Set(["pod-3", "pod-77"])]);
});

test("a target that the cloud takes after all is bound without help", async (t) => {
  const { stage, passes, bound, refused, ip } = aWorld(t, { pods: 3 });
  stage.intercept.by = refusing([ip(1)], "InvalidParameterValue");
  await passes(20_000, () => refused.length > 0);
  stage.intercept.by = () => undefined;
  await passes(40_000, () => bound().length === 3);
  assert.equal(bound().length, 3);
});

for (const [title, code] of [
  ["the lock", "FailedOperation.ResourceInOperating"],
  ["throttling", "RequestLimitExceeded"],
  ["a fault of the cloud", "InternalError"],
  ["a listener that is not there", "InvalidParameter.ListenerIdNotFound"],
] as const)
  test(`${title} is no refusal of a target`, async (t) => {
    const { stage, passes, refused, bound } = aWorld(t, { pods: 2 });
    stage.cloud.faults.add({ kind: "error", code, action: "BatchRegisterTargets", count: 4 });
    await passes(30_000, () => bound().length === 2);
    assert.deepEqual([refused, bound().length], [[], 2]);
  });

test("a refusal says nothing about other lanes", () => {
  const refusedItems = new RefusedItems(() => assert.fail("nobody is blamed"));
  const drain: Call = { lane: "drain", weights: [] };
  assert.deepEqual(refusedItems.openCalls("lb-1", [drain], 0), [drain]);
});

test("a load balancer that does not exist is read again later, and nothing is decided", async (t) => {
  const { stage, id, passes, pass, bound, count } = aWorld(t);
  await passes(5_000, () => bound().length === 3);
  await stage.clock.advance(1_000);
  await stage.finish(stage.api.deleteLoadBalancer(id, stage.signal));
  stage.mirror.markStale(id, "a doubt");
  const writes = count("CreateListener");
  assert.deepEqual(await pass(), { kind: "again", afterMs: 60_000, because: "resync" });
  assert.deepEqual([stage.mirror.isGone(id), count("CreateListener")], [true, writes]);
});

test("deletes a load balancer that we created once its deleted owner has nothing on it", async (t) => {
  const tags = { "clb-direct.io/cluster": CLUSTER, "clb-direct.io/owner": SERVICE_UID };
  const { stage, intents, entry, passes, bound } = aWorld(t, { tags });
  await passes(5_000, () => bound().length === 3);
  intents.set({ ...entry, state: "deleted" });
  await passes(20_000, () => stage.cloud.state().loadBalancers.length === 0);
  assert.deepEqual([stage.cloud.state().loadBalancers, stage.mirror.isGone(entry.loadBalancerId)], [[], true]);
});

for (const [title, tags] of [
  ["a user's", {}],
  ["another cluster's", { "clb-direct.io/cluster": "0123abcd", "clb-direct.io/owner": SERVICE_UID }],
  ["another owner's", { "clb-direct.io/cluster": CLUSTER, "clb-direct.io/owner": "other" }],
] as const)
  test(`never deletes a load balancer that is ${title}`, async (t) => {
    const { stage, intents, entry, passes } = aWorld(t, { tags });
    intents.set({ ...entry, state: "deleted" });
    await passes(10_000);
    assert.equal(stage.cloud.state().loadBalancers.length, 1);
  });

test("keeps a load balancer of ours that has another's listener", async (t) => {
  const tags = { "clb-direct.io/cluster": CLUSTER, "clb-direct.io/owner": SERVICE_UID };
  const { stage, id, intents, entry, passes } = aWorld(t, { tags });
  const create = { protocol: "TCP", healthCheck: {}, listeners: [{ name: "by hand", port: 443 }] } as const;
  await stage.finish(stage.api.createListeners(id, create, stage.signal));
  intents.set({ ...entry, state: "deleted" });
  await passes(10_000);
  assert.deepEqual(
    stage.cloud.state().loadBalancers[0]?.listeners.map(({ name }) => name),
    ["by hand"],
  );
});

test("decides nothing before every watch has synced, and reads no load balancer that is nobody's", async (t) => {
  const early = aWorld(t, { deps: { synced: () => false } });
  assert.equal((await early.pass()).kind, "again");
  const other = aWorld(t);
  other.intents.forgetLoadBalancer(other.id);
  assert.equal((await other.pass()).kind, "done");
  assert.deepEqual([early.stage.calls, other.stage.calls], [[], []]);
});
