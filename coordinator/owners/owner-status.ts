import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { FINALIZER, INGRESS_CONDITIONS, LOAD_BALANCE_TYPE, ownListeners } from "../../common/names.ts";
import { keysOfObject, kindOfObject, type OwnerObject, objectName, objectRef } from "../domain/intent/owner-object.ts";
import { READY_CONDITION } from "../domain/intent/ready-condition.ts";
import type { LoadBalancerFacts } from "../domain/load-balancer.ts";
import type { Problem } from "../domain/problem.ts";
import type { Mirror } from "../state/mirror.ts";
import type { Outcome } from "../workqueue/worker.ts";
import { type SourceDeps, withoutAddress } from "./load-balancer-source.ts";
import { statusPathOf } from "./owner-paths.ts";
import { changedCondition, notReady, type Readiness } from "./ready-condition.ts";
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

/** Before the first write to the cloud; through `status`, so that no right to write the object is needed (kubernetes.md §10). */
export async function ensureFinalizer(deps: StatusDeps, object: OwnerObject, signal: AbortSignal): Promise<Outcome | "there"> {
  if (object.finalizers.includes(FINALIZER)) return "there";
  const restMs = deps.contest.restMs(object, FINALIZER, "finalizer");
  if (restMs === "unseen") return "there"; // our write was answered, and the watch has not shown it yet: nobody has taken it off
  if (restMs > 0) return { kind: "again", afterMs: restMs, because: "somebody else removes the finalizer" };
  deps.contest.foreseeFinalizer(object);
  const isThere = await patchStatus(deps, object, { metadata: { uid: object.uid, finalizers: [FINALIZER] } }, signal);
  if (isThere) deps.contest.wrote(object, FINALIZER, "finalizer");
  return isThere ? "there" : DONE;
}

/** Writes the address where users and tools look for it, only when it differs. */
export async function publish(
  deps: StatusDeps,
  object: OwnerObject,
  { facts, readiness }: { readonly facts: LoadBalancerFacts; readonly readiness: Readiness },
  signal: AbortSignal,
): Promise<Outcome> {
  const wanted = addressesOf(facts);
  if (wanted.length === 0) return DONE;
  if (!listening(deps, object, facts.loadBalancerId)) {
    // It did, says the condition: its listener was deleted, or is not known as its own any more.
    const isRead = deps.mirror.read(facts.loadBalancerId) !== undefined;
    return isRead && object.ready?.status === "True" ? await tellReadiness(deps, object, readiness, signal) : DONE;
  }
  const same = wanted.length === object.ingress.length && wanted.every((address, index) => address === object.ingress[index]);
  const isModeRight = facts.vips.length === 0 || object.ipModes.every((mode) => mode === (ipModeOf(object).ipMode ?? "VIP"));
  const labels = labelsFor(object, facts);
  const shown = shownOf(object, facts);
  const isShown = Object.entries(shown).every(([key, text]) => object.annotations[key] === text);
  if (same && isModeRight && labels === undefined && isShown) {
    return await tellReadiness(deps, object, readiness, signal);
  }
  const value = `${wanted.join(", ")} of load balancer ${facts.loadBalancerId}`;
  const restMs = deps.contest.restMs(object, value);
  if (restMs === "unseen") return DONE; // our own write has not come back yet
  if (restMs > 0) {
    await tellReadiness(deps, object, readiness, signal); // nobody contests that
    return { kind: "again", afterMs: restMs, because: "somebody else writes the status" };
  }
  const ingress = facts.vips.length > 0 ? wanted.map((ip) => ({ ip, ...ipModeOf(object) })) : wanted.map((hostname) => ({ hostname }));
  await deps.contest.foresee(object, value, signal);
  const condition = changedCondition(object, readiness, timeOf(deps));
  const told = conditionIn(object, condition);
  const annotations = { ...shown, ...told.annotations };
  const body = {
    metadata: { uid: object.uid, annotations, ...(labels && { labels }) },
    status: { loadBalancer: { ingress }, ...told.status },
  };
  await patchStatus(deps, object, body, signal);
  deps.contest.wrote(object, value);
  const message = `Load balancer ${facts.loadBalancerId} (${wanted.join(", ")}) listens for ${objectName(object)}`;
  deps.tell({ object: objectRef(object), type: "Normal", reason: SUCCESS[kindOfObject(object)], message });
  return DONE;
}

/** Writes the condition Ready, only when it says something else; an object that we have not taken on is told by Events only. */
export async function tellReadiness(deps: StatusDeps, object: OwnerObject, readiness: Readiness, signal: AbortSignal): Promise<Outcome> {
  const condition = changedCondition(object, readiness, timeOf(deps));
  if (condition === undefined || !object.finalizers.includes(FINALIZER)) return DONE;
  // Where somebody else writes it as well, or nobody keeps it, the same is written ever more rarely.
  const value = JSON.stringify([readiness, object.generation]);
  const restMs = deps.contest.restMs(object, value, "ready");
  if (restMs === "unseen") return DONE;
  if (restMs > 0) return { kind: "again", afterMs: restMs, because: "somebody else writes the condition" };
  const { annotations, status } = conditionIn(object, condition);
  await patchStatus(
    deps,
    object,
    { metadata: { uid: object.uid, ...(annotations && { annotations }) }, ...(status && { status }) },
    signal,
  );
  deps.contest.wrote(object, value, "ready");
  return DONE;
}

/** What tools read on the object: the load balancer's id, and where it is one of IPv6 its address under TKE's key. */
function shownOf(object: OwnerObject, { loadBalancerId, order, vips }: LoadBalancerFacts): Readonly<Record<string, string>> {
  const keys = keysOfObject(object);
  const version = order?.["AddressIPVersion"];
  const key = version === "IPv6Nat64" ? keys.natIpv6 : version === "IPv6FullChain" ? keys.ipv6 : "";
  const address = vips.find((vip) => vip.includes(":"));
  return { [keys.loadBalancerId]: loadBalancerId, ...(key !== "" && address !== undefined && { [key]: address }) };
}

/** Takes all of that off again. */
function hidden(object: OwnerObject): Readonly<Record<string, null>> {
  const keys = keysOfObject(object);
  const present = [keys.natIpv6, keys.ipv6].filter((key) => object.annotations[key] !== undefined);
  return Object.fromEntries([keys.loadBalancerId, ...present].map((key) => [key, null]));
}

/** TKE's label, which tools read; undefined: the Service has it, or nobody knows what it is. */
function labelsFor(object: OwnerObject, { order }: LoadBalancerFacts): Readonly<Record<string, string>> | undefined {
  const type = order?.["LoadBalancerType"];
  return typeof type === "string" && "typeLabel" in object && object.typeLabel !== type ? { [LOAD_BALANCE_TYPE]: type } : undefined;
}

const SUCCESS = { Service: "EnsureServiceSuccess", Ingress: "EnsureIngressSuccess" } as const;

/** An Ingress has no field for conditions: TKE writes them as a JSON text into an annotation. Source: tke-contract.md §2.3. */
function conditionIn(
  object: OwnerObject,
  condition: object | undefined,
): { readonly annotations?: Readonly<Record<string, string>>; readonly status?: object } {
  if (condition === undefined) return {};
  if (kindOfObject(object) === "Service") return { status: { conditions: [condition] } };
  return { annotations: { [INGRESS_CONDITIONS]: JSON.stringify([condition]) } };
}

/** metav1.Time has whole seconds. */
const timeOf = ({ clock }: StatusDeps): string => `${new Date(clock.now()).toISOString().slice(0, 19)}Z`;

/** With Proxy, kube-proxy leaves the address to the load balancer; the API server's own default is VIP. */
const ipModeOf = (object: OwnerObject): { ipMode?: string } =>
  object.annotations[keysOfObject(object).preventLoopback] === "true" ? { ipMode: "Proxy" } : {};

const addressesOf = ({ vips, domain }: LoadBalancerFacts): readonly string[] =>
  vips.length > 0 ? vips : domain === undefined ? [] : [domain];

/**
 * The object lives on without us, e.g. a Service of another type now: an address of ours that stays would lead clients to whoever gets it
 * next. One that its new controller has written is left alone. False: it was changed meanwhile, the watch will tell.
 */
export async function takeBackAddress(
  deps: StatusDeps,
  object: OwnerObject,
  facts: LoadBalancerFacts | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const { uid, resourceVersion, ingress } = object;
  const ours = facts === undefined ? [] : addressesOf(facts);
  if (!object.finalizers.includes(FINALIZER)) return true; // taken off by hand: the chart's policy denies every write from then on
  if (ingress.length === 0 || !ingress.every((address) => ours.includes(address))) return true;
  const body = { metadata: { uid, resourceVersion }, status: { loadBalancer: { ingress: null } } };
  try {
    return await patchStatus(deps, object, body, signal);
  } catch (err) {
    if (err instanceof KubeApiError && err.code === 409) return false;
    throw err;
  }
}

/** The load balancer is gone: its address must not be told any more. Only what we wrote is taken back. */
export async function withdraw(deps: StatusDeps, object: OwnerObject, signal: AbortSignal): Promise<void> {
  if (object.annotations[keysOfObject(object).loadBalancerId] === undefined) return;
  const metadata = { uid: object.uid, annotations: hidden(object) };
  await patchStatus(deps, object, { metadata, status: { loadBalancer: { ingress: null } } }, signal);
  deps.contest.forget(object.uid);
}

/** The address is told once a listener stands behind it; the load balancer's pass brings the object back then. */
const listening = (deps: StatusDeps, { uid }: OwnerObject, loadBalancerId: string): boolean =>
  deps.mirror.read(loadBalancerId)?.listeners.some(ownListeners(deps.clusterId, uid)) === true;

/** The object's own end: its finalizer and what we wrote on it go. Nothing where somebody took the finalizer off: no write is allowed there. */
export async function letGo(deps: StatusDeps, object: OwnerObject, signal: AbortSignal): Promise<void> {
  if (!object.finalizers.includes(FINALIZER)) return;
  // With the annotation left behind, an object that lives on would look like another controller's.
  const isService = kindOfObject(object) === "Service";
  const annotations = { ...hidden(object), ...(!isService && { [INGRESS_CONDITIONS]: null }) };
  const labels = { [LOAD_BALANCE_TYPE]: null };
  const metadata = { uid: object.uid, annotations, ...(isService && { labels }), "$deleteFromPrimitiveList/finalizers": [FINALIZER] };
  const conditions = [{ type: READY_CONDITION, $patch: "delete" }];
  const hasCondition = isService && object.ready !== undefined;
  await patchStatus(deps, object, { metadata, ...(hasCondition && { status: { conditions } }) }, signal);
}

/** False: there is no such object any more; the watch will tell. */
async function patchStatus(deps: StatusDeps, object: OwnerObject, body: object, signal: AbortSignal): Promise<boolean> {
  try {
    await deps.client.patch(statusPathOf(object), body, "strategic", { signal });
    return true;
  } catch (err) {
    if (err instanceof KubeApiError && err.isOtherObject) return false;
    throw err;
  }
}

/** As refusals of the API server name it. */
export const statusResourceOf = (object: OwnerObject): string =>
  kindOfObject(object) === "Service" ? "services/status" : "ingresses/status";

/** Of one that has had no address for a minute. */
const LATE_LOOK_MS = 30_000;

/** The load balancer runs and has no address that could be published; its listeners serve whoever knows it meanwhile. */
export async function waitForAddress(
  deps: Pick<SourceDeps, "orders" | "tell"> & StatusDeps,
  object: OwnerObject,
  loadBalancerId: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const because = "the load balancer has no address yet";
  const { lookMs, isLate } = deps.orders.idle(object.uid);
  if (!isLate) return { kind: "again", afterMs: lookMs, because };
  const blocker = withoutAddress(object, loadBalancerId);
  deps.tell({ object: objectRef(object), type: "Warning", ...blocker });
  await tellReadiness(deps, object, notReady(blocker), signal);
  return { kind: "again", afterMs: LATE_LOOK_MS, because };
}
