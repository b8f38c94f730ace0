import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { badValue } from "../../model/errors.ts";
import { type CallContext, runBatch, startTask } from "../../runtime/core.ts";
import type { Limits } from "../../runtime/options.ts";
import { type ActionTable, type NoReply, port, type Reply, requiredText, text, weight, write } from "../table/action.ts";
import { type Plan, planBind, planUnbind } from "./target-plan.ts";

const target = { type: "object", fields: { Port: port, Type: text, InstanceId: text, Weight: weight, EniIp: text, Tag: text } } as const;

/** Where the targets of a call for one listener or rule are. */
export const onePlace = { LoadBalancerId: requiredText, ListenerId: requiredText, LocationId: text, Domain: text, Url: text } as const;
export const targets = (max: number) => ({ type: "array", required: true, min: 1, max, of: target }) as const;

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

/** Limits: clb-api.md §2.3. */
export const targetActions = (limits: Limits): ActionTable => ({
  RegisterTargets: write<clb.RegisterTargetsRequest, clb.RegisterTargetsResponse>({
    fields: { ...onePlace, Targets: targets(limits.registerTargets) },
    run: (request, call) => startAll(planBind(request.LoadBalancerId, inListener(request), request, call), call),
  }),

  DeregisterTargets: write<clb.DeregisterTargetsRequest, clb.DeregisterTargetsResponse>({
    fields: { ...onePlace, Targets: targets(limits.deregisterTargets) },
    run: (request, call) => startAll(planUnbind(request.LoadBalancerId, inListener(request), request, call), call),
  }),

  BatchRegisterTargets: write<clb.BatchRegisterTargetsRequest, clb.BatchRegisterTargetsResponse>({
    fields: batch(limits.batchRegisterTargets),
    run: (request, call) => runWhatCan(planBind(request.LoadBalancerId, request.Targets, undefined, call), call),
  }),

  BatchDeregisterTargets: write<clb.BatchDeregisterTargetsRequest, clb.BatchDeregisterTargetsResponse>({
    fields: batch(limits.batchDeregisterTargets),
    run: (request, call) => runWhatCan(planUnbind(request.LoadBalancerId, request.Targets, undefined, call), call),
  }),
});

const inListener = ({ ListenerId, Targets }: { readonly ListenerId: string; readonly Targets: readonly clb.Target[] }): clb.BatchTarget[] =>
  Targets.map((one) => ({ ...one, ListenerId }));

/** All or none. The code for a target that cannot be bound or is not bound is not known (clb-api.md §9). */
function startAll(plan: Plan, call: CallContext): NoReply {
  if (plan.refused.size > 0) throw badValue(plan.message);
  startTask(call, { ...plan, apply: () => plan.changes.forEach((change) => change()) });
  return {};
}

async function runWhatCan(plan: Plan, call: CallContext): Promise<Reply<clb.BatchRegisterTargetsResponse>> {
  await runBatch(call, { ...plan, apply: () => plan.changes.forEach((change) => change()) });
  return { FailListenerIdSet: [...plan.refused], Message: plan.message };
}
