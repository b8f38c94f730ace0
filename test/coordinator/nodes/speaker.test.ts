import assert from "node:assert/strict";
import { test } from "node:test";
import { makeSpeaker } from "../../../coordinator/nodes/speaker.ts";
import { silentLog } from "../pods.ts";

function aSpeaker() {
  const due: string[] = [];
  const said: string[] = [];
  const rooms: PromiseWithResolvers<void>[] = [];
  const speaker = makeSpeaker({
    node: "a",
    what: "words",
    next: () => (due.length === 0 ? undefined : [due.splice(0).join("+")].filter((word) => word !== "unsaid")),
    say: (message: string) => {
      said.push(message);
      const room = Promise.withResolvers<void>();
      rooms.push(room);
      return room.promise;
    },
    log: silentLog,
  });
  const tell = (...words: string[]): void => {
    due.push(...words);
    speaker.wake();
  };
  const room = async (): Promise<void> => {
    rooms.shift()?.resolve();
    await turns();
  };
  return { speaker, said, rooms, tell, room };
}
const turns = async (): Promise<void> => {
  for (let n = 0; n < 10; n++) await Promise.resolve();
};

test("what becomes due in one turn, or while a message waits for room, goes together", async () => {
  const { said, tell, room } = aSpeaker();
  tell("one");
  tell("two");
  await turns();
  tell("three");
  tell("four");
  await turns();
  assert.deepEqual(said, ["one+two"]);
  await room();
  assert.deepEqual(said, ["one+two", "three+four"]);
});

test("what becomes due in the very turn in which the last message found room is told", async () => {
  const { said, tell, rooms } = aSpeaker();
  tell("one");
  await turns();
  rooms[0]?.resolve();
  for (let after = 0; after < 6; after++) {
    await Promise.resolve();
    tell(`later ${after}`);
    await turns();
    rooms.at(-1)?.resolve();
  }
  await turns();
  assert.equal(said.join("+"), ["one", ...Array.from({ length: 6 }, (_, after) => `later ${after}`)].join("+"));
});

test("where what was due makes no message, the next is told all the same", async () => {
  const { said, tell } = aSpeaker();
  tell("unsaid");
  await turns();
  tell("one");
  await turns();
  assert.deepEqual(said, ["one"]);
});

test("a stream that ended is told nothing more, and one whose message failed is told the next", async () => {
  const { speaker, said, rooms, tell, room } = aSpeaker();
  tell("one");
  await turns();
  rooms.shift()?.reject(new Error("no room"));
  await turns();
  tell("two");
  await turns();
  speaker.close();
  tell("three");
  await room();
  assert.deepEqual(said, ["one", "two"]);
});
