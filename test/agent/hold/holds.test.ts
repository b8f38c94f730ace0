/** Calls that wait, in virtual time: what is known of their Pods meanwhile, and when each is answered. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { pino } from "pino";
import { Holds } from "../../../agent/hold/holds.ts";
import type { HoldPod } from "../../../agent/hold/messages.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";

const DELETION = { atMs: Date.parse("2026-01-02T03:05:00Z"), graceSeconds: 120 };
/** 120 s without a tenth and 2 s. */
const BUDGET_MS = 106_000;
const POD: HoldPod = { uid: "pod-1", name: "demo/web-1", ips: ["10.0.3.7"], token: "token-1", graceSeconds: 120 };
const LIST = { complete: true, removed: [] };
const CHANGE = { complete: false, pods: [], removed: [] };
const LOWERED = { uid: "pod-1", state: "lowered", reason: "", terminating: true, drainMs: 30_000 } as const;

function start(t: TestContext) {
  const clock = makeVirtualClock();
  const released: string[] = [];
  const onReleased = ({ uid, end, heldMs }: { uid: string; end: string; heldMs: number }): void =>
    void released.push(`${uid} ${end} after ${heldMs} ms`);
  const holds = new Holds({ onHeld: () => undefined, onReleased, clock, log: pino({ level: "silent" }) });
  const dial = (token = "token-1"): readonly string[] => {
    const answers: string[] = [];
    assert.ok(holds.dial("10.0.3.7", token, { answer: (text) => void answers.push(text) }) !== undefined, `${token} is known`);
    return answers;
  };
  const pass = (ms: number): Promise<void> => clock.run(clock.sleep(ms));
  t.after(() => assert.deepEqual(holds.held, [], "none waits for ever"));
  return { holds, dial, pass, released };
}

for (const [what, absence] of [
  ["a list that lacks it", { ...LIST, pods: [] }],
  ["a watch that lost it", { ...CHANGE, absent: ["pod-1"] }],
] as const) {
  test(`${what} is no end of a Pod that is held: the coordinator's word and the budget are`, async (t) => {
    const { holds, dial, pass, released } = start(t);
    holds.setPods({ ...LIST, pods: [POD] });
    const answers = dial();
    holds.setPods(absence);
    holds.setAnswers([{ ...LOWERED, deletionAtMs: undefined, graceSeconds: undefined }]);
    await pass(29_000);
    assert.deepEqual(answers, []);
    await pass(1_000);
    assert.deepEqual([answers, released], [["drain-time"], ["pod-1 drain-time after 30000 ms"]]);
  });

  test(`${what} ends no hold early that has long to go, and is forgotten after it`, async (t) => {
    const { holds, dial, pass } = start(t);
    holds.setPods({ ...LIST, pods: [{ ...POD, deletion: DELETION }] });
    const answers = dial();
    holds.setPods(absence);
    await pass(40_000);
    assert.deepEqual([...holds.addresses], ["10.0.3.7"], "a kubelet that was started anew calls again");
    await pass(BUDGET_MS - 40_000);
    assert.deepEqual(answers, ["budget"]);
    assert.deepEqual([...holds.addresses], []);
  });

  test(`${what} lets the address go at once to the Pod that has it next`, async (t) => {
    const { holds, dial, pass, released } = start(t);
    holds.setPods({ ...LIST, pods: [{ ...POD, deletion: DELETION }] });
    dial();
    holds.setPods(absence);
    await pass(1_000);
    holds.setPods({ ...CHANGE, pods: [{ ...POD, uid: "pod-2", token: "token-2" }] });
    assert.deepEqual(released, ["pod-1 aborted after 1000 ms"]);
    const answers = dial("token-2");
    holds.setAnswers([{ ...LOWERED, uid: "pod-2", state: "release", deletionAtMs: undefined, graceSeconds: undefined }]);
    assert.deepEqual(answers, ["released"]);
  });
}

test("a Pod that was deleted by force is answered at once", (t) => {
  const { holds, dial, released } = start(t);
  holds.setPods({ ...LIST, pods: [POD] });
  const answers = dial();
  holds.setPods({ ...CHANGE, removed: ["pod-1"] });
  assert.deepEqual([answers, released], [["budget"], ["pod-1 budget after 0 ms"]]);
});
