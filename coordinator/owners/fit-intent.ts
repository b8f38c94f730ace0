import { keysOfObject, type OwnerObject, objectName, objectRef } from "../domain/intent/owner-object.ts";
import type { ServiceIntent } from "../domain/intent/service.ts";
import type { LoadBalancerFacts } from "../domain/load-balancer.ts";
import type { Problem } from "../domain/problem.ts";
import type { OwnerRecords } from "../state/owner-records.ts";

type Made = Pick<OwnerRecords, "isMadeFor">;

/**
 * What an owner asks for, at the load balancer that it has: the family of addresses is its own, and of a user's one less is changed. Before a
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
  const isIpv6 = facts === undefined ? stored?.family === "ipv6" : facts.order?.["AddressIPVersion"] === "IPv6FullChain";
  const mayPass = facts === undefined ? stored?.settings?.passToTarget !== undefined : ownerRecords.isMadeFor(facts, uid);
  const prefersNone = annotations[keysOfObject(object).mixTargetPrefer] === undefined;
  const fitted: ServiceIntent = isIpv6 && prefersNone ? { ...intent, family: "ipv6" } : intent;
  if (mayPass || fitted.settings?.passToTarget === undefined) return fitted;
  const { passToTarget: _told, ...settings } = fitted.settings;
  return { ...fitted, settings };
}

/** Of a user's load balancer `pass-to-target` is not changed; that it is otherwise is told. Undefined: there is nothing to tell. */
export function passToTargetProblem(
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
