import assert from "node:assert/strict";
import { test } from "node:test";
import { Refusals } from "../../../coordinator/nodes/refusals.ts";
import { silentLog } from "../pods.ts";

const WHAT = { pod: "demo/web", uid: "u", because: "it is so" };

function refusals() {
  const told: string[] = [];
  const time = { ms: 0 };
  const all = new Refusals({ now: () => time.ms, log: silentLog, onRefused: () => undefined, nodeUid: (node) => `uid of ${node}` });
  const follow = (): (() => void) => all.follow(({ name, uid }, why) => void told.push(`${name} (${uid}) ${why}`));
  return { all, told, time, follow };
}

test("a Pod of another node is told at once, of each node once a minute", () => {
  const { all, told, time, follow } = refusals();
  follow();
  for (const node of ["node-a", "node-b", "node-a"]) all.note(node, "foreign", WHAT);
  assert.deepEqual(told, ["node-a (uid of node-a) foreign", "node-b (uid of node-b) foreign"]);
  time.ms = 60_000;
  all.note("node-a", "foreign", WHAT);
  assert.equal(told.length, 3);
});

test("a Pod that the API server does not have may have ended meanwhile: ten a minute are told", () => {
  const { all, told, time, follow } = refusals();
  follow();
  for (let n = 0; n < 9; n++) all.note("node-a", "unknown", WHAT);
  time.ms = 60_000;
  for (let n = 0; n < 9; n++) all.note("node-a", "unknown", WHAT);
  assert.deepEqual(told, []);
  for (let n = 0; n < 5; n++) all.note("node-a", "unknown", WHAT);
  assert.deepEqual(told, ["node-a (uid of node-a) unknown"]);
});

test("what nobody heard, because no replica led, is told with the next refusal of that minute; who leads no more hears nothing", () => {
  const { all, told, follow } = refusals();
  all.note("node-a", "name", WHAT);
  const unfollow = follow();
  all.note("node-a", "name", WHAT);
  assert.deepEqual(told, ["node-a (uid of node-a) name"]);
  unfollow();
  all.note("node-b", "name", WHAT);
  assert.equal(told.length, 1);
});
