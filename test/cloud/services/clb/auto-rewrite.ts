import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { ListenerRecord, RuleRecord } from "../../model/account.ts";
import { badValue, CloudError } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import { type ActionTable, flag, integer, type NoReply, requiredText, texts, write } from "../table/action.ts";
import { checkOf as listenerCheckOf, newListener } from "./create-listeners.ts";
import { plainRule } from "./plain-rule.ts";
import type { ClbPorts, Writing } from "./ports.ts";
import { noSuchDomain, requireRuleListener } from "./rule-listener.ts";
import { checkOf } from "./rule-settings.ts";

export type AutoRewritePorts = Writing<"addListeners" | "addRules" | "noteRule"> & Pick<ClbPorts, "limits" | "random" | "clock">;

const HTTP_PORT = 80;
const CODES = [301, 302, 307];

/** What the redirection of one rule of the HTTPS listener comes to. */
type Redirected = { readonly target: RuleRecord; readonly code: number; readonly takeUrl: boolean };

/** Redirections from HTTP:80 to HTTPS:443, the listener and rules of the former made where they are missing. Source: the SDK's model. */
export const autoRewriteActions = (): ActionTable<AutoRewritePorts> => ({
  AutoRewrite: write<clb.AutoRewriteRequest, clb.AutoRewriteResponse, AutoRewritePorts>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerId: requiredText,
      Domains: texts(),
      RewriteCodes: { type: "array", of: integer },
      TakeUrls: { type: "array", of: flag },
    },
    run: autoRewrite,
  }),
});

function autoRewrite(request: clb.AutoRewriteRequest, call: CallContext, ports: AutoRewritePorts): NoReply {
  const { loadBalancer, listener } = requireRuleListener(call.account, request);
  if (listener.protocol !== "HTTPS") throw badValue(`listener ${listener.listenerId} is ${listener.protocol}, not HTTPS`);
  const wanted = redirections(request, listener);
  const http = [...loadBalancer.listeners.values()].find(({ port, protocol }) => port === HTTP_PORT && protocol !== "UDP");
  if (http !== undefined && http.protocol !== "HTTP")
    throw new CloudError(
      "InvalidParameter.PortCheckFailed",
      `port ${HTTP_PORT} is used by listener ${http.listenerId}, which is ${http.protocol}`,
    );
  const { limits, writes, changes } = ports;
  writes.requireFree([loadBalancer]);
  if (http === undefined && loadBalancer.listeners.size >= limits.listenersPerLoadBalancer)
    throw new CloudError(
      "LimitExceeded",
      `listeners of ${loadBalancer.id}: ${loadBalancer.listeners.size} exist, 1 more would exceed the quota`,
    );
  const from = http ?? newListener(ports, loadBalancer, "HTTP", HTTP_PORT, listenerCheckOf({}, "HTTP", loadBalancer));
  const plans = wanted.map((one) => ({ ...one, source: sourceOf(from, one.target) }));
  const missing = plans.filter(({ source }) => source === undefined);
  if (from.rules.size + missing.length > limits.rulesPerListener)
    throw new CloudError(
      "LimitExceeded",
      `rules of ${from.listenerId}: ${from.rules.size} exist, ${missing.length} more would exceed the quota`,
    );
  writes.start(call, {
    loadBalancers: [loadBalancer],
    apply: async () => {
      if (http === undefined) await changes.addListeners(loadBalancer, [from]);
      for (const { target, code, takeUrl, source } of plans) {
        const rule = source ?? plainRule(from, target, checkOf({}, from, "HTTP", target.domains, loadBalancer), ports);
        rule.rewrite = {
          to: { listener, rule: target },
          listenerId: target.listenerId,
          locationId: target.locationId,
          code,
          takeUrl,
          automatic: true,
        };
        if (source === undefined) changes.addRules(from, [rule]);
        else changes.noteRule(rule);
      }
    },
  });
  return {};
}

/** `RewriteCodes` and `TakeUrls` go with `Domains`, one for each; without domains all are meant. */
function redirections(request: clb.AutoRewriteRequest, listener: ListenerRecord): readonly Redirected[] {
  const { Domains: domains = [], RewriteCodes: codes = [], TakeUrls: takes = [] } = request;
  for (const [name, list] of Object.entries({ RewriteCodes: codes, TakeUrls: takes }))
    if (list.length > 0 && list.length !== domains.length)
      throw new CloudError("InvalidParameterValue.Length", `\`${name}\` has ${list.length} values for ${domains.length} domains`);
  const bad = codes.find((code) => !CODES.includes(Number(code)));
  if (bad !== undefined) throw badValue(`\`RewriteCodes\` must be of ${CODES.join(", ")}, got ${bad}`);
  const rules = [...listener.rules.values()];
  const unknown = domains.find((domain) => !rules.some((rule) => rule.domains.includes(domain)));
  if (unknown !== undefined) throw noSuchDomain(listener, unknown);
  return rules.flatMap((target) => {
    const at = domains.findIndex((domain) => target.domains.includes(domain));
    if (domains.length > 0 && at < 0) return [];
    return [{ target, code: Number(codes[at] ?? 301), takeUrl: takes[at] ?? true }];
  });
}

const sourceOf = ({ rules }: ListenerRecord, { domains, url }: RuleRecord): RuleRecord | undefined =>
  [...rules.values()].find((rule) => rule.url === url && rule.domains.some((domain) => domains.includes(domain)));
