import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { requireLoadBalancer, requirePlace } from "../../model/account.ts";
import type { Limits } from "../../runtime/options.ts";
import type { Writes } from "../../runtime/writes.ts";
import { type ActionTable, requiredText, text, write } from "../table/action.ts";
import { boundTargets, requireOneAddress } from "./target-plan.ts";
import { modifyList } from "./targets.ts";

type Ports = { readonly writes: Pick<Writes, "requireFree" | "runAtOnce"> };

/** Tags of bound targets, all or none; synchronous, as the model says. */
export const targetTagActions = (limits: Limits): ActionTable<Ports> => ({
  BatchModifyTargetTag: write<clb.BatchModifyTargetTagRequest, clb.BatchModifyTargetTagResponse, Ports>({
    fields: {
      LoadBalancerId: requiredText,
      ModifyList: modifyList(limits, { Tag: text }),
    },
    run: async (request, call, { writes }) => {
      for (const { Targets } of request.ModifyList) Targets.forEach(requireOneAddress);
      const loadBalancer = requireLoadBalancer(call.account, request.LoadBalancerId);
      const tagged = request.ModifyList.flatMap((item) => {
        const place = requirePlace(loadBalancer, item);
        return boundTargets(place, item.Targets).map(({ one, target }) => ({ target, tag: one.Tag ?? item.Tag }));
      });
      writes.requireFree([loadBalancer]);
      await writes.runAtOnce(call, {
        loadBalancers: [loadBalancer],
        targets: tagged.length,
        apply: () => {
          for (const { target, tag } of tagged) target.tag = tag === "" ? undefined : tag;
        },
      });
      return {};
    },
  }),
});
