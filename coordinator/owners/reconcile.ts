import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { FINALIZER } from "../../common/names.ts";
import { ClbApiError } from "../cloud/clb-error.ts";
import { apiDenied } from "../domain/api-denied.ts";
import {
  type Blocker,
  blockerOf,
  type ClusterStanding,
  intentOf,
  loadBalancerOf,
  type OwnerIntent,
  type OwnerStanding,
  type Unread,
} from "../domain/intent/owner-intent.ts";
import { keysOfObject, type OwnerObject, objectName, objectRef } from "../domain/intent/owner-object.ts";
import { isRetained, type Ownership, type ServiceIntent, type ServiceReading } from "../domain/intent/service.ts";
import { keepsAll, type Policy, type Retire } from "../domain/safety/policy.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Intents } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";
import type { Outcome, Reconcile } from "../workqueue/worker.ts";
import { fitIntent, lastIntent, unfitProblems } from "./fit-intent.ts";
import { loadBalancerLeftFor } from "./heirlooms.ts";
import {
  ensureLoadBalancer,
  formerLoadBalancer,
  hasAddress,
  publishedLoadBalancer,
  refusalOf,
  refusedAccess,
  type SourceDeps,
} from "./load-balancer-source.ts";
import {
  ensureFinalizer,
  letGo,
  publish,
  type StatusDeps,
  statusResourceOf,
  takeBackAddress,
  tellReadiness,
  waitForAddress,
  withdraw,
} from "./owner-status.ts";
import { notReady, type ReadinessDeps, readinessOf } from "./ready-condition.ts";
import { forgetIntent, leaveToOthers, recordOwner } from "./recorded-owner.ts";
import { deleteSurplus, isCleared, type SurplusDeps } from "./surplus.ts";

export type OwnerDeps = SourceDeps &
  StatusDeps &
  SurplusDeps &
  ReadinessDeps & {
    readonly mirror: Mirror;
    readonly addressClaims: Pick<AddressClaims, "drop">;
    readonly ownerRecords: OwnerRecords;
    readonly intents: Intents;
    /** `served`: this process serves it already. */
    readonly ownershipOf: (object: OwnerObject, served: boolean, servedClass?: string) => Ownership;
    /** `former`: what it asked for before. */
    readonly read: (object: OwnerObject, former: ServiceIntent | undefined) => ServiceReading;
    /** Why it cannot be read yet; undefined: it can. */
    readonly unread: (object: OwnerObject) => Unread | undefined;
    /** Default: off. */
    readonly retire?: Retire | undefined;
    readonly synced: () => boolean;
    /** Is the cluster a copy of another one? Default: no. */
    readonly standing?: () => ClusterStanding;
    /** What the owner asks for, or where it stands, may have changed. */
    readonly intentChanged: (owner: OwnerIntent) => void;
    /** What this object (UID) asks for is known, and stored: who waits for that need not wait for the rest of its pass. */
    readonly onEntered?: (uid: string) => void;
  };

const NOT_SYNCED_MS = 100;
/** How to wait for the proof that the cluster is no copy, and for a word that it is none. */
const NOT_OURS_MS = 250;
const COPIED_MS = 5_000;
/** A load balancer that is not there is looked for this often. */
const MISSING_MS = 30_000;
const DONE: Outcome = { kind: "done" };

/** One pass over one owner: finalizer, load balancer, intent, status; its listeners and backends are the load balancer's pass. */
export function makeOwnerReconciler(deps: OwnerDeps): Reconcile {
  return async (uid, signal) => {
    if (!deps.synced()) return { kind: "again", afterMs: NOT_SYNCED_MS, because: "not every watch has synced" };
    const standing = deps.standing?.() ?? "ours";
    if (standing === "unknown") return { kind: "again", afterMs: NOT_OURS_MS, because: "this cluster may be a copy" };
    const object = deps.object(uid);
    if (object === undefined) return vanished(deps, uid);
    const ownership = deps.ownershipOf(object, deps.intents.get(uid) !== undefined, lastIntent(deps, uid)?.className);
    switch (ownership.kind) {
      case "none":
        return vanished(deps, uid);
      case "foreign":
      case "type":
        tellLeftAlone(deps, object, ownership);
        return vanished(deps, uid);
      case "skip":
        tellLeftAlone(deps, object, ownership);
        if (object.deleting && object.finalizers.includes(FINALIZER)) await letGo(deps, object, signal);
        return vanished(deps, uid);
      case "deleted":
        if (standing !== "ours") return await standStill(deps, object, standing.blocker, signal);
        if (deps.retire === "keep-traffic") return await letStay(deps, object, signal);
        return await telling(deps, object, finishDeletion(deps, object, signal), signal);
      case "ours":
        if (standing !== "ours") return await standStill(deps, object, standing.blocker, signal);
        if (ownership.note !== undefined)
          deps.tell({
            object: objectRef(object),
            type: "Warning",
            reason: "NotHonoured",
            message: `${objectName(object)}: ${ownership.note}`,
          });
        return await telling(deps, object, serve(deps, object, signal, ownership.isLeft), signal);
      default:
        return ownership satisfies never;
    }
  };
}

/**
 * No evidence that its load balancer should change: what is there stays, and Pods that end are drained. Only a deletion that had begun is
 * finished.
 */
function vanished(deps: OwnerDeps, uid: string): Outcome {
  const owner = deps.intents.get(uid);
  if (deps.object(uid) === undefined) deps.orders.forget(uid);
  else deps.orders.rest(uid);
  deps.contest.forget(uid);
  if (owner === undefined) return DONE;
  const loadBalancerId = loadBalancerOf(owner);
  const isThere = deps.object(uid) !== undefined;
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

/** Nothing is done in a copy of another cluster; what the owner has stays on record. */
async function standStill(deps: OwnerDeps, object: OwnerObject, blocker: Blocker, signal: AbortSignal): Promise<Outcome> {
  const old = deps.intents.get(object.uid);
  deps.tell({ object: objectRef(object), type: "Warning", ...blocker });
  enter(deps, object, { state: "held", blocker, loadBalancerId: old && loadBalancerOf(old) });
  await tellReadiness(deps, object, notReady(blocker), signal);
  return { kind: "again", afterMs: COPIED_MS, because: blocker.reason };
}

const LEFT_ALONE = {
  foreign: { type: "Warning", reason: "ForeignController" },
  type: { type: "Warning", reason: "NotSupported" },
  skip: { type: "Normal", reason: "StoodDown" },
} as const;

function tellLeftAlone(
  deps: OwnerDeps,
  object: OwnerObject,
  { kind, because }: { readonly kind: keyof typeof LEFT_ALONE; readonly because: string },
): void {
  const message = `${objectName(object)} is left alone: ${because}`;
  deps.tell({ object: objectRef(object), ...LEFT_ALONE[kind], message });
}

async function serve(deps: OwnerDeps, object: OwnerObject, signal: AbortSignal, isLeft = false): Promise<Outcome> {
  const old = deps.intents.get(object.uid);
  const held = old && loadBalancerOf(old);
  const recorded = lastIntent(deps, object.uid);
  // One that is merely held was never looked at, and may be another controller's.
  const own = recorded === undefined ? await publishedLoadBalancer(deps, object, signal) : held;
  const stored = recorded ?? (own === undefined ? undefined : deps.ownerRecords.get(own, object.uid)?.intent);
  const unread = deps.unread(object);
  if (unread !== undefined) return await waitUntilRead(deps, object, unread, own ?? held, signal);
  const reading = deps.read(object, stored);
  for (const problem of reading.warnings) deps.tell(problem);
  // Of one that is left the class stays on record by which it was served.
  const read = reading.intent && { ...reading.intent, ...(isLeft && { className: stored?.className }) };
  const intent = read ?? stored;
  if (intent === undefined) {
    // Nothing good is known of it; a load balancer of a former life keeps its listeners as they are.
    const { fault: blocker } = reading;
    const kept = own ?? held;
    enter(deps, object, { state: "held", blocker, loadBalancerId: kept });
    const former = kept ?? (await formerLoadBalancer(deps, object, signal));
    if (former !== kept) enter(deps, object, { state: "held", blocker, loadBalancerId: former });
    return blocker === undefined ? DONE : await tellReadiness(deps, object, notReady(blocker), signal);
  }
  const { fault } = reading;
  const present = own ?? (fault === undefined && !isLeft ? await inherited(deps, object, intent, signal) : undefined);
  if (isLeft && (present === undefined || deps.mirror.isGone(present))) return forgetIntent(deps, object);
  if (fault !== undefined && present === undefined) {
    // Nothing is made for what it asked for before: that may be just what it does not want any more.
    enter(deps, object, { state: "waiting", intent, blocker: fault });
    return await tellReadiness(deps, object, notReady(fault), signal);
  }
  // At once, and before anything that can fail: its Pods must not count as selected by nobody while the cloud is away.
  if (present !== undefined) {
    if (stored !== undefined) enter(deps, object, { state: "served", intent: stored, loadBalancerId: present });
    const fitted = fitIntent(deps.ownerRecords, intent, object, deps.mirror.facts(present), stored);
    const isNews = await recordOwner(deps, object, fitted, present, signal); // what is not stored is not acted upon: the next leader would not know it
    enter(deps, object, { state: "served", intent: fitted, loadBalancerId: present }, isNews);
    deps.onEntered?.(object.uid);
  } else enter(deps, object, { state: "waiting", intent, blocker: old && blockerOf(old) });
  if (deps.retire === "keep-traffic") return await letStay(deps, object, signal);
  if (fault !== undefined) return await tellReadiness(deps, object, notReady(fault), signal); // the last good state stays
  if (isLeft) return DONE; // neither a finalizer nor an address may be written for it any more
  const refused = present === undefined ? await refusedAccess(deps, object, intent, signal) : undefined;
  if (refused !== undefined) return await blocked(deps, object, intent, refused, signal);
  const finalizer = await ensureFinalizer(deps, object, signal);
  if (finalizer !== "there") return finalizer;
  const found = await ensureLoadBalancer(deps, { object, intent, present, ordered: stored?.source }, signal);
  if (found.kind === "blocked") return await blocked(deps, object, intent, found.blocker, signal);
  if (found.kind === "creating") {
    enter(deps, object, { state: "waiting", intent, blocker: undefined });
    return { kind: "again", afterMs: found.lookMs, because: "the load balancer is being created" };
  }
  for (const problem of unfitProblems(deps.ownerRecords, intent, object, found.facts)) deps.tell(problem);
  const { loadBalancerId } = found.facts;
  const fitted = fitIntent(deps.ownerRecords, intent, object, found.facts, present === loadBalancerId ? stored : undefined);
  const isNews = await recordOwner(deps, object, fitted, loadBalancerId, signal);
  if (present !== undefined && present !== loadBalancerId) deps.ownerRecords.remove(present, object.uid); // it is gone
  enter(deps, object, { state: "served", intent: fitted, loadBalancerId }, isNews);
  if (!hasAddress(found.facts)) return await waitForAddress(deps, object, loadBalancerId, signal);
  deps.orders.runs(object.uid);
  const actual = deps.mirror.read(found.facts.loadBalancerId);
  const readiness = (found.refused && notReady(found.refused)) ?? readinessOf(deps, object, intent, actual, found.facts);
  return await publish(deps, object, { facts: found.facts, readiness }, signal);
}

/** One that is on order already is waited for. */
const inherited = async (deps: OwnerDeps, object: OwnerObject, intent: ServiceIntent, signal: AbortSignal): Promise<string | undefined> =>
  deps.orders.awaited(object.uid) === undefined ? await loadBalancerLeftFor(deps, object, intent, signal) : undefined;

/** Which Pods it asks for is not known: what it has stays as it is. */
async function waitUntilRead(
  deps: OwnerDeps,
  object: OwnerObject,
  unread: Unread,
  loadBalancerId: string | undefined,
  signal: AbortSignal,
): Promise<Outcome> {
  const known = deps.intents.get(object.uid);
  const because = "its EndpointSlices have not been read";
  const blocker = unread.kind === "denied" ? unread.blocker : undefined;
  if (known === undefined || known.state === "held") enter(deps, object, { state: "held", blocker, loadBalancerId });
  if (blocker === undefined) return { kind: "again", afterMs: NOT_SYNCED_MS, because };
  deps.tell({ object: objectRef(object), type: "Warning", ...blocker });
  await tellReadiness(deps, object, notReady(blocker), signal);
  return { kind: "again", afterMs: MISSING_MS, because };
}

/** It has no load balancer, for a reason that a person must mend. */
async function blocked(
  deps: OwnerDeps,
  object: OwnerObject,
  intent: ServiceIntent,
  blocker: Blocker,
  signal: AbortSignal,
): Promise<Outcome> {
  deps.tell({ object: objectRef(object), type: "Warning", ...blocker });
  enter(deps, object, { state: "waiting", intent, blocker });
  if (blocker.reason === "LoadBalancerNotFound") await withdraw(deps, object, signal);
  await tellReadiness(deps, object, notReady(blocker), signal);
  return { kind: "again", afterMs: MISSING_MS, because: blocker.reason };
}

/** Nothing holds the object back any more, and its load balancer stays as it is; a later installation finds its listeners by their names. */
async function letStay(deps: OwnerDeps, object: OwnerObject, signal: AbortSignal): Promise<Outcome> {
  if (object.finalizers.includes(FINALIZER)) await letGo(deps, object, signal);
  return DONE;
}

/** What the cloud refuses is said on the object, and by the conditions of the Pods that wait for its load balancer. */
async function telling(deps: OwnerDeps, object: OwnerObject, pass: Promise<Outcome>, signal: AbortSignal): Promise<Outcome> {
  try {
    return await pass;
  } catch (err) {
    const blocker = blockerIn(deps, object, err);
    if (blocker === undefined) throw err;
    deps.tell({ object: objectRef(object), type: "Warning", ...blocker });
    const owner = deps.intents.get(object.uid);
    if (owner?.state === "waiting") enter(deps, object, { state: "waiting", intent: owner.intent, blocker });
    if (owner?.state === "waiting" && err instanceof ClbApiError) await tellReadiness(deps, object, notReady(blocker), signal);
    throw err;
  }
}

function blockerIn(deps: OwnerDeps, object: OwnerObject, err: unknown): Blocker | undefined {
  if (err instanceof ClbApiError) return refusalOf(deps, object, err);
  if (!(err instanceof KubeApiError) || err.failure !== "denied" || !err.request.endsWith("/status")) return undefined;
  return apiDenied(objectName(object), { verb: "patch", resource: statusResourceOf(object), words: err.message });
}

const orderOf = ({ createdAt, uid }: OwnerObject): string => `${createdAt} ${uid}`;

/** `isNews`: something besides has changed. One that is served as it was is nobody's news: most passes of owners change nothing. */
function enter(deps: OwnerDeps, object: OwnerObject, standing: OwnerStanding, isNews = standing.state !== "served"): void {
  const owner: OwnerIntent = {
    ref: objectRef(object),
    order: orderOf(object),
    selector: "selector" in object ? object.selector : {},
    ...standing,
  };
  if (deps.intents.set(owner) || isNews) deps.intentChanged(owner);
}

/** The owner goes: its listeners are removed by the load balancer's pass; the finalizer last. */
async function finishDeletion(deps: OwnerDeps, object: OwnerObject, signal: AbortSignal): Promise<Outcome> {
  const old = deps.intents.get(object.uid);
  const loadBalancerId = (old && loadBalancerOf(old)) ?? (await formerLoadBalancer(deps, object, signal));
  const retain = isRetained(object.annotations, keysOfObject(object));
  enter(deps, object, { state: "deleted", intent: old && intentOf(old), loadBalancerId, ...(retain && { retain }) });
  const facts = loadBalancerId === undefined ? undefined : deps.mirror.facts(loadBalancerId);
  if (!object.deleting && !(await takeBackAddress(deps, object, facts, signal))) return DONE;
  if (loadBalancerId !== undefined && !isCleared(deps, objectRef(object), loadBalancerId, retain)) {
    if (deps.policy !== undefined && keepsAll(deps.policy)) tellKept(deps, object, loadBalancerId, deps.policy);
    return DONE; // the load balancer's pass brings it back
  }
  const waiting = await deleteSurplus(deps, object, loadBalancerId, signal);
  if (waiting !== undefined) return waiting;
  if (loadBalancerId !== undefined && deps.intents.of(loadBalancerId).length === 1) {
    deps.intents.forgetLoadBalancer(loadBalancerId);
    deps.mirror.drop(loadBalancerId);
    await deps.addressClaims.drop(loadBalancerId, signal);
    deps.ownerRecords.forget(loadBalancerId);
  } else if (loadBalancerId !== undefined) {
    await leaveToOthers(deps, object, loadBalancerId, signal);
    deps.ownerRecords.remove(loadBalancerId, object.uid);
  }
  await letGo(deps, object, signal);
  deps.orders.end(object.uid); // a Service whose type has changed may change it back
  deps.contest.forget(object.uid);
  deps.intents.remove(object.uid);
  return DONE;
}

function tellKept(deps: OwnerDeps, object: OwnerObject, loadBalancerId: string, policy: Policy): void {
  const at = `${objectName(object)} goes, but its listeners at load balancer ${loadBalancerId} and its finalizer stay`;
  const message = `${at}: POLICY of the coordinator is ${policy}: set it to enforce to let them go`;
  deps.tell({ object: objectRef(object), type: "Warning", reason: "KeptByPolicy", message });
}
