import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { makeClock } from "../../../common/clock.ts";
import { makeClbApi } from "../../../coordinator/cloud/clb-api.ts";
import { RateLimit } from "../../../coordinator/cloud/rate-limit.ts";
import { makeSdkTransport } from "../../../coordinator/cloud/transport.ts";
import { makeCloud } from "../../cloud/cloud.ts";
import { alwaysHealthy, inProcessTransport } from "../../cloud/in-process.ts";
import { type CloudOptions, PROFILES, TEST_KEY } from "../../cloud/runtime/options.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";
import { withCloud } from "./fixture.ts";

const forever = new AbortController().signal;

/** A cloud in virtual time with one load balancer and one listener, and calls that return when their task is over. */
async function virtualCloud(t: TestContext, options: CloudOptions = {}) {
  const clock = makeVirtualClock();
  const cloud = makeCloud({ clock, profile: "tke2020", ...options });
  t.after(() => cloud.stop());
  const transport = inProcessTransport(cloud);
  const call = async <T>(action: string, request: object): Promise<T> => (await transport("clb", action, request, forever)) as T;
  const done = async <T extends { RequestId: string }>(action: string, request: object): Promise<T> => {
    const accepted = await call<T>(action, request);
    for (;;) {
      const { Status } = await call<{ Status: number }>("DescribeTaskStatus", { TaskId: accepted.RequestId });
      if (Status === 0) return accepted;
      await clock.sleep(200);
    }
  };
  const { loadBalancerId: LoadBalancerId } = cloud.addLoadBalancer();
  const created = await clock.run(
    done<{ RequestId: string; ListenerIds: string[] }>("CreateListener", { LoadBalancerId, Ports: [80], Protocol: "TCP" }),
  );
  const [ListenerId = ""] = created.ListenerIds;
  const register = (count: number, port = 80): Promise<object> => {
    const Targets = Array.from({ length: count }, (_, index) => ({ ListenerId, EniIp: `10.244.1.${index}`, Port: port }));
    return call("BatchRegisterTargets", { LoadBalancerId, Targets });
  };
  return { clock, cloud, transport, call, done, register, LoadBalancerId, ListenerId };
}

suite("virtual time", () => {
  test("20 batches of 2020 take 76 virtual seconds, and an instant", async (t) => {
    const { clock, cloud, register } = await virtualCloud(t, { limits: { targetsPerPlace: 1000 } });
    const [virtualMs, realMs] = [clock.now(), performance.now()];
    const all = async (): Promise<void> => {
      for (let batch = 0; batch < 20; batch++) await register(10, 8000 + batch);
    };
    await clock.run(all());
    const seconds = (clock.now() - virtualMs) / 1000;
    const { apiLatencyMs, taskMs } = PROFILES.tke2020;
    const expected = (20 * (apiLatencyMs.write + taskMs.base)) / 1000; // 75.6
    assert.ok(Math.abs(seconds - expected) < 1, `took ${seconds} s`);
    assert.ok(performance.now() - realMs < 1000, "in real time");
    assert.deepEqual([cloud.counts().overlaps, cloud.journal.of("target").length], [0, 200]);
  });

  test("an hour of writes of 2020 runs in seconds", async (t) => {
    const { clock, cloud, call, LoadBalancerId, ListenerId } = await virtualCloud(t);
    const [startMs, realMs] = [clock.now(), performance.now()];
    const Targets = [{ ListenerId, EniIp: "10.244.1.1", Port: 80 }];
    const hour = async (): Promise<void> => {
      for (let write = 0; clock.now() - startMs < 3_600_000; write++)
        await call(write % 2 === 0 ? "BatchRegisterTargets" : "BatchDeregisterTargets", { LoadBalancerId, Targets });
    };
    await clock.run(hour());
    const writes = cloud.journal.of("target").length;
    assert.ok(writes >= 945 && writes <= 960, `${writes} writes of about 3.78 s`);
    assert.ok(performance.now() - realMs < 20_000, "in real time");
  });

  test("an order of a load balancer takes its 10 s", async (t) => {
    const { clock, done } = await virtualCloud(t);
    const startMs = clock.now();
    await clock.run(done("CreateLoadBalancer", { LoadBalancerType: "OPEN" }));
    const tookMs = clock.now() - startMs;
    assert.ok(tookMs >= PROFILES.tke2020.createLoadBalancerMs && tookMs < 10_600, `took ${tookMs} ms`);
  });

  test("the same seed gives the same times and ids", async (t) => {
    const run = async (seed: number): Promise<unknown> => {
      const { clock, done, ListenerId } = await virtualCloud(t, { seed });
      const made = await clock.run(
        done<{ RequestId: string; LoadBalancerIds: string[] }>("CreateLoadBalancer", { LoadBalancerType: "OPEN" }),
      );
      return [ListenerId, made.LoadBalancerIds, clock.now()];
    };
    assert.deepEqual(await run(1), await run(1));
    assert.notDeepEqual(await run(1), await run(2));
  });

  test("health comes from the scenario, or from the state machine without a network", async (t) => {
    const scripted = await virtualCloud(t);
    await scripted.clock.run(scripted.register(1));
    await scripted.clock.run(scripted.clock.sleep(60_000));
    assert.deepEqual(scripted.cloud.journal.of("health"), []);
    const { clock, cloud, register } = await virtualCloud(t, { health: "probe", probe: alwaysHealthy });
    await clock.run(register(5));
    const boundMs = clock.now();
    await clock.run(clock.sleep(60_000));
    const alive = cloud.journal.of("health").map(({ to, timeMs }) => ({ to, afterMs: timeMs - boundMs }));
    assert.deepEqual(new Set(alive.map(({ to }) => to)), new Set(["Alive"]));
    assert.equal(alive.length, 5);
    for (const { afterMs } of alive) assert.ok(afterMs >= 10_000 && afterMs <= 15_000, `${afterMs} ms: three checks, 5 s apart`);
  });

  test("it refuses what needs sockets, and says what to do", () => {
    const clock = makeVirtualClock();
    assert.throws(() => makeCloud({ clock, dataPlane: true }), /RangeError: dataPlane: true does not go with a virtual clock/);
    assert.throws(() => makeCloud({ clock, health: "probe" }), /RangeError: health: "probe" needs a probe without network.*alwaysHealthy/);
  });
});

suite("in one process", () => {
  test("an error of the API has the fields that the SDK gives it", async (t) => {
    const { clock, call } = await virtualCloud(t);
    const failure: unknown = await clock.run(call("DescribeListeners", { LoadBalancerId: "lb-none" }).catch((error: unknown) => error));
    assert.ok(failure instanceof Error && "code" in failure && "requestId" in failure);
    assert.equal(failure.code, "InvalidParameter.LBIdNotFound");
    assert.match(String(failure.requestId), /^[0-9a-f-]{36}$/);
  });

  test("a failure below the API has no code", async (t) => {
    const { clock, cloud, call } = await virtualCloud(t);
    for (const [fault, message] of [
      [{ kind: "reset", count: 1 }, /socket hang up/],
      [{ kind: "http", status: 503, count: 1 }, /Service Unavailable/],
    ] as const) {
      cloud.faults.add(fault);
      const failure: unknown = await clock.run(call("DescribeQuota", {}).catch((error: unknown) => error));
      assert.ok(failure instanceof Error && !("code" in failure));
      assert.match(failure.message, message);
    }
  });

  test("an aborted call rejects at once; the cloud goes on with it", async (t) => {
    const { clock, cloud, transport, LoadBalancerId } = await virtualCloud(t);
    const gone = new AbortController();
    const asked = { LoadBalancerId, Ports: [81], Protocol: "TCP" };
    const calling = transport("clb", "CreateListener", asked, gone.signal);
    gone.abort(new Error("gave up"));
    await assert.rejects(calling, /gave up/);
    await assert.rejects(transport("clb", "CreateListener", asked, gone.signal), /gave up/);
    await clock.run(clock.sleep(10_000));
    assert.equal(cloud.journal.of("listener").length, 2);
  });

  test("answers are copies: what a caller does to one changes nothing", async (t) => {
    const { clock, call, register, LoadBalancerId } = await virtualCloud(t);
    await clock.run(register(1));
    const read = () => clock.run(call<{ Listeners: { Targets: unknown[] }[] }>("DescribeTargets", { LoadBalancerId }));
    (await read()).Listeners[0]?.Targets.pop();
    assert.equal((await read()).Listeners[0]?.Targets.length, 1);
  });
});

suite("scaled time", () => {
  test("product and cloud run twenty times as fast over HTTP; admin tells the factor", async (t) => {
    const { endpoint, adminUrl, cloud } = await withCloud(t, { profile: "fast", clock: makeClock(20), dataPlane: false });
    const { loadBalancerId } = cloud.addLoadBalancer();
    const clock = makeClock(20); // the product's own, of the same factor
    const { secretId, secretKey } = TEST_KEY;
    const credential = { secretId, secretKey, token: undefined };
    const transport = makeSdkTransport({ region: "ap-guangzhou", endpoint, protocol: "http://", timeoutSeconds: 60, credential });
    const api = makeClbApi({ transport, rateLimit: new RateLimit(clock, { perSecond: 20, pauseAfterThrottlingMs: 1000 }), clock });
    const startedMs = performance.now();
    for (let port = 8000; port < 8005; port++)
      await api.createListeners(loadBalancerId, { protocol: "TCP", healthCheck: {}, listeners: [{ name: `l${port}`, port }] }, forever);
    const realMs = performance.now() - startedMs;
    assert.equal(cloud.journal.of("listener").length, 5);
    // Five writes of at least 40 + 400 ms each, in the product's time as in the cloud's.
    assert.ok(realMs > (5 * 440) / 20 && realMs < 2200, `took ${realMs} ms`);
    const { scale, nowMs } = (await (await fetch(`${adminUrl}/time`)).json()) as { scale: number; nowMs: number };
    assert.equal(scale, 20);
    assert.ok(Math.abs(nowMs - clock.now()) < 20_000, "clocks of one factor stay together");
  });

  test("signatures stay in real time", async (t) => {
    const { sdk, adminUrl } = await withCloud(t, { clock: makeClock(1000), dataPlane: false });
    await new Promise((resolve) => setTimeout(resolve, 400)); // 400 s of the cloud's time, more than a signature lives
    await sdk.DescribeQuota(null);
    assert.equal(((await (await fetch(`${adminUrl}/time`)).json()) as { scale: number }).scale, 1000);
  });
});

test("a virtual cloud says that it is one", () => {
  assert.deepEqual(makeCloud({ clock: makeVirtualClock(5000) }).time(), { nowMs: 5000, scale: "virtual" });
});
