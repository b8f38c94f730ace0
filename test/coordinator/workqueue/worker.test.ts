import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Remedy } from "../../../common/errors.ts";
import { type Outcome, type Reconcile, Worker } from "../../../coordinator/workqueue/worker.ts";
import { aFakeClock, silentLog } from "../pods.ts";

const DONE: Outcome = { kind: "done" };
const START_MS = 1_000_000;

/** A running worker; `passes` is when each pass began, e.g. "a@0", milliseconds since the start. */
function aWorker(t: TestContext, reconcile: Reconcile, concurrency = 10, mayBegin?: () => boolean) {
  const clock = aFakeClock(START_MS);
  const passes: string[] = [];
  const outcomes: string[] = [];
  const worker = new Worker({
    name: "test",
    clock,
    log: silentLog,
    concurrency,
    ...(mayBegin && { mayBegin }),
    onOutcome: (outcome) => void outcomes.push(outcome),
    reconcile: async (key, signal) => {
      passes.push(`${key}@${clock.now() - START_MS}`);
      return await reconcile(key, signal);
    },
  });
  const stop = new AbortController();
  const hard = new AbortController();
  const ended = worker.run(stop.signal, hard.signal);
  t.after(async () => {
    stop.abort();
    hard.abort(new Error("the test is over"));
    await clock.advance(1);
    await ended;
  });
  return { clock, worker, passes, outcomes, stop, hard, ended };
}

/** Passes that last until the test lets them go. */
function heldPasses() {
  const held = new Map<string, PromiseWithResolvers<Outcome>>();
  const reconcile: Reconcile = (key, signal) => {
    const pass = Promise.withResolvers<Outcome>();
    signal.addEventListener("abort", () => pass.reject(signal.reason), { once: true });
    held.set(key, pass);
    return pass.promise;
  };
  return { reconcile, finish: (key: string, outcome: Outcome = DONE) => held.get(key)?.resolve(outcome) };
}

test("a key added many times before its pass is passed once", async (t) => {
  const { clock, worker, passes } = aWorker(t, () => Promise.resolve(DONE));
  for (const key of ["a", "a", "b", "a"]) worker.add(key);
  await clock.advance(10);
  assert.deepEqual([passes, worker.depth], [["a@0", "b@0"], 0]);
});

test("a key that is added first has its pass before those that are due, of which one in four begins all the same", async (t) => {
  const { clock, worker, passes } = aWorker(t, () => Promise.resolve(DONE), 1);
  for (const key of ["a", "b", "c", "d"]) worker.add(key);
  for (const key of ["1", "2", "3", "4", "5", "c"]) worker.addFirst(key);
  worker.add("1");
  await clock.advance(10);
  assert.deepEqual([passes.map((pass) => pass.replace("@0", "")).join(""), worker.depth], ["123a45cbd", 0]);
});

test("one pass per key at a time; a key added while its pass runs is passed again, once", async (t) => {
  const { reconcile, finish } = heldPasses();
  const { clock, worker, passes } = aWorker(t, reconcile);
  worker.add("a");
  await clock.advance(10);
  worker.add("a");
  worker.add("a");
  await clock.advance(10);
  assert.deepEqual([passes, worker.isRunning("a"), worker.depth], [["a@0"], true, 2]);
  finish("a");
  await clock.advance(10);
  assert.deepEqual(passes, ["a@0", "a@20"]);
  finish("a");
  await clock.advance(10);
  assert.deepEqual([passes.length, worker.depth], [2, 0]);
});

test("works on no more keys at once than allowed, and goes on when a hand is free", async (t) => {
  const { reconcile, finish } = heldPasses();
  const { clock, worker, passes } = aWorker(t, reconcile, 2);
  for (const key of ["a", "b", "c"]) worker.add(key);
  await clock.advance(10);
  assert.deepEqual(passes, ["a@0", "b@0"]);
  finish("b");
  await clock.advance(1);
  assert.deepEqual(passes, ["a@0", "b@0", "c@10"]);
});

test("passes again after the time that a pass asks for", async (t) => {
  let left = 2;
  const { clock, worker, passes, outcomes } = aWorker(t, () =>
    Promise.resolve(left-- > 0 ? { kind: "again", afterMs: 400, because: "time" } : DONE),
  );
  worker.add("a");
  await clock.advance(2_000);
  assert.deepEqual(
    [passes, outcomes],
    [
      ["a@0", "a@400", "a@800"],
      ["again", "again", "done"],
    ],
  );
});

test("begins no pass before it may, and asks once for all keys", async (t) => {
  let may = false;
  let asked = 0;
  const mayBegin = (): boolean => {
    asked += 1;
    return may;
  };
  const { clock, worker, passes } = aWorker(t, () => Promise.resolve(DONE), 10, mayBegin);
  for (let key = 0; key < 1_000; key++) worker.add(`${key}`);
  await clock.advance(1_000);
  assert.deepEqual(passes, []);
  assert.equal(worker.depth, 1_000);
  assert.ok(asked <= 12, `asked ${asked} times in a second`);
  may = true;
  await clock.advance(100);
  assert.equal(passes.length, 1_000);
});

test("counts what is due or runs, and not what is due later", async (t) => {
  const { reconcile, finish } = heldPasses();
  const { clock, worker } = aWorker(t, reconcile, 1);
  worker.add("a");
  worker.add("b");
  await clock.advance(10);
  assert.equal(worker.depth, 2); // one runs, one waits for a hand
  finish("a", { kind: "again", afterMs: 60_000, because: "resync" });
  await clock.advance(10);
  finish("b");
  await clock.advance(10);
  assert.equal(worker.depth, 0);
  await clock.advance(60_000);
  assert.equal(worker.depth, 1);
});

test("a fact that changes brings a waiting key forward; a later time does not push it back", async (t) => {
  const { clock, worker, passes } = aWorker(t, () => Promise.resolve(DONE));
  worker.add("a", 500);
  worker.add("a", 900);
  worker.add("b", 900);
  await clock.advance(100);
  worker.add("b");
  await clock.advance(2_000);
  assert.deepEqual(passes, ["b@100", "a@500"]);
});

const REMEDIES: readonly (readonly [title: string, remedy: Remedy | undefined, afterMs: number])[] = [
  ["the time that the other side asked for", { kind: "retryAfter", delayMs: 300 }, 300],
  ["a second where nobody says", { kind: "retry" }, 1_000],
  ["a second for an error without remedy", undefined, 1_000],
  ["half a minute where trying again is of no use", { kind: "giveUp" }, 30_000],
];

for (const [title, remedy, afterMs] of REMEDIES)
  test(`after a failure waits ${title}`, async (t) => {
    let failed = false;
    const { clock, worker, passes, outcomes } = aWorker(t, () => {
      if (failed) return Promise.resolve(DONE);
      failed = true;
      return Promise.reject(Object.assign(new Error("no"), remedy && { remedy }));
    });
    worker.add("a");
    worker.add("b", 5); // a neighbour does not wait
    await clock.advance(40_000);
    assert.deepEqual(
      [passes, outcomes],
      [
        ["a@0", "b@5", `a@${afterMs}`],
        ["failed", "done", "done"],
      ],
    );
  });

test("stopping waits for the running passes and starts no other", async (t) => {
  const { reconcile, finish } = heldPasses();
  const { clock, worker, passes, stop, ended } = aWorker(t, reconcile);
  let over = false;
  void ended.then(() => (over = true));
  worker.add("a");
  await clock.advance(10);
  stop.abort();
  worker.add("b");
  await clock.advance(1_000);
  assert.deepEqual([over, passes], [false, ["a@0"]]);
  finish("a");
  await clock.advance(1);
  assert.deepEqual([over, passes], [true, ["a@0"]]);
});

test("stopping wakes a worker that sleeps", async (t) => {
  const { clock, worker, stop, ended } = aWorker(t, () => Promise.resolve(DONE));
  worker.add("a", 1_000_000);
  await clock.advance(10);
  stop.abort();
  await ended;
  assert.equal(clock.pendingSleeps, 0);
});

test("a pass that is called off is no failure and is not repeated", async (t) => {
  const { reconcile } = heldPasses();
  const { clock, worker, outcomes, stop, hard, ended } = aWorker(t, reconcile);
  worker.add("a");
  await clock.advance(10);
  stop.abort();
  hard.abort(new Error("too late"));
  await ended;
  assert.deepEqual([outcomes, worker.depth], [[], 0]);
});
