import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { badValue, missing } from "../../model/errors.ts";
import { type ActionTable, read, text } from "../table/action.ts";
import type { ClbPorts } from "./ports.ts";

type Ports = Pick<ClbPorts, "tasks">;

/** Every write's RequestId is its task's id. Source: clb-api.md §3.1. */
export const taskActions = (): ActionTable<Ports> => ({
  DescribeTaskStatus: read<clb.DescribeTaskStatusRequest, clb.DescribeTaskStatusResponse, Ports>({
    fields: { TaskId: text, DealName: text },
    run: (request, _call, { tasks }) => {
      const id = request.TaskId ?? request.DealName;
      if (id === undefined) throw missing("one of `TaskId` and `DealName`");
      const task = tasks.find(id);
      // What the service says here is not known (clb-api.md §9).
      if (task === undefined) throw badValue(`TaskId ${id} not found`);
      return {
        Status: task.status,
        LoadBalancerIds: task.action === "CreateLoadBalancer" ? [...task.loadBalancerIds] : [],
        Message: task.message,
      };
    },
  }),
});
