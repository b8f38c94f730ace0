import assert from "node:assert/strict";
import { test } from "node:test";
import { LockWait } from "../../../coordinator/load-balancers/lock-wait.ts";

/** A load balancer that stays locked for `tailMs` after each write; a call takes 50 ms. What each write has lost after the lock was gone, and refusals. */
function writes(tails: LockWait, tailMs: number, count: number, fromMs = 1_000_000) {
  let nowMs = fromMs;
  const lost: number[] = [];
  let refusedItems = 0;
  for (let n = 0; n < count; n++) {
    nowMs += 400;
    tails.ended("lb-1", "batch", 10, nowMs);
    const freeMs = nowMs + tailMs;
    for (;;) {
      nowMs += tails.waitMs("lb-1", nowMs);
      const sentMs = nowMs;
      nowMs += 50;
      if (nowMs >= freeMs) {
        tails.passed("lb-1", sentMs);
        lost.push(Math.max(0, nowMs - freeMs));
        break;
      }
      refusedItems++;
      tails.refused("lb-1", sentMs, nowMs);
    }
  }
  return { lost, refusedItems, endMs: nowMs };
}
const average = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

test("the tail of a batch is learned: the next write comes when it is over, with few refusals", () => {
  const { lost, refusedItems } = writes(new LockWait(), 500, 30);
  assert.ok(average(lost.slice(3)) < 70, `${Math.round(average(lost.slice(3)))} ms lost on average: ${lost.join(" ")}`);
  assert.ok(refusedItems < 60, `${refusedItems} refusals of 30 writes`);
});

test("where there is no tail, the next write goes at once", () => {
  const tails = new LockWait();
  const { lost, refusedItems } = writes(tails, 0, 10);
  assert.equal(refusedItems, 0);
  assert.ok(Math.max(...lost) <= 50, lost.join(" "));
});

test("a tail that has gone is forgotten", () => {
  const tails = new LockWait();
  const { endMs } = writes(tails, 500, 10);
  const { lost } = writes(tails, 0, 20, endMs);
  assert.ok(average(lost.slice(-5)) < 100, lost.join(" "));
});

test("a write long after the last one says nothing of the tail", () => {
  const tails = new LockWait();
  tails.ended("lb-1", "batch", 10, 1_000);
  tails.passed("lb-1", 60_000);
  tails.ended("lb-1", "batch", 10, 61_000);
  assert.equal(tails.waitMs("lb-1", 61_000), 0);
});

test("a lock that lasts is another writer's: tried ever more rarely, never more than a second apart, and told afterwards", () => {
  const tails = new LockWait();
  let nowMs = 0;
  let tries = 0;
  for (; nowMs < 20_000; tries++) {
    tails.refused("lb-1", nowMs, nowMs + 50);
    nowMs += 50;
    assert.ok(tails.waitMs("lb-1", nowMs) <= 1_000);
    nowMs += tails.waitMs("lb-1", nowMs);
  }
  assert.ok(tries > 15 && tries < 40, String(tries));
  assert.equal(tails.passed("lb-1", nowMs), true);
  assert.equal(tails.passed("lb-1", nowMs), false);
});

test("one load balancer's lock is no other's", () => {
  const tails = new LockWait();
  tails.refused("lb-1", 0, 50);
  assert.equal(tails.waitMs("lb-2", 50), 0);
});

/** What the first batch of another load balancer waits for after it has returned. */
function learned(tails: LockWait, nowMs: number): number {
  tails.ended("lb-2", "batch", 10, nowMs);
  return tails.waitMs("lb-2", nowMs);
}

test("a lock that is met ten minutes after our last write is another's, and no tail of ours", () => {
  const tails = new LockWait();
  const { endMs } = writes(tails, 500, 10);
  tails.ended("lb-1", "batch", 10, endMs);
  const lateMs = endMs + 600_000;
  tails.refused("lb-1", lateMs, lateMs + 50);
  tails.passed("lb-1", lateMs + 50 + tails.waitMs("lb-1", lateMs + 50));
  assert.ok(learned(tails, lateMs + 2_000) < 1_000, `${learned(tails, lateMs + 2_000)} ms`);
});

test("a refused write that was wanted no more says nothing of the tail when the next one comes", () => {
  const tails = new LockWait();
  const { endMs } = writes(tails, 500, 10);
  tails.ended("lb-1", "batch", 10, endMs);
  tails.refused("lb-1", endMs + 300, endMs + 350);
  tails.passed("lb-1", endMs + 600_000);
  assert.ok(learned(tails, endMs + 602_000) < 1_000, `${learned(tails, endMs + 602_000)} ms`);
});

test("a load balancer that is forgotten has no lock; what was learned of tails stays", () => {
  const tails = new LockWait();
  const { endMs } = writes(tails, 500, 10);
  tails.ended("lb-1", "batch", 10, endMs);
  const waitMs = tails.waitMs("lb-1", endMs);
  tails.forget("lb-1");
  assert.deepEqual([tails.waitMs("lb-1", endMs), learned(tails, endMs)], [0, waitMs]);
});
