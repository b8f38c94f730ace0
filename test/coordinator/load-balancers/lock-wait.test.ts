import assert from "node:assert/strict";
import { test } from "node:test";
import { LockWait } from "../../../coordinator/load-balancers/lock-wait.ts";

/** A write takes so long where today's tail of half a second is seen, and where none is (clb-api.md §7.2, §7.5). */
const QUICK_MS = 450;
const SLOW_MS = 3_900;
/** A write of ten targets that has ended well. */
const ended = (tails: LockWait, id: string, endedMs: number, tookMs = QUICK_MS): void =>
  tails.ended(id, { kind: "batch", items: 10, startedMs: endedMs - tookMs, endedMs });

/** A load balancer that stays locked for `tailMs` after each write; a try takes 40 to 60 ms. What each write has lost after the lock was gone, and refusals. */
function writes(tails: LockWait, tailMs: number, count: number, { fromMs = 1_000_000, tookMs = QUICK_MS } = {}) {
  let nowMs = fromMs;
  const lost: number[] = [];
  let refused = 0;
  for (let n = 0; n < count; n++) {
    nowMs += tookMs;
    ended(tails, "lb-1", nowMs, tookMs);
    const freeMs = nowMs + tailMs;
    for (;;) {
      nowMs += tails.waitMs("lb-1", nowMs);
      const sentMs = nowMs;
      nowMs += 40 + ((n * 7) % 21);
      if (nowMs >= freeMs) {
        tails.passed("lb-1", sentMs);
        lost.push(Math.max(0, nowMs - freeMs));
        break;
      }
      refused++;
      tails.refused("lb-1", sentMs, nowMs);
    }
  }
  return { lost, refused, endMs: nowMs };
}
const average = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

test("half a second after a batch nothing is tried, from the first batch on", () => {
  const { lost, refused } = writes(new LockWait(), 500, 29);
  assert.equal(refused, 0);
  assert.ok(average(lost) < 70, `${Math.round(average(lost))} ms lost on average: ${lost.join(" ")}`);
});

test("in a thousand writes a shorter tail is tried for a few times, and one that stays is waited for", () => {
  const { lost, refused } = writes(new LockWait(), 500, 1_000);
  assert.ok(refused <= 8, `${refused} refusals of 1 000 writes`);
  assert.ok(average(lost) < 80, `${Math.round(average(lost))} ms lost on average`);
});

for (const tailMs of [200, 900])
  test(`a tail of ${tailMs} ms that nobody expects is learned`, () => {
    const tails = new LockWait();
    const { endMs } = writes(tails, tailMs, 1, { tookMs: SLOW_MS });
    const { lost, refused } = writes(tails, tailMs, 29, { fromMs: endMs, tookMs: SLOW_MS });
    assert.equal(refused, 0);
    assert.ok(Math.max(...lost) < tailMs * 0.5 + 130, lost.join(" "));
  });

for (const tookMs of [SLOW_MS, 20])
  test(`where there is no tail, the next write goes at once: after calls of ${tookMs} ms`, () => {
    const { lost, refused } = writes(new LockWait(), 0, 10, { tookMs });
    assert.equal(refused, 0);
    assert.ok(Math.max(...lost) <= 60, lost.join(" "));
  });

test("a tail that has gone is forgotten", () => {
  const tails = new LockWait();
  const { endMs } = writes(tails, 500, 20);
  const { lost } = writes(tails, 0, 20, { fromMs: endMs });
  assert.ok(average(lost.slice(-5)) < 100, lost.join(" "));
});

test("one lock of another writer right after ours is not taken for a tail; a tail that has grown is", () => {
  const tails = new LockWait();
  const { endMs } = writes(tails, 500, 5);
  const { endMs: afterMs } = writes(tails, 1_100, 1, { fromMs: endMs });
  assert.equal(learned(tails, afterMs), 500);
  const { lost, refused } = writes(tails, 1_100, 10, { fromMs: afterMs });
  assert.ok(refused <= 8 && average(lost.slice(-5)) < 250, `${refused} refusals: ${lost.join(" ")}`);
});

test("a write long after the last one says nothing of the tail", () => {
  const tails = new LockWait();
  ended(tails, "lb-1", 1_000, SLOW_MS);
  tails.passed("lb-1", 60_000);
  ended(tails, "lb-1", 61_000, SLOW_MS);
  assert.equal(tails.waitMs("lb-1", 61_000), 0);
});

test("a lock that lasts is another writer's: tried ever more rarely, hardly more than a second apart at first, and told afterwards", () => {
  const tails = new LockWait();
  let nowMs = 0;
  let tries = 0;
  for (; nowMs < 20_000; tries++) {
    tails.refused("lb-1", nowMs, nowMs + 50);
    nowMs += 50;
    assert.ok(tails.waitMs("lb-1", nowMs) <= 1_250); // of twenty seconds the sixteenth part
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
  ended(tails, "lb-2", nowMs);
  return tails.waitMs("lb-2", nowMs);
}

test("a lock that is met ten minutes after our last write is another's, and no tail of ours", () => {
  const tails = new LockWait();
  const { endMs } = writes(tails, 500, 10);
  ended(tails, "lb-1", endMs);
  const lateMs = endMs + 600_000;
  tails.refused("lb-1", lateMs, lateMs + 50);
  tails.passed("lb-1", lateMs + 50 + tails.waitMs("lb-1", lateMs + 50));
  assert.ok(learned(tails, lateMs + 2_000) < 1_000, `${learned(tails, lateMs + 2_000)} ms`);
});

test("a refused write that was wanted no more says nothing of the tail when the next one comes", () => {
  const tails = new LockWait();
  const { endMs } = writes(tails, 500, 10);
  ended(tails, "lb-1", endMs);
  tails.refused("lb-1", endMs + 300, endMs + 350);
  tails.passed("lb-1", endMs + 600_000);
  assert.ok(learned(tails, endMs + 602_000) < 1_000, `${learned(tails, endMs + 602_000)} ms`);
});

test("a load balancer that is forgotten has no lock; what was learned of tails stays", () => {
  const tails = new LockWait();
  const { endMs } = writes(tails, 500, 10);
  ended(tails, "lb-1", endMs);
  const waitMs = tails.waitMs("lb-1", endMs);
  tails.forget("lb-1");
  assert.deepEqual([tails.waitMs("lb-1", endMs), learned(tails, endMs)], [0, waitMs]);
});

test("a lock that lasts for minutes is tried ever more rarely, at last once in 30 s; the next one is tried as soon as any", () => {
  const tails = new LockWait();
  const refuse = (fromMs: number, forMs: number): number[] => {
    const tries: number[] = [];
    for (let nowMs = fromMs; nowMs < fromMs + forMs; nowMs += tails.waitMs("lb-1", nowMs)) {
      tries.push(nowMs);
      nowMs += 50;
      tails.refused("lb-1", nowMs - 50, nowMs);
    }
    return tries;
  };
  const tries = refuse(1_000_000, 1_200_000);
  assert.ok(tries.length < 120, `${tries.length} tries in twenty minutes`);
  const gaps = tries.slice(1).map((ms, at) => ms - (tries[at] ?? 0));
  assert.ok(Math.max(...gaps.slice(0, 15)) <= 1_100, "within a quarter of a minute once a second, for Pods wait to end");
  assert.ok((gaps.at(-1) ?? 0) >= 29_000 && Math.max(...gaps) <= 30_100, `${Math.max(...gaps)}`);
  assert.equal(tails.passed("lb-1", 2_300_000), true);
  assert.ok(refuse(2_400_000, 10_000).length > 10);
});
