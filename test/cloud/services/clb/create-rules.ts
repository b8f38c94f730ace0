import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import type { ListenerRecord, LoadBalancerRecord, RuleRecord } from "../../model/account.ts";
import { CloudError, missing, unsupported } from "../../model/errors.ts";
import type { CallContext } from "../../runtime/call.ts";
import type { Reply } from "../table/action.ts";
import type { ChosenCertificate } from "./certificates.ts";
import { requireSessionRange, requireSessionWithScheduler, schedulerOf } from "./listener-settings.ts";
import { plainRule } from "./plain-rule.ts";
import type { ClbPorts, Writing } from "./ports.ts";
import { chooseForDomain, requireHttps, requireRuleListener } from "./rule-listener.ts";
import { domainsOf, requireDomains, requireUnique, requireUrl } from "./rule-names.ts";
import { checkOf, forwardTypeOf, LONGEST_SESSION } from "./rule-settings.ts";

export type CreateRulePorts = Writing<"addCertificates" | "addRules"> & Pick<ClbPorts, "limits" | "random" | "clock">;

/** Ids are given at once; the rules appear when the task succeeds. */
export function createRules(request: clb.CreateRuleRequest, call: CallContext, ports: CreateRulePorts): Reply<clb.CreateRuleResponse> {
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
  const healthCheck = checkOf(input.HealthCheck ?? {}, listener, forwardType, domains, loadBalancer);
  const rule: RuleRecord = {
    ...plainRule(listener, { domains, url: input.Url }, healthCheck, from),
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

/** With SNI a domain cannot be served without a certificate of its own. */
function requireOwnCertificates(rules: readonly RuleRecord[]): void {
  const served = new Set(rules.filter((rule) => rule.certificate !== undefined).flatMap((rule) => rule.domains));
  const bare = rules.find((rule) => !rule.domains.every((domain) => served.has(domain)));
  if (bare !== undefined) throw missing(`\`Certificate\` or \`MultiCertInfo\` of domain ${bare.domains[0]}: the listener has SNI`);
}
