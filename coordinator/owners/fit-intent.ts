import { lackedFamilies } from "../domain/intent/ip-families.ts";
import { isFullChain } from "../domain/intent/order.ts";
import { intentOf, loadBalancerOf } from "../domain/intent/owner-intent.ts";
import { keysOfObject, type OwnerObject, objectName, objectRef } from "../domain/intent/owner-object.ts";
import { familyOf, type ServiceIntent } from "../domain/intent/service.ts";
import type { LoadBalancerFacts } from "../domain/load-balancer.ts";
import type { Problem } from "../domain/problem.ts";
import type { Intents } from "../state/intents.ts";
import type { OwnerRecords } from "../state/owner-records.ts";

type Made = Pick<OwnerRecords, "isMadeFor">;
type Known = { readonly intents: Pick<Intents, "get">; readonly ownerRecords: Pick<OwnerRecords, "get"> };

/** What it asked for when that could be read last, by this leader or the one before it. */
export function lastIntent(deps: Known, uid: string): ServiceIntent | undefined {
  const owner = deps.intents.get(uid);
  const held = owner && loadBalancerOf(owner);
  return (owner && intentOf(owner)) ?? (held === undefined ? undefined : deps.ownerRecords.get(held, uid)?.intent);
}

/**
 * What an owner asks for, at the load balancer that it has: the family of addresses is its own, what was ordered stays what was ordered, and
 * of a user's one less is changed, and of one that is IPv6 from end to end what it cannot have is not asked. Before a
 * new leader has read the load balancer, what was stored when it was known last decides: nothing is written, and no address bound, by a guess.
 */
export function fitIntent(
  ownerRecords: Made,
  intent: ServiceIntent,
  object: Pick<OwnerObject, "annotations" | "uid">,
  facts: LoadBalancerFacts | undefined,
  stored?: ServiceIntent,
): ServiceIntent {
  const { annotations, uid } = object;
  const mayPass = facts === undefined ? stored?.settings?.passToTarget !== undefined : ownerRecords.isMadeFor(facts, uid);
  const isIpv6 = isFullChain(facts?.order ?? orderIn(stored ?? intent));
  const { family: _ordered, preventLoopback, ...others } = intent;
  const prefers = annotations[keysOfObject(object).mixTargetPrefer];
  const wasIpv6 = (stored ?? intent).family === "ipv6" && prefers !== "ipv4";
  const family = facts?.order === undefined ? wasIpv6 && { family: "ipv6" as const } : familyOf(prefers, facts.order);
  const source = stored?.source.kind === "create" && intent.source.kind === "create" ? stored.source : intent.source;
  const fitted: ServiceIntent = { ...others, source, ...family, ...(preventLoopback && !isIpv6 && { preventLoopback }) };
  if ((mayPass && !isIpv6) || fitted.settings?.passToTarget === undefined) return fitted;
  const { passToTarget: _told, ...settings } = fitted.settings;
  return { ...fitted, settings };
}

const orderIn = ({ source }: ServiceIntent) => (source.kind === "create" ? source.order : undefined);

/** What is asked for and cannot be had of the load balancer that there is. */
export function unfitProblems(ownerRecords: Made, intent: ServiceIntent, object: OwnerObject, facts: LoadBalancerFacts): Problem[] {
  const all = [
    isFullChain(facts.order) ? alwaysPasses(intent, object, facts) : passToTargetProblem(ownerRecords, intent, object, facts),
    loopbackProblem(intent, object, facts),
    familyProblem(object, facts),
    familiesProblem(intent, object, facts),
  ];
  return all.filter((one) => one !== undefined);
}

/** A load balancer that is not IPv6 from end to end takes IPv4 addresses only. */
function familyProblem(object: OwnerObject, { loadBalancerId, order }: LoadBalancerFacts): Problem | undefined {
  const key = keysOfObject(object).mixTargetPrefer;
  if (object.annotations[key] !== "ipv6" || order === undefined || isFullChain(order)) return undefined;
  const message = `${objectName(object)}: annotation ${key} has no effect: load balancer ${loadBalancerId} takes IPv4 addresses only, and those are bound; IPv6 needs one whose AddressIPVersion is IPv6FullChain`;
  return { object: objectRef(object), type: "Normal", reason: "NoEffect", message };
}

/** A load balancer of the user has the addresses that it has. */
function familiesProblem({ source }: ServiceIntent, object: OwnerObject, { loadBalancerId, vips }: LoadBalancerFacts): Problem | undefined {
  if ("kind" in object || source.kind !== "existing") return undefined;
  const lacked = lackedFamilies(object, vips);
  if (lacked.length === 0) return undefined;
  const message = `${objectName(object)}: spec.ipFamilies asks for ${lacked.join(", ")}, and load balancer ${loadBalancerId}, which is yours, has ${vips.join(", ")} only: name another one, or correct the field`;
  return { object: objectRef(object), type: "Warning", reason: "NotHonoured", message };
}

/** Source: clb-api.md §6.1. */
function alwaysPasses({ settings }: ServiceIntent, object: OwnerObject, { loadBalancerId }: LoadBalancerFacts): Problem | undefined {
  if (settings?.passToTarget !== false) return undefined;
  const message = `${objectName(object)}: annotation ${keysOfObject(object).passToTarget} is "false", and load balancer ${loadBalancerId} is IPv6 from end to end: there traffic always passes the security groups of the backends. Bind a security group to the load balancer, and remove the annotation`;
  return { object: objectRef(object), type: "Warning", reason: "NotHonoured", message };
}

/** Source: clb-api.md §4.3. */
function loopbackProblem({ preventLoopback }: ServiceIntent, object: OwnerObject, facts: LoadBalancerFacts): Problem | undefined {
  if (preventLoopback === undefined || !isFullChain(facts.order)) return undefined;
  const message = `${objectName(object)}: annotation ${keysOfObject(object).preventLoopback} is honoured in part: health checks of load balancer ${facts.loadBalancerId}, which is IPv6 from end to end, come from its own address and not from 100.64.0.0/10`;
  return { object: objectRef(object), type: "Warning", reason: "NotHonoured", message };
}

/** Of a user's load balancer `pass-to-target` is not changed; that it is otherwise is told. Undefined: there is nothing to tell. */
function passToTargetProblem(
  ownerRecords: Made,
  { settings }: ServiceIntent,
  object: OwnerObject,
  facts: LoadBalancerFacts,
): Problem | undefined {
  const [wanted, has] = [settings?.passToTarget, facts.settings?.passToTarget];
  if (ownerRecords.isMadeFor(facts, object.uid) || wanted === undefined || has === undefined || wanted === has) return undefined;
  const message = `${objectName(object)}: annotation ${keysOfObject(object).passToTarget} is "${wanted}", and load balancer ${facts.loadBalancerId}, which is yours, has ${has}: it is not changed; change it in the console, or correct the annotation`;
  return { object: objectRef(object), type: "Warning", reason: "NotHonoured", message };
}
