import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { FINALIZER, isOwnListener, LOAD_BALANCER_ID } from "../../common/names.ts";
import { KEYS } from "../domain/intent/annotation-keys.ts";
import { READY_CONDITION, type ServiceRecord, serviceRef } from "../domain/intent/service.ts";
import type { LoadBalancerFacts } from "../domain/load-balancer.ts";
import type { Problem } from "../domain/problem.ts";
import type { Mirror } from "../state/mirror.ts";
import type { Outcome } from "../workqueue/worker.ts";
import { changedCondition, type Readiness } from "./ready-condition.ts";
import type { StatusContest } from "./status-contest.ts";

const DONE: Outcome = { kind: "done" };

export type StatusDeps = {
  readonly client: Pick<KubeClient, "patch">;
  readonly clock: { now(): number };
  readonly contest: StatusContest;
  readonly mirror: Pick<Mirror, "read">;
  readonly clusterId: string;
  readonly tell: (problem: Problem) => void;
};

/** Before the first write to the cloud; through `status`, so that no right to write Services is needed (kubernetes.md §10). */
export async function ensureFinalizer(deps: StatusDeps, service: ServiceRecord, signal: AbortSignal): Promise<boolean> {
  if (service.finalizers.includes(FINALIZER)) return true;
  return await patchStatus(deps, service, { metadata: { uid: service.uid, finalizers: [FINALIZER] } }, signal);
}

/** Writes the address where users and tools look for it, only when it differs. */
export async function publish(
  deps: StatusDeps,
  service: ServiceRecord,
  { facts, readiness }: { readonly facts: LoadBalancerFacts; readonly readiness: Readiness },
  signal: AbortSignal,
): Promise<Outcome> {
  const wanted = facts.vips.length > 0 ? [...facts.vips] : facts.domain === undefined ? [] : [facts.domain];
  if (wanted.length === 0 || !listening(deps, service, facts.loadBalancerId)) return DONE;
  const same = wanted.length === service.ingress.length && wanted.every((address, index) => address === service.ingress[index]);
  const isModeRight = facts.vips.length === 0 || service.ipModes.every((mode) => mode === (ipModeOf(service).ipMode ?? "VIP"));
  if (same && isModeRight && service.annotations[LOAD_BALANCER_ID] === facts.loadBalancerId) {
    return await tellReadiness(deps, service, readiness, signal);
  }
  const value = `${wanted.join(", ")} of load balancer ${facts.loadBalancerId}`;
  const restMs = deps.contest.restMs(service, value);
  if (restMs === "unseen") return DONE; // our own write has not come back yet
  if (restMs > 0) return { kind: "again", afterMs: restMs, because: "somebody else writes the status" };
  const ingress = facts.vips.length > 0 ? wanted.map((ip) => ({ ip, ...ipModeOf(service) })) : wanted.map((hostname) => ({ hostname }));
  const metadata = { uid: service.uid, annotations: { [LOAD_BALANCER_ID]: facts.loadBalancerId } };
  await deps.contest.foresee(service, value, signal);
  const condition = changedCondition(service, readiness, timeOf(deps));
  const status = { loadBalancer: { ingress }, ...(condition !== undefined && { conditions: [condition] }) };
  await patchStatus(deps, service, { metadata, status }, signal);
  deps.contest.wrote(service, value);
  const message = `Load balancer ${facts.loadBalancerId} (${wanted.join(", ")}) listens for Service ${service.namespace}/${service.name}`;
  deps.tell({ object: serviceRef(service), type: "Normal", reason: "EnsureServiceSuccess", message });
  return DONE;
}

/** Writes the condition Ready, only when it says something else; an object that we have not taken on is told by Events only. */
export async function tellReadiness(deps: StatusDeps, service: ServiceRecord, readiness: Readiness, signal: AbortSignal): Promise<Outcome> {
  const condition = changedCondition(service, readiness, timeOf(deps));
  if (condition === undefined || !service.finalizers.includes(FINALIZER)) return DONE;
  // Where somebody else writes it as well, or nobody keeps it, the same is written ever more rarely.
  const contested = { ...service, uid: readyKey(service.uid) };
  const value = JSON.stringify([readiness, service.generation]);
  const restMs = deps.contest.restMs(contested, value);
  if (restMs === "unseen") return DONE;
  if (restMs > 0) return { kind: "again", afterMs: restMs, because: "somebody else writes the condition" };
  await patchStatus(deps, service, { metadata: { uid: service.uid }, status: { conditions: [condition] } }, signal);
  deps.contest.wrote(contested, value);
  return DONE;
}

const readyKey = (uid: string): string => `${uid} ready`;

/** metav1.Time has whole seconds. */
const timeOf = ({ clock }: StatusDeps): string => `${new Date(clock.now()).toISOString().slice(0, 19)}Z`;

/** With Proxy, kube-proxy leaves the address to the load balancer; the API server's own default is VIP. */
const ipModeOf = ({ annotations }: ServiceRecord): { ipMode?: string } =>
  annotations[KEYS.preventLoopback] === "true" ? { ipMode: "Proxy" } : {};

/** The load balancer is gone: its address must not be told any more. Only what we wrote is taken back. */
export async function withdraw(deps: StatusDeps, service: ServiceRecord, signal: AbortSignal): Promise<void> {
  if (service.annotations[LOAD_BALANCER_ID] === undefined) return;
  const metadata = { uid: service.uid, annotations: { [LOAD_BALANCER_ID]: null } };
  await patchStatus(deps, service, { metadata, status: { loadBalancer: { ingress: null } } }, signal);
  deps.contest.forget(service.uid);
}

/** The address is told once a listener stands behind it; the load balancer's pass brings the Service back then. */
const listening = (deps: StatusDeps, { uid }: ServiceRecord, loadBalancerId: string): boolean =>
  deps.mirror.read(loadBalancerId)?.listeners.some(({ name }) => isOwnListener(name, deps.clusterId, uid)) === true;

/** The Service's own end: its finalizer and what we wrote on it go. */
export async function letGo(deps: StatusDeps, service: ServiceRecord, signal: AbortSignal): Promise<void> {
  // With the annotation left behind, a Service that lives on would look like another controller's.
  const annotations = { [LOAD_BALANCER_ID]: null };
  const metadata = { uid: service.uid, annotations, "$deleteFromPrimitiveList/finalizers": [FINALIZER] };
  const conditions = [{ type: READY_CONDITION, $patch: "delete" }];
  await patchStatus(deps, service, { metadata, ...(service.ready !== undefined && { status: { conditions } }) }, signal);
}

/** False: there is no such Service any more; the watch will tell. */
async function patchStatus(deps: StatusDeps, service: ServiceRecord, body: object, signal: AbortSignal): Promise<boolean> {
  const path = kubePath`/api/v1/namespaces/${service.namespace}/services/${service.name}/status`;
  try {
    await deps.client.patch(path, body, "strategic", { signal });
    return true;
  } catch (err) {
    if (err instanceof KubeApiError && err.isOtherObject) return false;
    throw err;
  }
}
