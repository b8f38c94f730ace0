import { canonicalDomain, isLayer7, type Listener, listenerAt, type PlaceId, type Rule, ruleKey } from "../load-balancer.ts";
import { type ObjectRef, tkeCode } from "../problem.ts";
import { namesOf, type OwnAddress } from "./former-rules.ts";
import type { IntentPort } from "./intent-port.ts";
import { intentOf, type OwnerIntent, type OwnerStanding } from "./owner-intent.ts";
import type { OwnerRecord } from "./owner-record.ts";
import type { ServiceIntent } from "./service.ts";
import { wishKey } from "./service-config.ts";

/** An Ingress of the group of a load balancer, with the rules that it asks for or asked for last, e.g. "HTTP/80" -> "shop.example.com /". */
export type GroupMember = {
  readonly ref: ObjectRef;
  readonly state: OwnerStanding["state"];
  readonly asks: ReadonlyMap<string, ReadonlySet<string>>;
  /** What is on record as its own. */
  readonly holds: ReadonlyMap<string, ReadonlySet<string>>;
  /** Ids of the listeners in which it has, or had, rules. */
  readonly listenerIds: ReadonlyMap<string, string>;
};

/** Another member has this rule; `listener` e.g. "HTTP/80", `rule` e.g. "shop.example.com /cart". */
export type RuleConflict = { readonly owner: ObjectRef; readonly holder: ObjectRef; readonly listener: string; readonly rule: string };

/** Whose each rule of the shared listeners is, by listener and rule, and who asks for one in vain. */
export type SharedRules = {
  readonly members: readonly GroupMember[];
  readonly holders: ReadonlyMap<string, ReadonlyMap<string, ObjectRef>>;
  readonly conflicts: readonly RuleConflict[];
};

/** Pure: the owner as a member of the group of its load balancer; undefined: it is none. */
export function groupMember(owner: OwnerIntent, record: OwnerRecord | undefined): GroupMember | undefined {
  const intent = intentOf(owner) ?? record?.intent;
  if (intent?.group !== true) return undefined;
  const listeners = Object.entries(record?.listeners ?? {});
  return {
    ref: owner.ref,
    state: owner.state,
    asks: new Map(intent.ports.flatMap((port) => (isLayer7(port.protocol) ? [[keyOf(port), namesAsked(port)] as const] : []))),
    holds: holdsOf(record),
    listenerIds: new Map(listeners.map(([key, { id }]) => [key, id])),
  };
}

function holdsOf({ listeners = {}, leftRules = {} }: Partial<OwnerRecord> = {}): GroupMember["holds"] {
  const keys = [...new Set([...Object.keys(listeners), ...Object.keys(leftRules)])];
  return new Map(keys.map((key) => [key, new Set([...(listeners[key]?.rules ?? []), ...Object.keys(leftRules[key] ?? {})])]));
}

/**
 * Pure. `members` oldest first. A rule is its holder's as long as that one asks for it, or nobody knows what it asks for: nobody's traffic
 * ends because somebody else asks for its host and path. Then the oldest who asks for it takes it over as it is; what nobody asks for goes
 * with its last holder.
 */
export function shareRules(members: readonly GroupMember[]): SharedRules {
  const holders = new Map<string, Map<string, ObjectRef>>();
  const conflicts: RuleConflict[] = [];
  const byRule = new Map<string, Map<string, GroupMember[]>>();
  for (const member of members)
    for (const source of [member.asks, member.holds])
      for (const [key, rules] of source)
        for (const rule of rules) {
          const here = byRule.get(key) ?? new Map<string, GroupMember[]>();
          byRule.set(key, here);
          const all = here.get(rule);
          if (all === undefined) here.set(rule, [member]);
          else if (all.at(-1) !== member) all.push(member);
        }
  for (const [key, rules] of byRule) {
    const here = new Map<string, ObjectRef>();
    for (const [rule, all] of rules) {
      const isHeldBy = ({ holds }: GroupMember): boolean => holds.get(key)?.has(rule) === true;
      const asksFor = ({ state, asks }: GroupMember): boolean => state === "served" && asks.get(key)?.has(rule) === true;
      const isUnknown = ({ state }: GroupMember): boolean => state === "held" || state === "vanished";
      const asking = all.filter(asksFor);
      const held = all.filter(isHeldBy);
      const holder = held.find(asksFor) ?? held.find(isUnknown) ?? asking[0] ?? held[0] ?? all.find(({ state }) => state !== "served");
      if (holder === undefined) continue;
      here.set(rule, holder.ref);
      for (const { ref } of asking) if (ref.uid !== holder.ref.uid) conflicts.push({ owner: ref, holder: holder.ref, listener: key, rule });
    }
    holders.set(key, here);
  }
  return { members, holders, conflicts };
}

/** Pure: what the owner asks for, without the rules that others have, and without redirects to those. */
export function grantedPorts({ ports }: Pick<ServiceIntent, "ports">, refused: ReadonlySet<string>): readonly IntentPort[] {
  const isRefused = (port: Pick<IntentPort, "protocol" | "port">, rule: { readonly domain: string; readonly url: string }): boolean =>
    refused.has(`${keyOf(port)} ${nameAsked(rule)}`);
  return ports.map((port): IntentPort => {
    if (port.rules === undefined) return port;
    const rules = port.rules.filter((rule) => {
      if (isRefused(port, rule)) return false;
      const { redirect } = rule;
      return redirect === undefined || redirect === "none" || !isRefused(redirect, redirect);
    });
    return rules.length === port.rules.length ? port : { ...port, rules };
  });
}

/** As in `grantedPorts`, e.g. "HTTP/80 shop.example.com /". */
export const refusedRule = ({ listener, rule }: Pick<RuleConflict, "listener" | "rule">): string => `${listener} ${rule}`;

/** A rule that is there, by the name by which it is asked for: the load balancer's own address stands for no domain. */
export const sharedRuleName = (rule: Pick<Rule, "domain" | "url">, address?: OwnAddress): string =>
  namesOf(rule, address).at(-1) ?? ruleKey(rule);

/** Pure: the rule at this place, by listener and name as in `GroupMember`; undefined: there is none. */
export function sharedRuleAt(
  listeners: readonly Listener[],
  place: PlaceId,
  address: OwnAddress | undefined,
): { readonly listener: string; readonly rule: string } | undefined {
  const listener = listenerAt(listeners, place);
  const rule = listener?.rules.find(({ locationId }) => locationId === place.locationId);
  if (listener === undefined || rule === undefined) return undefined;
  return { listener: wishKey(listener.protocol, listener.port), rule: sharedRuleName(rule, address) };
}

/** Rules named in one message; an Event holds 1 024 characters. */
const MAX_NAMED = 5;

/** What an Ingress of a group is told about the rules that it may not have, with TKE's code; undefined: it has all. `conflicts`: its own. */
export function ruleConflictMessage(loadBalancerId: string, conflicts: readonly RuleConflict[]): string | undefined {
  const [first] = conflicts;
  if (first === undefined) return undefined;
  const named = conflicts.slice(0, MAX_NAMED).map(({ listener, rule, holder }) => {
    const [host = "", path = ""] = rule.split(" ");
    return `${host === "" ? "no host" : `host ${host}`} path ${path} at ${listener.replace("/", ":")} belongs to ${holder.kind} ${holder.namespace}/${holder.name}`;
  });
  const more = conflicts.length > MAX_NAMED ? ` and ${conflicts.length - MAX_NAMED} more` : "";
  const at = `${first.owner.kind} ${first.owner.namespace}/${first.owner.name}, group of load balancer ${loadBalancerId}`;
  const fix = "Use another host or path. The rest of it is served, and it takes over by itself when the other one asks for that no more";
  return tkeCode("E4406", `${at}: ${named.join("; ")}${more}. ${fix}`, "Ingress");
}

const keyOf = ({ protocol, port }: Pick<IntentPort, "protocol" | "port">): string => wishKey(protocol, port);
const nameAsked = ({ domain, url }: { readonly domain: string; readonly url: string }): string =>
  ruleKey({ domain: canonicalDomain(domain), url });
/** The rules that are asked for at a listener, e.g. "shop.example.com /". */
export const namesAsked = ({ rules = [] }: IntentPort): ReadonlySet<string> => new Set(rules.map(nameAsked));
