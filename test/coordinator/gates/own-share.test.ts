import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { Call } from "../../../coordinator/domain/call.ts";
import { OwnShare } from "../../../coordinator/gates/own-share.ts";
import type { PodChange } from "../../../coordinator/state/pod-facts.ts";
import { aPod } from "../../builders.ts";

const WAITING = aPod({ uid: "pod-1", ips: ["10.244.1.1"], containersReady: false });
const READY = { ...WAITING, containersReady: true };
const BIND: Call = {
  lane: "bind",
  targets: [{ listenerId: "lbl-1", ip: "10.244.1.1", port: 8080, weight: 10, podUid: "pod-1" }],
};

/** Seconds become milliseconds, e.g. "ours 30". */
function aShare() {
  const observed: string[] = [];
  const stages: string[] = [];
  const clock = { nowMs: 0, now: () => clock.nowMs, sleep: () => Promise.resolve() };
  const followers: ((change: PodChange) => void)[] = [];
  const share = new OwnShare({
    pods: { follow: (listener) => void followers.push(listener), byIp: (ip) => (ip === "10.244.1.1" ? READY : undefined) },
    clock,
    observe: (part, seconds) => void observed.push(`${part} ${Math.round(seconds * 1_000)}`),
    observeStage: (stage, seconds) => void stages.push(`${stage} ${Math.round(seconds * 1_000)}`),
  });
  const at = (ms: number): OwnShare => {
    clock.nowMs = ms;
    return share;
  };
  const changed = (ms: number, before: PodFact | undefined, after: PodFact | undefined): void => {
    clock.nowMs = ms;
    for (const tell of followers) tell({ before, after, end: undefined });
  };
  return { at, changed, observed, stages };
}
const made = (startedMs: number, endedMs: number, freeMs = 0, result = "ok") => ({
  call: BIND,
  result,
  startedMs,
  endedMs,
  claimMs: 7,
  freeMs,
});

test("four parts: from the event to the call and from the answer to the patch, the API server's answers, the wait for the question, and the question", () => {
  const { at, changed, observed } = aShare();
  changed(1_000, WAITING, READY);
  at(1_300).made(made(1_010, 1_300));
  at(9_000).serving(["10.244.1.1"], { beforeMs: 8_900, askedMs: 8_956, answeredMs: 9_000 });
  at(9_006).opened(READY, 4);
  assert.deepEqual(observed, ["ours 12", "apiserver 11", "poll 56", "api 44"]);
});

test("the stages of the way to the gate are what there is from containers ready to the answered patch", () => {
  const { at, changed, stages } = aShare();
  changed(1_000, WAITING, READY);
  at(2_500).made(made(2_020, 2_500, 2_000));
  at(9_000).serving(["10.244.1.1"], { beforeMs: 8_900, askedMs: 8_956, answeredMs: 9_000 });
  assert.deepEqual(at(9_003).stagesSoFar("pod-1"), { wait: 1.02, bind: 0.48, check: 6.5 });
  at(9_006).opened(READY, 0);
  assert.deepEqual(stages, ["wait 1020", "bind 480", "check 6500", "patch 6"]);
  assert.deepEqual(at(9_007).stagesOf("pod-1"), { wait: 1.02, bind: 0.48, check: 6.5, patch: 0.006 });
  changed(20_000, READY, undefined);
  assert.equal(at(20_000).stagesOf("pod-1"), undefined, "a Pod that is gone is forgotten");
});

test("of a Pod that was ready when it was first heard of it counts what came after that, and its stages begin at the last moment that its own time may mean", () => {
  const { at, changed, observed, stages } = aShare();
  changed(3_500, undefined, { ...READY, containersReadyAtMs: 1_000 });
  at(4_300).made(made(3_999, 4_300));
  assert.deepEqual(at(4_301).stagesSoFar("pod-1"), { wait: 2, bind: 0.301, check: 0 });
  at(4_310).opened(READY, 4);
  assert.deepEqual(at(4_311).stagesOf("pod-1"), { wait: 2, bind: 0.301, check: 0, patch: 0.01 });
  assert.deepEqual([observed, stages], [["late 505"], []]);
  changed(5_000, undefined, { ...READY, uid: "pod-2", containersReadyAtMs: 4_900 });
  assert.equal(at(5_000).stagesSoFar("pod-2"), undefined, "not bound yet");
});

test("time in which another write held the load balancer is not ours, and without checks there is no question", () => {
  const { at, changed, observed } = aShare();
  changed(1_000, WAITING, READY);
  at(2_500).made(made(2_020, 2_500, 2_000));
  at(2_508).opened(READY, 5);
  assert.deepEqual(observed, ["ours 23", "apiserver 12"]);
});

test("time in which the load balancer waits for its turn by the rate limit is told apart, as far as the Pod was there", () => {
  const { at, changed, observed } = aShare();
  changed(1_000, WAITING, READY);
  at(2_500).made({ ...made(2_020, 2_500), turn: { fromMs: 600, untilMs: 1_970 } });
  at(2_508).opened(READY, 5);
  assert.deepEqual(observed, ["ours 53", "turn 970", "apiserver 12"]);
});

test("no question was waited for longer than the target has been bound", () => {
  const { at, changed, observed } = aShare();
  changed(1_000, WAITING, READY);
  at(1_100).made(made(1_000, 1_100));
  at(1_130).serving(["10.244.1.1"], { beforeMs: 400, askedMs: 1_110, answeredMs: 1_130 });
  at(1_130).opened(READY, 0);
  assert.deepEqual(observed, ["ours 0", "apiserver 7", "poll 10", "api 20"]);
});

test("the patch may be seen by the watch before it is answered", () => {
  const { at, changed, observed } = aShare();
  changed(1_000, WAITING, READY);
  at(1_100).made(made(1_000, 1_100));
  changed(1_104, READY, { ...READY, gate: "True" });
  at(1_105).opened(READY, 4);
  assert.deepEqual(observed, ["ours 1", "apiserver 11"]);
});

for (const [title, run] of [
  ["one that was ready when it was first heard of", ({ changed }) => changed(1_000, undefined, READY)],
  ["one that is over", ({ changed }) => void [changed(1_000, WAITING, READY), changed(1_001, READY, undefined)]],
  [
    "one whose bind failed",
    ({ at, changed }) => void [changed(1_000, WAITING, READY), at(1_100).made(made(1_000, 1_100, 0, "FailedOperation"))],
  ],
] as const satisfies readonly (readonly [string, (world: ReturnType<typeof aShare>) => void])[])
  test(`nothing is measured of ${title}`, () => {
    const world = aShare();
    run(world);
    world.at(2_000).opened(READY, 0);
    assert.deepEqual(world.observed, []);
  });
