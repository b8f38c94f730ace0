import type { DescribeTaskStatusResponse } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { Clock } from "../../common/clock.ts";
import { withDeadline } from "../../common/deadline.ts";
import { isCancelled, type Remedy } from "../../common/errors.ts";
import { type Batch, BatchWait } from "./batch-wait.ts";
import { ClbApiError, isRead, isThrottled, TASK_FAILED, toClbApiError } from "./clb-error.ts";
import type { Answer } from "./clb-models.ts";
import type { RateLimit } from "./rate-limit.ts";
import { type TaskStatus, TaskWait } from "./task-wait.ts";
import type { CloudService, CloudTransport } from "./transport.ts";

/**
 * How long the answer to a read may take. Drains and all else at a load balancer wait for what it says, so the coordinator gives it up and
 * asks again long before the transport's own limit, which allows for writes that last as long as their task. Most reads take a tenth of a
 * second (clb-api.md §7.5).
 */
const READ_LIMIT_MS = { DescribeTaskStatus: 5_000, others: 10_000 } as const;

/** `loadBalancerIds`: those that the call names; `askedAtMs`: when it was sent, milliseconds since the epoch. */
export type Answered = {
  readonly action: string;
  readonly loadBalancerIds: readonly string[];
  readonly error: ClbApiError | undefined;
  readonly askedAtMs: number;
};

export type ClbCallDeps = {
  /** Default: "clb". */
  readonly service?: CloudService;
  readonly transport: CloudTransport;
  readonly rateLimit: RateLimit;
  readonly clock: Clock;
  /** Runs once per call, e.g. ("BatchRegisterTargets", "ok", 0.45). */
  readonly onCall?: (action: string, code: string, seconds: number) => void;
  /** Runs once per call that is over; `error`: it was refused, or no answer came. */
  readonly onAnswer?: (answer: Answered) => void;
  /** A write to this load balancer that had resolved well has failed after all, or nobody can tell. */
  readonly onDoubt?: (loadBalancerId: string, error: ClbApiError) => void;
};

/** One call of any action: its turn, its time, its error, and the task behind a write. Every method rejects with ClbApiError, or with the signal's reason. */
export class ClbCall {
  readonly #deps: ClbCallDeps;
  readonly #tasks: TaskWait;
  readonly #batches: BatchWait;

  constructor(deps: ClbCallDeps) {
    this.#deps = deps;
    this.#tasks = new TaskWait({ clock: deps.clock, ask: (taskId, signal) => this.#askOnce(taskId, signal) });
    this.#batches = new BatchWait({
      ask: (taskId, signal, isPatient) => this.#ask(taskId, signal, isPatient),
      settle: (action, items, taskId, signal) => this.settle(action, items, taskId, signal),
      onDoubt: (loadBalancerId, error) => deps.onDoubt?.(loadBalancerId, error),
    });
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- Q lets the compiler check every request against its model
  async call<Q extends object, R>(action: string, request: Q, signal: AbortSignal): Promise<Answer<R>> {
    const [loadBalancerId, ...others] = namedIn(request);
    await this.#deps.rateLimit.take(action, signal, others.length === 0 ? loadBalancerId : undefined);
    return await this.#callNow<R>(action, request, signal);
  }

  /** Like `call`, for a request that is made when the call has its turn, not before. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
  async callLate<Q extends object, R>(action: string, requestNow: () => Q, signal: AbortSignal): Promise<Answer<R>> {
    await this.#deps.rateLimit.take(action, signal);
    return await this.#callNow<R>(action, requestNow(), signal);
  }

  async #callNow<R>(action: string, request: object, signal: AbortSignal): Promise<Answer<R>> {
    const { rateLimit, clock, onCall, onAnswer } = this.#deps;
    const startedMs = clock.now();
    const done = (code: string): void => onCall?.(action, code, (clock.now() - startedMs) / 1000);
    try {
      const response = await this.#send(action, request, signal);
      done("ok");
      onAnswer?.({ action, loadBalancerIds: namedIn(request), error: undefined, askedAtMs: startedMs });
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the SDK's model of this action; every field is treated as optional
      return response as Answer<R>;
    } catch (err) {
      if (isCancelled(err, signal) || signal.aborted) {
        done("Cancelled");
        throw signal.reason;
      }
      const error = toClbApiError(action, err);
      if (isThrottled(error.call.code)) rateLimit.throttled(action);
      done(error.call.code);
      onAnswer?.({ action, loadBalancerIds: namedIn(request), error, askedAtMs: startedMs });
      throw error;
    }
  }

  /** Waits for the task behind an accepted write of so many items. Resolves with the load balancers that the task names. */
  async settle(action: string, items: number, requestId: string | null | undefined, signal: AbortSignal): Promise<readonly string[]> {
    const fail = (code: string, message: string, remedy: Remedy): ClbApiError =>
      new ClbApiError({ action, code, requestId: requestId ?? "" }, message, remedy, true);
    if (!requestId) throw fail(TASK_FAILED, "the answer has no RequestId", { kind: "retry" });
    const end = await this.#tasks.end({ taskId: requestId, action, items }, signal);
    if (end.status === "stuck") throw fail("TaskStuck", `still running after ${Math.round(end.afterMs / 1000)} s`, { kind: "retry" });
    if (end.status === "failed") throw fail(TASK_FAILED, end.message || "no reason given", { kind: "retryAfter", delayMs: 1_000 });
    return end.loadBalancerIds;
  }

  /** Waits until a batch call that was answered is done. */
  async endBatch(batch: Batch, signal: AbortSignal): Promise<void> {
    await this.#batches.end(batch, signal);
  }

  async #send(action: string, request: object, signal: AbortSignal): Promise<unknown> {
    const { transport, clock, service = "clb" } = this.#deps;
    if (!isRead(action)) return await transport(service, action, request, signal);
    const limitMs = action === "DescribeTaskStatus" ? READ_LIMIT_MS.DescribeTaskStatus : READ_LIMIT_MS.others;
    const late = (): Error => new Error(`no answer within ${limitMs / 1000} s`);
    return await withDeadline({ clock, limitMs, late }, signal, (either) => transport(service, action, request, either));
  }

  async #ask(taskId: string, signal: AbortSignal, isPatient = false): Promise<TaskStatus> {
    const action = "DescribeTaskStatus";
    await this.#deps.rateLimit.take(action, signal, undefined, isPatient);
    const said = await this.#callNow<DescribeTaskStatusResponse>(action, { TaskId: taskId }, signal);
    const status = said.Status === 0 ? "succeeded" : said.Status === 1 ? "failed" : "running";
    return { status, message: said.Message ?? "", loadBalancerIds: said.LoadBalancerIds ?? [] };
  }

  /** Like `#ask`; undefined if the call fails, which says nothing about the task: it goes on in the cloud. */
  async #askOnce(taskId: string, signal: AbortSignal): Promise<TaskStatus | undefined> {
    try {
      return await this.#ask(taskId, signal);
    } catch (err) {
      if (err instanceof ClbApiError) return undefined;
      throw err;
    }
  }
}

/** The load balancers that a request of any action names. */
function namedIn(request: object): readonly string[] {
  const [one, several]: readonly unknown[] = [Reflect.get(request, "LoadBalancerId"), Reflect.get(request, "LoadBalancerIds")];
  if (typeof one === "string") return [one];
  return Array.isArray(several) ? several.map(String) : [];
}

/** Fills the first parameter of an action: `withCall(clb)(setWeights)` takes what `setWeights` takes after `clb`. */
export const withCall =
  (clb: ClbCall) =>
  <A extends readonly unknown[], R>(action: (clb: ClbCall, ...rest: A) => R) =>
  (...rest: A): R =>
    action(clb, ...rest);
