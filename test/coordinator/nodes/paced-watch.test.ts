import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeWatchEvent } from "../../../coordinator/nodes/node-session.ts";
import { paced } from "../../../coordinator/nodes/paced-watch.ts";
import { aFakeClock } from "../pods.ts";

const LISTED: NodeWatchEvent = { kind: "listed", pods: [] };

/** Watches of nodes "n-0", "n-1" …; `started` in the order of their first lists. */
function aWorld(count: number) {
  const clock = aFakeClock();
  const started: string[] = [];
  const heard: string[] = [];
  const tell = new Map<string, (event: NodeWatchEvent) => void>();
  const watchNode = paced((node, onEvent) => {
    started.push(node);
    tell.set(node, onEvent);
    return { lastByteAtMs: 42 };
  }, clock);
  const signals = Array.from({ length: count }, () => new AbortController());
  const watches = signals.map(({ signal }, n) => watchNode(`n-${n}`, ({ kind }) => void heard.push(`n-${n} ${kind}`), signal));
  return { clock, started, heard, tell, signals, watches };
}

test("at most 20 nodes are listed at a time, the others in their order as these are done", () => {
  const { started, heard, tell, watches, clock } = aWorld(23);
  assert.equal(started.length, 20);
  assert.deepEqual([watches[0]?.lastByteAtMs, watches[22]?.lastByteAtMs], [42, clock.now()]);
  tell.get("n-3")?.(LISTED);
  tell.get("n-3")?.({ kind: "changed", pod: { uid: "x" } as never }); // counts once
  assert.deepEqual([started.slice(20), heard], [["n-20"], ["n-3 listed", "n-3 changed"]]);
  tell.get("n-0")?.(LISTED);
  assert.deepEqual(started.slice(20), ["n-20", "n-21"]);
});

test("a node whose agent is back before its turn is never listed, and one that is given up makes room", async () => {
  const { clock, started, signals } = aWorld(22);
  signals[20]?.abort();
  signals[5]?.abort();
  assert.deepEqual(started.slice(20), ["n-21"]);
  await clock.advance(60_000);
  assert.equal(started.length, 21);
});

test("nobody waits longer than 30 s, although nobody is done", async () => {
  const { clock, started } = aWorld(25);
  await clock.advance(29_999);
  assert.equal(started.length, 20);
  await clock.advance(1);
  assert.equal(started.length, 25);
});
