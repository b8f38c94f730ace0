import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import { isDefault, type ListenerRecord, type RuleRecord, requireRule } from "../../model/account.ts";
import type { CallContext } from "../../runtime/call.ts";
import type { ClbAnswers, Limits } from "../../runtime/options.ts";
import { type ActionTable, cloudTime, flag, type NoReply, requiredText, text, texts, type Whole, write } from "../table/action.ts";
import { certificate, multiCertInfo, showCertificate } from "./certificates.ts";
import { type CreateRulePorts, createRules } from "./create-rules.ts";
import { type DeleteRulePorts, deleteRules } from "./delete-rules.ts";
import { healthCheck, showCheck } from "./health-checks.ts";
import { requireSessionRange, requireSessionWithScheduler, schedulerOf, sessionExpireTime } from "./listener-settings.ts";
import type { ClbPorts, Writing } from "./ports.ts";
import { requireRuleListener } from "./rule-listener.ts";
import { domainName, requireUnique, requireUrl, urlPath } from "./rule-names.ts";
import { checkOf, FORWARD_TYPES, forwardTypeOf, LONGEST_SESSION } from "./rule-settings.ts";

const scheduler = { type: "string", oneOf: ["WRR", "LEAST_CONN", "IP_HASH"] } as const;
const session = sessionExpireTime(LONGEST_SESSION);
const targetType = { type: "string", oneOf: ["NODE", "TARGETGROUP", "TARGETGROUP-V2"] } as const;

type ModifyPorts = Writing<"noteRule"> & Pick<ClbPorts, "health">;

/** Limits: clb-api.md §2.2. */
export const ruleActions = (limits: Limits): ActionTable<CreateRulePorts & ModifyPorts & DeleteRulePorts> => ({
  CreateRule: write<clb.CreateRuleRequest, clb.CreateRuleResponse, CreateRulePorts>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerId: requiredText,
      Rules: {
        type: "array",
        required: true,
        min: 1,
        max: limits.createRules,
        of: {
          type: "object",
          fields: {
            Url: { ...urlPath, required: true },
            Domain: domainName,
            Domains: { type: "array", min: 1, of: domainName },
            SessionExpireTime: session,
            HealthCheck: healthCheck,
            Certificate: certificate,
            MultiCertInfo: multiCertInfo,
            Scheduler: scheduler,
            ForwardType: { type: "string", oneOf: [...FORWARD_TYPES, "TRPC"] },
            DefaultServer: flag,
            Http2: flag,
            Quic: flag,
            TargetType: targetType,
            CookieName: text,
            TrpcCallee: text,
            TrpcFunc: text,
          },
        },
      },
    },
    run: createRules,
  }),

  ModifyRule: write<clb.ModifyRuleRequest, clb.ModifyRuleResponse, ModifyPorts>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerId: requiredText,
      LocationId: requiredText,
      Url: urlPath,
      HealthCheck: healthCheck,
      Scheduler: scheduler,
      SessionExpireTime: session,
      ForwardType: { type: "string", oneOf: [...FORWARD_TYPES, "TRPC"] },
      CookieName: text,
      OAuth: { type: "object", fields: { OAuthEnable: flag, OAuthFailureStatus: { type: "string", oneOf: ["BYPASS", "REJECT"] } } },
      TrpcCallee: text,
      TrpcFunc: text,
    },
    run: modifyRule,
  }),

  DeleteRule: write<clb.DeleteRuleRequest, clb.DeleteRuleResponse, DeleteRulePorts>({
    fields: {
      LoadBalancerId: requiredText,
      ListenerId: requiredText,
      LocationIds: texts(limits.deleteRules),
      Domain: text,
      Url: text,
      NewDefaultServerDomain: text,
    },
    run: deleteRules,
  }),
});

function modifyRule(request: clb.ModifyRuleRequest, call: CallContext, { writes, changes, health }: ModifyPorts): NoReply {
  if (request.Url !== undefined) requireUrl(request.Url);
  requireSessionRange(request.SessionExpireTime, LONGEST_SESSION);
  const { loadBalancer, listener } = requireRuleListener(call.account, request);
  const rule = requireRule(listener, request.LocationId);
  const forwardType = forwardTypeOf(request.ForwardType, listener) ?? rule.forwardType;
  const nextScheduler = schedulerOf(request.Scheduler) ?? rule.scheduler;
  const seconds = request.SessionExpireTime ?? rule.sessionExpireTime;
  requireSessionWithScheduler(seconds, nextScheduler, ["WRR", "IP_HASH"]);
  const check = checkOf({ ...rule.healthCheck, ...request.HealthCheck }, listener, forwardType, rule.domains, loadBalancer);
  const url = request.Url ?? rule.url;
  requireUnique([...listener.rules.values()].map((one) => (one === rule ? { ...rule, url } : one)));
  writes.requireFree([loadBalancer]);
  writes.start(call, {
    loadBalancers: [loadBalancer],
    apply: () => {
      const before = rule.healthCheck;
      rule.url = url;
      rule.forwardType = forwardType;
      rule.scheduler = nextScheduler;
      rule.sessionExpireTime = seconds;
      rule.cookieName = request.CookieName ?? rule.cookieName;
      rule.healthCheck = check;
      changes.noteRule(rule);
      health.reconfigure(rule, before);
    },
  });
  return {};
}

export function showRule(listener: ListenerRecord, rule: RuleRecord, answers: ClbAnswers): Whole<clb.RuleOutput> {
  return {
    LocationId: rule.locationId,
    ListenerId: rule.listenerId,
    Domain: rule.domains[0] ?? "",
    Domains: [...rule.domains],
    Url: rule.url,
    SessionExpireTime: rule.sessionExpireTime,
    HealthCheck: showCheck(rule.healthCheck, answers),
    Certificate: showCertificate(rule.certificate),
    Scheduler: rule.scheduler,
    ForwardType: rule.forwardType,
    DefaultServer: isDefault(listener, rule),
    Http2: rule.http2,
    HttpGzip: true,
    BeAutoCreated: false,
    RewriteTarget: {
      TargetListenerId: rule.rewrite?.listenerId ?? null,
      TargetLocationId: rule.rewrite?.locationId ?? null,
      RewriteCode: rule.rewrite?.code ?? null,
      TakeUrl: rule.rewrite?.takeUrl ?? null,
      RewriteType: rule.rewrite === undefined ? null : rule.rewrite.automatic ? "Auto" : "Manual",
    },
    CreateTime: cloudTime(rule.createdMs),
    TargetType: "NODE",
    TargetGroup: null,
    TargetGroupList: null,
    WafDomainId: "",
    TrpcCallee: "",
    TrpcFunc: "",
    QuicStatus: rule.quic ? "QUIC_ACTIVE" : "OFF",
    OAuth: null,
    CookieName: rule.cookieName ?? null,
  };
}
