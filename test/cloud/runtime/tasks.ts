import type { Clock } from "../../../common/clock.ts";
import type { Journal } from "../journal/journal.ts";
import type { LoadBalancerRecord } from "../model/account.ts";
import { CloudError } from "../model/errors.ts";

/** `status` as DescribeTaskStatus tells it: 0 succeeded, 1 failed, 2 running. */
export type Task = {
  readonly id: string;
  readonly action: string;
  readonly loadBalancerIds: readonly string[];
  status: 0 | 1 | 2;
  message: string;
};

/** A write that was accepted. `apply` makes its change visible; what it throws fails the task. */
export type Work = {
  readonly requestId: string;
  readonly action: string;
  /** Locked until the task is over and `busyAfterMs` more. */
  readonly locks: readonly LoadBalancerRecord[];
  readonly loadBalancerIds: readonly string[];
  readonly durationMs: number;
  readonly busyAfterMs?: number;
  /** A fault: the task ends as failed with this message and changes nothing. */
  readonly failure?: string | undefined;
  /** A fault: called when the task would end; it does not before this resolves. */
  readonly stuck?: (() => Promise<void>) | undefined;
  readonly apply: () => void | Promise<void>;
};

/** A write that came while another one runs; `lockWaitMs` is how long the lock was still going to be held. */
export class LockedError extends CloudError {
  readonly lockWaitMs: number;

  constructor(code: string, loadBalancerId: string, lockWaitMs: number) {
    const message = `Loadbalancer(${loadBalancerId}) is not in normal desState, maybe some tasks are being processed, please try later.`;
    super(code, message); // wording: clb-api.md §3.4
    this.lockWaitMs = lockWaitMs;
  }
}

/** Tasks remembered for DescribeTaskStatus. How long the service keeps them is not known (clb-api.md §9). */
const KEPT_TASKS = 20_000;

export interface Tasks {
  /**
   * Throws LockedError if one of them is locked, and counts an overlap if the write that locked it still runs. Nothing may be awaited
   * between this and `start`.
   */
  requireFree(loadBalancers: readonly LoadBalancerRecord[]): void;
  /** The promise resolves when the task is over, well or not; it never rejects. */
  start(work: Work): Promise<Task>;
  find(taskId: string): Task | undefined;
  /** Another request that stands for the same task (a replayed ClientToken). */
  alias(requestId: string, taskId: string): void;
  /** Refused overlapping writes over all load balancers, also deleted ones. */
  readonly overlaps: number;
  readonly running: number;
}

/** `failedTaskApplies`: whether a task that a fault fails makes its change all the same. `lockedCode`: of the refusal that the lock causes. */
type Deps = {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly stopped: AbortSignal;
  readonly failedTaskApplies: boolean;
  readonly lockedCode: string;
};

export function makeTasks({ clock, journal, stopped, failedTaskApplies, lockedCode }: Deps): Tasks {
  const tasks = new Map<string, Task>();
  let overlaps = 0;
  let running = 0;

  const remember = (id: string, task: Task): void => {
    tasks.set(id, task);
    const [oldest] = tasks.keys();
    if (tasks.size > KEPT_TASKS && oldest !== undefined) tasks.delete(oldest);
  };

  const finish = async (task: Task, work: Work): Promise<void> => {
    try {
      await clock.sleep(work.durationMs, stopped);
      await work.stuck?.();
      if (work.failure === undefined || failedTaskApplies) await work.apply();
      if (work.failure !== undefined) throw new Error(work.failure);
      task.status = 0;
    } catch (error) {
      if (stopped.aborted) return;
      task.status = 1;
      task.message = error instanceof Error ? error.message : String(error);
    }
    const { id: taskId, action, loadBalancerIds, message } = task;
    journal.add({ kind: "task", change: task.status === 0 ? "succeeded" : "failed", taskId, action, loadBalancerIds, message });
  };

  const unlock = async (work: Work): Promise<void> => {
    try {
      if (work.busyAfterMs !== undefined && work.busyAfterMs > 0) await clock.sleep(work.busyAfterMs, stopped);
    } catch {
      return; // stopped
    }
    for (const locked of work.locks) if (locked.lock?.requestId === work.requestId) locked.lock = undefined;
  };

  return {
    requireFree: (loadBalancers) => {
      const busy = loadBalancers.find(({ lock }) => lock !== undefined);
      if (busy?.lock === undefined) return;
      // A call has no way to know how long the lock outlives the write before it: refused as well, but nobody's fault.
      if (tasks.get(busy.lock.requestId)?.status === 2) {
        busy.overlaps++;
        overlaps++;
      }
      throw new LockedError(lockedCode, busy.id, Math.max(0, Math.round(busy.lock.untilMs - clock.now())));
    },
    start: async (work) => {
      const { requestId, action, loadBalancerIds } = work;
      const task: Task = { id: requestId, action, loadBalancerIds, status: 2, message: "" };
      const untilMs = clock.now() + work.durationMs + (work.busyAfterMs ?? 0);
      for (const loadBalancer of work.locks) loadBalancer.lock = { requestId, action, untilMs };
      remember(requestId, task);
      journal.add({ kind: "task", change: "accepted", taskId: requestId, action, loadBalancerIds });
      running++;
      await finish(task, work);
      running--;
      void unlock(work);
      return task;
    },
    find: (taskId) => tasks.get(taskId),
    alias: (requestId, taskId) => {
      const task = tasks.get(taskId);
      if (task !== undefined) remember(requestId, task);
    },
    get overlaps() {
      return overlaps;
    },
    get running() {
      return running;
    },
  };
}
