import { isOwnListener, listenerName } from "../../common/names.ts";
import { domainOf } from "../domain/intent/asked-places.ts";
import { certificateProblems, certificatesOf, secretsOf } from "../domain/intent/certificate-problems.ts";
import { type OwnerObject, objectRef } from "../domain/intent/owner-object.ts";
import { READY_CONDITION } from "../domain/intent/ready-condition.ts";
import type { ServiceIntent } from "../domain/intent/service.ts";
import { type LoadBalancer, ruleKey } from "../domain/load-balancer.ts";
import type { Problem } from "../domain/problem.ts";
import type { CertificateSecrets } from "../state/certificate-secrets.ts";

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
export function tellLacking({ certificates, tell }: CertificateDeps, owner: OwnerObject, { ports }: ServiceIntent): Readiness | undefined {
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

/** Pure: ready when a listener stands for each port that is asked for, and none of former ones is left. */
export function readinessAt(clusterId: string, { uid }: Pick<OwnerObject, "uid">, intent: ServiceIntent, actual: LoadBalancer): Readiness {
  const { loadBalancerId, vips, domain } = actual;
  const wanted = new Set(intent.ports.map(({ protocol, port }) => listenerName(clusterId, uid, protocol, port)));
  const present = actual.listeners.filter(({ name }) => isOwnListener(name, clusterId, uid)).map(({ name }) => name);
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
    const listener = actual.listeners.find(({ name }) => name === listenerName(clusterId, uid, protocol, port));
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
