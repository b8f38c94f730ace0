import assert from "node:assert/strict";
import { test } from "node:test";
import {
  afterHearing,
  afterSaying,
  type Conversation,
  type Heard,
  newConversation,
  nextStep,
  type Step,
} from "../../../agent/domain/conversation.ts";
import type { Report } from "../../../agent/domain/plan-report.ts";
import { aPod } from "../../builders.ts";

const LIMITS = { ackTimeoutMs: 1_000, digestIntervalMs: 10_000 };
const at = (version: number): Report => ({ pods: new Map([["pod-1", aPod({ resourceVersion: String(version) })]]), deleted: new Set() });

/** A conversation played by hand. */
class Play {
  talk: Conversation = newConversation(0);
  nowMs = 0;
  latest: Report | undefined = at(1);

  next(): Step {
    return nextStep(this.talk, this.latest, this.nowMs, LIMITS);
  }
  /** Takes the next step and gives its kind, with its sequence where it has one. */
  say(): string {
    const step = this.next();
    this.talk = afterSaying(this.talk, step, this.nowMs);
    return "sequence" in step ? `${step.kind} ${step.sequence}` : step.kind;
  }
  hear(heard: Heard): void {
    this.talk = afterHearing(this.talk, heard, this.nowMs);
  }
  ack(sequence: bigint): void {
    this.hear({ kind: "ack", sequence });
  }
}

/** As after welcome, snapshot 1 and its acknowledgement. */
function settled(): Play {
  const play = new Play();
  play.hear({ kind: "welcome" });
  play.say();
  play.ack(1n);
  return play;
}

test("says nothing before the welcome, and gives the stream up when none comes: long after, for in a storm it would be the next", () => {
  const play = new Play();
  assert.deepEqual(play.next(), { kind: "wait", untilMs: 12_000 });
  play.nowMs = 12_000;
  assert.deepEqual(play.next(), { kind: "reconnect", because: "no welcome" });
});

test("sends no snapshot before the Pods were listed", () => {
  const play = new Play();
  play.latest = undefined;
  play.hear({ kind: "welcome" });
  assert.deepEqual(play.next(), { kind: "wait", untilMs: undefined });
  play.latest = at(1);
  assert.equal(play.say(), "snapshot 1");
});

test("has one message under way; what changes meanwhile becomes one difference", () => {
  const play = settled();
  play.latest = at(2);
  assert.equal(play.say(), "difference 2");
  for (const version of [3, 4, 5]) {
    play.latest = at(version);
    assert.equal(play.say(), "wait");
  }
  play.ack(2n);
  const step = play.next();
  assert.ok(step.kind === "difference");
  assert.deepEqual([step.sequence, step.difference.changed.map(({ resourceVersion }) => resourceVersion)], [3n, ["5"]]);
});

test("follows an unacknowledged difference by a snapshot, and ignores the late acknowledgement", () => {
  const play = settled();
  play.latest = at(2);
  play.say();
  play.nowMs = 999;
  assert.deepEqual(play.next(), { kind: "wait", untilMs: 1_000 });
  play.nowMs = 1_000;
  play.latest = at(3);
  assert.equal(play.say(), "snapshot 3");
  play.ack(2n);
  assert.equal(play.talk.told, undefined);
  play.ack(3n);
  assert.equal(play.talk.told, play.latest);
});

test("begins a new stream when not even a snapshot is acknowledged", () => {
  const play = new Play();
  play.hear({ kind: "welcome" });
  play.say();
  play.nowMs = 3_999;
  assert.equal(play.say(), "wait");
  play.nowMs = 4_000;
  assert.deepEqual(play.next(), { kind: "reconnect", because: "snapshot not acknowledged" });
});

test("resends a snapshot on request, also while something is under way", () => {
  const play = settled();
  play.hear({ kind: "resend" });
  assert.equal(play.say(), "snapshot 2");
  play.ack(2n);
  play.latest = at(2);
  assert.equal(play.say(), "difference 3");
  play.hear({ kind: "resend" });
  assert.equal(play.say(), "snapshot 4");
});

test("slows down when an end asks for snapshots again and again", () => {
  const play = settled();
  for (let times = 0; times < 3; times++) {
    play.hear({ kind: "resend" });
    assert.match(play.say(), /^snapshot/);
  }
  play.hear({ kind: "resend" });
  assert.deepEqual(play.next(), { kind: "wait", untilMs: 1_000 });
  play.nowMs = 1_000;
  assert.match(play.say(), /^snapshot/);
  play.ack(play.talk.sequence);
  play.hear({ kind: "resend" });
  assert.match(play.say(), /^snapshot/);
});

test("sends digests at their interval, of what was acknowledged, also under constant change", () => {
  const play = settled();
  assert.deepEqual(play.next(), { kind: "wait", untilMs: 10_000 });
  play.nowMs = 5_000;
  play.latest = at(9);
  play.say();
  play.ack(2n);
  assert.deepEqual(play.next(), { kind: "wait", untilMs: 10_000 }, "an acknowledgement does not put it off");
  play.nowMs = 10_000;
  const told = play.latest;
  play.latest = at(10);
  const step = play.next();
  assert.ok(step.kind === "digest");
  assert.deepEqual([step.sequence, step.report], [2n, told]);
  assert.equal(play.say(), "digest 2");
  assert.equal(play.say(), "difference 3");
  play.nowMs = 20_000;
  assert.notEqual(play.next().kind, "digest", "nothing that is under way may be covered");
});

test("answers the wish for a token at once, also while something is under way, once", () => {
  const play = settled();
  play.latest = at(2);
  play.say();
  play.hear({ kind: "tokenWanted" });
  assert.equal(play.say(), "token");
  assert.equal(play.say(), "wait");
});

const verdict = (uid: string) => ({ uid, ports: [] });

test("says what was found out after the first snapshot, each verdict once, and all of it on a new stream", () => {
  const play = new Play();
  const verdicts = new Map(["pod-1", "pod-2"].map((uid) => [uid, verdict(uid)]));
  const node = { instanceId: "ins-1", region: "", zone: "", macs: [] };
  play.latest = { ...at(1), verdicts, node };
  play.hear({ kind: "welcome" });
  assert.deepEqual([play.say(), play.say(), play.say(), play.say()], ["snapshot 1", "nodeFacts", "verdicts", "wait"]);
  play.ack(1n);
  assert.equal(play.say(), "wait");
  play.latest = { ...at(1), node, verdicts: new Map([...verdicts, ["pod-2", verdict("pod-2")]]) };
  const step = play.next();
  assert.deepEqual(step.kind === "verdicts" && step.pods.map(({ uid }) => uid), ["pod-2"]);
  assert.deepEqual([play.say(), play.say()], ["verdicts", "wait"]);
});

test("many verdicts are several messages, and what changes in between is not lost", () => {
  const play = settled();
  play.latest = { ...at(1), verdicts: new Map(Array.from({ length: 450 }, (_, index) => [`p${index}`, verdict(`p${index}`)])) };
  const sizes: number[] = [];
  for (let step = play.next(); step.kind === "verdicts"; step = play.next()) {
    sizes.push(step.pods.length);
    play.say();
  }
  assert.deepEqual(sizes, [200, 200, 50]);
  play.latest = { ...at(1), verdicts: new Map() };
  assert.equal(play.say(), "wait");
});
