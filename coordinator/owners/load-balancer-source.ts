import type { Logger } from "../../common/log.ts";
import { CLUSTER_TAG, FINALIZER, OWNER_TAG, ownListeners, TKE_CREATED_TAG } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError, isArrears, isDenied, isGone, isQuota, isThrottled } from "../cloud/clb-error.ts";
import { changedOrder, isFullChain } from "../domain/intent/order.ts";
import type { Blocker } from "../domain/intent/owner-intent.ts";
import { keysOfObject, kindOfObject, namedLoadBalancer, type OwnerObject, objectName, objectRef } from "../domain/intent/owner-object.ts";
import type { ServiceIntent } from "../domain/intent/service.ts";
import type { LoadBalancerFacts, LoadBalancerOrder } from "../domain/load-balancer.ts";
import { type Problem, tkeCode } from "../domain/problem.ts";
import type { EventReason, FaultReason } from "../domain/reasons.ts";
import { accessDenied } from "../domain/refused-call.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";
import { UNSENT } from "../workqueue/unsent.ts";
import type { AccessDeps } from "./access.ts";
import type { Errand, Orders } from "./orders.ts";

export { refusedAccess } from "./access.ts";

export type SourceDeps = AccessDeps & {
  readonly api: Pick<ClbApi, "loadBalancer" | "ownLoadBalancers" | "createLoadBalancer">;
  readonly mirror: Pick<Mirror, "facts" | "isGone">;
  readonly ownerRecords: Pick<OwnerRecords, "isMadeFor">;
  readonly clusterId: string;
  /** VPC in which load balancers are created; undefined: the account's default. */
  readonly vpcId: string | undefined;
  readonly tell: (problem: Problem) => void;
  readonly orders: Orders;
  /** By UID, of all objects that may be owners. */
  readonly object: (uid: string) => OwnerObject | undefined;
  readonly log: Logger;
};

/** A load balancer is created in about 10 s (clb-api.md §2.1); the call waited for that already. Milliseconds. */
const LOOK_MS = 500;
/** An address may come a moment after the load balancer runs. */
export const hasAddress = ({ vips, domain }: LoadBalancerFacts): boolean => vips.length > 0 || domain !== undefined;

/**
 * `creating`: it was ordered; a later pass finds it running, one of ours by its tag or id. `refused`: another one is asked for than the one
 * that it has and keeps.
 */
export type Found =
  | { readonly kind: "found"; readonly facts: LoadBalancerFacts; readonly refused?: Refused | undefined }
  | { readonly kind: "creating"; readonly lookMs: number }
  | { readonly kind: "blocked"; readonly blocker: Blocker };

type Refused = { readonly reason: EventReason; readonly message: string };

/** The load balancer that the object has, names, or gets. `present`: the one that it had until now, `ordered`: how that was ordered. */
export async function ensureLoadBalancer(
  deps: SourceDeps,
  {
    object,
    intent,
    present,
    ordered,
  }: {
    readonly object: OwnerObject;
    readonly intent: ServiceIntent;
    readonly present: string | undefined;
    readonly ordered?: ServiceIntent["source"] | undefined;
  },
  signal: AbortSignal,
): Promise<Found> {
  const known = present === undefined || deps.mirror.isGone(present) ? undefined : await factsOf(deps, present, signal);
  if (known !== undefined) {
    const refused = tellRefusedChange(deps, object, { wanted: intent.source, ordered }, known);
    if (hasAddress(known)) return { kind: "found", facts: known, refused };
    return { kind: "found", facts: (await deps.api.loadBalancer(known.loadBalancerId, signal)) ?? known, refused };
  }
  const at = objectName(object);
  if (intent.source.kind === "create") return await findOrCreate(deps, at, object, intent.source, signal);
  const { loadBalancerId } = intent.source;
  const errand: Errand = { uid: object.uid, wish: loadBalancerId, action: "DescribeLoadBalancers" };
  const facts = await deps.orders.run(errand, () => deps.api.loadBalancer(loadBalancerId, signal));
  if (facts !== undefined) return unlessForeign(deps, at, object, facts);
  const fix = `correct the annotation ${keysOfObject(object).existing}, or CLB_REGION of the coordinator if it is in another one. A classic load balancer is not found either: it cannot have Pods as backends`;
  const message = tkeCode("E4018", `${at}: load balancer ${loadBalancerId} does not exist in this region: ${fix}`, kindOfObject(object));
  return { kind: "blocked", blocker: { reason: "LoadBalancerNotFound", message } };
}

/** Not read yet: the object has it since before this leader began. */
const factsOf = async ({ mirror, api }: SourceDeps, id: string, signal: AbortSignal): Promise<LoadBalancerFacts | undefined> =>
  mirror.facts(id) ?? (await api.loadBalancer(id, signal));

/** An owner keeps the load balancer that it has; another one needs another life of it (tke-contract.md §2.7). */
function tellRefusedChange(
  deps: SourceDeps,
  object: OwnerObject,
  { wanted: source, ordered }: { readonly wanted: ServiceIntent["source"]; readonly ordered: ServiceIntent["source"] | undefined },
  present: LoadBalancerFacts,
): Refused | undefined {
  const created = deps.ownerRecords.isMadeFor(present, object.uid);
  const wanted = source.kind === "existing" ? source.loadBalancerId : created ? present.loadBalancerId : "one that we create";
  if (wanted === present.loadBalancerId)
    return source.kind === "create" ? tellChangedOrder(deps, object, { source, ordered }, present) : undefined;
  const at = objectName(object);
  const message = `${at}: its load balancer cannot change from ${present.loadBalancerId} to ${wanted} in place: undo the change of annotation ${keysOfObject(object).existing}, or create the ${kindOfObject(object)} anew`;
  const refused = { reason: "LoadBalancerChangeRefused", message } as const;
  deps.tell({ object: objectRef(object), type: "Warning", ...refused });
  return refused;
}

/** What was ordered stays as it is; each value that is read only at creation and was edited later is named. Undefined: none was. */
function tellChangedOrder(
  deps: SourceDeps,
  object: OwnerObject,
  { source, ordered }: { readonly source: Creation; readonly ordered: ServiceIntent["source"] | undefined },
  { loadBalancerId, order = {}, settings }: LoadBalancerFacts,
): Refused | undefined {
  const before = ordered?.kind === "create" ? parametersOf(ordered) : undefined;
  // The bandwidth alone can be tuned later, by a TkeServiceConfig.
  const tuned = String(settings?.bandwidthMbps);
  const isTuned = ({ field, wanted }: { readonly field: string; readonly wanted: string }): boolean =>
    field === "InternetMaxBandwidthOut" && wanted === tuned;
  const changes = changedOrder(parametersOf(source), order, before).filter((change) => !isTuned(change));
  const [first] = changes.map(({ field, has: present, wanted }): Refused => {
    const message = `${objectName(object)}: ${field} of load balancer ${loadBalancerId} is ${present} and cannot become ${wanted}: it counts only for a new load balancer, and this one serves as it is. Write back what it has, or create the ${kindOfObject(object)} anew`;
    const refused = { reason: "LoadBalancerChangeRefused", message } as const;
    deps.tell({ object: objectRef(object), type: "Warning", ...refused });
    return refused;
  });
  return first;
}

const parametersOf = ({ order, subnetId }: Creation): LoadBalancerOrder => ({
  ...order,
  LoadBalancerType: subnetId === undefined ? "OPEN" : "INTERNAL",
  ...(subnetId !== undefined && { SubnetId: subnetId }),
});

/** A load balancer that another cluster or owner created is not a user's load balancer. */
function unlessForeign(deps: SourceDeps, at: string, object: OwnerObject, facts: LoadBalancerFacts): Found {
  const cluster = facts.tags[CLUSTER_TAG] ?? deps.clusterId;
  const owner = facts.tags[OWNER_TAG] ?? object.uid;
  const byTke = facts.tags[TKE_CREATED_TAG] === "yes";
  // One that was retained has outlived its owner, and whoever names it takes it up.
  const isFree = owner === object.uid || deps.object(owner) === undefined;
  if (!byTke && cluster === deps.clusterId && isFree)
    return facts.running ? { kind: "found", facts } : { kind: "creating", lookMs: LOOK_MS };
  const by = byTke ? "by TKE" : `for ${kindOfObject(deps.object(owner) ?? object)} ${owner} of cluster ${cluster}`;
  const message = tkeCode(
    "E4019",
    `${at}: load balancer ${facts.loadBalancerId} was created ${by}: name one that you created yourself`,
    kindOfObject(object),
  );
  return { kind: "blocked", blocker: { reason: "ForeignController", message } };
}

type Creation = Extract<ServiceIntent["source"], { kind: "create" }>;

async function findOrCreate(deps: SourceDeps, at: string, object: OwnerObject, source: Creation, signal: AbortSignal): Promise<Found> {
  const { clusterId, orders } = deps;
  const { uid } = object;
  const find = async (): Promise<Found | undefined> => {
    const awaited = orders.awaited(uid);
    const tagged = ownOf(await deps.api.ownLoadBalancers(clusterId, signal), object);
    // A list may be older than what it is asked about.
    const own = tagged ?? (awaited && (await deps.api.loadBalancer(awaited.loadBalancerId, signal)));
    const lost = orders.unshown(uid);
    orders.looked(uid, own !== undefined);
    if (own?.running === true) {
      orders.runs(uid);
      return { kind: "found", facts: own };
    }
    if (own !== undefined) {
      const { lookMs, isLate } = orders.idle(uid);
      return isLate ? { kind: "blocked", blocker: notRunning(object, own.loadBalancerId) } : { kind: "creating", lookMs };
    }
    if (awaited !== undefined) return { kind: "creating", lookMs: awaited.lookMs };
    if (lost === undefined) return undefined;
    const blocker = neverShown(object, lost.loadBalancerId);
    if (lost.isResting) return { kind: "blocked", blocker };
    deps.tell({ object: objectRef(object), type: "Warning", ...blocker });
    return undefined;
  };
  const order: Errand = { uid, wish: wishOf(source), action: "CreateLoadBalancer" };
  const create = (): Promise<Found> => createFor(deps, at, object, source, signal);
  // Once it is known that there is nothing to find, an order that rests needs no look either.
  if (orders.isMissing(uid)) return await orders.run(order, async () => (await find()) ?? (await create()));
  const found = await orders.run({ ...order, wish: "", action: "DescribeLoadBalancers" }, find);
  if (found !== undefined) return found;
  return await orders.run(order, create);
}

/** The cloud took the order, and what came of it is of no use yet. */
const notUsable = (object: OwnerObject, words: string): Blocker => ({
  reason: "LoadBalancerNotCreated",
  message: tkeCode("E4000", `${objectName(object)}: ${words}`, kindOfObject(object)),
});
const neverShown = (object: OwnerObject, loadBalancerId: string): Blocker =>
  notUsable(
    object,
    `the cloud created load balancer ${loadBalancerId} and DescribeLoadBalancers does not show it: let the key see it (DescribeLoadBalancers on all load balancers of the region); others are ordered ever more rarely, delete in the console what is not needed`,
  );
/** It runs, and has no address that could be published. */
export const withoutAddress = (object: OwnerObject, loadBalancerId: string): Blocker =>
  notUsable(object, `load balancer ${loadBalancerId} has run for more than a minute without an address: look at it in the console`);
const notRunning = (object: OwnerObject, loadBalancerId: string): Blocker =>
  notUsable(
    object,
    `load balancer ${loadBalancerId} was created more than a minute ago and does not run yet (Status 0): look at it in the console`,
  );

/** Whoever asks for something else than before need not wait. */
const wishOf = ({ subnetId = "", order }: Creation): string => (order === undefined ? subnetId : `${subnetId} ${JSON.stringify(order)}`);

async function createFor(
  { api, clusterId, vpcId, orders, log }: SourceDeps,
  at: string,
  object: OwnerObject,
  { subnetId, order }: Creation,
  signal: AbortSignal,
): Promise<Found> {
  const { uid, namespace, name, annotations } = object;
  const keys = keysOfObject(object);
  if (subnetId !== undefined && vpcId === undefined) {
    const message = `${at}: a private load balancer (annotation ${keys.subnet}) needs the VPC's id: set VPC_ID at the coordinator`;
    return { kind: "blocked", blocker: { reason: "VpcUnknown", message: tkeCode("E6002", message, kindOfObject(object)) } };
  }
  const foreign = order?.["VpcId"];
  if (vpcId !== undefined && foreign !== undefined && foreign !== vpcId) {
    const message = `${at}: VpcId in annotation ${keys.extensive} is ${JSON.stringify(foreign)}, and the Pods are in ${vpcId} (VPC_ID of the coordinator): a load balancer of another VPC cannot have them as backends: remove the field`;
    return { kind: "blocked", blocker: { reason: "InvalidAnnotation", message: tkeCode("E4024", message, kindOfObject(object)) } };
  }
  if (subnetId === undefined && order?.["SubnetId"] !== undefined && !isFullChain(order)) {
    const message = `${at}: SubnetId in annotation ${keys.extensive} is for load balancers that are IPv6 from end to end: the address of another public one comes from no subnet: remove the field, or name the subnet by annotation ${keys.subnet} for a private one`;
    return { kind: "blocked", blocker: { reason: "InvalidAnnotation", message: tkeCode("E4024", message, kindOfObject(object)) } };
  }
  const wish = {
    name: `cd-${clusterId}-${namespace}-${name}`.slice(0, 80),
    clusterId,
    ownerUid: uid,
    vpcId,
    subnetId,
    ...(order !== undefined && { order }),
  };
  try {
    const loadBalancerId = await api.createLoadBalancer({ ...wish, clientToken: orders.token(uid) }, signal);
    // A token may answer with what it made once, even after that was deleted; what an object is annotated with has been shown.
    const isSpent = loadBalancerId === annotations[keys.loadBalancerId] && (await api.loadBalancer(loadBalancerId, signal)) === undefined;
    if (isSpent) {
      orders.spend(uid);
      return { kind: "creating", lookMs: LOOK_MS };
    }
    log.info({ loadBalancerId, owner: at }, "load balancer created");
    orders.made(uid, loadBalancerId);
  } catch (err) {
    // The token is spent: its order failed or expired. Whatever it made would have been found by its tag.
    if (err instanceof ClbApiError && /^TaskFailed$|ClientTokenLimitExceeded$/.test(err.call.code)) orders.spend(uid);
    throw err;
  }
  return { kind: "creating", lookMs: LOOK_MS }; // a later look finds it, with its address
}

/** A failure that may pass by itself is told when it has lasted for some tries. */
const PASSING_FAILURES = 2;

/** Why the object has no load balancer, after what the cloud said; undefined while it may pass by itself. */
export function refusalOf({ orders }: SourceDeps, object: OwnerObject, error: ClbApiError): Blocker | undefined {
  const { call, ambiguous, words } = error;
  if (call.code === UNSENT) return undefined;
  const mayPass = ambiguous || isThrottled(call.code);
  if (mayPass && orders.failures(object.uid) <= PASSING_FAILURES) return undefined;
  const at = objectName(object);
  if (isDenied(call.code)) return accessDenied(at, { ...call, words });
  const { reason, code, fix } = causeOf(error);
  const message = `${at}: ${call.action} failed: ${call.code}: ${words}. ${fix}`;
  return { reason, message: code === undefined ? message : tkeCode(code, message, kindOfObject(object)) };
}

const AGAIN = "It is tried again every 30 s at last.";
/** What stands behind a failure, TKE's code for it (tke-contract.md §7), and what a person can do. */
function causeOf({ call: { action, code }, words }: ClbApiError): {
  readonly reason: FaultReason;
  readonly code?: string;
  readonly fix: string;
} {
  if (action !== "CreateLoadBalancer") return { reason: "CloudCallFailed", code: "E5003", fix: AGAIN };
  const reason = "LoadBalancerNotCreated";
  if (isArrears(code)) return { reason, code: "E4027", fix: `Top up the account. ${AGAIN}` };
  if (isQuota(code)) return { reason, code: "E4003", fix: `Ask for a higher quota, or delete load balancers that nobody needs. ${AGAIN}` };
  if (code.startsWith("ResourceInsufficient"))
    return { reason, code: /subnet/i.test(words) ? "E4053" : "E4025", fix: `Free addresses, or name another subnet. ${AGAIN}` };
  if (isThrottled(code)) return { reason, code: "E4000", fix: AGAIN };
  if (code.startsWith("InternalError")) return { reason, code: "E5003", fix: AGAIN };
  const isOfTags = /tag/i.test(code) || /\btags?\b/i.test(words);
  const isParameter = /^(InvalidParameter|MissingParameter|UnknownParameter)/.test(code);
  const tke = isOfTags ? "E5005" : isParameter ? "E4024" : undefined;
  return { reason, ...(tke && { code: tke }), fix: `Correct what the message names. ${AGAIN}` };
}

/**
 * Where no record names the load balancer that the object has: the one that we published on it, if a listener there has its mark. What the
 * object names by now may be another one.
 */
export async function publishedLoadBalancer(
  { api, clusterId }: { readonly api: Pick<ClbApi, "listeners">; readonly clusterId: string },
  object: OwnerObject,
  signal: AbortSignal,
): Promise<string | undefined> {
  const published = object.annotations[keysOfObject(object).loadBalancerId];
  if (published === undefined || !object.finalizers.includes(FINALIZER) || namedLoadBalancer(object) === published) return undefined;
  try {
    const listeners = await api.listeners(published, () => false, signal);
    return listeners.some(ownListeners(clusterId, object.uid)) ? published : undefined;
  } catch (err) {
    if (err instanceof ClbApiError && isGone(err.call.code)) return undefined;
    throw err;
  }
}

/** After a restart: the load balancer that the object names, or that we created for it. */
export async function formerLoadBalancer(deps: SourceDeps, object: OwnerObject, signal: AbortSignal): Promise<string | undefined> {
  const named = namedLoadBalancer(object);
  if (named !== undefined) return named;
  return ownOf(await deps.api.ownLoadBalancers(deps.clusterId, signal), object)?.loadBalancerId;
}

/** What we created for the object; of several the one that its status names. */
function ownOf(all: readonly LoadBalancerFacts[], object: OwnerObject): LoadBalancerFacts | undefined {
  const { uid, annotations } = object;
  const own = all.filter(({ tags }) => tags[OWNER_TAG] === uid);
  return own.find(({ loadBalancerId }) => loadBalancerId === annotations[keysOfObject(object).loadBalancerId]) ?? own[0];
}
