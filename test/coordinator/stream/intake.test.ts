import assert from "node:assert/strict";
import { test } from "node:test";
import { makeIntake } from "../../../coordinator/stream/intake.ts";
import { idle } from "../../virtual-clock.ts";
import { aFakeClock } from "../pods.ts";

const MOST = 128;
/** Each from an address of its own. */
const peers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `10.0.0.${from + n}:40000`);
/** All from one. */
const stranger = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `10.9.9.9:${from + n}`);

test("128 agents are under way at a time, from their handshake on; each that leaves makes room for one", () => {
  const intake = makeIntake(aFakeClock());
  let room = 0;
  intake.onRoom(() => room++);
  assert.ok(peers(0, MOST).every((peer) => intake.begin(peer)));
  assert.equal(intake.begin("late"), false);
  assert.equal(intake.enter("10.0.0.0:40000"), undefined, "its connection was let in already");
  intake.leave("10.0.0.0:40000");
  intake.leave("10.0.0.0:40000"); // counts once
  assert.deepEqual([room, intake.begin("late"), intake.begin("later")], [1, true, false]);
});

test("an agent on a connection of long ago is told to come back when there is no room, each at its own moment", () => {
  const intake = makeIntake(aFakeClock());
  for (const peer of peers(0, MOST)) intake.begin(peer);
  const waits = peers(1_000, 3_000).map((peer) => intake.enter(peer));
  assert.deepEqual([waits[0], waits[24], waits[49], waits[1_000], waits[1_999]], [100, 100, 200, 4_004, 5_000]);
  intake.leave("10.0.0.0:40000");
  assert.deepEqual([intake.enter("10.0.0.1000:40000"), typeof intake.enter("10.0.0.1001:40000")], [undefined, "number"]);
});

test("who sends no snapshot gives its place back after 5 s", async () => {
  const clock = aFakeClock();
  const intake = makeIntake(clock);
  for (const peer of peers(0, MOST)) {
    intake.begin(peer);
    intake.secured(peer);
    intake.enter(peer);
  }
  await clock.advance(4_999);
  assert.equal(intake.begin("late"), false);
  await clock.advance(1);
  assert.equal(intake.begin("late"), true);
  await clock.advance(5_000);
  assert.equal(clock.pendingSleeps, 0);
});

test("who falls silent in its handshake gives its place back after 2 s", async () => {
  const clock = aFakeClock();
  const intake = makeIntake(clock);
  for (const peer of peers(0, MOST)) intake.begin(peer);
  await clock.advance(1_999);
  assert.equal(intake.begin("late"), false);
  await clock.advance(1);
  assert.equal(intake.begin("late"), true);
});

test("an address has all places while nobody else comes; then its oldest ones make way, down to four", () => {
  const intake = makeIntake(aFakeClock());
  assert.ok(stranger(0, MOST).every((peer) => intake.begin(peer)));
  assert.deepEqual([intake.begin("10.9.9.9:999"), intake.hasRoom, intake.crowded], [false, true, false], "only it has no room");
  assert.ok(peers(0, MOST - 4).every((peer) => intake.begin(peer)));
  assert.deepEqual([intake.hasRoom, intake.begin("10.0.1.1:40000"), intake.crowded], [false, false, true]);
  const left = stranger(0, MOST).slice(-4);
  assert.ok(
    left.every((peer) => intake.begin(peer)),
    "the youngest four are left",
  );
  intake.leave(left[0] ?? "");
  assert.equal(intake.begin("10.0.1.1:40000"), true);
});

test("of two addresses with many places the one with most makes way, for a call on a connection of long ago too", () => {
  const intake = makeIntake(aFakeClock());
  const [other] = peers(0, 1);
  for (const peer of [...stranger(0, 100), ...Array.from({ length: 28 }, (_, n) => `${other}${n}`)]) intake.begin(peer);
  let room = 0;
  intake.onRoom(() => room++);
  assert.equal(intake.enter("10.0.1.1:40000"), undefined);
  assert.equal(typeof intake.enter("10.9.9.9:0"), "number", "its place is gone");
  assert.equal(room, 0, "nobody is told of a room that is taken");
});

test("who makes no call within a second of its handshake gives its place back, and asks for one when it does", async () => {
  const clock = aFakeClock();
  const intake = makeIntake(clock);
  for (const peer of peers(0, MOST)) {
    intake.begin(peer);
    intake.secured(peer);
  }
  for (const peer of peers(1, MOST)) intake.enter(peer);
  await clock.advance(999);
  assert.equal(intake.begin("late"), false);
  await clock.advance(1);
  assert.deepEqual([intake.begin("late"), intake.begin("later")], [true, false]);
  assert.equal(typeof intake.enter("10.0.0.0:40000"), "number");
});

test("a call that has arrived while the event loop stood still is heard before its place is given away", async () => {
  const clock = aFakeClock();
  const all = peers(0, MOST);
  let read = (): void => undefined;
  // As the event loop has it: timers that are due come first, then what is to be read.
  const turning = { now: () => clock.now(), sleep: (ms: number) => clock.sleep(ms).then(() => void setImmediate(() => read())) };
  const intake = makeIntake(turning);
  intake.onRoom(() => intake.begin("late"));
  for (const peer of all) {
    intake.begin(peer);
    intake.secured(peer);
  }
  await clock.advance(999);
  let turnedAway: readonly string[] = [];
  read = () => {
    turnedAway = all.filter((peer) => intake.enter(peer) !== undefined);
    read = () => undefined;
  };
  await clock.advance(1);
  assert.deepEqual(turnedAway, []);
});

test("a second in which the event loop stood still is none in which an agent was silent", async () => {
  const clock = aFakeClock();
  let wakes: (() => void)[] = [];
  const still = { now: () => clock.now(), sleep: () => new Promise<void>((resolve) => wakes.push(resolve)) };
  const intake = makeIntake(still);
  for (const peer of peers(0, MOST)) {
    intake.begin(peer);
    intake.secured(peer);
  }
  await clock.advance(3_000);
  const due = wakes;
  wakes = [];
  for (const wake of due) wake();
  await idle();
  assert.equal(intake.begin("late"), false, "their answers to our settings are still under way");
});

test("20 agents within 10 s are a crowd, and whoever finds no room; a rollout that renews them one by one is none", async () => {
  const clock = aFakeClock();
  const intake = makeIntake(clock);
  const come = (peer: string): void => {
    intake.enter(peer);
    intake.admitted(peer);
    intake.leave(peer);
  };
  for (const peer of peers(0, 40)) {
    intake.enter(peer); // strangers, whose tokens are refused
    intake.leave(peer);
  }
  assert.equal(intake.crowded, false);
  for (const peer of peers(0, 40)) {
    come(peer);
    await clock.advance(600);
  }
  assert.equal(intake.crowded, false);
  peers(0, 20).forEach(come);
  await clock.advance(9_999);
  assert.equal(intake.crowded, true);
  await clock.advance(1);
  assert.equal(intake.crowded, false);
  for (const peer of peers(0, MOST)) intake.begin(peer);
  assert.equal(intake.crowded, false);
  intake.begin("late");
  assert.equal(intake.crowded, true);
});
