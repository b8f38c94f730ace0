import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IncomingMessage } from "node:http";
import { suite, type TestContext, test } from "node:test";
import type { StartOptions } from "../../cloud/cli/start.ts";
import { makeCloud } from "../../cloud/cloud.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";
import { eventually, failsWith, hurried, withCloud } from "./fixture.ts";

/** What the SDK throws when there is no answer of the API: no `code`. */
async function failsWithoutCode(pattern: RegExp, call: Promise<unknown>): Promise<void> {
  const failure: unknown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(failure instanceof Error, "expected a failure");
  assert.match(failure.message, pattern);
  assert.equal("code" in failure ? failure.code : undefined, undefined);
}

/** A cloud without data plane and probes, with one load balancer and one listener, whose targets are 10.244.0.<n>:80. */
async function start(t: TestContext, options: StartOptions = {}) {
  const started = await withCloud(t, { dataPlane: false, health: "scripted", ...options });
  const { cloud, sdk } = started;
  const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
  const create = (port: number) => sdk.CreateListener({ LoadBalancerId, Ports: [port], Protocol: "TCP" });
  const ListenerId = await started.listener(LoadBalancerId, 80);
  const targets = (...numbers: number[]) => ({
    LoadBalancerId,
    Targets: numbers.map((number) => ({ ListenerId, EniIp: `10.244.0.${number}`, Port: 80 })),
  });
  const register = (...numbers: number[]) => sdk.BatchRegisterTargets(targets(...numbers));
  const deregister = (...numbers: number[]) => sdk.BatchDeregisterTargets(targets(...numbers));
  /** Last digits of the addresses that the cloud says are bound. */
  const bound = async (): Promise<number[]> => {
    const { Listeners } = await sdk.DescribeTargets({ LoadBalancerId });
    return (Listeners?.[0]?.Targets ?? []).map(({ PrivateIpAddresses }) => Number(PrivateIpAddresses?.[0]?.split(".").at(-1)));
  };
  return { ...started, LoadBalancerId, ListenerId, create, register, deregister, bound };
}

suite("a call fails before anything happens:", () => {
  test("an error of the API", async (t) => {
    const { sdk, cloud } = await start(t);
    cloud.faults.add({ kind: "error", code: "InternalError", message: "bad day", action: "DescribeQuota", count: 2 });
    await sdk.DescribeLoadBalancers({});
    for (let turn = 0; turn < 2; turn++) assert.equal(await failsWith("InternalError", sdk.DescribeQuota(null)), "bad day");
    await sdk.DescribeQuota(null);
    assert.deepEqual(cloud.counts().refused, { InternalError: 2 });
  });

  test("the gateway answers with a status, or the connection is reset", async (t) => {
    const { sdk, cloud, create, LoadBalancerId } = await start(t);
    cloud.faults.add({ kind: "http", status: 503, count: 1 });
    await failsWithoutCode(/Service Unavailable/, create(81));
    cloud.faults.add({ kind: "reset", count: 1 });
    await failsWithoutCode(/ECONNRESET|socket hang up/, create(81));
    assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 1);
  });

  test("throttling: of every call, or beyond a rate", async (t) => {
    const { sdk, cloud } = await start(t);
    cloud.faults.add({ kind: "throttled", count: 1 });
    assert.match(await failsWith("RequestLimitExceeded", sdk.DescribeQuota(null)), /exceeds the frequency limit `0`/);
    await sdk.DescribeQuota(null);
    cloud.faults.add({ kind: "throttled", perSecond: 1, action: "DescribeLoadBalancers" });
    const calls = Array.from({ length: 15 }, () =>
      // below the limit of 20
      sdk.DescribeLoadBalancers({}).then(
        () => "OK",
        (error: { code?: string }) => error.code,
      ),
    );
    const codes = await Promise.all(calls);
    assert.ok(codes.includes("OK") && codes.includes("RequestLimitExceeded"), codes.join());
  });

  test("credentials have expired", async (t) => {
    const { sdk, cloud } = await start(t);
    cloud.faults.add({ kind: "expired-credentials", count: 1 });
    await failsWith("AuthFailure.TokenFailure", sdk.DescribeQuota(null));
    await sdk.DescribeQuota(null);
  });

  test("another writer holds the lock; it is nobody's overlap", async (t) => {
    const { sdk, cloud, register, bound } = await start(t);
    cloud.faults.add({ kind: "locked", hold: "150ms", count: 1 });
    await failsWith("FailedOperation.ResourceInOperating", register(1));
    await failsWith("FailedOperation.ResourceInOperating", register(1)); // the fault is used up, the lock is still held
    await sdk.DescribeQuota(null);
    const waits = cloud.journal.of("call").filter(({ code }) => code === "FailedOperation.ResourceInOperating");
    assert.deepEqual(
      waits.map(({ faults, lockWaitMs }) => [faults, lockWaitMs > 50 && lockWaitMs <= 150]),
      [
        [["locked"], true],
        [[], true],
      ],
    );
    await eventually("the other writer is done", () =>
      register(1).then(
        () => true,
        () => false,
      ),
    );
    assert.deepEqual([await bound(), cloud.counts().overlaps], [[1], 0]);
  });
});

suite("a call takes effect, and its answer is", () => {
  test("late", async (t) => {
    const { sdk, cloud, LoadBalancerId } = await start(t);
    cloud.faults.add({ kind: "latency", delay: 1_000, loadBalancerId: LoadBalancerId });
    const startedMs = Date.now();
    await sdk.DescribeLoadBalancers({});
    assert.ok(Date.now() - startedMs < 1_000);
    await sdk.DescribeListeners({ LoadBalancerId });
    assert.ok(Date.now() - startedMs >= 995);
  });

  test("lost; reads are not met", async (t) => {
    const { sdk, cloud, register, bound } = await start(t);
    cloud.faults.add({ kind: "lost-response", count: 1 });
    await sdk.DescribeLoadBalancers({});
    await failsWithoutCode(/ECONNRESET|socket hang up/, register(1));
    assert.deepEqual(await bound(), [1]);
    assert.equal(cloud.journal.of("call").findLast(({ isWrite }) => isWrite)?.code, "LostResponse");
  });

  test("cut in the middle of its JSON", async (t) => {
    const { cloud, register, bound } = await start(t);
    cloud.faults.add({ kind: "truncated", count: 1 });
    await failsWithoutCode(/invalid json response body/, register(1));
    assert.deepEqual(await bound(), [1]);
    assert.equal(cloud.journal.of("call").findLast(({ isWrite }) => isWrite)?.code, "TruncatedResponse");
  });

  test("sent in chunks", async (t) => {
    const { sdk, cloud, LoadBalancerId } = await start(t);
    const lengths: unknown[] = [];
    const onAnswer = (message: unknown): void => {
      const { headers } = (message as { response: IncomingMessage }).response; // what Node publishes there
      lengths.push([headers["content-length"] === undefined, headers["transfer-encoding"]]);
    };
    subscribe("http.client.response.finish", onAnswer);
    t.after(() => unsubscribe("http.client.response.finish", onAnswer));
    cloud.faults.add({ kind: "chunked", count: 1 });
    for (let turn = 0; turn < 2; turn++) assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 1);
    assert.deepEqual(lengths, [
      [true, "chunked"],
      [false, undefined],
    ]);
  });
});

suite("a task", () => {
  test("fails, changes nothing and frees the lock; a batch call says it itself", async (t) => {
    const { sdk, cloud, create, task, register, bound, LoadBalancerId } = await start(t);
    cloud.faults.add({ kind: "task-failed", message: "broken", count: 1 });
    const { Status, Message } = await task(await create(81));
    assert.deepEqual([Status, Message], [1, "broken"]);
    assert.equal((await sdk.DescribeListeners({ LoadBalancerId })).TotalCount, 1);
    cloud.faults.add({ kind: "task-failed", message: "broken", count: 1 });
    await failsWith("FailedOperation", register(1));
    assert.deepEqual(await bound(), []);
  });

  test("is stuck: running and locked until it is let go", { timeout: 20_000 }, async (t) => {
    const { sdk, cloud, create, done, register } = await start(t);
    cloud.faults.add({ kind: "task-stuck", action: "CreateListener", count: 1 });
    const accepted = await create(81);
    for (const startedMs = Date.now(); Date.now() - startedMs < 200; )
      assert.equal((await sdk.DescribeTaskStatus({ TaskId: accepted.RequestId ?? "" })).Status, 2);
    await failsWith("FailedOperation.ResourceInOperating", register(1));
    cloud.faults.clear();
    await done(accepted);
    await register(1);
  });

  test("is stuck for a time", async (t) => {
    const { cloud, create, done } = await start(t);
    cloud.faults.add({ kind: "task-stuck", hold: 150, count: 1 });
    const startedMs = Date.now();
    await done(await create(81));
    assert.ok(Date.now() - startedMs >= 185, "40 ms of its own and 150 ms more");
  });
});

suite("some targets of a batch", () => {
  test("are refused, by address: their listener is named", async (t) => {
    const { cloud, register, deregister, bound, ListenerId } = await start(t, { keepGoodTargetsOfFailedListener: true });
    cloud.faults.add({ kind: "partial", ips: ["10.244.0.2"], message: "no route", count: 1 });
    const { FailListenerIdSet, Message } = (await register(1, 2, 3)) as { FailListenerIdSet?: string[]; Message?: string };
    assert.deepEqual([FailListenerIdSet, Message, await bound()], [[ListenerId], "no route", [1, 3]]);
    assert.deepEqual((await register(2)).FailListenerIdSet, []);
    cloud.faults.add({ kind: "partial", ips: ["10.244.0.3"], count: 1 });
    assert.deepEqual((await deregister(3)).FailListenerIdSet, [ListenerId]);
    assert.deepEqual(await bound(), [1, 3, 2]);
  });

  test("are refused, by share", async (t) => {
    const { cloud, register, bound } = await start(t, { keepGoodTargetsOfFailedListener: true });
    cloud.faults.add({ kind: "partial", share: 0.3, count: 1 });
    await register(...Array.from({ length: 100 }, (_, index) => index));
    const count = (await bound()).length;
    assert.ok(count >= 55 && count <= 85, `${count} of 100 are bound`);
  });

  test("are not bound, and nothing says so", async (t) => {
    const { cloud, register, deregister, bound } = await start(t);
    cloud.faults.add({ kind: "not-bound", ips: ["10.244.0.1"] });
    assert.deepEqual((await register(1, 2)).FailListenerIdSet, []);
    assert.deepEqual(await bound(), [2]);
    assert.deepEqual((await deregister(2)).FailListenerIdSet, []);
    cloud.faults.replace([{ kind: "not-bound", share: 1 }]);
    await register(3);
    assert.deepEqual(await bound(), []);
    assert.deepEqual(cloud.journal.of("call").findLast(({ isWrite }) => isWrite)?.faults, ["not-bound"]);
  });
});

test("reads are stale: answered from a state of some time ago, while writes see the present", async (t) => {
  const { cloud, register, deregister, bound } = await start(t, { clock: hurried() }); // 10 s are half a second
  await register(1);
  cloud.faults.add({ kind: "stale", age: "10s" });
  await register(2);
  assert.deepEqual(await bound(), [1]);
  await deregister(1);
  assert.deepEqual(await bound(), [1]);
  await eventually("both changes show", async () => (await bound()).join() === "2");
  await register(3);
  cloud.faults.clear();
  assert.deepEqual(await bound(), [2, 3]);
});

suite("a fault is chosen", () => {
  const outcomes = async (count: number, call: () => Promise<unknown>): Promise<string> => {
    const results: string[] = [];
    for (let turn = 0; turn < count; turn++)
      results.push(
        await call().then(
          () => ".",
          () => "x",
        ),
      );
    return results.join("");
  };

  test("by action, load balancer and caller", async (t) => {
    const { sdk, cloud, LoadBalancerId } = await start(t);
    const other = cloud.addLoadBalancer().loadBalancerId;
    cloud.faults.add({ kind: "error", code: "InternalError", action: ["DescribeListeners", "DescribeTargets"], loadBalancerId: other });
    cloud.faults.add({ kind: "error", code: "InternalError", caller: "somebody" });
    await sdk.DescribeListeners({ LoadBalancerId });
    await failsWith("InternalError", sdk.DescribeListeners({ LoadBalancerId: other }));
    await failsWith("InternalError", sdk.DescribeTargets({ LoadBalancerId: other }));
    await sdk.DescribeLoadBalancers({ LoadBalancerIds: [other] });
    await failsWith("InternalError", cloud.call("clb", "DescribeQuota", {}, { name: "somebody" }));
  });

  test("by time: from, for; or until it is cleared", async (t) => {
    const { sdk, cloud } = await start(t);
    cloud.faults.add({ kind: "error", code: "InternalError", from: "100ms", for: 100 });
    const state = () => cloud.faults.list()[0]?.state;
    assert.equal(state(), "waiting");
    await sdk.DescribeQuota(null);
    await eventually("it begins", () => state() === "active");
    await failsWith("InternalError", sdk.DescribeQuota(null));
    await eventually("it ends", () => state() === "over");
    await sdk.DescribeQuota(null);
    cloud.faults.add({ kind: "error", code: "InternalError" });
    await failsWith("InternalError", sdk.DescribeQuota(null));
    cloud.faults.clear();
    await sdk.DescribeQuota(null);
  });

  test("by turn and count", async (t) => {
    const { sdk, cloud } = await start(t);
    cloud.faults.add({ kind: "error", code: "InternalError", every: 3, count: 2 });
    assert.equal(await outcomes(12, () => sdk.DescribeQuota(null)), "..x..x......");
    const [status] = cloud.faults.list();
    assert.deepEqual([status?.seen, status?.hits, status?.state], [6, 2, "over"]);
  });

  test("by probability, the same for the same seed", async (t) => {
    const run = async (seed: number): Promise<string> => {
      const { sdk, cloud } = await start(t, { seed });
      cloud.faults.add({ kind: "error", code: "InternalError", probability: 0.3 });
      return outcomes(60, () => sdk.DescribeQuota(null));
    };
    const first = await run(7);
    const share = first.split("x").length - 1;
    assert.ok(share >= 8 && share <= 30, first);
    assert.equal(await run(7), first);
    assert.notEqual(await run(8), first);
  });
});

test("faults change neither ids nor latencies of what they do not meet", async (t) => {
  const ids = async (faulty: boolean): Promise<unknown> => {
    const clock = makeVirtualClock();
    const cloud = makeCloud({ clock });
    t.after(() => cloud.stop());
    if (faulty) cloud.faults.add({ kind: "error", code: "InternalError", probability: 0.5, action: "DescribeQuota" });
    await clock.run(cloud.call("clb", "DescribeQuota", {}).catch(() => undefined));
    return [clock.now(), cloud.addLoadBalancer().loadBalancerId];
  };
  assert.deepEqual(await ids(true), await ids(false));
});
