import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { ListenerRecord, RuleRecord } from "../../model/account.ts";
import { badValue, CloudError } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import { type ActionTable, flag, type NoReply, requiredText, text, write } from "../table/action.ts";
import { certificate, multiCertInfo } from "./certificates.ts";
import type { ClbPorts, Writing } from "./ports.ts";
import { chooseForDomain, noSuchDomain, requireHttps, requireRuleListener } from "./rule-listener.ts";
import { domainName, requireDomains, requireUnique } from "./rule-names.ts";

type Ports = Writing<"addCertificates" | "noteRule"> & Pick<ClbPorts, "random">;

/** What belongs to a domain and so to all of its rules. Limits: clb-api.md §2.2. */
export const domainActions = (): ActionTable<Ports> => ({
  ModifyDomainAttributes: write<clb.ModifyDomainAttributesRequest, clb.ModifyDomainAttributesResponse, Ports>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerId: requiredText,
      Domain: requiredText,
      NewDomain: domainName,
      NewDomains: { type: "array", min: 1, of: domainName },
      Certificate: certificate,
      MultiCertInfo: multiCertInfo,
      Http2: flag,
      Quic: flag,
      DefaultServer: flag,
      NewDefaultServerDomain: text,
    },
    run: modifyDomain,
  }),

  ModifyDomain: write<clb.ModifyDomainRequest, clb.ModifyDomainResponse, Ports>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerId: requiredText,
      Domain: requiredText,
      NewDomain: { type: "string", required: true, min: 1, max: 120 },
    },
    run: modifyDomain,
  }),
});

function modifyDomain(request: clb.ModifyDomainAttributesRequest, call: CallContext, { writes, changes, random }: Ports): NoReply {
  const { account } = call;
  if (request.NewDomain !== undefined && request.NewDomains !== undefined)
    throw new CloudError("InvalidParameter", "give one of `NewDomain` and `NewDomains`, not both");
  const renamed = request.NewDomains ?? (request.NewDomain === undefined ? undefined : [request.NewDomain]);
  if (renamed !== undefined) requireDomains(renamed);
  const { loadBalancer, listener } = requireRuleListener(account, request);
  requireHttps(listener, { Http2: request.Http2, Quic: request.Quic });
  const rules = [...listener.rules.values()].filter(({ domains }) => domains.includes(request.Domain));
  if (rules.length === 0) throw noSuchDomain(listener, request.Domain);
  const chosen = chooseForDomain(request, listener, { account, random });
  const after = [...listener.rules.values()].map((rule) =>
    renamed !== undefined && rules.includes(rule) ? { ...rule, domains: renamed } : rule,
  );
  requireUnique(after);
  const nextDefault = defaultAfter(request, listener, after, rules, renamed);
  writes.requireFree([loadBalancer]);
  writes.start(call, {
    loadBalancers: [loadBalancer],
    apply: () => {
      changes.addCertificates(chosen?.uploads ?? []);
      for (const rule of rules) {
        rename(rule, renamed ?? rule.domains);
        rule.certificate = chosen?.choice ?? rule.certificate;
        rule.http2 = request.Http2 ?? rule.http2;
        rule.quic = request.Quic ?? rule.quic;
        changes.noteRule(rule);
      }
      listener.defaultDomain = nextDefault;
    },
  });
  return {};
}

/** The Host of the rule's check follows its domain where it was the domain. */
function rename(rule: RuleRecord, domains: readonly string[]): void {
  const [before] = rule.domains;
  const [next] = domains;
  if (rule.healthCheck.HttpCheckDomain === before && next !== undefined) rule.healthCheck = { ...rule.healthCheck, HttpCheckDomain: next };
  rule.domains = domains;
}

/** There is always exactly one default domain: it is handed on, never just given up. */
function defaultAfter(
  request: clb.ModifyDomainAttributesRequest,
  listener: ListenerRecord,
  after: readonly RuleRecord[],
  touched: readonly RuleRecord[],
  renamed: readonly string[] | undefined,
): string | undefined {
  const { DefaultServer: asDefault, NewDefaultServerDomain: heir } = request;
  const { defaultDomain } = listener;
  const wasDefault = touched.some(({ domains }) => defaultDomain !== undefined && domains.includes(defaultDomain));
  const name = renamed?.[0] ?? request.Domain;
  if (asDefault === true) return name;
  if (asDefault === false && wasDefault) {
    if (heir === undefined)
      throw badValue(`${request.Domain} is the default domain of ${listener.listenerId}: name its successor in \`NewDefaultServerDomain\``);
    if (!after.some((rule) => rule.domains.includes(heir))) throw noSuchDomain(listener, `the new default domain ${heir}`);
    return heir;
  }
  return wasDefault && renamed !== undefined ? name : defaultDomain;
}
