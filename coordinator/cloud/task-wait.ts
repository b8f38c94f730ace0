import type { Clock } from "../../common/clock.ts";
import { OVER, withEither } from "../../common/signals.ts";
import { LONGEST_TASK_MS } from "../domain/call.ts";

/** One end as the answers tell it: not over at `runningAtMs` (undefined: never asked before) and over at `overAtMs`. Milliseconds since the begin. */
export type Seen = { readonly runningAtMs: number | undefined; readonly overAtMs: number };

/**
 * How long a kind of thing takes until a question hears that it is over, e.g. { meanMs: 3680, deviationMs: 40, early: 0 }. `early`: so many
 * times in a row the first answer found it over already; the true end may be much earlier.
 */
export type Estimate = { readonly meanMs: number; readonly deviationMs: number; readonly early: number };

/** Weight of what was seen last: durations follow the size of the load balancer, so the last one tells most. */
const GAIN = 0.5;
/**
 * A first answer that found it over moves the estimate down by so much, and twice as much each time after some in a row. It is small against
 * what a question too early moves it up, so that about one question of six is too early, and the others come a moment after the end.
 */
const NUDGE = { ms: 3, steadyTimes: 4, mostTimes: 14 } as const;
/** A jump by more than eight deviations, and than eight of these, is believed at once: a load balancer that has grown does not shrink by the next call. */
const JUMP_MS = 20;
/** After a first answer that found it over: how many deviations the estimate moves down at least, and how much of the deviation stays. */
const DOWN = 0.25;
const KEPT = 0.75;

/** Pure: the estimate after one more end was seen. */
export function learn(before: Estimate | undefined, { runningAtMs, overAtMs }: Seen): Estimate {
  if (runningAtMs === undefined) {
    // Nothing says how much earlier it was over: less and less is believed of what deviated before.
    const { meanMs, deviationMs, early } = before ?? { meanMs: overAtMs, deviationMs: overAtMs, early: 0 };
    const nudgeMs = NUDGE.ms * 2 ** Math.max(0, Math.min(early + 1, NUDGE.mostTimes) - NUDGE.steadyTimes);
    const downMs = Math.max(nudgeMs, deviationMs * DOWN);
    return { meanMs: Math.max(0, Math.min(meanMs, overAtMs) - downMs), deviationMs: deviationMs * KEPT, early: early + 1 };
  }
  const sampleMs = (runningAtMs + overAtMs) / 2;
  if (before === undefined) return { meanMs: sampleMs, deviationMs: (overAtMs - runningAtMs) / 2, early: 0 };
  const offMs = sampleMs - before.meanMs;
  if (Math.abs(offMs) > 8 * Math.max(before.deviationMs, JUMP_MS)) return { meanMs: sampleMs, deviationMs: Math.abs(offMs) / 8, early: 0 };
  const deviationMs = before.deviationMs + GAIN * (Math.abs(offMs) - before.deviationMs);
  return { meanMs: before.meanMs + GAIN * offMs, deviationMs, early: 0 };
}

/** A shorter wait would only hear "running". Source: the task of the quickest profile takes 0.4 s (clb-api.md §7.5). */
const UNKNOWN_FIRST_MS = 100;
const PAUSE_MS = { shortest: 30, longest: 2_000 } as const;
/** Of several unknown ones under way together all but the oldest are asked about so many times later first, then whenever as much time has passed again. */
const FOLLOWERS_FIRST = 10;
/** Of the time that has passed since the end was expected, or since the begin where nothing is known. */
const PAUSE_SHARE = { late: 1 / 8, unknown: 1 / 32 } as const;

/** Deviations before the expected end at which the first question goes out, of what exceeds the time between two questions. */
const EARLY = { deviations: 1.5, betweenMs: 30 } as const;

/**
 * Pure: when to ask first, milliseconds after the begin: when it can be over, since a question too soon costs a call and brings the next one
 * late. Earlier where the ends scatter widely, because a question too late costs time.
 */
export const firstAskMs = (estimate: Estimate | undefined): number =>
  estimate === undefined
    ? UNKNOWN_FIRST_MS
    : Math.max(0, estimate.meanMs - EARLY.deviations * Math.max(0, estimate.deviationMs - EARLY.betweenMs));

/** Pure: the pause before the next question: quick near the expected end, then longer the later it gets. */
export function pauseMs(estimate: Estimate | undefined, passedMs: number): number {
  const share = estimate === undefined ? passedMs * PAUSE_SHARE.unknown : (passedMs - estimate.meanMs) * PAUSE_SHARE.late;
  return Math.min(Math.max(share, PAUSE_MS.shortest), PAUSE_MS.longest);
}

/** A task that runs longer is given up on: the load balancer is re-read. At least a minute, or this many times the expected time. */
const LIMIT = { leastMs: 60_000, mostMs: LONGEST_TASK_MS, times: 10 } as const;

/** Pure: how long to wait at most. */
export const limitMs = (estimate: Estimate | undefined): number =>
  Math.min(Math.max((estimate?.meanMs ?? 0) * LIMIT.times, LIMIT.leastMs), LIMIT.mostMs);

/** Kinds remembered: a few dozen actions in a few sizes each, and load balancers; the one unused for longest goes first. */
const MAX_KINDS = 2_000;

/** What has been learned, by kind, e.g. "CreateRule" and 6 for a call of 64 to 127 rules. */
export class Durations {
  readonly #known = new Map<string, Estimate>();

  /** Of this kind and size; else of the nearest size of the kind. `size` counts in doublings. */
  of(kind: string, size = 0): Estimate | undefined {
    for (let away = 0; away <= 10; away++) {
      const near = this.#known.get(`${kind} ${size - away}`) ?? this.#known.get(`${kind} ${size + away}`);
      if (near !== undefined) return near;
    }
    return undefined;
  }

  note(kind: string, seen: Seen, size = 0): void {
    const key = `${kind} ${size}`;
    const estimate = learn(this.#known.get(key) ?? this.of(kind, size), seen);
    this.#known.delete(key);
    if (this.#known.size >= MAX_KINDS) this.#known.delete(this.#known.keys().next().value ?? "");
    this.#known.set(key, estimate);
  }
}

/** A question that goes out this much later than it was to be tells little of when the task ended: the process stood still, or nothing was answered before. */
const LATE_MS = 1_000;

/** What one answer says of a task; undefined: it could not be asked, which says nothing. */
export type TaskStatus = {
  readonly status: "running" | "succeeded" | "failed";
  readonly message: string;
  readonly loadBalancerIds: readonly string[];
};
export type TaskEnd = TaskStatus | { readonly status: "stuck"; readonly afterMs: number };

export type TaskWaitDeps = {
  readonly clock: Clock;
  /** Asks once; takes its turn among all who ask (20 questions a second for all load balancers, clb-api.md §3.2). */
  readonly ask: (taskId: string, signal: AbortSignal) => Promise<TaskStatus | undefined>;
};
export type Task = {
  readonly taskId: string;
  readonly action: string /** Listeners, rules or targets in the call. */;
  readonly items: number;
};

/** Ids of the tasks under way, the oldest first; `learned`: one of them has ended. */
type Unknown = { readonly tasks: Set<string>; readonly learned: PromiseWithResolvers<void> };

/**
 * Waits for tasks: asks first near the expected end, then quickly, then ever more rarely. Every task waits by itself: a stuck one
 * costs its own load balancer a bounded time and the others one question in two seconds.
 */
export class TaskWait {
  readonly #deps: TaskWaitDeps;
  readonly #durations = new Durations();
  /** By action: those of which nobody knows how long they take. */
  readonly #unknown = new Map<string, Unknown>();

  constructor(deps: TaskWaitDeps) {
    this.#deps = deps;
  }

  /** Resolves when the task is over, or has taken too long to go on waiting ("stuck"). Rejects with the signal's reason. */
  async end(task: Task, signal: AbortSignal): Promise<TaskEnd> {
    const { action, items } = task;
    const size = Math.floor(Math.log2(Math.max(items, 1)));
    if (this.#durations.of(action, size) !== undefined) return await this.#end(task, size, undefined, signal);
    const unknown = this.#unknown.get(action) ?? { tasks: new Set<string>(), learned: Promise.withResolvers<void>() };
    this.#unknown.set(action, unknown);
    unknown.tasks.add(task.taskId);
    try {
      return await this.#end(task, size, unknown, signal);
    } finally {
      unknown.tasks.delete(task.taskId);
      unknown.learned.resolve();
      this.#unknown.delete(action);
    }
  }

  /** `unknown`: nobody knows yet how long such tasks take. Of those that are under way together the oldest asks for all, the others rarely. */
  async #end({ taskId, action }: Task, size: number, unknown: Unknown | undefined, signal: AbortSignal): Promise<TaskEnd> {
    const { clock, ask } = this.#deps;
    const begunMs = clock.now();
    let estimate = this.#durations.of(action, size);
    let runningAtMs: number | undefined;
    let informative = true;
    const isFollower = (): boolean => {
      const [oldest] = unknown?.tasks ?? [];
      return estimate === undefined && oldest !== undefined && oldest !== taskId;
    };
    for (let dueMs = begunMs + firstAskMs(estimate) * (isFollower() ? FOLLOWERS_FIRST : 1); ; ) {
      await this.#sleepUntil(dueMs, estimate === undefined ? unknown?.learned.promise : undefined, signal);
      const learned = estimate === undefined ? this.#durations.of(action, size) : undefined;
      if (learned !== undefined) {
        estimate = learned;
        dueMs = Math.max(clock.now(), begunMs + firstAskMs(learned));
        continue;
      }
      const askedAtMs = clock.now() - begunMs;
      informative &&= clock.now() - dueMs < LATE_MS;
      const said = await ask(taskId, signal);
      if (said !== undefined && said.status !== "running") {
        if (informative) this.#durations.note(action, { runningAtMs, overAtMs: askedAtMs }, size);
        return said;
      }
      informative = said !== undefined;
      if (said !== undefined) runningAtMs = askedAtMs;
      const passedMs = clock.now() - begunMs;
      if (passedMs >= limitMs(estimate)) return { status: "stuck", afterMs: passedMs };
      dueMs = clock.now() + (isFollower() ? Math.max(passedMs, pauseMs(estimate, passedMs)) : pauseMs(estimate, passedMs));
    }
  }

  /** Earlier when `until` resolves. Rejects with the signal's reason. */
  async #sleepUntil(atMs: number, until: Promise<void> | undefined, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    if (until === undefined) return await clock.sleep(Math.max(0, atMs - clock.now()), signal);
    const over = new AbortController();
    await withEither([signal, over.signal], async (either) => {
      await Promise.race([until, clock.sleep(Math.max(0, atMs - clock.now()), either)]);
      over.abort(OVER);
    });
    signal.throwIfAborted();
  }
}
