import { ClbApiError } from "./clb-error.ts";
import type { TaskStatus } from "./task-wait.ts";

/** A batch call that was answered, e.g. { action: "BatchRegisterTargets", items: 500, taskId: "req-1" }. */
export type Batch = {
  readonly action: string;
  readonly items: number;
  readonly taskId: string | null | undefined;
};

export type BatchWaitDeps = {
  /** Asks about a task once; rejects with ClbApiError. */
  readonly ask: (taskId: string, signal: AbortSignal) => Promise<TaskStatus>;
  /** Waits for a task like that of any other write; rejects with ClbApiError if it fails or never ends. */
  readonly settle: (action: string, items: number, taskId: string, signal: AbortSignal) => Promise<unknown>;
};

/**
 * Batch calls answer when they are done, as far as is known, and nothing in their answer says so: whether a task outlives it is seen by asking
 * only. Each is asked about once, since what it left undone would be believed until the next read of the load balancer (clb-api.md §3.3).
 */
export class BatchWait {
  readonly #deps: BatchWaitDeps;
  /** One was seen to run after its answer: from then on each is waited for. */
  #runOn = false;

  constructor(deps: BatchWaitDeps) {
    this.#deps = deps;
  }

  /** Resolves when the batch is done, as far as one can know. Rejects like `settle`. */
  async end({ action, items, taskId }: Batch, signal: AbortSignal): Promise<void> {
    if (!taskId) return;
    if (!this.#runOn && (await this.#isOver(taskId, signal))) return;
    await this.#deps.settle(action, items, taskId, signal);
  }

  async #isOver(taskId: string, signal: AbortSignal): Promise<boolean> {
    try {
      const { status } = await this.#deps.ask(taskId, signal);
      if (status === "running") this.#runOn = true;
      return status === "succeeded";
    } catch (err) {
      if (!(err instanceof ClbApiError)) throw err;
      return err.call.code.startsWith("InvalidParameter"); // no task of that name: nobody can tell; the resync will show what is there
    }
  }
}
