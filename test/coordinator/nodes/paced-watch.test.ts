import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeWatchEvent } from "../../../coordinator/nodes/node-session.ts";
import { paced } from "../../../coordinator/nodes/paced-watch.ts";
import { aFakeClock } from "../pods.ts";

const LISTED: NodeWatchEvent = { kind: "listed", pods: [] };

/** Watches of nodes "n-0", "n-1" …; `started` in the order of their first lists, `shared` are the nodes of each watch of many. */
function aWorld(count: number, crowd = { crowded: false }) {
  const clock = aFakeClock();
  const started: string[] = [];
  const shared: { readonly nodes: string[]; readonly tell: (node: string, event: NodeWatchEvent) => void; readonly signal: AbortSignal }[] =
    [];
  const heard: string[] = [];
  const tell = new Map<string, (event: NodeWatchEvent) => void>();
  const watchNode = paced({
    watchNode: (node, onEvent) => {
      started.push(node);
      tell.set(node, onEvent);
      return { lastByteAtMs: 42 };
    },
    watchNodes: (nodes, onEvent, signal) => {
      shared.push({ nodes: [...nodes], tell: onEvent, signal });
      return { lastByteAtMs: 43 };
    },
    clock,
    crowded: () => crowd.crowded,
  });
  const signals = Array.from({ length: count }, () => new AbortController());
  const watch = (n: number, urgent = false) =>
    watchNode(`n-${n}`, ({ kind }) => void heard.push(`n-${n} ${kind}`), signals[n]?.signal ?? AbortSignal.abort(), urgent);
  return { clock, started, shared, heard, tell, signals, watch };
}

/** All of them at once. */
function aWorldThatWatches(count: number) {
  const world = aWorld(count);
  return { ...world, watches: Array.from({ length: count }, (_, n) => world.watch(n)) };
}

test("at most 20 nodes are listed at a time, the others in their order as these are done", () => {
  const { started, heard, tell, watches, clock } = aWorldThatWatches(23);
  assert.equal(started.length, 20);
  assert.deepEqual([watches[0]?.lastByteAtMs, watches[22]?.lastByteAtMs], [42, clock.now()]);
  tell.get("n-3")?.(LISTED);
  tell.get("n-3")?.({ kind: "changed", pod: { uid: "x" } as never }); // counts once
  assert.deepEqual([started.slice(20), heard], [["n-20"], ["n-3 listed", "n-3 changed"]]);
  tell.get("n-0")?.(LISTED);
  assert.deepEqual(started.slice(20), ["n-20", "n-21"]);
});

test("a node whose agent is back before its turn is never listed, and one that is given up makes room", async () => {
  const { clock, started, shared, signals } = aWorldThatWatches(22);
  signals[20]?.abort();
  signals[5]?.abort();
  assert.deepEqual(started.slice(20), ["n-21"]);
  await clock.advance(60_000);
  assert.deepEqual([started.length, shared], [21, []]);
});

test("nobody waits longer than 30 s although nobody is done: then they share a watch, and still no more than 20 are listed alone", async () => {
  const { clock, started, shared } = aWorldThatWatches(25);
  await clock.advance(29_999);
  assert.deepEqual([started.length, shared.length], [20, 0]);
  await clock.advance(251);
  assert.deepEqual([started.length, shared.map(({ nodes }) => nodes)], [20, [["n-20", "n-21", "n-22", "n-23", "n-24"]]]);
});

test("where more than 20 wait, they share one watch at once, and each hears of its own Pods", async () => {
  const { clock, started, shared, heard, watches, signals } = aWorldThatWatches(300);
  await clock.advance(250);
  assert.deepEqual([started.length, shared.map(({ nodes }) => nodes.length)], [20, [280]]);
  assert.equal(watches[299]?.lastByteAtMs, 43);
  shared[0]?.tell("n-299", LISTED);
  signals[298]?.abort();
  shared[0]?.tell("n-298", LISTED);
  assert.deepEqual(heard, ["n-299 listed"]);
});

test("a shared watch with 5 nodes left ends, and these are watched alone", async () => {
  const { clock, started, shared, signals } = aWorldThatWatches(300);
  await clock.advance(250);
  for (let n = 0; n < 20; n++) signals[n]?.abort();
  for (let n = 20; n < 294; n++) signals[n]?.abort();
  assert.equal(shared[0]?.signal.aborted, false);
  signals[294]?.abort();
  assert.equal(shared[0]?.signal.aborted, true);
  assert.deepEqual(started.slice(20), ["n-295", "n-296", "n-297", "n-298", "n-299"]);
});

test("while agents come in numbers nobody is listed, for 30 s at most; a node that can have no agent is, at once", async () => {
  const crowd = { crowded: true };
  const { clock, started, watch } = aWorld(4, crowd);
  watch(0);
  watch(1, true);
  assert.deepEqual(started, ["n-1"]);
  await clock.advance(29_999);
  assert.deepEqual(started, ["n-1"]);
  await clock.advance(251);
  assert.deepEqual(started, ["n-1", "n-0"]);
  watch(2);
  crowd.crowded = false;
  await clock.advance(250);
  assert.deepEqual(started, ["n-1", "n-0", "n-2"]);
});
