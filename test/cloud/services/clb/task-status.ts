import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { badValue, missing } from "../../model/errors.ts";
import { type ActionTable, read, text } from "../table/action.ts";
import type { ClbPorts } from "./ports.ts";

type Ports = Pick<ClbPorts, "tasks" | "answers">;

/** Every write's RequestId is its task's id. Source: clb-api.md §3.1. */
export const taskActions = (): ActionTable<Ports> => ({
  DescribeTaskStatus: read<clb.DescribeTaskStatusRequest, clb.DescribeTaskStatusResponse, Ports>({
    fields: { TaskId: text, DealName: text },
    run: (request, _call, { tasks, answers }) => {
      const id = request.TaskId ?? request.DealName;
      if (id === undefined) throw missing("one of `TaskId` and `DealName`");
      const found = tasks.find(id);
      const task =
        found?.action.startsWith("Batch") && found.action.endsWith("rTargets") && answers.batchTasks === "unknown" ? undefined : found;
      // What the service says here is not known (clb-api.md §9).
      if (task === undefined) throw badValue(`TaskId ${id} not found`);
      const isNamed = task.action === "CreateLoadBalancer" || answers.taskLoadBalancerIds === "filled";
      return { Status: task.status, LoadBalancerIds: isNamed ? [...task.loadBalancerIds] : null, Message: task.message };
    },
  }),
});
