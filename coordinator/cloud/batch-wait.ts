import { ClbApiError } from "./clb-error.ts";
import type { TaskStatus } from "./task-wait.ts";

/** A batch call that was answered, e.g. { action: "BatchRegisterTargets", loadBalancerId: "lb-1", items: 500, taskId: "req-1" }. */
export type Batch = {
  readonly action: string;
  readonly loadBalancerId: string;
  readonly items: number;
  readonly taskId: string | null | undefined;
};

export type BatchWaitDeps = {
  /** Asks about a task once; rejects with ClbApiError. `isPatient`: nobody waits for the answer. */
  readonly ask: (taskId: string, signal: AbortSignal, isPatient: boolean) => Promise<TaskStatus>;
  /** Waits for a task like that of any other write; rejects with ClbApiError if it fails or never ends. */
  readonly settle: (action: string, items: number, taskId: string, signal: AbortSignal) => Promise<unknown>;
  /** A batch that was taken for done has failed after all, or nobody can tell. */
  readonly onDoubt: (loadBalancerId: string, error: ClbApiError) => void;
};

/** So many batches in a row have to be over at their answer until the next ones are taken for done at it. Own choice. */
const TRUSTED_AFTER = 2;
/**
 * Questions that nobody waits for stand behind all others, e.g. those of drains. While so many stand there, which is ten seconds of the
 * cloud's 20 a second (clb-api.md §3.2), no more are asked: the resync shows what such a batch has done.
 */
const MOST_UNAWAITED = 200;

/**
 * Batch calls answer when they are done, as far as is known, and nothing in their answer says so: whether a task outlives it is seen by asking
 * only. Each is asked about, since what it left undone would be believed until the next read of the load balancer (clb-api.md §3.3). The
 * first ones wait for what they hear; when the cloud has proved that its answers come at the end, gates and the next write do not wait for
 * the question any more, until one is heard to run on.
 */
export class BatchWait {
  readonly #deps: BatchWaitDeps;
  /** One was seen to run after its answer: from then on each is waited for. */
  #runOn = false;
  /** So many in a row were over at their answer. */
  #over = 0;
  /** Questions under way that nobody waits for. */
  #unawaited = 0;

  constructor(deps: BatchWaitDeps) {
    this.#deps = deps;
  }

  /** Resolves when the batch is done, as far as one can know. Rejects like `settle`. */
  async end(batch: Batch, signal: AbortSignal): Promise<void> {
    const { action, items, taskId, loadBalancerId } = batch;
    if (!taskId) return;
    const done = async (isPatient: boolean): Promise<void> => {
      if (this.#runOn || !(await this.#isOver(taskId, signal, isPatient))) await this.#deps.settle(action, items, taskId, signal);
    };
    if (this.#runOn || this.#over < TRUSTED_AFTER) return await done(false);
    if (this.#unawaited >= MOST_UNAWAITED) return;
    this.#unawaited += 1;
    void done(true)
      .catch((err: unknown) => {
        if (err instanceof ClbApiError) this.#deps.onDoubt(loadBalancerId, err); // else the signal has aborted
      })
      .finally(() => {
        this.#unawaited -= 1;
      });
  }

  async #isOver(taskId: string, signal: AbortSignal, isPatient: boolean): Promise<boolean> {
    try {
      const { status } = await this.#deps.ask(taskId, signal, isPatient);
      if (status === "running") this.#runOn = true;
      this.#over = status === "succeeded" ? this.#over + 1 : 0;
      return status === "succeeded";
    } catch (err) {
      if (!(err instanceof ClbApiError)) throw err;
      return err.call.code.startsWith("InvalidParameter"); // no task of that name: nobody can tell; the resync will show what is there
    }
  }
}
