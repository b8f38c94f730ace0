import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { type ListenerRecord, type RuleRecord, requireRule } from "../../model/account.ts";
import { missing } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import { type NoReply } from "../table/action.ts";
import type { Writing } from "./ports.ts";
import { noSuchDomain, requireRuleListener } from "./rule-listener.ts";
import { requireUnredirected } from "./unredirected.ts";

export type DeleteRulePorts = Writing<"removeRule">;

/** By ids, by domain, or by domain and URL. Where the default domain goes, another one takes its place. */
export function deleteRules(request: clb.DeleteRuleRequest, call: CallContext, { writes, changes }: DeleteRulePorts): NoReply {
  if ((request.LocationIds ?? []).length === 0 && request.Domain === undefined) throw missing("`LocationIds` or `Domain`");
  const { loadBalancer, listener } = requireRuleListener(call.account, request);
  const leaving = new Set(namedRules(request, listener));
  const staying = [...listener.rules.values()].filter((rule) => !leaving.has(rule));
  const heir = defaultAfter(listener, staying, request.NewDefaultServerDomain);
  requireUnredirected(loadBalancer, [...leaving]);
  writes.requireFree([loadBalancer]);
  writes.start(call, {
    loadBalancers: [loadBalancer],
    apply: () => {
      for (const rule of leaving) changes.removeRule(listener, rule);
      listener.defaultDomain = heir;
    },
  });
  return {};
}

function namedRules(request: clb.DeleteRuleRequest, listener: ListenerRecord): readonly RuleRecord[] {
  const { LocationIds: ids = [], Domain: domain = "", Url: url } = request;
  if (ids.length > 0) return ids.map((id) => requireRule(listener, id));
  const found = [...listener.rules.values()].filter((rule) => rule.domains.includes(domain) && (url ?? rule.url) === rule.url);
  if (found.length === 0) throw noSuchDomain(listener, `${domain}${url ?? ""}`);
  return found;
}

/** The default domain when only these rules are left: the present one, else the wanted one, else that of the oldest rule. */
function defaultAfter(listener: ListenerRecord, staying: readonly RuleRecord[], wanted: string | undefined): string | undefined {
  const domains = staying.flatMap((rule) => rule.domains);
  if (wanted !== undefined && !domains.includes(wanted)) throw noSuchDomain(listener, `the new default domain ${wanted}`);
  const { defaultDomain } = listener;
  if (defaultDomain !== undefined && domains.includes(defaultDomain)) return defaultDomain;
  return wanted ?? domains[0];
}
