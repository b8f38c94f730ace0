import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { requireLoadBalancer, requirePlace, targetKey } from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import type { Limits } from "../../runtime/options.ts";
import type { TargetChanges } from "../../runtime/target-changes.ts";
import type { Writes } from "../../runtime/writes.ts";
import { type ActionTable, requiredText, text, weight, write } from "../table/action.ts";
import { boundTargets, DEFAULT_WEIGHT, requireOneAddress } from "./target-plan.ts";
import { modifyList, onePlace, targets } from "./targets.ts";

type Ports = { readonly writes: Pick<Writes, "requireFree" | "start">; readonly targets: Pick<TargetChanges, "setWeight"> };

/** Limits: clb-api.md §2.3. */
export const weightActions = (limits: Limits): ActionTable<Ports> => ({
  ModifyTargetWeight: write<clb.ModifyTargetWeightRequest, clb.ModifyTargetWeightResponse, Ports>({
    fields: { ...onePlace, Targets: targets(limits.modifyTargetWeight), Weight: weight },
    run: (request, call, ports) => {
      modifyWeights(request.LoadBalancerId, [request], call, ports);
      return {};
    },
  }),

  BatchModifyTargetWeight: write<clb.BatchModifyTargetWeightRequest, clb.BatchModifyTargetWeightResponse, Ports>({
    fields: {
      LoadBalancerId: requiredText,
      ModifyList: modifyList(limits, { Domain: text, Url: text, Weight: weight }),
    },
    run: (request, call, ports) => {
      const total = request.ModifyList.reduce((sum, { Targets }) => sum + Targets.length, 0);
      if (total > limits.batchModifyTotal)
        throw new CloudError(
          "InvalidParameterValue.Length",
          `\`ModifyList\` names ${total} targets, at most ${limits.batchModifyTotal} are allowed`,
        );
      modifyWeights(request.LoadBalancerId, request.ModifyList, call, ports);
      return {};
    },
  }),
});

/** All or none: a target that is not bound refuses the whole call. A target's own weight wins over that of its list. */
function modifyWeights(loadBalancerId: string, list: readonly clb.RsWeightRule[], call: CallContext, ports: Ports): void {
  for (const { Targets } of list) Targets.forEach(requireOneAddress);
  const loadBalancer = requireLoadBalancer(call.account, loadBalancerId);
  const changes = list.flatMap((item) => {
    const place = requirePlace(loadBalancer, item);
    return boundTargets(place, item.Targets).map(({ one, target: bound }) => {
      const wanted = one.Weight ?? item.Weight ?? DEFAULT_WEIGHT;
      // Looked up again when the task is over: it may have been unbound by another way until then.
      return () => void (place.targets.get(targetKey(bound.ip, bound.port)) === bound && ports.targets.setWeight(place, bound, wanted));
    });
  });
  ports.writes.requireFree([loadBalancer]);
  ports.writes.start(call, { loadBalancers: [loadBalancer], targets: changes.length, apply: () => changes.forEach((change) => change()) });
}
