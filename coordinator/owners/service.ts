import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { CLUSTER_TAG, EXISTING_LOAD_BALANCER, FINALIZER, isOwnListener, OWNER_TAG } from "../../common/names.ts";
import { ClbApiError } from "../cloud/clb-error.ts";
import { apiDenied } from "../domain/api-denied.ts";
import { KEYS } from "../domain/intent/annotation-keys.ts";
import { type Blocker, blockerOf, intentOf, loadBalancerOf, type OwnerIntent, type OwnerStanding } from "../domain/intent/owner-intent.ts";
import { isRetained, type OwnershipMode, ownershipOf, readService, type ServiceRecord, serviceRef } from "../domain/intent/service.ts";
import type { ObjectRef, Problem } from "../domain/problem.ts";
import { keepsAll, type Policy, type Retire } from "../domain/safety/policy.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";
import type { Outcome, Reconcile } from "../workqueue/worker.ts";
import { fitIntent, passToTargetProblem } from "./fit-intent.ts";
import { ensureLoadBalancer, formerLoadBalancer, hasAddress, refusalOf, type SourceDeps } from "./load-balancer-source.ts";
import { ensureFinalizer, letGo, publish, type StatusDeps, tellReadiness, withdraw } from "./owner-status.ts";
import { type CertificateDeps, notReady, readinessAt, tellLacking } from "./ready-condition.ts";
import { recordOwner } from "./recorded-owner.ts";
import { deleteSurplus, type SurplusDeps } from "./surplus.ts";

export type ServiceDeps = SourceDeps &
  StatusDeps &
  SurplusDeps &
  CertificateDeps & {
    readonly mirror: Mirror;
    readonly addressClaims: Pick<AddressClaims, "drop">;
    readonly ownerRecords: OwnerRecords;
    readonly intents: Intents;
    readonly ownership: OwnershipMode;
    /** Default: off. */
    readonly retire?: Retire | undefined;
    readonly synced: () => boolean;
    /** What the owner asks for, or where it stands, may have changed. */
    readonly intentChanged: (owner: OwnerIntent) => void;
  };

const NOT_SYNCED_MS = 100;
/** A load balancer that is not there is looked for this often. */
const MISSING_MS = 30_000;
/** One that runs without an address is looked at this often. */
const ADDRESS_MS = 5_000;
const DONE: Outcome = { kind: "done" };

/** One pass over one Service: finalizer, load balancer, intent, status; its listeners and backends are the load balancer's pass. */
export function makeServiceReconciler(deps: ServiceDeps): Reconcile {
  return async (uid, signal) => {
    if (!deps.synced()) return { kind: "again", afterMs: NOT_SYNCED_MS, because: "not every watch has synced" };
    const service = deps.service(uid);
    if (service === undefined) return vanished(deps, uid);
    const ownership = ownershipOf(service, deps.ownership, deps.intents.get(uid) !== undefined);
    switch (ownership.kind) {
      case "none":
        return vanished(deps, uid);
      case "foreign":
      case "type":
        tellLeftAlone(deps, service, ownership);
        return vanished(deps, uid);
      case "skip":
        tellLeftAlone(deps, service, ownership);
        if (service.deleting && service.finalizers.includes(FINALIZER)) await letGo(deps, service, signal);
        return vanished(deps, uid);
      case "deleted":
        if (deps.retire === "keep-traffic") return await letStay(deps, service, signal);
        return await telling(deps, service, finishDeletion(deps, service, signal), signal);
      case "ours":
        return await telling(deps, service, serve(deps, service, signal), signal);
      default:
        return ownership satisfies never;
    }
  };
}

/**
 * No evidence that its load balancer should change: what is there stays, and Pods that end are drained. Only a deletion that had begun is
 * finished.
 */
function vanished(deps: ServiceDeps, uid: string): Outcome {
  const owner = deps.intents.get(uid);
  if (deps.service(uid) === undefined) deps.orders.forget(uid);
  else deps.orders.rest(uid);
  deps.contest.forget(uid);
  if (owner === undefined) return DONE;
  const loadBalancerId = loadBalancerOf(owner);
  const isThere = deps.service(uid) !== undefined;
  if (loadBalancerId === undefined) deps.intents.remove(uid);
  else if (owner.state !== "deleted" && isThere) {
    // It is left alone from now on: what we know of it says nothing any more.
    deps.ownerRecords.remove(loadBalancerId, uid);
    deps.intents.remove(uid);
  } else if (owner.state !== "deleted")
    deps.intents.set({ ref: owner.ref, order: owner.order, selector: {}, state: "vanished", loadBalancerId });
  else if (isCleared(deps, owner.ref, loadBalancerId, owner.retain === true)) {
    deps.ownerRecords.remove(loadBalancerId, uid);
    deps.intents.remove(uid);
  }
  deps.intentChanged(owner);
  return DONE;
}

const LEFT_ALONE = {
  foreign: { type: "Warning", reason: "ForeignController" },
  type: { type: "Warning", reason: "NotSupported" },
  skip: { type: "Normal", reason: "StoodDown" },
} as const;

function tellLeftAlone(
  deps: ServiceDeps,
  service: ServiceRecord,
  { kind, because }: { readonly kind: keyof typeof LEFT_ALONE; readonly because: string },
): void {
  const message = `Service ${service.namespace}/${service.name} is left alone: ${because}`;
  deps.tell({ object: serviceRef(service), ...LEFT_ALONE[kind], message });
}

async function serve(deps: ServiceDeps, service: ServiceRecord, signal: AbortSignal): Promise<Outcome> {
  const reading = readService(service);
  for (const problem of reading.warnings) deps.tell(problem);
  const old = deps.intents.get(service.uid);
  const present = old && loadBalancerOf(old);
  const stored = (old && intentOf(old)) ?? (present === undefined ? undefined : deps.ownerRecords.get(present, service.uid)?.intent);
  const intent = reading.intent ?? stored;
  if (intent === undefined) {
    // Nothing good is known of it; a load balancer of a former life keeps its listeners as they are.
    const { fault: blocker } = reading;
    enter(deps, service, { state: "held", blocker, loadBalancerId: present });
    const former = present ?? (await formerLoadBalancer(deps, service, signal));
    if (former !== present) enter(deps, service, { state: "held", blocker, loadBalancerId: former });
    return DONE;
  }
  const { fault } = reading;
  if (fault !== undefined && present === undefined) {
    // Nothing is made for what it asked for before: that may be just what it does not want any more.
    enter(deps, service, { state: "waiting", intent, blocker: fault });
    return DONE;
  }
  // At once, and before anything that can fail: its Pods must not count as selected by nobody while the cloud is away.
  if (present !== undefined) {
    if (stored !== undefined) enter(deps, service, { state: "served", intent: stored, loadBalancerId: present });
    await recordOwner(deps, service, intent, present, signal); // what is not stored is not acted upon: the next leader would not know it
    enter(deps, service, { state: "served", intent: fitIntent(intent, service, deps.mirror.facts(present)), loadBalancerId: present });
  } else enter(deps, service, { state: "waiting", intent, blocker: old && blockerOf(old) });
  if (deps.retire === "keep-traffic") return await letStay(deps, service, signal);
  if (fault !== undefined) {
    await tellReadiness(deps, service, notReady(fault), signal); // the last good state stays
    return DONE;
  }
  if (!(await ensureFinalizer(deps, service, signal))) return DONE;
  const found = await ensureLoadBalancer(deps, { service, intent, present }, signal);
  if (found.kind === "blocked") {
    deps.tell({ object: serviceRef(service), type: "Warning", ...found.blocker });
    enter(deps, service, { state: "waiting", intent, blocker: found.blocker });
    if (found.blocker.reason === "LoadBalancerNotFound") await withdraw(deps, service, signal);
    await tellReadiness(deps, service, notReady(found.blocker), signal);
    return { kind: "again", afterMs: MISSING_MS, because: found.blocker.reason };
  }
  if (found.kind === "creating") {
    enter(deps, service, { state: "waiting", intent, blocker: undefined });
    return { kind: "again", afterMs: found.lookMs, because: "the load balancer is being created" };
  }
  const problem = passToTargetProblem(intent, service, found.facts);
  if (problem !== undefined) deps.tell(problem);
  const { loadBalancerId } = found.facts;
  await recordOwner(deps, service, intent, loadBalancerId, signal);
  if (present !== undefined && present !== loadBalancerId) deps.ownerRecords.remove(present, service.uid); // it is gone
  enter(deps, service, { state: "served", intent: fitIntent(intent, service, found.facts), loadBalancerId });
  if (!hasAddress(found.facts)) return { kind: "again", afterMs: ADDRESS_MS, because: "the load balancer has no address yet" };
  const actual = deps.mirror.read(found.facts.loadBalancerId);
  const readiness =
    tellLacking(deps, serviceRef(service), intent) ??
    readinessAt(deps.clusterId, service, intent, { ...found.facts, listeners: actual?.listeners ?? [] });
  return await publish(deps, service, { facts: found.facts, readiness }, signal);
}

/** Nothing holds the Service back any more, and its load balancer stays as it is; a later installation finds its listeners by their names. */
async function letStay(deps: ServiceDeps, service: ServiceRecord, signal: AbortSignal): Promise<Outcome> {
  if (service.finalizers.includes(FINALIZER)) await letGo(deps, service, signal);
  return DONE;
}

/** What the cloud refuses is said on the Service, and by the conditions of the Pods that wait for its load balancer. */
async function telling(deps: ServiceDeps, service: ServiceRecord, pass: Promise<Outcome>, signal: AbortSignal): Promise<Outcome> {
  try {
    return await pass;
  } catch (err) {
    const blocker = blockerIn(deps, service, err);
    if (blocker === undefined) throw err;
    deps.tell({ object: serviceRef(service), type: "Warning", ...blocker });
    const owner = deps.intents.get(service.uid);
    if (owner?.state === "waiting") enter(deps, service, { state: "waiting", intent: owner.intent, blocker });
    if (owner?.state === "waiting" && err instanceof ClbApiError) await tellReadiness(deps, service, notReady(blocker), signal);
    throw err;
  }
}

function blockerIn(deps: ServiceDeps, service: ServiceRecord, err: unknown): Blocker | undefined {
  if (err instanceof ClbApiError) return refusalOf(deps, service, err);
  if (!(err instanceof KubeApiError) || err.failure !== "denied" || !err.request.endsWith("/status")) return undefined;
  return apiDenied(`Service ${service.namespace}/${service.name}`, { verb: "patch", resource: "services/status", words: err.message });
}

const orderOf = ({ createdAt, uid }: ServiceRecord): string => `${createdAt} ${uid}`;

function enter(deps: ServiceDeps, service: ServiceRecord, standing: OwnerStanding): void {
  const owner: OwnerIntent = {
    ref: serviceRef(service),
    order: orderOf(service),
    selector: service.selector,
    ...standing,
  };
  deps.intents.set(owner);
  deps.intentChanged(owner);
}

/** The Service goes: its listeners are removed by the load balancer's pass; the finalizer last. */
async function finishDeletion(deps: ServiceDeps, service: ServiceRecord, signal: AbortSignal): Promise<Outcome> {
  const old = deps.intents.get(service.uid);
  const loadBalancerId = (old && loadBalancerOf(old)) ?? (await formerLoadBalancer(deps, service, signal));
  const retain = isRetained(service.annotations);
  enter(deps, service, { state: "deleted", intent: old && intentOf(old), loadBalancerId, ...(retain && { retain }) });
  if (loadBalancerId !== undefined && !isCleared(deps, serviceRef(service), loadBalancerId, retain)) {
    if (deps.policy !== undefined && keepsAll(deps.policy)) tellKept(deps, service, loadBalancerId, deps.policy);
    return DONE; // the load balancer's pass brings it back
  }
  const waiting = await deleteSurplus(deps, service, loadBalancerId, signal);
  if (waiting !== undefined) return waiting;
  if (loadBalancerId !== undefined && deps.intents.of(loadBalancerId).length === 1) {
    deps.intents.forgetLoadBalancer(loadBalancerId);
    deps.mirror.drop(loadBalancerId);
    await deps.addressClaims.drop(loadBalancerId, signal);
    deps.ownerRecords.forget(loadBalancerId);
  } else if (loadBalancerId !== undefined) deps.ownerRecords.remove(loadBalancerId, service.uid);
  await letGo(deps, service, signal);
  deps.orders.end(service.uid); // a Service whose type has changed may change it back
  deps.contest.forget(service.uid);
  deps.intents.remove(service.uid);
  return DONE;
}

function tellKept(deps: ServiceDeps, service: ServiceRecord, loadBalancerId: string, policy: Policy): void {
  const at = `Service ${service.namespace}/${service.name} goes, but its listeners at load balancer ${loadBalancerId} and its finalizer stay`;
  const message = `${at}: POLICY of the coordinator is ${policy}: set it to enforce to let them go`;
  deps.tell({ object: serviceRef(service), type: "Warning", reason: "KeptByPolicy", message });
}

/** Nothing of ours is left there: the load balancer is gone, or a current mirror shows no listener of this Service. */
function isCleared(deps: ServiceDeps, service: ObjectRef, loadBalancerId: string, retain: boolean): boolean {
  const actual = deps.mirror.read(loadBalancerId);
  if (actual === undefined) return deps.mirror.isGone(loadBalancerId);
  if (deps.mirror.staleBecause(loadBalancerId) !== undefined) return false;
  if (actual.listeners.some(({ name }) => isOwnListener(name, deps.clusterId, service.uid))) return false;
  const created = actual.tags[CLUSTER_TAG] === deps.clusterId && actual.tags[OWNER_TAG] === service.uid;
  if (!created) return true;
  const tell = (type: Problem["type"], because: string): void => {
    const message = `Load balancer ${loadBalancerId} is kept although Service ${service.namespace}/${service.name} goes: ${because}`;
    deps.tell({ object: service, type, reason: "LoadBalancerKept", message });
  };
  if (retain) tell("Normal", `annotation ${KEYS.retain} says so. Another Service takes it up by ${EXISTING_LOAD_BALANCER}`);
  else if (actual.settings?.deleteProtect === true)
    tell("Warning", "it is protected against deletion: take that off and delete it by hand if nobody needs it");
  else if (actual.listeners.length > 0) tell("Warning", "it has listeners that we did not create");
  else return false; // it is about to be deleted
  return true;
}
