import assert from "node:assert/strict";
import { test } from "node:test";
import { afterHoldsStep, type Held, type HoldsReport, type HoldsSaid, holdsStep, NOTHING_SAID } from "../../../agent/domain/say-holds.ts";

const PROVEN = { proven: true, because: "" };
const one: Held = { uid: "a", sinceMs: 5, openConnections: undefined };
const report = (change: Partial<HoldsReport> = {}): HoldsReport => ({
  held: new Map(),
  released: [],
  proof: PROVEN,
  leaving: false,
  ...change,
});
/** Its containers have stopped since, unless told otherwise. */
const ended = (number: number, uid: string, atMs = 0) => ({
  number,
  atMs,
  pod: { uid, end: "drained", lowered: true, heldMs: 9 } as const,
});
const NOW_MS = 100_000;

/** Says everything there is, e.g. ["heldPods all a", "holdProof"]. */
function sayAll(said: HoldsSaid, now: HoldsReport, canTellPods = true): { readonly said: HoldsSaid; readonly steps: readonly string[] } {
  const steps: string[] = [];
  for (let state = said; ; ) {
    const step = holdsStep(state, now, canTellPods, NOW_MS);
    if (step === undefined) return { said: state, steps };
    const uids =
      step.kind === "heldPods"
        ? [step.complete ? "all" : "", ...step.pods.map(({ uid }) => uid), ...step.released.map(({ pod }) => `-${pod.uid}`)]
        : [];
    steps.push([step.kind, ...uids].filter((word) => word !== "").join(" "));
    state = afterHoldsStep(state, step, now);
  }
}

test("a new stream hears all that wait, also where nobody does, and the proof, once the Pods are told", () => {
  assert.deepEqual(sayAll(NOTHING_SAID, report(), false).steps, []);
  const first = sayAll(NOTHING_SAID, report());
  assert.deepEqual(first.steps, ["heldPods all", "holdProof"]);
  assert.deepEqual(sayAll(first.said, report()).steps, []);
});

test("who begins to wait, changes or ends is told, each once; what ended before the stream is not", () => {
  const before = report({ held: new Map([["a", one]]), released: [ended(1, "x")] });
  const { said, steps } = sayAll(NOTHING_SAID, before);
  assert.deepEqual(steps, ["heldPods all a", "holdProof"]);
  const counted = report({
    ...before,
    held: new Map([
      ["a", { ...one, openConnections: 2 }],
      ["b", { ...one, uid: "b" }],
    ]),
  });
  const next = sayAll(said, counted);
  assert.deepEqual(next.steps, ["heldPods a b"]);
  const over = report({ ...counted, held: new Map([["b", counted.held.get("b") ?? one]]), released: [ended(1, "x"), ended(2, "a")] });
  const last = sayAll(next.said, over);
  assert.deepEqual(last.steps, ["heldPods -a"]);
  assert.deepEqual(sayAll(last.said, over).steps, []);
});

test("where somebody is missing without an end, all are told anew", () => {
  const { said } = sayAll(NOTHING_SAID, report({ held: new Map([["a", one]]) }));
  assert.deepEqual(sayAll(said, report()).steps, ["heldPods all"]);
});

test("leaving is said first, also before the Pods are", () => {
  assert.deepEqual(sayAll(NOTHING_SAID, report({ leaving: true }), false).steps, ["leaving"]);
  const { said } = sayAll(NOTHING_SAID, report());
  assert.deepEqual(sayAll(said, report({ leaving: true, held: new Map([["a", one]]) })).steps, ["leaving", "heldPods a"]);
});

test("a new stream hears first, before the Pods, whose containers may still be stopping; each end is told once", () => {
  const graceful = { ...ended(2, "b", 1_000), pod: { ...ended(2, "b").pod, graceSeconds: 120 } };
  const before = report({ held: new Map([["a", one]]), released: [ended(1, "x"), graceful, ended(3, "c", 70_000)] });
  const { said, steps } = sayAll(NOTHING_SAID, before, false);
  assert.deepEqual(steps, ["heldPods -b -c"]);
  const meanwhile = report({ ...before, held: new Map(), released: [...before.released, ended(4, "a", NOW_MS)] });
  const next = sayAll(said, meanwhile);
  assert.deepEqual(next.steps, ["heldPods all -a", "holdProof"]);
  assert.deepEqual(sayAll(next.said, meanwhile).steps, []);
});
