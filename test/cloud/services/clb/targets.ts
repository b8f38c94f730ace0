import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { CloudError } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import type { Limits } from "../../runtime/options.ts";
import type { Writes } from "../../runtime/writes.ts";
import { type ActionTable, type NoReply, port, type Reply, requiredText, text, weight, write } from "../table/action.ts";
import { type BindPorts, type Plan, planBind, planUnbind, type UnbindPorts } from "./target-plan.ts";

const target = { type: "object", fields: { Port: port, Type: text, InstanceId: text, Weight: weight, EniIp: text, Tag: text } } as const;

/** Where the targets of a call for one listener or rule are. */
export const onePlace = { LoadBalancerId: requiredText, ListenerId: requiredText, LocationId: text, Domain: text, Url: text } as const;
export const targets = (max: number) => ({ type: "array", required: true, min: 1, max, of: target }) as const;

/** Lists of targets, each in one listener or rule, with what is to become of them. */
export const modifyList = <More extends object>({ batchModifyList, batchModifyPerItem }: Limits, more: More) =>
  ({
    type: "array",
    required: true,
    min: 1,
    max: batchModifyList,
    of: { type: "object", fields: { ListenerId: requiredText, Targets: targets(batchModifyPerItem), LocationId: text, ...more } },
  }) as const;

const batch = (max: number) =>
  ({
    LoadBalancerId: requiredText,
    Targets: {
      type: "array",
      required: true,
      min: 1,
      max,
      of: {
        type: "object",
        fields: { ListenerId: requiredText, Port: port, InstanceId: text, EniIp: text, Weight: weight, LocationId: text, Tag: text },
      },
    },
  }) as const;

type Starting = { readonly writes: Pick<Writes, "start"> };
type Batch = { readonly writes: Pick<Writes, "runBatch"> };

/** Limits: clb-api.md §2.3. */
export const targetActions = (limits: Limits): ActionTable<BindPorts & UnbindPorts & Starting & Batch> => ({
  RegisterTargets: write<clb.RegisterTargetsRequest, clb.RegisterTargetsResponse, BindPorts & Starting>({
    fields: { ...onePlace, Targets: targets(limits.registerTargets) },
    run: (request, call, ports) => startAll(planBind(request.LoadBalancerId, inListener(request), request, call, ports), call, ports),
  }),

  DeregisterTargets: write<clb.DeregisterTargetsRequest, clb.DeregisterTargetsResponse, UnbindPorts & Starting>({
    fields: { ...onePlace, Targets: targets(limits.deregisterTargets) },
    run: (request, call, ports) =>
      startAll(planUnbind(request.LoadBalancerId, inListener(request), request, call, ports), call, ports, "InvalidParameter"),
  }),

  BatchRegisterTargets: write<clb.BatchRegisterTargetsRequest, clb.BatchRegisterTargetsResponse, BindPorts & Batch>({
    fields: batch(limits.batchRegisterTargets),
    run: (request, call, ports) => runWhatCan(planBind(request.LoadBalancerId, request.Targets, undefined, call, ports), call, ports),
  }),

  BatchDeregisterTargets: write<clb.BatchDeregisterTargetsRequest, clb.BatchDeregisterTargetsResponse, UnbindPorts & Batch>({
    fields: batch(limits.batchDeregisterTargets),
    run: (request, call, ports) => runWhatCan(planUnbind(request.LoadBalancerId, request.Targets, undefined, call, ports), call, ports),
  }),
});

const inListener = ({ ListenerId, Targets }: { readonly ListenerId: string; readonly Targets: readonly clb.Target[] }): clb.BatchTarget[] =>
  Targets.map((one) => ({ ...one, ListenerId }));

/** All or none. TF takes InvalidParameter for a target that is not bound; the code for one that cannot be bound is not known (clb-api.md §9). */
function startAll(plan: Plan, call: CallContext, { writes }: Starting, code = "InvalidParameterValue"): NoReply {
  if (plan.refused.size > 0) throw new CloudError(code, plan.message);
  writes.start(call, { ...plan, apply: () => plan.changes.forEach((change) => change()) });
  return {};
}

async function runWhatCan(plan: Plan, call: CallContext, { writes }: Batch): Promise<Reply<clb.BatchRegisterTargetsResponse>> {
  await writes.runBatch(call, { ...plan, apply: () => plan.changes.forEach((change) => change()) });
  return { FailListenerIdSet: [...plan.refused], Message: plan.message };
}
