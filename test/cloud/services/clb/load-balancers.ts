import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { type Account, requireLoadBalancer, targetCount } from "../../model/account.ts";
import { badValue, CloudError, unsupported } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import type { Limits } from "../../runtime/options.ts";
import { type ActionTable, flag, integer, type NoReply, type Reply, requiredText, text, write } from "../table/action.ts";
import { type CreateLoadBalancerPorts, createLoadBalancers } from "./create-load-balancers.ts";
import { createLoadBalancerFields, internetAccessible, loadBalancerName, requireBandwidth } from "./load-balancer-settings.ts";
import { dealNameOf } from "./new-load-balancer.ts";
import type { ClbPorts, Writing } from "./ports.ts";

type DeletePorts = Writing<"removeLoadBalancer"> & Pick<ClbPorts, "limits" | "clock">;
type ModifyPorts = Writing<"noteLoadBalancer"> & Pick<ClbPorts, "clock">;

/** Limits and defaults: clb-api.md §2.1. */
export const loadBalancerActions = (limits: Limits): ActionTable<CreateLoadBalancerPorts & DeletePorts & ModifyPorts> => ({
  CreateLoadBalancer: write<clb.CreateLoadBalancerRequest, clb.CreateLoadBalancerResponse, CreateLoadBalancerPorts>({
    fields: createLoadBalancerFields(limits),
    run: createLoadBalancers,
  }),

  DeleteLoadBalancer: write<clb.DeleteLoadBalancerRequest, clb.DeleteLoadBalancerResponse, DeletePorts>({
    fields: {
      LoadBalancerIds: { type: "array", required: true, min: 1, max: limits.deleteLoadBalancers, of: text },
      ForceDelete: flag,
    },
    run: deleteLoadBalancers,
  }),

  ModifyLoadBalancerAttributes: write<clb.ModifyLoadBalancerAttributesRequest, clb.ModifyLoadBalancerAttributesResponse, ModifyPorts>({
    fields: {
      LoadBalancerId: requiredText,
      LoadBalancerName: loadBalancerName,
      LoadBalancerPassToTarget: flag,
      InternetChargeInfo: internetAccessible,
      SwitchFlag: { type: "integer", oneOf: [0, 1, 2] },
      SnatPro: flag,
      DeleteProtect: flag,
      ModifyClassicDomain: flag,
      AssociateEndpoint: text,
      TargetRegionInfo: { type: "object", fields: { Region: requiredText, VpcId: requiredText, NumericalVpcId: integer } },
    },
    run: modifyAttributes,
  }),
});

/** The guards are those of the service; ForceDelete passes the number of backends, nothing passes the number of deletions. */
function deleteLoadBalancers(request: clb.DeleteLoadBalancerRequest, call: CallContext, ports: DeletePorts): NoReply {
  const { writes, changes, limits } = ports;
  const loadBalancers = [...new Set(request.LoadBalancerIds)].map((id) => requireLoadBalancer(call.account, id));
  writes.requireFree(loadBalancers);
  const kept = loadBalancers.find(({ deleteProtect }) => deleteProtect);
  if (kept !== undefined) throw new CloudError("FailedOperation", `${kept.id} is protected from deletion (\`DeleteProtect\`)`);
  const risky = loadBalancers.find((loadBalancer) => targetCount(loadBalancer) >= limits.deleteGuardTargets);
  if (risky !== undefined && request.ForceDelete !== true)
    throw new CloudError(
      "FailedOperation.TargetNumCheckRisk",
      `${risky.id} has ${targetCount(risky)} backends; unbind them or set ForceDelete`,
    );
  requireSeldom(call.account, ports, loadBalancers.length);
  writes.start(call, {
    loadBalancers,
    apply: async () => void (await Promise.all(loadBalancers.map((loadBalancer) => changes.removeLoadBalancer(loadBalancer)))),
  });
  return {};
}

const FIVE_MINUTES = 300_000;

/** Throws FailedOperation.FrequencyCheckRisk when many were deleted lately; notes these otherwise. */
function requireSeldom(account: Account, { clock, limits }: Pick<DeletePorts, "clock" | "limits">, more: number): void {
  const limit = limits.deleteGuardCount;
  const nowMs = clock.now();
  const lately = account.deletionsMs.filter((deletedMs) => nowMs - deletedMs < FIVE_MINUTES);
  if (lately.length >= limit)
    throw new CloudError(
      "FailedOperation.FrequencyCheckRisk",
      `${lately.length} load balancers were deleted in the last five minutes, ${limit} are allowed; wait`,
    );
  account.deletionsMs = [...lately, ...Array.from({ length: more }, () => nowMs)];
}

/** What is not given stays as it is. */
function modifyAttributes(
  request: clb.ModifyLoadBalancerAttributesRequest,
  call: CallContext,
  { writes, changes, clock }: ModifyPorts,
): Reply<clb.ModifyLoadBalancerAttributesResponse> {
  if (request.TargetRegionInfo !== undefined) throw unsupported("the emulated cloud has one region: `TargetRegionInfo` is not offered");
  const loadBalancer = requireLoadBalancer(call.account, request.LoadBalancerId);
  const { InternetChargeInfo: internet } = request;
  requireBandwidth(internet, loadBalancer.purchase.slaType);
  if (loadBalancer.ipv6?.mode === "IPv6FullChain" && request.LoadBalancerPassToTarget === false)
    throw badValue(`\`LoadBalancerPassToTarget\` of ${loadBalancer.id}, which is IPv6FullChain, is always true, got false`);
  writes.requireFree([loadBalancer]);
  writes.start(call, {
    loadBalancers: [loadBalancer],
    apply: () => {
      loadBalancer.name = request.LoadBalancerName ?? loadBalancer.name;
      loadBalancer.passToTarget = request.LoadBalancerPassToTarget ?? loadBalancer.passToTarget;
      loadBalancer.snatPro = request.SnatPro ?? loadBalancer.snatPro;
      loadBalancer.deleteProtect = request.DeleteProtect ?? loadBalancer.deleteProtect;
      loadBalancer.endpointId = request.AssociateEndpoint ?? loadBalancer.endpointId;
      loadBalancer.purchase = {
        ...loadBalancer.purchase,
        internetChargeType: internet?.InternetChargeType ?? loadBalancer.purchase.internetChargeType,
        bandwidthMbps: internet?.InternetMaxBandwidthOut ?? loadBalancer.purchase.bandwidthMbps,
      };
      changes.noteLoadBalancer(loadBalancer);
    },
  });
  return { DealName: internet === undefined ? null : dealNameOf(call.requestId, clock.now()) };
}
