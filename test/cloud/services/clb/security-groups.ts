import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { requireLoadBalancer } from "../../model/account.ts";
import { badValue, CloudError } from "../../model/errors.ts";
import type { Network } from "../../model/network.ts";
import type { CallContext } from "../../runtime/call.ts";
import type { Limits } from "../../runtime/options.ts";
import type { Writes } from "../../runtime/writes.ts";
import { type ActionTable, type NoReply, requiredText, text, texts, write } from "../table/action.ts";
import type { Writing } from "./ports.ts";

type Ports = Pick<Writing<"noteLoadBalancer">, "changes"> & {
  readonly writes: Pick<Writes, "requireFree" | "runAtOnce">;
  readonly network: Pick<Network, "securityGroups">;
  readonly limits: Limits;
};

/** A call names so many load balancers at most. Source: the SDK's model of SetSecurityGroupForLoadbalancers. */
const MOST_LOAD_BALANCERS = 20;

/** Groups of load balancers, documented as synchronous. Limits: clb-api.md §2.1. */
export const securityGroupActions = (limits: Limits): ActionTable<Ports> => ({
  SetLoadBalancerSecurityGroups: write<clb.SetLoadBalancerSecurityGroupsRequest, clb.SetLoadBalancerSecurityGroupsResponse, Ports>({
    fields: { LoadBalancerId: requiredText, SecurityGroups: texts(limits.setSecurityGroups) },
    // The whole set, in the order in which they are asked; none given takes all off.
    run: async (request, call, ports) => {
      const groups = [...new Set(request.SecurityGroups ?? [])];
      return await setGroups([request.LoadBalancerId], () => groups, call, ports);
    },
  }),

  SetSecurityGroupForLoadbalancers: write<clb.SetSecurityGroupForLoadbalancersRequest, clb.SetSecurityGroupForLoadbalancersResponse, Ports>(
    {
      fields: {
        SecurityGroup: requiredText,
        OperationType: { type: "string", required: true, oneOf: ["ADD", "DEL"] },
        LoadBalancerIds: { type: "array", required: true, min: 1, max: MOST_LOAD_BALANCERS, of: text },
      },
      run: async ({ SecurityGroup: group, OperationType: operation, LoadBalancerIds: ids }, call, ports) => {
        const without = (groups: readonly string[]): string[] => groups.filter((one) => one !== group);
        const wanted = (groups: readonly string[]): readonly string[] =>
          operation === "DEL" ? without(groups) : groups.includes(group) ? groups : [...groups, group];
        return await setGroups([...new Set(ids)], wanted, call, ports);
      },
    },
  ),
});

/** All or none. */
async function setGroups(
  ids: readonly string[],
  wanted: (groups: readonly string[]) => readonly string[],
  call: CallContext,
  { writes, changes, network, limits }: Ports,
): Promise<NoReply> {
  const plans = ids.map((id) => {
    const loadBalancer = requireLoadBalancer(call.account, id);
    return { loadBalancer, groups: wanted(loadBalancer.securityGroups) };
  });
  const known = network.securityGroups;
  const unknown = known.size === 0 ? undefined : plans.flatMap(({ groups }) => groups).find((id) => !known.has(id));
  if (unknown !== undefined) throw badValue(`security group ${unknown} does not exist`);
  const loadBalancers = plans.map(({ loadBalancer }) => loadBalancer);
  writes.requireFree(loadBalancers);
  const limit = limits.securityGroupsPerLoadBalancer;
  const full = plans.find(({ groups }) => groups.length > limit);
  if (full !== undefined)
    throw new CloudError(
      "LimitExceeded",
      `security groups of ${full.loadBalancer.id}: ${full.groups.length} would exceed the quota of ${limit}`,
    );
  await writes.runAtOnce(call, {
    loadBalancers,
    apply: () => {
      for (const { loadBalancer, groups } of plans) {
        loadBalancer.securityGroups = groups;
        changes.noteLoadBalancer(loadBalancer);
      }
    },
  });
  return {};
}
