import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import {
  type ListenerRecord,
  type LoadBalancerRecord,
  type RuleRecord,
  requireListener,
  requireLoadBalancer,
  requireRule,
} from "../../model/account.ts";
import { badValue, CloudError } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import { type ActionTable, flag, integer, type NoReply, read, requiredText, text, texts, write } from "../table/action.ts";
import { type AutoRewritePorts, autoRewriteActions } from "./auto-rewrite.ts";
import type { ClbPorts, Writing } from "./ports.ts";
import { showRule } from "./rules.ts";

type Ports = Writing<"noteRule"> & Pick<ClbPorts, "answers">;

const between = {
  LoadBalancerId: requiredText,
  SourceListenerId: requiredText,
  TargetListenerId: requiredText,
  RewriteInfos: {
    type: "array",
    required: true,
    min: 1,
    of: {
      type: "object",
      fields: {
        SourceLocationId: requiredText,
        TargetLocationId: requiredText,
        RewriteCode: integer,
        TakeUrl: flag,
        SourceDomain: text,
      },
    },
  },
} as const;

/** Redirections from one rule to another one. Shapes: published-differences.md, part B. */
export const rewriteActions = (): ActionTable<Ports & AutoRewritePorts> => ({
  ...autoRewriteActions(),

  ManualRewrite: write<clb.ManualRewriteRequest, clb.ManualRewriteResponse, Ports>({ fields: between, run: redirect }),

  DeleteRewrite: write<clb.DeleteRewriteRequest, clb.DeleteRewriteResponse, Ports>({
    fields: between,
    run: (request, call, { writes, changes }) => {
      const { loadBalancer, pairs } = pairsOf(request, call);
      for (const { source, target } of pairs)
        if (source.rewrite?.locationId !== target.locationId)
          throw new CloudError("InvalidParameter", `rule ${source.locationId} is not redirected to ${target.locationId}`);
      writes.requireFree([loadBalancer]);
      const apply = (): void => {
        for (const { source } of pairs) {
          source.rewrite = undefined;
          changes.noteRule(source);
        }
      };
      writes.start(call, { loadBalancers: [loadBalancer], apply });
      return {};
    },
  }),

  DescribeRewrite: read<clb.DescribeRewriteRequest, clb.DescribeRewriteResponse, Pick<ClbPorts, "answers">>({
    fields: { LoadBalancerId: requiredText, SourceListenerIds: texts(), SourceLocationIds: texts() },
    run: (request, { account }, { answers }) => {
      const { SourceListenerIds: listenerIds = [], SourceLocationIds: locationIds = [] } = request;
      const listeners = [...requireLoadBalancer(account, request.LoadBalancerId).listeners.values()];
      const isMeant = ({ rewrite, listenerId, locationId }: RuleRecord): boolean =>
        rewrite !== undefined &&
        (listenerIds.length === 0 || listenerIds.includes(listenerId)) &&
        (locationIds.length === 0 || locationIds.includes(locationId));
      return {
        RewriteSet: listeners.flatMap((listener) =>
          [...listener.rules.values()].filter(isMeant).map((rule) => showRule(listener, rule, answers)),
        ),
      };
    },
  }),
});

const isTarget = ({ listeners }: LoadBalancerRecord, rule: RuleRecord): boolean =>
  [...listeners.values()].some(({ rules }) => [...rules.values()].some(({ rewrite }) => rewrite?.to.rule === rule));

function redirect(request: clb.ManualRewriteRequest, call: CallContext, { writes, changes }: Ports): NoReply {
  const { loadBalancer, pairs } = pairsOf(request, call);
  for (const { source, target, info } of pairs) {
    if (source === target) throw badValue(`rule ${source.locationId} cannot be redirected to itself`);
    if (![301, 302, 307].includes(info.RewriteCode ?? 301))
      throw badValue(`\`RewriteCode\` must be 301, 302 or 307, got ${info.RewriteCode}`);
    if (target.rewrite !== undefined) throw badValue(`rule ${target.locationId} is redirected itself`);
    if (isTarget(loadBalancer, source)) throw badValue(`rule ${source.locationId} is what another one is redirected to`);
    if (info.RewriteCode !== undefined && (info.TakeUrl === undefined || !source.domains.includes(info.SourceDomain ?? "")))
      throw badValue("`RewriteCode` needs `TakeUrl` and `SourceDomain`, which is a domain of the rule");
    if (source.rewrite !== undefined)
      throw new CloudError("InvalidParameterValue.Duplicate", `rule ${source.locationId} is redirected already`);
  }
  writes.requireFree([loadBalancer]);
  const apply = (): void => {
    for (const { source, target, to, info } of pairs) {
      const { listenerId, locationId } = target;
      source.rewrite = {
        to: { listener: to, rule: target },
        listenerId,
        locationId,
        code: info.RewriteCode ?? 301,
        takeUrl: info.TakeUrl ?? true,
        automatic: false,
      };
      changes.noteRule(source);
    }
  };
  writes.start(call, { loadBalancers: [loadBalancer], apply });
  return {};
}

type Pair = {
  readonly source: RuleRecord;
  readonly target: RuleRecord;
  readonly to: ListenerRecord;
  readonly info: clb.RewriteLocationMap;
};

/** Throws *NotFound. */
function pairsOf(
  request: clb.ManualRewriteRequest,
  { account }: CallContext,
): { readonly loadBalancer: LoadBalancerRecord; readonly pairs: readonly Pair[] } {
  const loadBalancer = requireLoadBalancer(account, request.LoadBalancerId);
  const from = requireListener(loadBalancer, request.SourceListenerId);
  const to = requireListener(loadBalancer, request.TargetListenerId);
  const pairs = request.RewriteInfos.map((info) => ({
    source: requireRule(from, info.SourceLocationId),
    target: requireRule(to, info.TargetLocationId),
    to,
    info,
  }));
  return { loadBalancer, pairs };
}
