import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { makeVirtualClock } from "./virtual-clock.ts";

test("it jumps from sleep to sleep: by time, and within one time by who slept first", async () => {
  const clock = makeVirtualClock(1000);
  const woken: string[] = [];
  const sleeper = async (name: string, ...pauses: number[]): Promise<void> => {
    for (const ms of pauses) {
      await clock.sleep(ms);
      woken.push(`${name} ${clock.now()}`);
    }
  };
  await clock.run(Promise.all([sleeper("a", 300, 0), sleeper("b", 100, 200), sleeper("c", 300), sleeper("d", 50)]));
  assert.deepEqual(woken, ["d 1050", "b 1100", "a 1300", "c 1300", "b 1300", "a 1300"]);
  assert.deepEqual([clock.pending, clock.now()], [0, 1300]);
});

test("time stands still while something runs, also over many turns of the event loop", async () => {
  const clock = makeVirtualClock(0);
  const busy = async (): Promise<number> => {
    for (let turns = 0; turns < 50; turns++) await turn();
    return clock.now();
  };
  void clock.sleep(10);
  assert.equal(await clock.run(busy()), 0);
  assert.equal(clock.pending, 1, "a sleep that nobody runs for is not touched");
});

test("an aborted sleep rejects with the reason, is not pending any more, and moves no time", async () => {
  const clock = makeVirtualClock(0);
  const gone = new AbortController();
  const aborted = clock.sleep(5000, gone.signal);
  const other = clock.sleep(70);
  assert.equal(clock.pending, 2);
  gone.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  assert.equal(clock.pending, 1);
  await clock.run(other);
  assert.equal(clock.now(), 70);
  await assert.rejects(clock.run(new Promise(() => undefined)), /nothing sleeps/);
  assert.equal(clock.now(), 70);
  await assert.rejects(clock.sleep(1, gone.signal), /enough/);
});

test("a run that cannot end says why", async () => {
  const clock = makeVirtualClock(0);
  const never = new Promise(() => undefined);
  await assert.rejects(clock.run(never), /stands still: nothing sleeps on it/);
  const ticking = async (): Promise<void> => {
    for (;;) await clock.sleep(1000);
  };
  void ticking();
  await assert.rejects(clock.run(never, 60_000), /not over at 60000, with 1 sleeps to come/);
  const running = clock.run(clock.sleep(10));
  await assert.rejects(clock.run(never), /runs already/);
  await running;
});

test("what the promise rejects with comes out", async () => {
  const clock = makeVirtualClock();
  const failing = async (): Promise<void> => {
    await clock.sleep(10);
    throw new Error("no");
  };
  await assert.rejects(clock.run(failing()), /^Error: no$/);
});
