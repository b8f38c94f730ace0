import { type LoadBalancerRecord, ruleCount } from "../model/account.ts";
import { CloudError } from "../model/errors.ts";
import type { CallContext } from "./call.ts";
import type { Profile } from "./options.ts";
import type { Task, Tasks } from "./tasks.ts";

/** A write on some load balancers that were found free; `targets` is how many the call names. */
export type Write = {
  readonly loadBalancers: readonly LoadBalancerRecord[];
  readonly targets?: number;
  readonly apply: () => void | Promise<void>;
};

type Call = Pick<CallContext, "action" | "requestId" | "faults">;

/** How calls that change something become tasks: what is locked, how long it takes, who waits. */
export interface Writes {
  /** As that of `Tasks`: nothing may be awaited between this and the start of the write. */
  requireFree(loadBalancers: readonly LoadBalancerRecord[]): void;
  /** Starts the task of an asynchronous write and returns at once. */
  start(call: Call, write: Write): void;
  /** The batch calls for targets: wait for their task and stay busy a little longer (or not, by the profile). Throws FailedOperation. */
  runBatch(call: Call, write: Write): Promise<void>;
  /** A write that is over when its call returns and takes no time of its own. Throws FailedOperation. */
  runAtOnce(call: Call, write: Write): Promise<void>;
  /** An order of load balancers, which are not there yet: locks nothing, takes its own time. Resolves when its task is over; never rejects. */
  order(call: Call, write: Write): Promise<Task>;
}

type Ports = {
  readonly tasks: Pick<Tasks, "requireFree" | "start">;
  readonly profile: Pick<Profile, "taskMs" | "batchTargets" | "createLoadBalancerMs">;
};

export function makeWrites({ tasks, profile }: Ports): Writes {
  const { mode, busyAfterReturnMs } = profile.batchTargets;
  return {
    requireFree: (loadBalancers) => tasks.requireFree(loadBalancers),
    start: (call, write) => void tasks.start(workOf(call, write, profile)),
    runBatch: async (call, write) => {
      const running = tasks.start({ ...workOf(call, write, profile), busyAfterMs: busyAfterReturnMs });
      if (mode === "sync") requireDone(await running);
    },
    runAtOnce: async (call, write) => requireDone(await tasks.start({ ...workOf(call, write, profile), durationMs: 0 })),
    order: (call, write) => tasks.start({ ...workOf(call, write, profile), locks: [], durationMs: profile.createLoadBalancerMs }),
  };
}

function requireDone(task: Task): void {
  if (task.status === 1) throw new CloudError("FailedOperation", task.message);
}

function workOf({ requestId, action, faults }: Call, write: Write, { taskMs }: Ports["profile"]) {
  const { base, perRuleOnLb, perTarget } = taskMs;
  const rules = write.loadBalancers.reduce((sum, loadBalancer) => sum + ruleCount(loadBalancer), 0);
  return {
    requestId,
    action,
    locks: write.loadBalancers,
    loadBalancerIds: write.loadBalancers.map(({ id }) => id),
    durationMs: base + perRuleOnLb * rules + perTarget * (write.targets ?? 0),
    failure: faults.failure,
    stuck: faults.stuck,
    apply: write.apply,
  };
}
