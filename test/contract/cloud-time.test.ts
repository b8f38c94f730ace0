import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../common/clock.ts";
import { makeCloud } from "../cloud/cloud.ts";
import { PROFILES } from "../cloud/options.ts";

/** A clock that stands still until it is told to jump to the next sleeper. */
function makeVirtualClock() {
  let nowMs = 1_700_000_000_000;
  const sleepers = new Set<{ atMs: number; wake: () => void }>();
  const clock: Clock = {
    now: () => nowMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { atMs: nowMs + ms, wake: resolve };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", () => sleepers.delete(sleeper) && reject(signal.reason), { once: true });
      }),
  };
  /** Runs until nothing is left to do or the promise is settled. */
  const runUntil = async <T>(promise: Promise<T>): Promise<T> => {
    const state = { settled: false };
    const watched = promise.finally(() => {
      state.settled = true;
    });
    watched.catch(() => undefined);
    for (await turn(); !state.settled; await turn()) {
      const [next] = [...sleepers].toSorted((left, right) => left.atMs - right.atMs);
      if (next === undefined) break;
      sleepers.delete(next);
      nowMs = Math.max(nowMs, next.atMs);
      next.wake();
    }
    return watched;
  };
  return { clock, runUntil };
}

test("time passes through the clock alone: an order of 10 s and 500 writes of 2020 run in an instant", async (t) => {
  const startedMs = performance.now();
  const { clock, runUntil } = makeVirtualClock();
  const cloud = makeCloud({ clock, profile: "tke2020", dataPlane: false, health: "scripted" });
  t.after(() => cloud.stop());
  const finished = async (call: Promise<Record<string, unknown>>): Promise<Record<string, unknown>> => {
    const accepted = await call;
    for (;;) {
      const { Status } = await cloud.call("clb", "DescribeTaskStatus", { TaskId: accepted["RequestId"] });
      if (Status === 0) return accepted;
      await clock.sleep(200);
    }
  };
  const { LoadBalancerIds } = await runUntil(finished(cloud.call("clb", "CreateLoadBalancer", { LoadBalancerType: "OPEN" })));
  const createdMs = clock.now() - 1_700_000_000_000;
  assert.ok(createdMs >= PROFILES.tke2020.createLoadBalancerMs && createdMs < 10_600, `took ${createdMs} ms`);
  const [LoadBalancerId] = LoadBalancerIds as string[];
  const { ListenerIds } = await runUntil(finished(cloud.call("clb", "CreateListener", { LoadBalancerId, Ports: [80], Protocol: "TCP" })));
  const [ListenerId] = ListenerIds as string[];
  const beforeMs = clock.now();
  for (let index = 0; index < 250; index++)
    for (const action of ["BatchRegisterTargets", "BatchDeregisterTargets"])
      await runUntil(cloud.call("clb", action, { LoadBalancerId, Targets: [{ ListenerId, EniIp: "10.244.0.1", Port: 80 }] }));
  const perWriteMs = (clock.now() - beforeMs) / 500;
  assert.ok(Math.abs(perWriteMs - (98 + 3680)) < 10, `a write took ${perWriteMs} ms`);
  assert.ok(performance.now() - startedMs < 5000, "in real time");
  assert.equal(cloud.counts().overlaps, 0);
});

test("the same seed gives the same times and ids", async (t) => {
  const run = async (seed: number): Promise<unknown> => {
    const { clock, runUntil } = makeVirtualClock();
    const cloud = makeCloud({ clock, seed, dataPlane: false });
    t.after(() => cloud.stop());
    const made = await runUntil(cloud.call("clb", "CreateLoadBalancer", { LoadBalancerType: "OPEN" }));
    return [made["LoadBalancerIds"], clock.now()];
  };
  assert.deepEqual(await run(1), await run(1));
  assert.notDeepEqual(await run(1), await run(2));
});
