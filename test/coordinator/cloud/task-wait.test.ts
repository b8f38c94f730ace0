import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "../../../common/clock.ts";
import {
  Durations,
  type Estimate,
  firstAskMs,
  learn,
  limitMs,
  pauseMs,
  type TaskStatus,
  TaskWait,
} from "../../../coordinator/cloud/task-wait.ts";
import { makeVirtualClock } from "../../virtual-clock.ts";

const RUNNING: TaskStatus = { status: "running", message: "", loadBalancerIds: [] };
const OVER: TaskStatus = { ...RUNNING, status: "succeeded" };

/** A cloud whose tasks take as long as `durationMs` says; a look takes `lookMs` and is decided at its end, as the emulated cloud does it. */
function aCloud(durationMs: (action: string) => number, lookMs = 98) {
  const clock = makeVirtualClock();
  const { signal } = new AbortController();
  const tasks = new Map<string, number>();
  let looks = 0;
  const wait = new TaskWait({
    clock,
    ask: async (taskId) => {
      looks++;
      await clock.sleep(lookMs);
      return clock.now() >= (tasks.get(taskId) ?? 0) ? OVER : RUNNING;
    },
  });
  let number = 0;
  /** Runs one task; how long after its end it was noticed. */
  const run = async (action: string, items = 1): Promise<number> => {
    const taskId = `task-${number++}`;
    const overAtMs = clock.now() + durationMs(action);
    tasks.set(taskId, overAtMs);
    const end = await wait.end({ taskId, action, items }, signal);
    assert.equal(end.status, "succeeded");
    return clock.now() - overAtMs;
  };
  return { clock, run, wait, looks: () => looks };
}
const average = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

/** Task time of the two profiles of clb-api.md §7.5, and one that scatters. */
const CLOUDS: readonly [what: string, make: () => () => number, lookMs: number, withinMs: number][] = [
  ["of always 3.68 s", () => () => 3_680, 98, 100],
  ["of always 0.4 s", () => () => 400, 30, 60],
  ["that become longer with each rule", () => growing(3_680, 100), 98, 100],
  ["of 3 to 4.4 s", () => scattered(3_000, 1_400), 98, 150],
];
function growing(fromMs: number, byMs: number): () => number {
  let nextMs = fromMs;
  return () => (nextMs += byMs);
}
function scattered(fromMs: number, rangeMs: number): () => number {
  let state = 1;
  return () => {
    state = (state * 48_271) % 2_147_483_647; // minimal standard generator: the same scatter in every run
    return fromMs + (state / 2_147_483_647) * rangeMs;
  };
}

for (const [what, make, lookMs, withinMs] of CLOUDS)
  test(`the end of tasks ${what} is noticed within ${withinMs} ms on average, by few looks`, async () => {
    const { clock, run, looks } = aCloud(make(), lookMs);
    const lags = await clock.run(
      (async () => {
        const seen: number[] = [];
        for (let n = 0; n < 40; n++) seen.push(await run("CreateRule", 20));
        return seen;
      })(),
    );
    const known = lags.slice(3);
    assert.ok(average(known) <= withinMs, `${Math.round(average(known))} ms on average: ${lags.map(Math.round).join(" ")}`);
    assert.ok(looks() / lags.length <= 6, `${looks() / lags.length} looks per task`);
  });

test("tasks that become quick again are noticed soon after a few", async () => {
  let durationMs = 4_000;
  const { clock, run } = aCloud(() => durationMs);
  const lags = await clock.run(
    (async () => {
      const seen: number[] = [];
      for (let n = 0; n < 30; n++) {
        if (n === 10) durationMs = 400;
        seen.push(await run("CreateRule"));
      }
      return seen;
    })(),
  );
  assert.ok(average(lags.slice(-5)) < 200, lags.map(Math.round).join(" "));
});

test("a stuck task ends in a bounded time, and costs few questions meanwhile", async () => {
  const { clock, wait, run, looks } = aCloud(() => 400, 30);
  const end = await clock.run(
    (async () => {
      await run("CreateListener");
      return await new TaskWait({
        clock,
        ask: async () => {
          await clock.sleep(30);
          return RUNNING;
        },
      }).end({ taskId: "stuck", action: "CreateListener", items: 1 }, new AbortController().signal);
    })(),
  );
  assert.equal(end.status, "stuck");
  assert.ok(end.status === "stuck" && end.afterMs >= 60_000 && end.afterMs < 65_000, JSON.stringify(end));
  assert.ok(wait !== undefined && looks() < 10);
});

test("a stuck task holds nobody up, and questions that fail say nothing", async () => {
  const clock = makeVirtualClock();
  let looks = 0;
  const wait = new TaskWait({
    clock,
    ask: async (taskId) => {
      looks++;
      await clock.sleep(30);
      if (taskId === "stuck") return undefined;
      return OVER;
    },
  });
  const { signal } = new AbortController();
  const end = (taskId: string) => wait.end({ taskId, action: "CreateRule", items: 1 }, signal);
  const stuck = end("stuck");
  const others = async (): Promise<number> => {
    const fromMs = clock.now();
    for (let n = 0; n < 10; n++) assert.equal((await end(`task-${n}`)).status, "succeeded");
    return clock.now() - fromMs;
  };
  const [last, tookMs] = await clock.run(Promise.all([stuck, others()]));
  assert.equal(last.status, "stuck");
  assert.ok(tookMs < 2_000, `${tookMs} ms`);
  assert.ok(looks < 120, `${looks} looks`);
});

for (const [what, hinder] of [
  ["could not be asked about", "mute"],
  ["ended while the process stood still", "frozen"],
] as const)
  test(`a task that ${what} for long does not make the next one look late`, async () => {
    const virtual = makeVirtualClock();
    const state = { mute: false, asleepMs: 0 };
    const clock: Clock = {
      now: () => virtual.now(),
      sleep: async (ms, signal) => {
        await virtual.sleep(ms + state.asleepMs, signal);
        state.asleepMs = 0;
      },
    };
    let overAtMs = 0;
    const wait = new TaskWait({ clock, ask: async () => (state.mute ? undefined : clock.now() >= overAtMs ? OVER : RUNNING) });
    const run = async (): Promise<number> => {
      overAtMs = clock.now() + 400;
      await wait.end({ taskId: "task", action: "CreateRule", items: 1 }, new AbortController().signal);
      return clock.now() - overAtMs;
    };
    const lagMs = await virtual.run(
      (async () => {
        for (let n = 0; n < 5; n++) await run();
        if (hinder === "frozen") state.asleepMs = 600_000;
        else {
          state.mute = true;
          void virtual.sleep(50_000).then(() => (state.mute = false));
        }
        await run();
        return await run();
      })(),
    );
    assert.ok(lagMs < 200, `noticed ${lagMs} ms after its end`);
  });

test("of several tasks of a new kind one is asked about for all, and what it shows is believed of the others", async () => {
  const { clock, wait, run, looks } = aCloud(() => 3_680, 98);
  assert.ok(wait !== undefined);
  const lags = await clock.run(Promise.all(Array.from({ length: 10 }, () => run("CreateRule", 20))));
  assert.ok(looks() <= 60, `${looks()} questions about ten tasks`);
  assert.ok(Math.max(...lags) <= 350, lags.map(Math.round).join(" "));
});

test("waiting ends with the signal", async () => {
  const clock = makeVirtualClock();
  const off = new AbortController();
  const wait = new TaskWait({ clock, ask: () => Promise.resolve(RUNNING) });
  const waiting = wait.end({ taskId: "a", action: "CreateRule", items: 1 }, off.signal);
  off.abort(new Error("stop"));
  await assert.rejects(waiting, /^Error: stop$/);
  assert.equal(clock.pending, 0);
});

test("a task is asked about when it can be over: about one question each, a moment after its end", async () => {
  const { clock, run, looks } = aCloud(() => 400, 30);
  const lags = await clock.run(
    (async () => {
      const seen: number[] = [];
      for (let n = 0; n < 5; n++) await run("BatchModifyTargetWeight"); // learned
      for (const fromLooks = looks(); seen.length < 40; ) {
        seen.push(await run("BatchModifyTargetWeight"));
        if (seen.length === 40) assert.ok(looks() - fromLooks <= 56, `${looks() - fromLooks} questions for 40 tasks`);
      }
      return seen;
    })(),
  );
  assert.ok(average(lags) <= 25, `${Math.round(average(lags))} ms on average: ${lags.map(Math.round).join(" ")}`);
});

test("the first question comes at the expected end, earlier where ends scatter, later ones ever more rarely", () => {
  const known: Estimate = { meanMs: 3_680, deviationMs: 30, early: 0 };
  assert.equal(firstAskMs(undefined), 100);
  assert.equal(firstAskMs(known), 3_680);
  assert.equal(firstAskMs({ ...known, deviationMs: 130 }), 3_530);
  assert.equal(pauseMs(known, 3_700), 30);
  assert.equal(pauseMs(known, 5_280), 200);
  assert.equal(pauseMs(known, 600_000), 2_000);
  assert.equal(pauseMs(undefined, 3_200), 100);
  assert.deepEqual(
    [limitMs(undefined), limitMs({ ...known, meanMs: 20_000 }), limitMs({ ...known, meanMs: 9e9 })],
    [60_000, 200_000, 720_000],
  );
});

test("learning: answers before and after the end narrow it down, one that came too late moves it down ever faster", () => {
  assert.deepEqual(learn(undefined, { runningAtMs: 300, overAtMs: 400 }), { meanMs: 350, deviationMs: 50, early: 0 });
  let estimate = learn(undefined, { runningAtMs: undefined, overAtMs: 500 });
  for (let n = 0; n < 6; n++) estimate = learn(estimate, { runningAtMs: undefined, overAtMs: firstAskMs(estimate) });
  assert.ok(firstAskMs(estimate) < 250, JSON.stringify(estimate));
});

test("what is learned of one size serves the sizes near it, and no other action", () => {
  const durations = new Durations();
  durations.note("CreateRule", { runningAtMs: 900, overAtMs: 1_100 }, 5);
  assert.equal(durations.of("CreateRule", 5)?.meanMs, 1_000);
  assert.equal(durations.of("CreateRule", 3)?.meanMs, 1_000);
  assert.equal(durations.of("DeleteRule", 5), undefined);
});
