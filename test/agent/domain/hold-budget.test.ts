import assert from "node:assert/strict";
import { test } from "node:test";
import { budgetMs, type Hold, judgeHold, withDeletion } from "../../../agent/domain/hold-budget.ts";

const DIALLED_MS = 1_000;
const AT = Date.parse("2026-01-02T03:04:35Z");
const hold = (change: Partial<Hold> = {}): Hold => ({
  firstDialMs: DIALLED_MS,
  podGraceSeconds: 30,
  deletion: undefined,
  isGone: false,
  answer: undefined,
  open: undefined,
  ...change,
});
const deletedIn = (graceSeconds: number, atMs = AT): Hold["deletion"] => withDeletion(undefined, { atMs, graceSeconds });
const lowered = (loweredAtMs: number, change: Partial<NonNullable<Hold["answer"]>> = {}): Hold["answer"] => ({
  state: "lowered",
  terminating: true,
  loweredAtMs,
  drainMs: 30_000,
  ...change,
});
/** E.g. "wait 24000" or "over budget". */
const judged = (it: Hold, nowMs: number): string => {
  const judgement = judgeHold(it, nowMs);
  return judgement.kind === "wait" ? `wait ${judgement.untilMs}` : `over ${judgement.end}`;
};

test("the budget is the grace period without the application's reserve (5 s, 10 % at least) and the kubelet's floor of 2 s", () => {
  const table: readonly (readonly [grace: number, budget: number])[] = [
    [0, 0],
    [4, 0],
    [7, 0],
    [10, 3_000],
    [30, 23_000],
    [50, 43_000],
    [60, 52_000],
    [600, 538_000],
  ];
  for (const [grace, budget] of table) assert.equal(budgetMs(hold({ deletion: deletedIn(grace) })), budget, `grace ${grace}`);
});

test("a second deletion with an earlier timestamp shortens the budget by the difference, whatever clocks say; a later one does not lengthen it", () => {
  const first = deletedIn(60);
  const sooner = withDeletion(first, { atMs: AT - 20_000, graceSeconds: 12 });
  assert.equal(budgetMs(hold({ deletion: sooner })), 32_000);
  assert.equal(budgetMs(hold({ deletion: withDeletion(first, { atMs: AT + 20_000, graceSeconds: 60 }) })), 52_000);
  assert.equal(budgetMs(hold({ deletion: withDeletion(first, { atMs: AT - 60_000, graceSeconds: 0 }) })), 0);
});

test("a dial of a Pod that is not deleted holds for 5 s and half of the grace at most; of a Pod that is gone it is answered at once", () => {
  const lives = { state: "wait", terminating: false, loweredAtMs: undefined, drainMs: 30_000 } as const;
  assert.equal(budgetMs(hold({ answer: lives })), 5_000);
  assert.equal(budgetMs(hold({ answer: lives, podGraceSeconds: 4 })), 2_000);
  assert.equal(budgetMs(hold({ answer: lives, podGraceSeconds: 0 })), 0);
  assert.equal(budgetMs(hold({ isGone: true })), 0);
  assert.equal(budgetMs(hold({ answer: { state: "wait", terminating: true, loweredAtMs: undefined, drainMs: 30_000 } })), 23_000);
});

test("while nobody has said whether the Pod is deleted it is held as if it were, for a minute at most: agent and leader may be too busy", () => {
  assert.equal(budgetMs(hold()), 23_000);
  assert.equal(budgetMs(hold({ podGraceSeconds: 3_600 })), 60_000); // a container that its liveness probe kills while no coordinator runs
  assert.equal(budgetMs(hold({ podGraceSeconds: 8 })), 4_000);
  assert.equal(budgetMs(hold({ podGraceSeconds: 0 })), 0);
});

test("what ends a hold", () => {
  const deletion = deletedIn(30);
  const wait: Hold["answer"] = { state: "wait", terminating: true, loweredAtMs: undefined, drainMs: 30_000 };
  const table: readonly (readonly [why: string, it: Hold, nowMs: number, expected: string])[] = [
    ["nobody has said anything", hold(), 1_000, "wait 24000"],
    ["still nobody", hold(), 24_000, "over no-word"],
    ["coordinator away, deletion seen", hold({ deletion }), 20_000, "wait 24000"],
    ["the budget alone decides", hold({ deletion }), 24_000, "over budget"],
    ["weight 0 is on its way", hold({ deletion, answer: wait }), 2_000, "wait 24000"],
    ["bound nowhere, or the floor refuses", hold({ deletion, answer: { ...wait, state: "release" } }), 1_005, "over released"],
    [
      "a Pod that lives: what came before weight 0 is answered",
      hold({ answer: lowered(1_500, { terminating: false }) }),
      1_500,
      "wait 2500",
    ],
    ["a Pod that lives: a second after weight 0", hold({ answer: lowered(1_500, { terminating: false }) }), 2_500, "over drained"],
    ["a Pod that lives: weight 0 at the last moment", hold({ answer: lowered(5_900, { terminating: false }) }), 5_950, "wait 6000"],
    ["a Pod that lives, too late", hold({ answer: { ...wait, terminating: false } }), 6_000, "over budget"],
    [
      "the watch knows better than an older answer",
      hold({ deletion, answer: lowered(1_500, { terminating: false }) }),
      1_500,
      "wait 24000",
    ],
    ["connections are not known: the drain time", hold({ deletion, answer: lowered(1_500, { drainMs: 8_000 }) }), 2_000, "wait 9500"],
    ["the drain time is over", hold({ deletion, answer: lowered(1_500, { drainMs: 8_000 }) }), 9_500, "over drain-time"],
    ["the budget is shorter than the drain", hold({ deletion, answer: lowered(1_500) }), 24_000, "over budget"],
    ["nobody is connected", hold({ deletion, answer: lowered(1_500), open: { connections: 0, atMs: 2_500 } }), 2_500, "over drained"],
    ["counted too early", hold({ deletion, answer: lowered(1_500), open: { connections: 0, atMs: 2_400 } }), 2_500, "wait 24000"],
    ["somebody is connected", hold({ deletion, answer: lowered(1_500), open: { connections: 1, atMs: 2_600 } }), 2_600, "wait 24000"],
    [
      "nobody is connected, weight 0 is not effective",
      hold({ deletion, answer: wait, open: { connections: 0, atMs: 9_000 } }),
      9_000,
      "wait 24000",
    ],
  ];
  for (const [why, it, nowMs, expected] of table) assert.equal(judged(it, nowMs), expected, why);
});
