import assert from "node:assert/strict";
import { test } from "node:test";
import { yieldTurn } from "../../common/event-loop.ts";
import { standStill } from "../stand-still.ts";

/** Longer than passes may follow each other without a turn of the event loop. */
const work = (): void => standStill(6);

/** From timer to timer. */
const turn = (): Promise<void> => new Promise((resolve) => void setTimeout(() => setImmediate(() => setTimeout(resolve))));

test("who waits goes on in the next turn, although others ask first in each turn and take long", async () => {
  await turn();
  const order: string[] = [];
  const pass = async (name: string): Promise<void> => {
    await yieldTurn();
    order.push(name);
    work();
  };
  await pass("first");
  const waiting = [pass("second")];
  for (const name of ["third", "fourth", "fifth"]) {
    await new Promise((resolve) => setTimeout(resolve));
    waiting.push(pass(name));
    work(); // as what comes over streams does
  }
  await Promise.all(waiting);
  assert.deepEqual(order, ["first", "second", "third", "fourth", "fifth"]);
});

test("many that begin at once leave the event loop a turn between them", async () => {
  await turn();
  const order: string[] = [];
  const passes = ["1", "2", "3"].map(async (name) => {
    await yieldTurn();
    order.push(name);
    work();
  });
  setImmediate(() => order.push("a turn"));
  await Promise.all(passes);
  assert.deepEqual(order, ["1", "a turn", "2", "3"]);
});

test("kinds get as much time as each other: short passes wait for one long pass of another kind, not for all that came before them", async () => {
  await turn();
  const order: string[] = [];
  const pass = async (kind: string, name: string): Promise<void> => {
    await yieldTurn(kind);
    order.push(name);
    if (kind === "long") work();
  };
  await Promise.all([...["1", "2", "3", "4"].map((name) => pass("long", name)), pass("short", "a"), pass("short", "b")]);
  assert.deepEqual(order, ["1", "a", "b", "2", "3", "4"]);
});

test("a kind that has had the event loop to itself for long does not stand behind all that another kind does later", async () => {
  await turn();
  for (let n = 0; n < 30; n++) {
    await yieldTurn("alone");
    work();
    await turn();
  }
  const order: string[] = [];
  const pass = async (kind: string, name: string): Promise<void> => {
    await yieldTurn(kind);
    order.push(name);
    work();
  };
  await Promise.all([...["1", "2", "3", "4"].map((name) => pass("other", name)), pass("alone", "a")]);
  assert.deepEqual(order, ["1", "a", "2", "3", "4"]);
});

test("passes that take no time follow each other in the order of coming, without a turn between them", async () => {
  const run = async (): Promise<readonly string[]> => {
    await turn();
    const order: string[] = [];
    const passes = ["1", "2", "3"].map(async (name) => {
      await yieldTurn();
      order.push(name);
    });
    setImmediate(() => order.push("a turn"));
    await Promise.all(passes);
    return order;
  };
  // Where others take the processor away for some milliseconds, even they take time.
  let order = await run();
  for (let more = 0; more < 20 && order.includes("a turn"); more++) order = await run();
  assert.deepEqual(order, ["1", "2", "3"]);
});
