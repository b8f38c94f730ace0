import { GROUP_MARK, RELEASE } from "../../common/names.ts";
import { type Call, isRaise, itemsOf, type Redirects } from "../domain/call.ts";
import { type Listener, listenerAt, type PlaceId, type Rule, targetKey } from "../domain/load-balancer.ts";
import type { Finding } from "../domain/plan/plan-load-balancer.ts";
import type { UnreadyWhy } from "../domain/plan/plan-weights.ts";
import type { ObjectRef } from "../domain/problem.ts";
import type { Step } from "../domain/readiness/gate-condition.ts";
import { type RefusedCall, refusedCall } from "../domain/refused-call.ts";
import type { Parked } from "../domain/safety/brake.ts";
import type { ListenerOwners } from "../state/listener-owners.ts";
import type { Mirror } from "../state/mirror.ts";

/** E.g. "bind 12: new Pods are ready". */
export function describeCall(call: Call): string {
  const why: Record<Call["lane"], string> = {
    conflict: "their addresses belong to other Pods now, or their Pods are over",
    drain: "their Pods are ending or no longer selected",
    structure: "listeners or rules that are asked for",
    bind: "Pods that are ready",
    unbind: "their drain is over",
    tune: "they differ from what Services ask for",
    delete: "nobody asks for them any more",
  };
  const isLowered = call.lane === "tune" && "weights" in call && call.weights.every(({ weight }) => weight === 0);
  const because = isRaise(call)
    ? "weights of Pods that are ready again"
    : isLowered
      ? "weight 0 for Pods that are not ready"
      : why[call.lane];
  return `${call.lane} ${itemsOf(call)}: ${because}`;
}

export const nameOf = ({ kind, namespace, name }: ObjectRef): string => `${kind} ${namespace}/${name}`;

/** The owner of the listener that a place is in or is, e.g. of place "lbl-1/loc-2"; undefined: nobody remembers whose it was. */
export function ownerOfPlace(
  mirror: Pick<Mirror, "read">,
  listenerOwners: Pick<ListenerOwners, "of">,
  loadBalancerId: string,
  place: string,
) {
  const [listenerId = "", locationId] = place.split("/");
  const at = locationId === undefined ? { listenerId } : { listenerId, locationId };
  const listener = listenerAt(mirror.read(loadBalancerId)?.listeners ?? [], at);
  return listenerOwners.of(loadBalancerId, listener?.name ?? "");
}

/** Ids named in one message; an Event holds 1 024 characters. */
const MAX_STRAYS = 3;

/** How a person lets a parked removal go. `owner`: the object to annotate, e.g. "Service shop/web". `strays`: ids written there that no removal has. */
export function releaseText({ id, spent }: Parked, owner: string, strays: readonly string[]): string {
  const named = strays.slice(0, MAX_STRAYS).map((stray) => stray.slice(0, 40));
  const ids = `${named.join(", ")}${strays.length > MAX_STRAYS ? ` and ${strays.length - MAX_STRAYS} more` : ""}`;
  const many = strays.length > 1;
  const stray =
    strays.length === 0 ? "" : `. What stands in ${RELEASE} now, ${ids}, ${many ? "name" : "names"} nothing that is parked here`;
  return `${howToRelease(`${RELEASE}: ${id}`, spent, owner)}${stray}`;
}

function howToRelease(annotation: string, spent: Parked["spent"], owner: string): string {
  switch (spent) {
    case undefined:
      return `If it is right, annotate ${owner} with ${annotation}`;
    case "used":
      return `On ${owner} stands ${annotation} from the last time, which is used up: if it is right this time as well, take the annotation away and set it again`;
    case "late":
      return `On ${owner} has stood ${annotation} since long before, which does not count: if it is right now, take the annotation away and set it again`;
    default:
      return spent satisfies never;
  }
}

export const describeRefused = (loadBalancerId: string, call: RefusedCall): string =>
  refusedCall(`load balancer ${loadBalancerId}`, call).message;

/** What is left of the listener of a group under its own name: rules of nobody who is known. */
export const isGroup = ({ name, sharedName }: Listener): boolean => sharedName === undefined && name.includes(`-${GROUP_MARK}-`);

function groupText({ listenerId, rules }: Listener): string {
  const named = rules.slice(0, MAX_STRAYS).map(({ domain, url }) => `${domain}${url}`);
  const more = rules.length > MAX_STRAYS ? ` and ${rules.length - MAX_STRAYS} more` : "";
  return `listener ${listenerId} is a group's, and its rules ${named.join(", ")}${more} belong to nobody who is known`;
}

/** `owner`: of the listener that the finding names, where it is known. */
export function describeFinding(finding: Finding, owner?: ObjectRef): string {
  switch (finding.kind) {
    case "port-taken": {
      const { listenerId, name, sharedName } = finding.by;
      const group = sharedName !== undefined || isGroup(finding.by) ? "the group of " : "";
      const holder =
        owner === undefined ? `foreign listener ${listenerId} ("${name}")` : `listener ${listenerId} of ${group}${nameOf(owner)}`;
      return `port ${finding.wanted.protocol}:${finding.wanted.port} is taken by ${holder}`;
    }
    case "leaving": {
      const at = `listener ${finding.listener.listenerId} (${portOf(finding.listener)}), which nobody asks for any more,`;
      if (finding.makesWay) return `${at} goes before what replaces it is there, because that needs its port: requests fail meanwhile`;
      return `${at} stays until what its owner asks for instead serves, then it drains and goes`;
    }
    case "orphaned":
      if (isGroup(finding.listener)) return `${groupText(finding.listener)}: kept`;
      return `listener ${finding.listener.listenerId} (${finding.listener.name}) is ours, but its owner is unknown: kept`;
    case "quota":
      return `${finding.where} needs ${finding.needed}, quota ${finding.quota} is ${finding.limit}`;
    case "foreign-target":
      return `target ${targetKey(finding.target)} of ${placeText(finding)} was not bound by us: kept`;
    case "unready":
      return `target ${targetKey(finding.target)} of ${placeText(finding)}: ${unreadyText(finding.why)}`;
    case "waiting":
      return `target ${targetKey(finding.target)} of ${placeText(finding)} stays until what replaces it serves`;
    default:
      return finding satisfies never;
  }
}

/** What becomes of the weight of a bound backend whose Pod's containers are not ready, and why. */
export function unreadyText(why: UnreadyWhy): string {
  switch (why) {
    case "lowered":
      return "its containers are not ready, so its weight is 0: it gets no new traffic until they are";
    case "soon":
      return "its containers are not ready: its weight becomes 0 when that has lasted for a second, at most once in ten seconds";
    case "floor":
      return "its containers are not ready, but it keeps its weight: too few of those that served in the last ten minutes would be left";
    case "none-ready":
      return "its containers are not ready, but it keeps its weight: no Pod here is ready";
    case "unknown":
      return "its containers are not ready; it keeps its weight until it is known who serves here";
    default:
      return why satisfies never;
  }
}

const portOf = ({ protocol, port }: Listener): string => `${protocol}:${port}`;

const placeText = ({ listener, rule }: { readonly listener: Listener; readonly rule?: Rule }): string =>
  rule === undefined ? `listener ${listener.listenerId}` : `rule ${rule.domain}${rule.url} of listener ${listener.listenerId}`;

/** Items named per line; a call may have 500. */
const MAX_NAMED = 3;
const named = (what: string, items: readonly string[]): string => {
  const more = items.length > MAX_NAMED ? ` and ${items.length - MAX_NAMED} more` : "";
  return `${items.length} ${what}${items.length === 1 ? "" : "s"}: ${items.slice(0, MAX_NAMED).join(", ")}${more}`;
};

const redirectsOf = ({ rules }: Redirects): string =>
  named(
    "redirect",
    rules.map(({ locationId, targetLocationId }) => `${locationId} to ${targetLocationId}`),
  );

/** The cloud's action for a call, and what it is about, e.g. { call: "BatchRegisterTargets", what: "2 targets: 10.0.3.7:8080, 10.0.3.8:8080" }. */
export function describeForTable(call: Call): { readonly call: string; readonly what: string } {
  switch (call.lane) {
    case "bind":
      if ("weights" in call) return { call: "BatchModifyTargetWeight", what: named("target", call.weights.map(targetKey)) };
      return { call: "BatchRegisterTargets", what: named("target", call.targets.map(targetKey)) };
    case "conflict":
    case "unbind":
      return { call: "BatchDeregisterTargets", what: named("target", call.slots.map(targetKey)) };
    case "drain":
      return { call: "BatchModifyTargetWeight", what: named("target", call.weights.map(targetKey)) };
    case "structure": {
      if ("createRules" in call)
        return {
          call: "CreateRule",
          what: named(
            "rule",
            call.createRules.rules.map(({ domain, url }) => `${domain}${url}`),
          ),
        };
      if ("redirects" in call) return { call: "ManualRewrite", what: redirectsOf(call.redirects) };
      if ("loadBalancer" in call) {
        const { securityGroups: groups, ...others } = call.loadBalancer;
        if (groups !== undefined) return { call: "SetLoadBalancerSecurityGroups", what: named("security group", groups) };
        return { call: "ModifyLoadBalancerAttributes", what: named("setting", Object.keys(others)) };
      }
      const { protocol, listeners } = call.create;
      return {
        call: "CreateListener",
        what: named(
          "listener",
          listeners.map(({ port }) => `${protocol}:${port}`),
        ),
      };
    }
    case "tune":
      if ("weights" in call) return { call: "BatchModifyTargetWeight", what: named("target", call.weights.map(targetKey)) };
      if ("rename" in call) return { call: "ModifyListener", what: `${call.rename.listenerId} named ${call.rename.name}` };
      if ("listener" in call) return { call: "ModifyListener", what: call.listener.listenerId };
      if ("domain" in call) return { call: "ModifyDomainAttributes", what: `${call.domain.domain} of ${call.domain.listenerId}` };
      return { call: call.locationId === undefined ? "ModifyListener" : "ModifyRule", what: call.locationId ?? call.listenerId };
    case "delete":
      if ("redirects" in call) return { call: "DeleteRewrite", what: redirectsOf(call.redirects) };
      if ("rules" in call) return { call: "DeleteRule", what: named("rule", call.rules.locationIds) };
      return { call: "DeleteLoadBalancerListeners", what: named("listener", call.listenerIds) };
    default:
      return call satisfies never;
  }
}

/** What is awaited, and from whom. */
export type Awaited = { readonly awaited: string; readonly from: "nobody" | "the cloud" | "the coordinator" | "the Pod" | "you" };

/** E.g. "loc-2 shop.example.com/cart". */
export function ruleText({ rules }: Listener, { locationId }: PlaceId): string | undefined {
  const rule = rules.find((one) => one.locationId === locationId);
  return rule && `${rule.locationId} ${rule.domain}${rule.url}`;
}

/** `sharer`: whose a rule is, where that is to be said. */
export const redirectTexts = (listener: Listener, all: readonly Listener[], sharer: (rule: PlaceId) => string | undefined): string[] =>
  listener.rules.flatMap((rule) => {
    const { redirect } = rule;
    if (redirect === undefined) return [];
    const there = all.find(({ listenerId }) => listenerId === redirect.listenerId);
    const to = (there && ruleText(there, redirect)) ?? redirect.locationId;
    const at = there === undefined ? redirect.listenerId : `${there.protocol}:${there.port}`;
    const code = redirect.code === 0 ? "" : ` by ${redirect.code}`; // 0: the cloud does not tell it
    const owner = sharer(rule);
    const of = owner === undefined ? "" : ` of ${owner}`;
    return [`${ruleText(listener, rule) ?? rule.locationId}${of} sends its clients to ${to} of ${at}${code}`];
  });

/** What a step waits for, and who has to do something about it. */
export function awaited(step: Step): Awaited {
  switch (step.kind) {
    case "healthy":
      return { awaited: step.checked ? "nothing: bound and healthy" : "nothing: bound, health checks are off", from: "nobody" };
    case "checking":
      if (step.hindrance !== undefined) return { awaited: `the load balancer's health check: ${step.hindrance.message}`, from: "you" };
      if (step.health === "Dead") return { awaited: "the load balancer's health check fails: port, path or security group", from: "you" };
      return { awaited: "the load balancer's health check", from: "the cloud" };
    case "binding":
      return { awaited: "the bind that runs", from: "the cloud" };
    case "bindable":
      return { awaited: step.because, from: "the coordinator" };
    case "pending":
      return { awaited: step.because, from: step.reason === "ContainersNotReady" || step.reason === "NoAddress" ? "the Pod" : "you" };
    case "draining":
      return { awaited: "weight 0, then the end of the drain time", from: "the coordinator" };
    default:
      return step satisfies never;
  }
}
