import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import type { Report } from "../../agent/domain/plan-report.ts";
import { makeNodeLoop } from "../../agent/node-loop.ts";
import type { NetworkSource } from "../../agent/ports.ts";
import { makeClock } from "../../common/clock.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { aPod } from "../builders.ts";
import { pause, until } from "./until.ts";

function start(t: TestContext, carriersOf: NetworkSource["carriersOf"]) {
  const clock = makeClock();
  const pods = { synced: true, records: new Map<string, PodFact>(), lastByteAtMs: 0 };
  const reports: Report[] = [];
  const loop = makeNodeLoop({
    pods: () => pods,
    network: { carriersOf },
    uplink: { report: (report) => void reports.push(report) },
    clock,
    log: pino({ level: "silent" }),
  });
  const over = new AbortController();
  const ended = loop.run(over.signal);
  t.after(async () => {
    over.abort();
    await ended;
  });
  return { loop, pods, reports, clock };
}

const nothing: NetworkSource["carriersOf"] = () => Promise.resolve({ found: new Map(), againAtMs: Number.POSITIVE_INFINITY });

test("reports nothing before the Pods were listed", async (t) => {
  const { loop, pods, reports } = start(t, nothing);
  pods.synced = false;
  loop.trigger();
  await pause(30);
  assert.equal(reports.length, 0);
  pods.synced = true;
  loop.trigger();
  await until(() => reports.length === 1);
});

test("many triggers during a pass become one more pass", async (t) => {
  const go = Promise.withResolvers<void>();
  let looks = 0;
  const { loop, reports } = start(t, async (...args) => {
    looks++;
    await go.promise;
    return await nothing(...args);
  });
  loop.trigger();
  await until(() => looks === 1);
  for (let times = 0; times < 10; times++) loop.trigger();
  go.resolve();
  await pause(50);
  assert.deepEqual([looks, reports.length], [2, 2]);
});

test("joins Pods and interfaces, and keeps the evidence of deletions only", async (t) => {
  const lo = { name: "lo", mac: "", kind: "node", table: 0 } as const;
  const { loop, pods, reports } = start(t, (addresses) =>
    Promise.resolve({
      found: new Map(Array.from(addresses.keys(), (uid) => [uid, { hostInterface: lo, note: "" }])),
      againAtMs: Number.POSITIVE_INFINITY,
    }),
  );
  pods.records.set("a", aPod({ uid: "a" }));
  loop.podChanged({ kind: "added", record: aPod({ uid: "a" }) });
  loop.podChanged({ kind: "removed", record: aPod({ uid: "b" }), evidence: "deleted" });
  loop.podChanged({ kind: "removed", record: aPod({ uid: "c" }), evidence: "absent" });
  await until(() => reports.length > 0);
  assert.deepEqual([...(reports.at(-1)?.deleted ?? [])], ["b"]);
  assert.deepEqual(reports.at(-1)?.pods.get("a")?.hostInterface, lo);
});

test("remembers a bounded number of deletions, the newest", async (t) => {
  const { loop, reports } = start(t, nothing);
  for (let index = 0; index < 5_000; index++)
    loop.podChanged({ kind: "removed", record: aPod({ uid: `pod-${index}` }), evidence: "deleted" });
  await until(() => reports.length > 0);
  const deleted = reports.at(-1)?.deleted;
  assert.deepEqual([deleted?.size, deleted?.has("pod-4999"), deleted?.has("pod-0")], [4_096, true, false]);
});

test("passes again when the network says so, and after a failure", async (t) => {
  let looks = 0;
  const { loop, clock, reports } = start(t, () => {
    looks++;
    if (looks === 1) return Promise.reject(new Error("kernel on fire"));
    return Promise.resolve({ found: new Map(), againAtMs: clock.now() + (looks === 2 ? 20 : 60_000) });
  });
  loop.trigger();
  await until(() => reports.length === 2, 2_000);
  await pause(50);
  assert.equal(looks, 3);
});
