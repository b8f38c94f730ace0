import assert from "node:assert/strict";
import { test } from "node:test";
import { HOLD_ENDS, HOLD_STATES, type HoldAnswer } from "../../common/holds.ts";
import { ConnectRequest, ConnectResponse, HeldPods, HoldAnswers, HoldProof } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { fromHeldPods, fromHoldAnswers, fromHoldProof, toHeldPods, toHoldAnswer, toHoldProof } from "../../proto/wire-holds.ts";

const answer: HoldAnswer = {
  uid: "p1",
  state: "wait",
  reason: "weight 0 is on its way at lb-1 TCP:443",
  terminating: true,
  deletionAtMs: 1_790_000_000_000,
  graceSeconds: 30,
  drainMs: 30_000,
};

test("holds and their ends survive the wire; no count of connections is told from none that is open", () => {
  const held = {
    complete: true,
    pods: [
      { uid: "p1", heldMs: 40, openConnections: undefined },
      { uid: "p2", heldMs: 0, openConnections: 0, graceSeconds: 600 },
      { uid: "p3", heldMs: 1, openConnections: 7, graceSeconds: 30, restarts: 0 },
    ],
    released: [
      ...HOLD_ENDS.map((end) => ({ uid: `r-${end}`, end, lowered: end === "drained", heldMs: 5_000 })),
      { uid: "r-then", end: "drained", lowered: true, heldMs: 5_000, agoMs: 0, graceSeconds: 600, restarts: 3 } as const,
    ],
  };
  assert.deepEqual(fromHeldPods(HeldPods.decode(HeldPods.encode(toHeldPods(held)).finish())), held);
});

test("answers survive the wire in every state, also without a deletion and a grace", () => {
  const answers = HOLD_STATES.flatMap((state): HoldAnswer[] => [
    { ...answer, state },
    { ...answer, uid: "p2", state, terminating: false, deletionAtMs: undefined, graceSeconds: undefined },
  ]);
  const sent = HoldAnswers.encode({ pods: answers.map(toHoldAnswer) }).finish();
  assert.deepEqual(fromHoldAnswers(HoldAnswers.decode(sent)), answers);
});

test("what an agent has proven of its rule survives the wire", () => {
  for (const proof of [
    { proven: true, because: "" },
    { proven: false, because: "connect ECONNREFUSED 10.0.3.7:15999" },
  ])
    assert.deepEqual(fromHoldProof(HoldProof.decode(HoldProof.encode(toHoldProof(proof)).finish())), proof);
});

test("what cannot be is left out or cut: UIDs, texts, times and numbers of Pods", () => {
  const pods = Array.from({ length: 2_000 }, (_, at) => ({ uid: `p${at}`, heldMs: 4_000_000_000, openConnections: undefined }));
  const read = fromHeldPods({ complete: false, pods: [{ uid: "../x", heldMs: 1, openConnections: undefined }, ...pods], released: [] });
  assert.equal(read.pods.length, 1_024);
  assert.deepEqual(read.pods[0], { uid: "p0", heldMs: 86_400_000, openConnections: undefined });
  assert.equal(
    toHeldPods({ complete: false, pods: [{ uid: "p1", heldMs: -3.5, openConnections: undefined }], released: [] }).pods[0]?.heldMs,
    0,
  );
  const endless = { uid: "p1", heldMs: 1, openConnections: undefined, graceSeconds: 4_000_000_000 };
  assert.equal(fromHeldPods({ complete: false, pods: [endless], released: [] }).pods[0]?.graceSeconds, 86_400);
  assert.equal(toHeldPods({ complete: false, pods: [endless], released: [] }).pods[0]?.graceSeconds, 86_400);
  const [told] = fromHoldAnswers({ pods: [toHoldAnswer({ ...answer, reason: "x".repeat(1_000), graceSeconds: 4_000_000_000 })] });
  assert.equal(told?.reason.length, 400);
  assert.equal(told?.graceSeconds, 86_400);
});

test("an end, a state and a message of a newer version: unknown, waiting, and nothing at all", () => {
  assert.equal(
    fromHeldPods({ complete: false, pods: [], released: [{ uid: "p1", end: 99, lowered: false, heldMs: 1 } as never] }).released[0]?.end,
    "unknown",
  );
  assert.equal(fromHoldAnswers({ pods: [{ ...toHoldAnswer(answer), state: 99 } as never] })[0]?.state, "wait");
  // Messages as numbers that nobody has yet: both ends go on.
  const unknown = Buffer.from([(13 << 3) | 2, 0]);
  assert.equal(ConnectRequest.decode(unknown).body, undefined);
  assert.equal(ConnectResponse.decode(unknown).body, undefined);
});
