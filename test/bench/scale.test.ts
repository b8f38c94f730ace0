import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { quantile } from "../../bench/scale/changes.ts";
import { quantileIn } from "../../bench/scale/measure.ts";
import { ratioOf } from "../../bench/scale/per-change.ts";
import { type Goal, goalsText, limitFor, verdict } from "../../bench/scale/rows.ts";
import { untilAll } from "../../bench/scale/wait.ts";
import { ADVISED, flagsOf } from "../../bench/scale/whole.ts";
import { nodeFlags } from "../../deploy/tools/render.ts";

const goal = (kind: Goal["kind"], value: number | null, controlP99Ms: number, atMost: number | undefined = 20): Goal => {
  return { row: "storm", what: "all acknowledged", unit: "s", kind, value, controlP99Ms, ...(atMost !== undefined && { atMost }) };
};

suite("whether a goal is missed", () => {
  const cases: readonly [what: string, goal: Goal, verdict: ReturnType<typeof verdict>][] = [
    ["within the limit", goal("time", 20, 11), "reached"],
    ["above it on a quiet machine", goal("time", 20.1, 11), "MISSED"],
    ["above it by as much as the control process is late", goal("time", 40, 24), "noise"],
    ["above it by more than that", goal("time", 41, 24), "MISSED"],
    ["a loop delay of 1.5 times that of the control process", goal("delay", 36, 24), "noise"],
    ["a loop delay above that", goal("delay", 37, 24), "MISSED"],
    ["CPU and memory are not excused", goal("amount", 20.1, 500), "MISSED"],
    ["what never happened", goal("time", null, 500), "MISSED"],
  ];
  for (const [what, one, wanted] of cases) test(what, () => assert.equal(verdict(one), wanted));
  test("what has no limit has no verdict", () => {
    const { atMost: _none, ...free } = goal("time", null, 11);
    assert.equal(verdict(free), "");
  });
});

test("a run of the small size has limits, but none of what it is too short for", () => {
  const limits = (size: "full" | "quick") =>
    (
      [
        ["time", "s"],
        ["delay", "ms"],
        ["amount", "cores"],
        ["amount", "MiB"],
      ] as const
    ).map(([kind, unit]) => limitFor(size, { kind, unit, atMost: 1 }));
  assert.deepEqual(
    [limits("full"), limits("quick")],
    [
      [1, 1, 1, 1],
      [1, undefined, undefined, 1],
    ],
  );
});

test("each measure has a line with its limit beside it; the name of the row stands once", () => {
  const lines = goalsText([goal("time", 21, 11), goal("time", null, 11)]).split("\n");
  assert.match(lines[1] ?? "", /^storm {2}all acknowledged +21.0 s +20.0 s {2}MISSED$/);
  assert.match(lines[2] ?? "", /^ {7}all acknowledged +never +20.0 s {2}MISSED$/);
});

test("a quantile is one of the times", () => {
  assert.deepEqual([quantile([], 0.5), quantile([3], 0.99), quantile([5, 1, 3], 0.5)], [undefined, 3, 3]);
});

test("a quantile of a histogram lies evenly within its bucket; above the last edge nothing is known", () => {
  const buckets = [
    { edge: 0.1, count: 50 },
    { edge: 0.2, count: 90 },
    { edge: Number.POSITIVE_INFINITY, count: 100 },
  ];
  assert.deepEqual(
    [quantileIn(buckets, 25), quantileIn(buckets, 70)].map((seconds) => Math.round(seconds * 1_000)),
    [50, 150],
  );
  assert.equal(quantileIn(buckets, 99), Number.POSITIVE_INFINITY);
});

test("the coordinator's Node has the chart's flags, and larger semi-spaces, as the chart advises, where there are thousands of Services", () => {
  const [semiSpace, ...others] = nodeFlags("coordinator");
  assert.equal(semiSpace, "--max-semi-space-size=2");
  assert.deepEqual(
    [flagsOf(ADVISED, 50), flagsOf(ADVISED, 2_000)],
    [
      [semiSpace, ...others],
      ["--max-semi-space-size=8", ...others],
    ],
  );
  assert.deepEqual([flagsOf("--a,--b=1", 2_000), flagsOf("", 50)], [["--a", "--b=1"], []]);
});

test("what still comes is waited for, however slowly; what has stopped coming is given up with what there is", async () => {
  let there = 0;
  const coming = setInterval(() => there++, 20);
  assert.equal(await untilAll(() => there, 5, { stalledMs: 5_000, mostMs: 10_000 }), 5);
  clearInterval(coming);
  const stopped = there;
  assert.equal(await untilAll(() => there, 1_000, { stalledMs: 30, mostMs: 10_000 }), stopped);
  assert.equal(await untilAll(() => there++, 1_000_000, { stalledMs: 10_000, mostMs: 50 }).then((count) => count < 1_000_000), true);
});

test("the ratio of costs is that of the medians, with the least and the most of a turn: one turn that somebody disturbed says nothing", () => {
  assert.deepEqual(ratioOf({ few: [2, 2, 2, 2, 9], many: [2, 2.5, 2.5, 20, 9] }), { median: 1.25, least: 1, most: 10 });
});
