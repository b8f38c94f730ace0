import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { requireLoadBalancer, requirePlace, targetKey } from "../../model/account.ts";
import { CloudError } from "../../model/errors.ts";
import type { Limits } from "../../runtime/options.ts";
import type { TargetChanges } from "../../runtime/target-changes.ts";
import type { Writes } from "../../runtime/writes.ts";
import { type ActionTable, port, write } from "../table/action.ts";
import { boundTargets, requireOneAddress } from "./target-plan.ts";
import { onePlace, targets } from "./targets.ts";

type Ports = {
  readonly writes: Pick<Writes, "requireFree" | "start">;
  readonly targets: Pick<TargetChanges, "bind" | "unbind">;
};

/** A target moves to another port with its weight, all or none. Limits: clb-api.md §2.3. */
export const targetPortActions = (limits: Limits): ActionTable<Ports> => ({
  ModifyTargetPort: write<clb.ModifyTargetPortRequest, clb.ModifyTargetPortResponse, Ports>({
    fields: { ...onePlace, Targets: targets(limits.registerTargets), NewPort: port },
    run: (request, call, ports) => {
      request.Targets.forEach(requireOneAddress);
      const loadBalancer = requireLoadBalancer(call.account, request.LoadBalancerId);
      const place = requirePlace(loadBalancer, request);
      const notBound = (message: string): CloudError => new CloudError("InvalidParameter", message);
      const moved = boundTargets(place, request.Targets, notBound).map(({ target: bound }) => {
        if (place.targets.has(targetKey(bound.ip, request.NewPort)))
          throw new CloudError("InvalidParameterValue.Duplicate", `target ${bound.ip}:${request.NewPort} is bound already`);
        return bound;
      });
      ports.writes.requireFree([loadBalancer]);
      ports.writes.start(call, {
        loadBalancers: [loadBalancer],
        targets: moved.length,
        apply: () => {
          for (const target of moved) {
            ports.targets.unbind(place, target);
            ports.targets.bind(place, { ...target, port: request.NewPort });
          }
        },
      });
      return {};
    },
  }),
});
