import assert from "node:assert/strict";
import { test } from "node:test";
import { OVER } from "../../../common/signals.ts";
import { type Intake, makeIntake } from "../../../coordinator/stream/intake.ts";
import { idle } from "../../virtual-clock.ts";
import { aFakeClock } from "../pods.ts";

const MOST = 128;
/** Each from an address of its own. */
const peers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `10.0.0.${from + n}:40000`);
/** All from one. */
const stranger = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `10.9.9.9:${from + n}`);

/** A call: "in", the milliseconds that it is to stay away, or none of these yet. */
function aCall(intake: Intake, peer: string) {
  const gone = new AbortController();
  const call = { answer: "waits" as "waits" | "in" | "gone" | number, cancel: () => gone.abort(OVER) };
  intake.enter(peer, gone.signal).then(
    (retryAfterMs) => (call.answer = retryAfterMs ?? "in"),
    (error: unknown) => (call.answer = error === OVER ? "gone" : assert.fail(String(error))),
  );
  return call;
}
const callsOf = (intake: Intake, those: readonly string[]) => those.map((peer) => aCall(intake, peer));
const answers = async (calls: readonly ReturnType<typeof aCall>[]) => {
  await idle();
  return calls.map(({ answer }) => answer);
};
const how = (many: readonly unknown[], answer: unknown): number => many.filter((one) => one === answer).length;

test("128 agents are under way at a time, from their handshake on; each that leaves makes room for one", async () => {
  const intake = makeIntake(aFakeClock());
  let room = 0;
  intake.onRoom(() => room++);
  assert.ok(peers(0, MOST).every((peer) => intake.begin(peer)));
  assert.equal(intake.begin("late"), false);
  assert.deepEqual(await answers([aCall(intake, "10.0.0.0:40000")]), ["in"], "its connection was let in already");
  intake.leave("10.0.0.0:40000");
  intake.leave("10.0.0.0:40000"); // counts once
  assert.deepEqual([room, intake.begin("late"), intake.begin("later")], [1, true, false]);
});

test("a call that has no place waits for one, in the order of coming and before new handshakes", async () => {
  const intake = makeIntake(aFakeClock());
  let begun = 0;
  intake.onRoom(() => (begun += intake.begin(`10.0.9.${begun}:40000`) ? 1 : 0));
  for (const peer of peers(0, MOST)) intake.begin(peer);
  const calls = callsOf(intake, peers(1_000, 1_003));
  assert.deepEqual(await answers(calls), ["waits", "waits", "waits"]);
  const seen: unknown[] = [];
  for (const peer of peers(0, 6)) {
    intake.leave(peer);
    seen.push([how(await answers(calls), "in"), begun]);
  }
  assert.deepEqual(seen, [
    [1, 0],
    [2, 0],
    [3, 0],
    [3, 1],
    [3, 2],
    [3, 3],
  ]);
});

test("one place of four is for a handshake while calls wait: those of many addresses, one after the other, keep no connection out", async () => {
  const intake = makeIntake(aFakeClock());
  let begun = 0;
  intake.onRoom(() => (begun += intake.begin(`10.0.9.${begun}:40000`) ? 1 : 0));
  for (const peer of peers(0, MOST)) intake.begin(peer);
  const calls = callsOf(intake, peers(1_000, 1_100));
  for (const peer of peers(0, 40)) intake.leave(peer);
  assert.deepEqual([how(await answers(calls), "in"), begun], [30, 10]);
});

test("calls of one address wait only for each other: those of other addresses and their handshakes come first", async () => {
  const intake = makeIntake(aFakeClock());
  for (const peer of [...stranger(0, 4), ...peers(0, MOST - 4)]) intake.begin(peer);
  const [strangers, calls] = [callsOf(intake, stranger(1_000, 2_000)), callsOf(intake, peers(1_000, 1_006))];
  const waiting = peers(2_000, 2_006);
  const begun: string[] = [];
  intake.onRoom(() => {
    while (waiting[0] !== undefined && intake.begin(waiting[0])) begun.push(...waiting.splice(0, 1));
  });
  for (const peer of peers(0, 12)) intake.leave(peer);
  assert.deepEqual([how(await answers(calls), "in"), begun.length, how(await answers(strangers), "in")], [6, 6, 0]);
  intake.leave("10.9.9.9:0");
  intake.leave("10.0.0.20:40000");
  assert.equal(how(await answers(strangers), "in"), 2, "alone they have what there is");
  const late = aCall(intake, "10.0.3.0:40000");
  assert.deepEqual(await answers([late]), ["in"], "the oldest one of that address makes way at once");
});

test("behind one address calls come before handshakes", async () => {
  const intake = makeIntake(aFakeClock());
  let begun = 0;
  intake.onRoom(() => (begun += intake.begin(`10.9.9.9:${5_000 + begun}`) ? 1 : 0));
  for (const peer of stranger(0, MOST)) intake.begin(peer);
  const calls = callsOf(intake, stranger(1_000, 1_100));
  for (const peer of stranger(0, 40)) intake.leave(peer);
  assert.deepEqual([how(await answers(calls), "in"), begun], [30, 10]);
});

test("who waits in line for 10 s, or finds it too long, is told when to come back, each at its own moment", async () => {
  const clock = aFakeClock();
  const intake = makeIntake(clock);
  for (const peer of peers(0, MOST)) intake.begin(peer);
  const calls = callsOf(intake, peers(1_000, 3_000));
  const alike = callsOf(intake, stranger(0, 2_050));
  assert.deepEqual((await answers(alike)).slice(2_046), ["waits", "waits", 100, 100], "2 048 of one address may wait");
  for (const { cancel } of alike) cancel();
  assert.deepEqual([how(await answers(alike), "gone"), how(await answers(calls), "waits")], [2_048, 2_000]);
  await clock.advance(9_999);
  assert.deepEqual([how(await answers(calls), "in"), how(await answers(calls), "waits")], [2 * MOST, 2_000 - 2 * MOST], "at 2 s and 7 s");
  await clock.advance(1);
  const told = (await answers(calls)).slice(2 * MOST);
  assert.deepEqual([told[0], told[24], told[49], told[1_000], told.at(-1)], [100, 100, 200, 4_004, 5_000]);
  await clock.advance(5_000);
  assert.equal(clock.pendingSleeps, 0);
});

test("calls of a few addresses that fill the line keep those of no other out: the last ones make way", async () => {
  const intake = makeIntake(aFakeClock());
  for (const peer of peers(0, MOST)) intake.begin(peer);
  const strangers = [1, 2, 3, 4].flatMap((n) =>
    callsOf(
      intake,
      stranger(0, 2_048).map((peer) => peer.replace("10.9.9.9", `10.9.9.${n}`)),
    ),
  );
  assert.equal(how(await answers(strangers), "waits"), 8_192);
  const calls = callsOf(intake, peers(1_000, 1_100));
  assert.equal(how(await answers(calls), "waits"), 100);
  assert.deepEqual([how(await answers(strangers), "waits"), strangers[0]?.answer], [8_092, "waits"]);
  for (const peer of peers(0, 60)) intake.leave(peer);
  assert.ok(how(await answers(calls), "in") > 30);
});

test("a call that is cancelled leaves the line, and takes no place", async () => {
  const intake = makeIntake(aFakeClock());
  for (const peer of peers(0, MOST)) intake.begin(peer);
  const [first, second] = [aCall(intake, "10.0.5.1:40000"), aCall(intake, "10.0.5.2:40000")];
  await idle();
  first.cancel();
  intake.leave("10.0.0.0:40000");
  assert.deepEqual(await answers([first, second]), ["gone", "in"]);
  assert.equal(intake.begin("late"), false);
  const never = new AbortController();
  never.abort(OVER);
  await assert.rejects(intake.enter("10.0.0.1:40000", never.signal), OVER);
});

test("agents that wait in line are a crowd for as long as they do, those of an address that has its places are none", async () => {
  const clock = aFakeClock();
  let wake = (): void => undefined;
  const intake = makeIntake({ now: () => clock.now(), sleep: () => new Promise<void>((resolve) => (wake = resolve)) });
  for (const peer of [...stranger(0, 4), ...peers(0, MOST - 4)]) intake.begin(peer);
  const strangers = callsOf(intake, stranger(1_000, 1_010));
  assert.equal(intake.crowded, false);
  const call = aCall(intake, "10.0.5.1:40000");
  await clock.advance(60_000); // in which the event loop stood still
  assert.deepEqual([intake.crowded, call.answer], [true, "waits"]);
  call.cancel();
  assert.deepEqual([intake.crowded, how(await answers(strangers), "waits")], [false, 10]);
  wake();
});

test("agents that are told to come back after they waited are a crowd", async () => {
  const clock = aFakeClock();
  const intake = makeIntake(clock);
  for (const peer of peers(0, MOST)) intake.begin(peer);
  const calls = callsOf(intake, peers(1_000, 1_400));
  await clock.advance(10_000);
  assert.deepEqual([how(await answers(calls), "in"), how(await answers(calls), "waits")], [2 * MOST, 0]);
  assert.equal(intake.crowded, true);
  await clock.advance(10_000);
  assert.equal(intake.crowded, false);
});

test("who sends no snapshot gives its place back after 5 s", async () => {
  const clock = aFakeClock();
  const intake = makeIntake(clock);
  for (const peer of peers(0, MOST)) {
    intake.begin(peer);
    intake.secured(peer);
    aCall(intake, peer);
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

test("of two addresses with many places the one with most makes way, for a call on a connection of long ago too", async () => {
  const intake = makeIntake(aFakeClock());
  const [other] = peers(0, 1);
  for (const peer of [...stranger(0, 100), ...Array.from({ length: 28 }, (_, n) => `${other}${n}`)]) intake.begin(peer);
  let room = 0;
  intake.onRoom(() => room++);
  const calls = callsOf(intake, ["10.0.1.1:40000", "10.9.9.9:0"]);
  assert.deepEqual(await answers(calls), ["in", "waits"], "the place of the second is gone");
  assert.equal(room, 0, "nobody is told of a room that is taken");
});

test("who makes no call within a second of its handshake gives its place back, and asks for one when it does", async () => {
  const clock = aFakeClock();
  const intake = makeIntake(clock);
  for (const peer of peers(0, MOST)) {
    intake.begin(peer);
    intake.secured(peer);
  }
  callsOf(intake, peers(1, MOST));
  await clock.advance(999);
  assert.equal(intake.begin("late"), false);
  await clock.advance(1);
  assert.deepEqual([intake.begin("late"), intake.begin("later")], [true, false]);
  assert.deepEqual(await answers([aCall(intake, "10.0.0.0:40000")]), ["waits"]);
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

test("one agent that comes again and again is no crowd: its token may be stolen", () => {
  const intake = makeIntake(aFakeClock());
  const come = (agent: string): void => intake.admitted({ peer: "10.0.0.1:1", agent, over: new AbortController().signal });
  for (let times = 0; times < 100; times++) come(`node-${times % 19}`);
  assert.equal(intake.crowded, false);
  come("node-19");
  assert.equal(intake.crowded, true);
});

test("20 agents within 10 s are a crowd, and whoever finds no room; a rollout that renews them one by one is none", async () => {
  const clock = aFakeClock();
  const intake = makeIntake(clock);
  const come = (peer: string): void => {
    aCall(intake, peer);
    intake.admitted({ peer, agent: peer, over: new AbortController().signal });
    intake.leave(peer);
  };
  for (const peer of peers(0, 40)) {
    aCall(intake, peer); // strangers, whose tokens are refused
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
