import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { Limits } from "../../runtime/options.ts";
import { type ActionTable, read, type Whole } from "../table/action.ts";

/** Ids and the `null`s of QuotaCurrent: clb-api.md §2.1. */
export const quotaActions = (limits: Limits): ActionTable => ({
  DescribeQuota: read<Record<string, never>, clb.DescribeQuotaResponse>({
    fields: {},
    run: (_request, { account }) => {
      const count = (type: string): number => [...account.loadBalancers.values()].filter((one) => one.type === type).length;
      return {
        QuotaSet: [
          quota("TOTAL_OPEN_CLB_QUOTA", limits.openLoadBalancers, count("OPEN")),
          quota("TOTAL_INTERNAL_CLB_QUOTA", limits.internalLoadBalancers, count("INTERNAL")),
          quota("TOTAL_LISTENER_QUOTA", limits.listenersPerLoadBalancer),
          quota("TOTAL_LISTENER_RULE_QUOTA", limits.rulesPerListener),
          quota("TOTAL_TARGET_BIND_QUOTA", limits.targetsPerPlace),
          quota("TOTAL_SNAT_IP_QUOTA", limits.snatIps),
          quota("TOTAL_ISP_CLB_QUOTA", 15),
          quota("TOTAL_FULL_PORT_RANGE_LISTENER_QUOTA", 1),
        ],
      };
    },
  }),
});

const quota = (QuotaId: string, QuotaLimit: number, QuotaCurrent: number | null = null): Whole<clb.Quota> => ({
  QuotaId,
  QuotaCurrent,
  QuotaLimit,
});
