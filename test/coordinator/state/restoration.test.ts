import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { makeRestoration, type Restoration } from "../../../coordinator/state/restoration.ts";
import { standStill } from "../../stand-still.ts";

/** Turns of the event loop until it is done. */
async function turnsOf(restoration: Restoration): Promise<number> {
  for (let turns = 0; turns < 1_000; turns++) {
    if (restoration.isDone()) return turns;
    await nextTurn();
  }
  throw new Error("it is never done");
}

test("what takes long is done in pieces, once, and the event loop has its turn between them", async () => {
  const done: number[] = [];
  const restoration = makeRestoration(function* () {
    for (let piece = 0; piece < 20; piece++) {
      standStill(6); // longer than a turn may last
      done.push(piece);
      yield;
    }
  });
  assert.ok((await turnsOf(restoration)) >= 10);
  assert.deepEqual(
    done,
    Array.from({ length: 20 }, (_, piece) => piece),
  );
  assert.equal(restoration.isDone(), true);
  assert.equal(done.length, 20);
});

test("a piece may ask whether all of it is done", async () => {
  const answers: boolean[] = [];
  const restoration: Restoration = makeRestoration(function* () {
    answers.push(restoration.isDone());
    yield;
  });
  await turnsOf(restoration);
  assert.deepEqual(answers, [false]);
});

test("one that breaks off is never done: each who asks is told why", async () => {
  const restoration = makeRestoration(function* () {
    yield;
    throw new Error("a record that cannot be");
  });
  await assert.rejects(() => turnsOf(restoration), /a record that cannot be/);
  assert.throws(() => restoration.isDone(), /a record that cannot be/);
});
