import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import {
  type HealthSettings,
  isDefault,
  type ListenerRecord,
  type LoadBalancerRecord,
  type RuleRecord,
  requireRule,
} from "../../model/account.ts";
import { CloudError, missing, unsupported } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import type { Limits } from "../../runtime/options.ts";
import { newId } from "../../runtime/random.ts";
import {
  type ActionTable,
  cloudTime,
  flag,
  type NoReply,
  type Reply,
  requiredText,
  text,
  texts,
  type Whole,
  write,
} from "../table/action.ts";
import { type ChosenCertificate, certificate, multiCertInfo, showCertificate } from "./certificates.ts";
import { type DeleteRulePorts, deleteRules } from "./delete-rules.ts";
import { completeCheck, healthCheck, showCheck } from "./health-checks.ts";
import { requireSessionRange, requireSessionWithScheduler, schedulerOf, sessionExpireTime } from "./listener-settings.ts";
import type { ClbPorts, Writing } from "./ports.ts";
import { chooseForDomain, requireHttps, requireRuleListener } from "./rule-listener.ts";
import { domainName, domainsOf, requireDomains, requireUnique, requireUrl, urlPath } from "./rule-names.ts";

const FORWARD_TYPES = ["HTTP", "HTTPS", "GRPC", "GRPCS"] as const;
const scheduler = { type: "string", oneOf: ["WRR", "LEAST_CONN", "IP_HASH"] } as const;
/** The page of the product says 3600, the model of the API 86400: the longer one is accepted. */
const LONGEST_SESSION = 86_400;
const session = sessionExpireTime(LONGEST_SESSION);
const targetType = { type: "string", oneOf: ["NODE", "TARGETGROUP", "TARGETGROUP-V2"] } as const;

type CreatePorts = Writing<"addCertificates" | "addRules"> & Pick<ClbPorts, "limits" | "random" | "clock">;
type ModifyPorts = Writing<"noteRule"> & Pick<ClbPorts, "health">;

/** Limits: clb-api.md §2.2. */
export const ruleActions = (limits: Limits): ActionTable<CreatePorts & ModifyPorts & DeleteRulePorts> => ({
  CreateRule: write<clb.CreateRuleRequest, clb.CreateRuleResponse, CreatePorts>({
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

function createRules(request: clb.CreateRuleRequest, call: CallContext, ports: CreatePorts): Reply<clb.CreateRuleResponse> {
  const { writes, changes, limits } = ports;
  request.Rules.forEach(requireShape);
  const defaults = new Set(
    request.Rules.filter(({ DefaultServer }) => DefaultServer === true)
      .map(domainsOf)
      .map(String),
  );
  if (defaults.size > 1)
    throw new CloudError("InvalidParameter", "`DefaultServer` is true for several domains; a listener has one default");
  const { loadBalancer, listener } = requireRuleListener(call.account, request);
  const wanted = request.Rules.map((input) => planRule(input, loadBalancer, listener, { account: call.account, ...ports }));
  requireUnique([...listener.rules.values(), ...wanted.map(({ rule }) => rule)]);
  if (listener.sni) requireOwnCertificates([...listener.rules.values(), ...wanted.map(({ rule }) => rule)]);
  writes.requireFree([loadBalancer]);
  const limit = limits.rulesPerListener;
  if (listener.rules.size + wanted.length > limit)
    throw new CloudError(
      "LimitExceeded",
      `rules of ${listener.listenerId}: ${listener.rules.size} exist, ${wanted.length} more would exceed the quota of ${limit}`,
    );
  writes.start(call, {
    loadBalancers: [loadBalancer],
    apply: () => {
      changes.addCertificates(wanted.flatMap(({ chosen }) => chosen?.uploads ?? []));
      changes.addRules(
        listener,
        wanted.map(({ rule }) => rule),
      );
      const chosen = wanted.find(({ asDefault }) => asDefault);
      if (chosen !== undefined) listener.defaultDomain = chosen.rule.domains[0];
    },
  });
  return { LocationIds: wanted.map(({ rule }) => rule.locationId) };
}

/** What can be said of a rule without its listener. */
function requireShape(input: clb.RuleInput): void {
  if (input.Domain !== undefined && input.Domains !== undefined)
    throw new CloudError("InvalidParameter", "give one of `Domain` and `Domains`, not both");
  requireUrl(input.Url);
  requireDomains(domainsOf(input));
  requireSessionRange(input.SessionExpireTime, LONGEST_SESSION);
  if (input.ForwardType === "TRPC") throw unsupported("`ForwardType` TRPC is not offered");
  if (input.TargetType !== undefined && input.TargetType !== "NODE")
    throw unsupported("the emulated cloud binds targets, no target groups: `TargetType` must be NODE");
}

type RuleSources = Pick<CallContext, "account"> & Pick<ClbPorts, "random" | "clock">;
type PlannedRule = { readonly rule: RuleRecord; readonly chosen: ChosenCertificate | undefined; readonly asDefault: boolean };

/** A rule as it will be; what belongs to its domain comes from the rules that the domain has already. */
function planRule(input: clb.RuleInput, loadBalancer: LoadBalancerRecord, listener: ListenerRecord, from: RuleSources): PlannedRule {
  const named = domainsOf(input);
  const domains = named.length > 0 ? named : [loadBalancer.vip]; // without a name clients use the address
  const sibling = [...listener.rules.values()].find((rule) => rule.domains.some((domain) => domains.includes(domain)));
  const forwardType = forwardTypeOf(input.ForwardType, listener) ?? "HTTP";
  const chosenScheduler = schedulerOf(input.Scheduler) ?? "WRR";
  const seconds = input.SessionExpireTime ?? 0;
  requireSessionWithScheduler(seconds, chosenScheduler, ["WRR", "IP_HASH"]);
  requireHttps(listener, { Http2: input.Http2, Quic: input.Quic });
  const chosen = chooseForDomain(input, listener, from);
  const rule: RuleRecord = {
    loadBalancerId: loadBalancer.id,
    listenerId: listener.listenerId,
    locationId: newId("loc", from.random),
    protocol: listener.protocol,
    healthCheck: checkOf(input.HealthCheck ?? {}, listener, forwardType, domains),
    targets: new Map(),
    lastHealthyMs: 0,
    domains,
    url: input.Url,
    createdMs: from.clock.now(),
    scheduler: chosenScheduler,
    sessionExpireTime: seconds,
    forwardType,
    http2: input.Http2 ?? sibling?.http2 ?? false,
    certificate: chosen?.choice ?? sibling?.certificate,
    quic: input.Quic ?? sibling?.quic ?? false,
    cookieName: input.CookieName,
  };
  return { rule, chosen, asDefault: input.DefaultServer === true };
}

/** Only HTTPS listeners may speak anything but HTTP to backends. */
function forwardTypeOf(name: string | undefined, { protocol }: ListenerRecord): RuleRecord["forwardType"] | undefined {
  if (name === "TRPC") throw unsupported("`ForwardType` TRPC is not offered");
  const forwardType = FORWARD_TYPES.find((one) => one === name);
  if (protocol === "HTTP" && forwardType !== undefined && forwardType !== "HTTP")
    throw new CloudError("InvalidParameterValue", `\`ForwardType\` ${forwardType} is for HTTPS listeners only`);
  return forwardType;
}

/** With SNI a domain cannot be served without a certificate of its own. */
function requireOwnCertificates(rules: readonly RuleRecord[]): void {
  const served = new Set(rules.filter((rule) => rule.certificate !== undefined).flatMap((rule) => rule.domains));
  const bare = rules.find((rule) => !rule.domains.every((domain) => served.has(domain)));
  if (bare !== undefined) throw missing(`\`Certificate\` or \`MultiCertInfo\` of domain ${bare.domains[0]}: the listener has SNI`);
}

const checkOf = (
  given: clb.HealthCheck,
  { protocol }: ListenerRecord,
  forwardType: string,
  [domain = ""]: readonly string[],
): HealthSettings => completeCheck(given, { protocol: protocol === "HTTPS" ? "HTTPS" : "HTTP", forwardType, domain });

function modifyRule(request: clb.ModifyRuleRequest, call: CallContext, { writes, changes, health }: ModifyPorts): NoReply {
  if (request.Url !== undefined) requireUrl(request.Url);
  requireSessionRange(request.SessionExpireTime, LONGEST_SESSION);
  const { loadBalancer, listener } = requireRuleListener(call.account, request);
  const rule = requireRule(listener, request.LocationId);
  const forwardType = forwardTypeOf(request.ForwardType, listener) ?? rule.forwardType;
  const nextScheduler = schedulerOf(request.Scheduler) ?? rule.scheduler;
  const seconds = request.SessionExpireTime ?? rule.sessionExpireTime;
  requireSessionWithScheduler(seconds, nextScheduler, ["WRR", "IP_HASH"]);
  const check = checkOf({ ...rule.healthCheck, ...request.HealthCheck }, listener, forwardType, rule.domains);
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

export function showRule(listener: ListenerRecord, rule: RuleRecord): Whole<clb.RuleOutput> {
  return {
    LocationId: rule.locationId,
    ListenerId: rule.listenerId,
    Domain: rule.domains[0] ?? "",
    Domains: [...rule.domains],
    Url: rule.url,
    SessionExpireTime: rule.sessionExpireTime,
    HealthCheck: showCheck(rule.healthCheck),
    Certificate: showCertificate(rule.certificate),
    Scheduler: rule.scheduler,
    ForwardType: rule.forwardType,
    DefaultServer: isDefault(listener, rule),
    Http2: rule.http2,
    HttpGzip: true,
    BeAutoCreated: false,
    RewriteTarget: { TargetListenerId: null, TargetLocationId: null, RewriteCode: null, TakeUrl: null, RewriteType: null },
    CreateTime: cloudTime(rule.createdMs),
    TargetType: "NODE",
    TargetGroup: null,
    TargetGroupList: null,
    WafDomainId: null,
    TrpcCallee: null,
    TrpcFunc: null,
    QuicStatus: rule.quic ? "QUIC_ACTIVE" : "QUIC_INACTIVE",
    OAuth: null,
    CookieName: rule.cookieName ?? null,
  };
}
