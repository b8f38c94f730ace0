import assert from "node:assert/strict";
import { test } from "node:test";
import type { JournalEntry } from "../cloud/journal/journal.ts";
import type { PodTimes } from "./pods.ts";
import { nameVictim, summarize, summaryText } from "./summary.ts";

const AT = { loadBalancerId: "lb-1", listenerId: "lbl-1", ip: "10.244.1.1", port: 8080 } as const;
type Part = { readonly [key: string]: unknown };
const journal = (...parts: readonly Part[]): JournalEntry[] =>
  parts.map((part, index) => ({ seq: index + 1, ...part }) as unknown as JournalEntry);
const call = (action: string, startMs: number, timeMs: number): Part => ({
  kind: "call",
  action,
  startMs,
  timeMs,
  code: "OK",
  requestId: `r-${timeMs}`,
  loadBalancerIds: ["lb-1"],
});
const bound = (timeMs: number, at: object = AT): Part => ({ kind: "target", change: "bound", weight: 10, timeMs, ...at });
const health = (to: string, timeMs: number, at: object = AT): Part => ({ kind: "health", from: "Unknown", to, timeMs, ...at });
const POD = { name: "web-1", ip: AT.ip, containersReadyMs: 1_000, gateTrueMs: 9_010 } as PodTimes;

const partsOf = (pod: PodTimes, entries: JournalEntry[]) => {
  const load = { requests: 1, unsent: 0, failures: [], minRate: 1, byPod: new Map(), certificates: new Set<string>() };
  const summary = summarize({ load, failures: [], pods: [pod], journal: entries, busyAfterReturnMs: 0, rolloutSeconds: 1 });
  const [one] = summary.pods;
  return { summary, parts: one && [one.oursMs, one.pollMs, one.apiMs, one.ownMs, one.cloudMs] };
};

test("what is not the cloud's work is told in three parts", () => {
  const { summary, parts } = partsOf(
    POD,
    journal(
      bound(1_290),
      call("BatchRegisterTargets", 1_020, 1_300),
      call("DescribeTargetHealth", 8_840, 8_880),
      health("Alive", 8_930),
      call("DescribeTargetHealth", 8_920, 8_920),
      call("DescribeTargetHealth", 8_950, 8_990),
    )
      .toSorted((a, b) => a.timeMs - b.timeMs)
      .map((entry, index) => ({ ...entry, seq: index + 1 })),
  );
  assert.deepEqual(parts, [40, 20, 40, 100, 7_910]);
  assert.match(summaryText(summary), /web-1 +8010 ms +7910 ms +40 ms +20 ms +40 ms\n/);
});

test("without checks the rest of the write is the API's time", () => {
  const { parts } = partsOf(
    { ...POD, gateTrueMs: 1_320 },
    journal(bound(1_290), health("Close", 1_290), call("BatchRegisterTargets", 1_020, 1_300)),
  );
  assert.deepEqual(parts, [40, 0, 10, 50, 270]);
});

test("the end of the task that held the load balancer is heard of by a question: its wait and its time are no work of ours", () => {
  const drained = { kind: "task", change: "succeeded", taskId: "t-1", action: "BatchModifyTargetWeight", loadBalancerIds: ["lb-1"] };
  const { parts } = partsOf(
    { ...POD, gateTrueMs: 1_420 },
    journal(
      { ...drained, timeMs: 1_050 },
      { ...call("DescribeTaskStatus", 1_030, 1_045), loadBalancerIds: [] },
      { ...call("DescribeTaskStatus", 1_070, 1_110), loadBalancerIds: [] },
      bound(1_390),
      health("Close", 1_390),
      call("BatchRegisterTargets", 1_120, 1_400),
    )
      .toSorted((a, b) => a.timeMs - b.timeMs)
      .map((entry, index) => ({ ...entry, seq: index + 1 })),
  );
  assert.deepEqual(parts, [30, 20, 50, 100, 320]);
});

test("a Pod in two rules waits for the later one: the cloud checks each for itself", () => {
  const [http, https] = ["lbl-1", "lbl-2"].map((listenerId) => ({ ...AT, listenerId, locationId: `loc-${listenerId}` }));
  const { parts } = partsOf(
    POD,
    journal(
      bound(1_290, http),
      bound(1_290, https),
      call("BatchRegisterTargets", 1_020, 1_300),
      health("Alive", 7_430, https),
      call("DescribeTargetHealth", 7_450, 7_490),
      health("Alive", 8_930, http),
      call("DescribeTargetHealth", 8_950, 8_990),
    ),
  );
  assert.deepEqual(parts, [40, 20, 40, 100, 7_910]);
});

test("a Pod counts whenever our own watch has seen it ready: before its bind, after it, or with its gate", () => {
  const places = ["lbl-1", "lbl-2"].map((listenerId) => ({ ...AT, listenerId, locationId: `loc-${listenerId}` }));
  const entries = journal(
    ...places.map((place) => bound(1_290, place)),
    call("BatchRegisterTargets", 1_020, 1_300),
    health("Alive", 7_430, places[1]),
    health("Alive", 8_930, places[0]),
    call("DescribeTargetHealth", 8_950, 8_990),
  );
  const of = (containersReadyMs: number) => partsOf({ ...POD, containersReadyMs }, entries).parts;
  assert.deepEqual(of(1_000), [40, 20, 40, 100, 7_910]);
  assert.deepEqual(of(1_291), [20, 20, 40, 80, 7_639]);
  assert.deepEqual(of(9_010), [0, 0, 0, 0, 0]);
});

test("what a former Pod with the same address had is no place of this one, whether it had a gate or not", () => {
  const [former, now] = ["lbl-1", "lbl-2"].map((listenerId) => ({ ...AT, listenerId }));
  const { parts } = partsOf(
    POD,
    journal(
      bound(100, former),
      bound(100, now),
      health("Alive", 400, now), // and never in the other one
      { ...bound(800, former), change: "unbound" },
      { ...bound(900, now), change: "unbound" },
      bound(1_290, now),
      call("BatchRegisterTargets", 1_020, 1_300),
      health("Alive", 8_930, now),
      call("DescribeTargetHealth", 8_950, 8_990),
      bound(9_400, former), // after the gate
    ),
  );
  assert.deepEqual(parts, [40, 20, 40, 100, 7_910]);
});

test("that the load balancer had no backend is said only where it says so itself", () => {
  const failure = { atMs: 5_000, cause: "timeout after 2000 ms", connection: "new", localPort: 40_000, pod: undefined } as const;
  const victimOf = (backend: string | undefined): string => nameVictim(failure, backend, [POD]).victim;
  assert.match(victimOf(""), /^no Pod: the load balancer had none to send to$/);
  assert.match(victimOf(undefined), /^a Pod that nobody knows: the load balancer saw no failure$/);
  assert.equal(victimOf("10.244.1.1:8080"), "a Pod in service");
});
