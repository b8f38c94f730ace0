import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { HeldPods, HoldAnswer, ReleasedPod } from "../../../common/holds.ts";
import { makeNodeHolds } from "../../../coordinator/nodes/node-holds.ts";
import { endsBy, type HoldEvent, stoppingBy } from "../../../coordinator/state/holds.ts";
import { aPod } from "../../builders.ts";
import { aFakeClock, silentLog } from "../pods.ts";

const held = (uids: readonly string[], complete = false, heldMs = 0): HeldPods => ({
  complete,
  pods: uids.map((uid) => ({ uid, heldMs, openConnections: undefined })),
  released: [],
});
const answer = (uid: string, state: HoldAnswer["state"] = "wait"): HoldAnswer => ({
  uid,
  state,
  reason: "",
  terminating: true,
  deletionAtMs: undefined,
  graceSeconds: undefined,
  drainMs: 30_000,
});

function someHolds() {
  const clock = aFakeClock(1_000_000);
  const facts = { pods: new Map([["p1", aPod({ uid: "p1", nodeName: "a", containersReadyAtMs: 7_000 })]]) };
  const holds = makeNodeHolds({ facts: () => facts, clock, log: silentLog });
  const events: string[] = [];
  holds.follow((event: HoldEvent) => {
    if (event.kind === "held") events.push(`held ${event.uid}${event.isNews ? " anew" : ""}`);
    else events.push(`released ${event.dial.uid} ${event.released?.end ?? "(nobody said how)"}`);
  });
  const agent = (node: string, said: string[] = []) => ({
    said,
    ...holds.attach(node, async (answers) => {
      await Promise.resolve();
      for (const { uid, state } of answers) said.push(`${uid} ${state}`);
    }),
  });
  return { clock, holds, events, agent, facts };
}
const turns = async (): Promise<void> => {
  for (let n = 0; n < 10; n++) await Promise.resolve();
};

test("a hold counts from the first dial on our own clock, whoever of two agents tells of it", async () => {
  const { clock, holds, agent } = someHolds();
  const [old, fresh] = [agent("a"), agent("a")];
  old.held(held(["p1"], false, 400));
  await clock.advance(1_000);
  fresh.held(held(["p1"], false, 10));
  assert.deepEqual(holds.dials.get("p1"), {
    uid: "p1",
    node: "a",
    sinceMs: 999_600,
    releasedAtMs: undefined,
    readyAtMs: 7_000,
    openConnections: undefined,
    restarts: 0,
  });
});

test("a Pod is held as long as one of two agents holds a call of it; both are answered", async () => {
  const { holds, events, agent } = someHolds();
  const [old, fresh] = [agent("a"), agent("a")];
  old.held(held(["p1"]));
  holds.answer(answer("p1"));
  fresh.held(held(["p1"]));
  holds.answer(answer("p1", "lowered"));
  await turns();
  assert.deepEqual([old.said.at(-1), fresh.said.at(-1)], ["p1 lowered", "p1 lowered"]);
  const released = { uid: "p1", end: "drained", lowered: true, heldMs: 900 } as const;
  old.held({ complete: false, pods: [], released: [released] });
  assert.equal(holds.dials.get("p1")?.releasedAtMs, undefined);
  fresh.held({ complete: false, pods: [], released: [released] });
  assert.deepEqual(events.at(-1), "released p1 drained");
  assert.equal(holds.answerOf("p1"), undefined);
});

test("a complete list releases what it lacks, a torn stream all of it; a new stream is answered at once", async () => {
  const { holds, events, agent } = someHolds();
  const first = agent("a");
  first.held(held(["p1", "p2"]));
  first.held(held(["p1"], true));
  assert.equal(events.at(-2), "released p2 (nobody said how)");
  holds.answer(answer("p1", "lowered"));
  await turns();
  const second = agent("a");
  second.held(held(["p1"], true, 700));
  await turns();
  assert.deepEqual(second.said, ["p1 lowered"]);
  first.close();
  assert.equal(holds.dials.get("p1")?.releasedAtMs, undefined, "the other stream has it");
  second.close();
  assert.equal(events.at(-1), "released p1 (nobody said how)");
});

test("nothing is answered that is not held, nor by a replica that leads no more", async () => {
  const { holds, agent } = someHolds();
  const one = agent("a");
  holds.answer(answer("p1"));
  one.held(held(["p1"]));
  await turns();
  assert.deepEqual(one.said, []);
  holds.answer(answer("p1"));
  holds.clear();
  await turns();
  assert.deepEqual(one.said, []);
});

test("an agent's word counts for its own node, and a slow one is told the latest only", async () => {
  const { holds, events, agent } = someHolds();
  agent("b").held(held(["p1"]));
  assert.deepEqual(events, []);
  const said: string[] = [];
  const gate = Promise.withResolvers<void>();
  const slow = holds.attach("a", async (answers) => {
    await gate.promise;
    for (const { uid, state } of answers) said.push(`${uid} ${state}`);
  });
  slow.held(held(["p1", "p2"]));
  holds.answer(answer("p1"));
  await turns();
  for (const state of ["release", "lowered"] as const) holds.answer(answer("p2", state));
  gate.resolve();
  await turns();
  assert.deepEqual(said, ["p1 wait", "p2 lowered"]);
});

test("who speaks first of a Pod that nobody knows yet is not believed against the agent of its node", async () => {
  const { holds, events, agent, facts, clock } = someHolds();
  const [thief, own] = [agent("b"), agent("a")];
  thief.held(held(["p9"]));
  assert.equal(holds.dials.get("p9")?.node, "b");
  const pod = aPod({ uid: "p9", nodeName: "a" });
  facts.pods.set("p9", pod);
  assert.equal(stoppingBy(holds, facts, clock)("p9"), false, "no weight is lowered for it");
  own.held(held(["p9"]));
  assert.deepEqual([holds.dials.get("p9")?.node, events.at(-1)], ["a", "held p9 anew"]);
  assert.equal(stoppingBy(holds, facts, clock)("p9"), true);
  holds.answer(answer("p9", "lowered"));
  await turns();
  assert.deepEqual([own.said, thief.said], [["p9 lowered"], []]);
  thief.close();
  assert.equal(holds.dials.get("p9")?.releasedAtMs, undefined);
});

test("while Nodes have yet to tell their Pods, a held Pod that terminates may serve on although nothing is seen of what replaces it", () => {
  const { holds, agent, facts, clock } = someHolds();
  facts.pods.set("p1", aPod({ uid: "p1", nodeName: "a", drain: "hold", deletionAtMs: 1_030_000 }));
  agent("a").held(held(["p1"]));
  const lasting = (complete: boolean) => endsBy(holds, { ...facts, complete }, clock).lasting("p1");
  const all = { untilMs: 1_015_000, sightMs: 1_004_000, isReady: true };
  assert.deepEqual([lasting(true), lasting(false)], [all, { ...all, sightMs: all.untilMs, isPartial: true }]);
});

test("a Pod that was released is remembered until its grace period is over, however many follow", async () => {
  const { clock, holds, agent } = someHolds();
  const one = agent("a");
  const release = (uid: string) => one.held({ complete: false, pods: [], released: [{ uid, end: "drained", lowered: true, heldMs: 900 }] });
  one.held({ complete: false, pods: [{ uid: "p1", heldMs: 0, openConnections: undefined, graceSeconds: 300 }], released: [] });
  one.held(held(["p2"]));
  await clock.advance(1_000);
  for (const uid of ["p1", "p2"]) release(uid);
  await clock.advance(121_000);
  one.held(held(["p3"]));
  assert.deepEqual([...holds.dials.keys()], ["p1", "p3"]);
  await clock.advance(300_000);
  one.held(held(["p4"]));
  assert.equal(holds.dials.has("p1"), false);
});

suite("what ended before the stream:", () => {
  const earlier = (uid: string, change: Partial<ReleasedPod> = {}): HeldPods => {
    const pod = { uid, end: "drained", lowered: true, heldMs: 2_000, agoMs: 5_000, graceSeconds: 30, restarts: 0, ...change } as const;
    return { complete: false, pods: [], released: [pod] };
  };

  test("counts as if it had been heard, also of a Pod that is not known yet, and tells no end twice", () => {
    const { clock, holds, agent, facts, events } = someHolds();
    const one = agent("a");
    one.held(earlier("p9"));
    assert.equal(events.at(-1), "released p9 (nobody said how)");
    const { sinceMs, releasedAtMs } = holds.dials.get("p9") ?? {};
    assert.deepEqual([sinceMs, releasedAtMs], [993_000, 995_000]);
    const isStopping = stoppingBy(holds, facts, clock);
    facts.pods.set("p9", aPod({ uid: "p9", nodeName: "a", containersReadyAtMs: 8_000 }));
    assert.equal(isStopping("p9"), true, "it is ready, as its container was when its hook was called");
    facts.pods.set("p9", aPod({ uid: "p9", nodeName: "a", containersReadyAtMs: 8_000, restarts: 1 }));
    assert.equal(isStopping("p9"), false, "another container");
    one.held(earlier("p9"));
    assert.equal(events.length, 1);
  });

  test("is nothing new where it was heard, is held again, is long ago, of another node, or told by an agent of a former version", () => {
    const { holds, agent, facts, events } = someHolds();
    facts.pods.set("p2", aPod({ uid: "p2", nodeName: "b" }));
    const one = agent("a");
    one.held(held(["p1"]));
    one.held({ complete: false, pods: [], released: [{ uid: "p1", end: "drained", lowered: true, heldMs: 0, agoMs: 0 }] });
    const next = agent("a");
    const heard = events.length;
    for (const told of [earlier("p1"), earlier("p2"), earlier("p3", { agoMs: 35_000 }), earlier("p4", { agoMs: undefined })])
      next.held(told);
    assert.deepEqual([events.length, [...holds.dials.keys()]], [heard, ["p1"]]);
    next.held(held(["p5"]));
    agent("a").held(earlier("p5"));
    assert.equal(holds.dials.get("p5")?.releasedAtMs, undefined);
  });

  test("counts where only the end of a stream was heard, which is no end of the hold", async () => {
    const { clock, holds, agent } = someHolds();
    const one = agent("a");
    one.held(held(["p1"]));
    one.close();
    assert.equal(holds.dials.get("p1")?.releasedAtMs, clock.now());
    await clock.advance(20_000);
    agent("a").held(earlier("p1"));
    assert.equal(holds.dials.get("p1")?.releasedAtMs, clock.now() - 5_000);
  });

  test("is as much of an agent as a node may have", () => {
    const { holds, agent } = someHolds();
    const liar = agent("b");
    for (let n = 0; n < 2_000; n++) liar.held(earlier(`nobody-${n}`));
    assert.equal(holds.dials.size, 1_024);
  });
});

test("an agent holds so many Pods at most, whatever it says", () => {
  const { holds, agent } = someHolds();
  const liar = agent("b");
  for (let n = 0; n < 3; n++) liar.held(held(Array.from({ length: 1_000 }, (_, at) => `nobody-${n}-${at}`)));
  assert.equal(holds.dials.size, 1_024);
});

test("what agents have found of their rule: proven where one of two agents has proven it", () => {
  const { holds, agent } = someHolds();
  assert.equal(holds.proofOf("a"), undefined);
  const [old, fresh] = [agent("a"), agent("a")];
  old.proof({ proven: true, because: "" });
  fresh.proof({ proven: false, because: "connect ECONNREFUSED" });
  assert.equal(holds.proofOf("a")?.proven, true);
  old.close();
  assert.deepEqual(holds.proofOf("a"), { proven: false, because: "connect ECONNREFUSED" });
});

test("an agent that connects again and again, each time with other Pods, makes those of no other node forgotten", () => {
  const { holds, agent } = someHolds();
  const honest = agent("a");
  honest.held(held(["p1"]));
  for (let turn = 0; turn < 25; turn++) {
    const liar = agent("b");
    const uids = Array.from({ length: 1_024 }, (_, at) => `none-${turn}-${at}`);
    const [one, other] = [uids.slice(0, 512), uids.slice(512)];
    const released = other.map((uid) => ({ uid, end: "drained", lowered: true, heldMs: 1_000, agoMs: 1_000 }) as const);
    liar.held({ ...held(one), released });
    liar.close();
  }
  assert.equal(holds.dials.get("p1")?.node, "a");
  assert.ok(holds.dials.size < 3_000, `${holds.dials.size} are remembered`);
  honest.held({ complete: true, pods: [], released: [{ uid: "p1", end: "drained", lowered: true, heldMs: 1_000 }] });
  assert.ok(holds.dials.get("p1")?.releasedAtMs !== undefined);
  holds.forget("p1");
  assert.equal(holds.dials.has("p1"), false);
});

test("an agent that spoke first of another node's Pod does not drown what its own agent says, once it is known whose it is", async () => {
  const { clock, holds, agent, facts } = someHolds();
  const [liar, honest] = [agent("b"), agent("a")];
  const lie = (uid: string) => ({ uid, end: "drained", lowered: true, heldMs: 1_000, agoMs: 1_000, restarts: 7 }) as const;
  liar.held({ ...held([]), released: [lie("p8"), lie("p9")] });
  honest.held({ ...held(["p9"], false, 400), released: [{ ...lie("p8"), restarts: 2 }] });
  await clock.advance(1_000);
  for (const uid of ["p8", "p9"]) {
    facts.pods.set(uid, aPod({ uid, nodeName: "a" }));
    holds.disown(uid);
  }
  const [released, waiting] = [holds.dials.get("p8"), holds.dials.get("p9")];
  assert.deepEqual([released?.node, released?.releasedAtMs, released?.restarts], ["a", 999_000, 2]);
  assert.deepEqual([waiting?.node, waiting?.sinceMs, waiting?.releasedAtMs], ["a", 999_600, undefined]);
  holds.disown("p9");
  assert.equal(holds.dials.get("p9")?.node, "a", "it is its own");
});
