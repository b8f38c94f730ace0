import { type Call, tunedListener } from "../domain/call.ts";
import { canonicalDomain, type Listener, listenerAt, type PlaceId } from "../domain/load-balancer.ts";
import type { ObjectRef } from "../domain/problem.ts";
import type { ListenerOwners } from "../state/listener-owners.ts";

/**
 * What a call is about, as far as that tells whose it is: a listener or rule that is there, all rules of a domain, a rule that is to be made,
 * or the name of a listener that is. Where several owners share a listener, its id alone does not say whom a call concerns.
 */
export type Subject =
  | PlaceId
  | { readonly listenerId: string; readonly domain: string }
  | { readonly listenerId: string; readonly newRule: { readonly domain: string; readonly url: string } }
  | { readonly name: string };

type SubjectCall = Exclude<Call, { targets: unknown } | { loadBalancer: unknown }>;

export function subjectsOf(call: SubjectCall): readonly Subject[] {
  if ("slots" in call) return call.slots;
  if ("weights" in call) return call.weights;
  if ("create" in call) return call.create.listeners;
  if ("createRules" in call) {
    const { listenerId, rules } = call.createRules;
    return rules.map((newRule) => ({ listenerId, newRule }));
  }
  if ("redirects" in call) {
    const { listenerId, rules } = call.redirects;
    return rules.map(({ locationId }) => ({ listenerId, locationId }));
  }
  if ("listenerIds" in call) return call.listenerIds.map((listenerId) => ({ listenerId }));
  if ("rules" in call) {
    const { listenerId, locationIds } = call.rules;
    return locationIds.map((locationId) => ({ listenerId, locationId }));
  }
  if ("domain" in call) return [call.domain];
  return "healthCheck" in call ? [call] : [{ listenerId: tunedListener(call) }];
}

/** Whose it is, and its listener, as that owner sees it, where it is there. */
export function ownerOfSubject(
  listenerOwners: Pick<ListenerOwners, "of" | "ofNewRule">,
  loadBalancerId: string,
  listeners: readonly Listener[],
  subject: Subject,
): { readonly listener: Listener | undefined; readonly owner: ObjectRef | undefined } {
  const listener =
    "name" in subject ? listeners.find(({ name, sharedName = name }) => sharedName === subject.name) : listenerOf(listeners, subject);
  const maker =
    listener === undefined || !("newRule" in subject) ? undefined : listenerOwners.ofNewRule(loadBalancerId, listener, subject.newRule);
  const name = listener?.name ?? ("name" in subject ? subject.name : "");
  return { listener, owner: maker ?? listenerOwners.of(loadBalancerId, name) };
}

/** Of a domain: the first that has rules of it, whose wish counts for all of them. */
function listenerOf(listeners: readonly Listener[], subject: Exclude<Subject, { name: string }>): Listener | undefined {
  if (!("domain" in subject)) return listenerAt(listeners, subject);
  const domain = canonicalDomain(subject.domain);
  const ofDomain = listeners.find(
    ({ listenerId, rules }) => listenerId === subject.listenerId && rules.some((rule) => canonicalDomain(rule.domain) === domain),
  );
  return ofDomain ?? listenerAt(listeners, subject);
}
