import { listenerName, ownListeners } from "../../common/names.ts";
import { domainOf } from "../domain/intent/asked-places.ts";
import { certificateProblems, certificatesOf, secretsOf } from "../domain/intent/certificate-problems.ts";
import { intentOf } from "../domain/intent/owner-intent.ts";
import { type OwnerObject, objectRef } from "../domain/intent/owner-object.ts";
import { READY_CONDITION } from "../domain/intent/ready-condition.ts";
import type { ServiceIntent } from "../domain/intent/service.ts";
import { ruleConflictMessage } from "../domain/intent/shared-rules.ts";
import { type LoadBalancer, type LoadBalancerFacts, ruleKey } from "../domain/load-balancer.ts";
import type { Problem } from "../domain/problem.ts";
import type { CertificateSecrets } from "../state/certificate-secrets.ts";
import type { Intents } from "../state/intents.ts";

/** What TKE says where all is well. Source: tke-contract.md §2. */
const SUCCESS = "Success";

/** Whether what this generation of a Service asks for is at its load balancer; `reason` and `message` are for people. */
export type Readiness = { readonly status: "True" | "False"; readonly reason: string; readonly message: string };

/** TKE's code where the message carries one, else our reason: scripts that know TKE look for its codes. */
export function notReady({ reason, message }: { readonly reason: string; readonly message: string }): Readiness {
  const [, code = reason] = /Code:"([EW]\d{4})"/.exec(message) ?? [];
  return { status: "False", reason: code, message };
}

export type CertificateDeps = {
  readonly certificates: Pick<CertificateSecrets, "find" | "denied">;
  readonly tell: (problem: Problem) => void;
};

/** Tells which certificates the owner asks for and nobody has; undefined: none. While Secrets are being read its condition stays. */
function tellLacking({ certificates, tell }: CertificateDeps, owner: OwnerObject, { ports }: ServiceIntent): Readiness | undefined {
  const object = objectRef(owner);
  const sources = certificatesOf(ports);
  const lacking = certificateProblems(object, sources, certificates);
  for (const one of lacking) tell({ object, type: "Warning", ...one });
  if (lacking[0] !== undefined) return notReady(lacking[0]);
  const isUnread = secretsOf(sources).some((secret) => certificates.find(owner.namespace, secret) === undefined);
  if (!isUnread) return undefined;
  const { ready } = owner;
  if (ready === undefined) return notReady({ reason: "CertificateUnavailable", message: "The Secrets that it names are being read" });
  return { status: ready.status === "True" ? "True" : "False", reason: ready.reason, message: ready.message };
}

export type ReadinessDeps = CertificateDeps & { readonly clusterId: string; readonly intents: Pick<Intents, "get" | "granted" | "shared"> };

/** What stands in the way of what the owner asks for at its load balancer, else that it is ready. `actual`: as far as is known. */
export function readinessOf(
  deps: ReadinessDeps,
  object: OwnerObject,
  intent: ServiceIntent,
  actual: LoadBalancer | undefined,
  facts: LoadBalancerFacts,
): Readiness {
  const lacking = tellLacking(deps, object, intent);
  if (lacking !== undefined) return lacking;
  const owner = deps.intents.get(object.uid);
  const granted = (owner && intentOf(deps.intents.granted(owner))) ?? intent;
  const at = readinessAt(deps.clusterId, object, granted, { ...facts, listeners: actual?.listeners ?? [] });
  const own = (deps.intents.shared(facts.loadBalancerId)?.conflicts ?? []).filter((one) => one.owner.uid === object.uid);
  const message = ruleConflictMessage(facts.loadBalancerId, own);
  return at.status === "False" || message === undefined ? at : notReady({ reason: "RuleConflict", message });
}

/** Pure: ready when a listener stands for each port that is asked for, and none of former ones is left. */
export function readinessAt(clusterId: string, { uid }: Pick<OwnerObject, "uid">, intent: ServiceIntent, actual: LoadBalancer): Readiness {
  const { loadBalancerId, vips, domain } = actual;
  const wanted = new Set(intent.ports.map(({ protocol, port }) => listenerName(clusterId, uid, protocol, port)));
  const present = actual.listeners.filter(ownListeners(clusterId, uid)).map(({ name }) => name);
  const missing = [...wanted].filter((name) => !present.includes(name)).length;
  const former = present.filter((name) => !wanted.has(name)).length;
  const rules = missingRules(clusterId, uid, intent, actual);
  if (missing + former === 0 && rules > 0) {
    const pending = `Load balancer ${loadBalancerId}: ${rules} rules are still to come; if that lasts, the Events say why`;
    return { status: "False", reason: "ListenersPending", message: pending };
  }
  if (missing + former === 0) {
    const message = `Load balancer ${loadBalancerId} (${vips.length > 0 ? vips.join(", ") : domain}) listens on every port`;
    return { status: "True", reason: SUCCESS, message };
  }
  const message = `Load balancer ${loadBalancerId}: ${missing} listeners are still to come, ${former} still to go; if that lasts, the Events say why`;
  return { status: "False", reason: "ListenersPending", message };
}

function missingRules(clusterId: string, uid: string, { ports }: ServiceIntent, actual: LoadBalancer): number {
  return ports.reduce((sum, { protocol, port, rules = [] }) => {
    if (rules.length === 0) return sum;
    const wanted = listenerName(clusterId, uid, protocol, port);
    const listener = actual.listeners.find(({ name }) => name === wanted);
    const present = new Set(listener?.rules.map(ruleKey));
    return sum + rules.filter(({ domain, url }) => !present.has(ruleKey({ domain: domainOf(domain, actual), url }))).length;
  }, 0);
}

/** The condition to write; undefined: what is there says the same. `now`: e.g. "2026-01-02T03:04:05Z". */
export function changedCondition(
  { ready, generation }: Pick<OwnerObject, "ready" | "generation">,
  wanted: Readiness,
  now: string,
): object | undefined {
  const isSame =
    ready !== undefined &&
    ready.status === wanted.status &&
    ready.reason === wanted.reason &&
    ready.message === wanted.message &&
    ready.observedGeneration === generation;
  if (isSame) return undefined;
  const lastTransitionTime = ready?.status === wanted.status && ready.since !== "" ? ready.since : now;
  return { type: READY_CONDITION, ...wanted, lastTransitionTime, ...(generation !== undefined && { observedGeneration: generation }) };
}
