import assert from "node:assert/strict";
import { test } from "node:test";
import { makeTokenLife } from "../../../coordinator/stream/token-life.ts";
import { TokenRefused } from "../../../coordinator/stream/token-review.ts";
import { aFakeClock, silentLog } from "../pods.ts";

const HOUR_MS = 3_600_000;

function aLife() {
  const steady = aFakeClock(0);
  let jumpedMs = 0;
  const clock = Object.assign(Object.create(steady) as typeof steady, { now: () => steady.now() + jumpedMs });
  const jump = (ms: number): void => void (jumpedMs += ms);
  const stopped = new AbortController();
  const asked: number[] = [];
  const answers = new Map<string, number | Error>();
  const reviewed: string[] = [];
  const life = makeTokenLife(HOUR_MS, {
    nodeName: "a",
    clock,
    log: silentLog,
    ask: () => void asked.push(clock.now()),
    async review(token) {
      reviewed.push(token);
      const answer = await Promise.resolve(answers.get(token) ?? new Error("connect ECONNREFUSED"));
      if (answer instanceof Error) throw answer;
      return { node: "a", podUid: "agent-1", expiresAtMs: answer };
    },
  });
  let end: unknown = "still alive";
  void life.run(stopped.signal).then(
    () => (end = "stopped"),
    (error) => (end = error),
  );
  return { clock, jump, life, stopped, asked, answers, reviewed, end: () => end };
}

test("a fresh token is asked for at 80 % of the remaining life, again every 5 s, and the stream ends at the expiry", async () => {
  const { clock, asked, end } = aLife();
  await clock.advance(0.8 * HOUR_MS - 1);
  assert.deepEqual(asked, []);
  await clock.advance(5_001);
  assert.deepEqual(asked, [0.8 * HOUR_MS, 0.8 * HOUR_MS + 5_000]);
  await clock.advance(0.2 * HOUR_MS - 5_001);
  assert.equal(end(), "still alive");
  await clock.advance(1);
  await clock.advance(0);
  assert.ok(end() instanceof TokenRefused, String(end()));
});

test("a fresh token prolongs the life, and the next one is asked for at 80 % of it", async () => {
  const { clock, life, asked, answers, end } = aLife();
  answers.set("fresh", 3 * HOUR_MS);
  await clock.advance(HOUR_MS / 2);
  life.offer("fresh");
  await clock.advance(2 * HOUR_MS - 1);
  assert.deepEqual(asked, []);
  await clock.advance(1);
  assert.deepEqual(asked, [2.5 * HOUR_MS]);
  assert.equal(end(), "still alive");
});

test("a fresh token that cannot be reviewed is kept and tried again, not refused", async () => {
  const { clock, life, answers, reviewed, end } = aLife();
  life.offer("fresh");
  await clock.advance(12_000);
  assert.deepEqual(reviewed, ["fresh", "fresh", "fresh"]);
  answers.set("fresh", 2 * HOUR_MS);
  await clock.advance(HOUR_MS);
  assert.equal(end(), "still alive");
  assert.equal(reviewed.length, 4);
});

test("a refused fresh token ends the life at once", async () => {
  const { clock, life, answers, end } = aLife();
  answers.set("fresh", new TokenRefused("forbidden", "of another node"));
  life.offer("fresh");
  await clock.advance(0);
  assert.ok(end() instanceof TokenRefused);
});

test("the old token once more does not make it ask faster and faster", async () => {
  const { clock, life, asked, answers } = aLife();
  answers.set("old", HOUR_MS);
  await clock.advance(0.8 * HOUR_MS);
  for (let i = 0; i < 10; i++) {
    life.offer("old");
    await clock.advance(60_000);
  }
  assert.ok(asked.length < 100, String(asked.length));
});

test("a clock that jumps is followed within a minute: forth past the expiry, or back from where it was wrong", async () => {
  const forth = aLife();
  await forth.clock.advance(1_000);
  forth.jump(HOUR_MS);
  await forth.clock.advance(59_999);
  await forth.clock.advance(0);
  assert.ok(forth.end() instanceof TokenRefused, String(forth.end()));

  const back = aLife();
  await back.clock.advance(HOUR_MS / 2);
  back.jump(-HOUR_MS / 2);
  await back.clock.advance(HOUR_MS - 1);
  assert.equal(back.end(), "still alive");
  await back.clock.advance(1);
  await back.clock.advance(0);
  assert.ok(back.end() instanceof TokenRefused, String(back.end()));
});

test("an aborted life resolves and leaves no timer behind", async () => {
  const { clock, stopped, end } = aLife();
  await clock.advance(1);
  assert.equal(clock.pendingSleeps, 1);
  stopped.abort();
  await clock.advance(0);
  assert.equal(end(), "stopped");
  assert.equal(clock.pendingSleeps, 0);
});
