import type { DeleteRewriteRequest, ManualRewriteRequest } from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { RedirectedRule, Redirects } from "../domain/call.ts";
import type { ClbCall } from "./clb-call.ts";

/** The cloud wants the domain wherever it is told a code. */
export async function makeRedirects(clb: ClbCall, loadBalancerId: string, redirects: Redirects, signal: AbortSignal): Promise<void> {
  const request: ManualRewriteRequest = rewriteRequest(loadBalancerId, redirects, ({ domain, code, keepsPath }) => ({
    RewriteCode: code,
    TakeUrl: keepsPath,
    SourceDomain: domain,
  }));
  const answer = await clb.call<ManualRewriteRequest, { RequestId?: string }>("ManualRewrite", request, signal);
  await clb.settle("ManualRewrite", redirects.rules.length, answer.RequestId, signal);
}

export async function deleteRedirects(clb: ClbCall, loadBalancerId: string, redirects: Redirects, signal: AbortSignal): Promise<void> {
  const request: DeleteRewriteRequest = rewriteRequest(loadBalancerId, redirects, () => ({}));
  const answer = await clb.call<DeleteRewriteRequest, { RequestId?: string }>("DeleteRewrite", request, signal);
  await clb.settle("DeleteRewrite", redirects.rules.length, answer.RequestId, signal);
}

const rewriteRequest = (
  loadBalancerId: string,
  { listenerId, targetListenerId, rules }: Redirects,
  more: (rule: RedirectedRule) => object,
): ManualRewriteRequest => ({
  LoadBalancerId: loadBalancerId,
  SourceListenerId: listenerId,
  TargetListenerId: targetListenerId,
  RewriteInfos: rules.map((rule) => ({ SourceLocationId: rule.locationId, TargetLocationId: rule.targetLocationId, ...more(rule) })),
});
