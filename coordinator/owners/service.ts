import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import {
  CLUSTER_TAG,
  EXISTING_LOAD_BALANCER,
  FINALIZER,
  INTERNAL_SUBNET,
  isOwnListener,
  LOAD_BALANCER_ID,
  OWNER_TAG,
  TKE_CREATED_TAG,
} from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError } from "../cloud/clb-error.ts";
import {
  namedLoadBalancer,
  type OwnershipMode,
  ownershipOf,
  readService,
  type ServiceIntent,
  type ServiceRecord,
  serviceRef,
} from "../domain/intent/service.ts";
import type { LoadBalancerFacts } from "../domain/load-balancer.ts";
import { type ObjectRef, type Problem, tkeCode } from "../domain/problem.ts";
import { keepsAll, type Policy } from "../domain/safety/policy.ts";
import type { AddressClaims } from "../state/address-claims.ts";
import type { Blocker, Intents, OwnerIntent } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { Outcome, Reconcile } from "../workqueue/worker.ts";

export type ServiceDeps = {
  readonly client: KubeClient;
  readonly api: ClbApi;
  readonly mirror: Mirror;
  readonly addressClaims: AddressClaims;
  readonly intents: Intents;
  readonly clock: Clock;
  readonly log: Logger;
  readonly clusterId: string;
  readonly ownership: OwnershipMode;
  /** Default: what was made for a Service goes with it. */
  readonly policy?: Policy;
  /** VPC in which load balancers are created; undefined: the account's default. */
  readonly vpcId: string | undefined;
  readonly synced: () => boolean;
  readonly service: (uid: string) => ServiceRecord | undefined;
  readonly tell: (problem: Problem) => void;
  /** Orders of load balancers that came to nothing, by Service UID: part of the next order's ClientToken. */
  readonly attempts: Map<string, number>;
  /** The load balancer's desired state may have changed. */
  readonly touch: (loadBalancerId: string) => void;
};

const NOT_SYNCED_MS = 100;
/** A load balancer that is not there is looked for this often. */
const MISSING_MS = 30_000;
/** A load balancer is created in about 10 s (clb-api.md §2.1); the call waited for that already. */
const CREATING_MS = 500;
/** How often, and with what pause, to look for a load balancer that was just created. */
const LOOKS = 3;
const LOOK_MS = 1_000;
const DONE: Outcome = { kind: "done" };

/** One pass over one Service: finalizer, load balancer, ledger, status; its listeners and backends are the load balancer's pass. */
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
        tellForeign(deps, service, ownership.because);
        return vanished(deps, uid);
      case "release":
        return await release(deps, service, signal);
      case "ours":
        return await serve(deps, service, signal);
      default:
        return ownership satisfies never;
    }
  };
}

/** No evidence that its load balancer should change: what is there stays. Only a release that had begun is finished. */
function vanished(deps: ServiceDeps, uid: string): Outcome {
  const entry = deps.intents.get(uid);
  const releasing = entry?.released === true && entry.loadBalancerId !== undefined;
  if (!releasing || isCleared(deps, entry.ref, entry.loadBalancerId)) deps.intents.remove(uid);
  if (entry?.loadBalancerId !== undefined) deps.touch(entry.loadBalancerId);
  return DONE;
}

function tellForeign(deps: ServiceDeps, service: ServiceRecord, because: string): void {
  const message = `Service ${service.namespace}/${service.name} is left alone: ${because}`;
  deps.tell({ object: serviceRef(service), type: "Warning", reason: "ForeignController", message });
}

async function serve(deps: ServiceDeps, service: ServiceRecord, signal: AbortSignal): Promise<Outcome> {
  const reading = readService(service);
  for (const problem of reading.warnings) deps.tell(problem);
  const old = deps.intents.get(service.uid);
  const intent = reading.intent ?? old?.intent;
  if (intent === undefined) {
    // Nothing good is known of it; a load balancer of a former life keeps its listeners as they are.
    const blocker = reading.fault;
    enter(deps, service, { intent, blocker, loadBalancerId: old?.loadBalancerId });
    const former = old?.loadBalancerId ?? (await formerLoadBalancer(deps, service, signal));
    if (former !== old?.loadBalancerId) enter(deps, service, { intent, blocker, loadBalancerId: former });
    return DONE;
  }
  // At once, and before anything that can fail: its Pods must not count as selected by nobody while the cloud is away.
  enter(deps, service, { intent, blocker: old?.blocker, loadBalancerId: old?.loadBalancerId });
  if (!(await ensureFinalizer(deps, service, signal))) return DONE;
  const found = await ensureLoadBalancer(deps, service, intent, old?.loadBalancerId, signal);
  if (found.kind === "blocked") {
    deps.tell({ object: serviceRef(service), type: "Warning", ...found.blocker });
    enter(deps, service, { intent, blocker: found.blocker, loadBalancerId: undefined });
    return { kind: "again", afterMs: MISSING_MS, because: found.blocker.reason };
  }
  if (found.kind === "creating") return { kind: "again", afterMs: CREATING_MS, because: "the load balancer is being created" };
  enter(deps, service, { intent, blocker: undefined, loadBalancerId: found.facts.loadBalancerId });
  await publish(deps, service, found.facts, signal);
  return DONE;
}

type Entry = Pick<OwnerIntent, "intent" | "blocker" | "loadBalancerId">;

function enter(deps: ServiceDeps, service: ServiceRecord, entry: Entry & { readonly released?: boolean }): void {
  const order = `${service.createdAt} ${service.uid}`;
  deps.intents.set({ released: false, ...entry, ref: serviceRef(service), order, selector: service.selector });
  if (entry.loadBalancerId !== undefined) deps.touch(entry.loadBalancerId);
}

/** Before the first write to the cloud; through `status`, so that no right to write Services is needed (kubernetes.md §10). */
async function ensureFinalizer(deps: ServiceDeps, service: ServiceRecord, signal: AbortSignal): Promise<boolean> {
  if (service.finalizers.includes(FINALIZER)) return true;
  return await patchStatus(deps, service, { metadata: { uid: service.uid, finalizers: [FINALIZER] } }, signal);
}

type Found =
  | { readonly kind: "found"; readonly facts: LoadBalancerFacts }
  | { readonly kind: "creating" }
  | { readonly kind: "blocked"; readonly blocker: Blocker };

async function ensureLoadBalancer(
  deps: ServiceDeps,
  service: ServiceRecord,
  intent: ServiceIntent,
  present: string | undefined,
  signal: AbortSignal,
): Promise<Found> {
  const known = present === undefined ? undefined : deps.mirror.facts(present);
  if (known !== undefined) {
    tellRefusedChange(deps, service, intent, known);
    return { kind: "found", facts: known };
  }
  const at = `Service ${service.namespace}/${service.name}`;
  if (intent.source.kind === "create") return await findOrCreate(deps, at, service, intent.source.subnetId, signal);
  const { loadBalancerId } = intent.source;
  const facts = await deps.api.loadBalancer(loadBalancerId, signal);
  if (facts !== undefined) return claimable(deps, at, service, facts);
  const fix = `correct the annotation ${EXISTING_LOAD_BALANCER}`;
  const message = tkeCode("E4018", `${at}: load balancer ${loadBalancerId} does not exist in this region: ${fix}`);
  return { kind: "blocked", blocker: { reason: "LoadBalancerNotFound", message } };
}

/** A Service keeps the load balancer that it has; another one needs another life of it (tke-contract.md §2.7). */
function tellRefusedChange(deps: ServiceDeps, service: ServiceRecord, { source }: ServiceIntent, present: LoadBalancerFacts): void {
  const created = present.tags[OWNER_TAG] === service.uid;
  const wanted = source.kind === "existing" ? source.loadBalancerId : created ? present.loadBalancerId : "one that we create";
  if (wanted === present.loadBalancerId) return;
  const at = `Service ${service.namespace}/${service.name}`;
  const message = `${at}: its load balancer cannot change from ${present.loadBalancerId} to ${wanted} in place: undo the change of annotation ${EXISTING_LOAD_BALANCER}, or create the Service anew`;
  deps.tell({ object: serviceRef(service), type: "Warning", reason: "LoadBalancerChangeRefused", message });
}

/** A load balancer that another cluster or owner created is not a user's load balancer. */
function claimable(deps: ServiceDeps, at: string, service: ServiceRecord, facts: LoadBalancerFacts): Found {
  const cluster = facts.tags[CLUSTER_TAG] ?? deps.clusterId;
  const owner = facts.tags[OWNER_TAG] ?? service.uid;
  const byTke = facts.tags[TKE_CREATED_TAG] === "yes";
  if (!byTke && cluster === deps.clusterId && owner === service.uid) return { kind: "found", facts };
  const by = byTke ? "by TKE" : `for Service ${owner} of cluster ${cluster}`;
  const message = tkeCode("E4019", `${at}: load balancer ${facts.loadBalancerId} was created ${by}: name one that you created yourself`);
  return { kind: "blocked", blocker: { reason: "ForeignController", message } };
}

async function findOrCreate(
  deps: ServiceDeps,
  at: string,
  service: ServiceRecord,
  subnetId: string | undefined,
  signal: AbortSignal,
): Promise<Found> {
  const own = (await deps.api.ownLoadBalancers(deps.clusterId, signal)).find(({ tags }) => tags[OWNER_TAG] === service.uid);
  if (own !== undefined) return own.running ? { kind: "found", facts: own } : { kind: "creating" };
  const { clusterId, vpcId } = deps;
  if (subnetId !== undefined && vpcId === undefined) {
    const message = `${at}: a private load balancer (annotation ${INTERNAL_SUBNET}) needs the VPC's id: set VPC_ID at the coordinator`;
    return { kind: "blocked", blocker: { reason: "VpcUnknown", message } };
  }
  const wish = {
    name: `cd-${clusterId}-${service.namespace}-${service.name}`.slice(0, 80),
    clusterId,
    ownerUid: service.uid,
    vpcId,
    subnetId,
  };
  const attempt = deps.attempts.get(service.uid) ?? 0;
  try {
    const loadBalancerId = await deps.api.createLoadBalancer({ ...wish, clientToken: `cd-${service.uid}-${attempt}` }, signal);
    if (await appears(deps, loadBalancerId, signal)) deps.log.info({ loadBalancerId, service: at }, "load balancer created");
    else deps.attempts.set(service.uid, attempt + 1); // the token stands for a load balancer that was deleted since
  } catch (err) {
    // The token is spent: its order failed or expired. Whatever it made would have been found by its tag.
    if (err instanceof ClbApiError && /^TaskFailed$|ClientTokenLimitExceeded$/.test(err.call.code))
      deps.attempts.set(service.uid, attempt + 1);
    if (err instanceof ClbApiError && !err.ambiguous) {
      deps.tell({ object: serviceRef(service), type: "Warning", reason: "LoadBalancerNotCreated", message: `${at}: ${err.message}` });
    }
    throw err;
  }
  return { kind: "creating" }; // the next look finds it by its tag, with its address
}

/** Looks a few times before it believes that a load balancer, whose order has ended well, is not there: another order would make a second one. */
async function appears({ api, clock }: ServiceDeps, loadBalancerId: string, signal: AbortSignal): Promise<boolean> {
  for (let look = 0; look < LOOKS; look += 1) {
    if ((await api.loadBalancer(loadBalancerId, signal)) !== undefined) return true;
    await clock.sleep(LOOK_MS, signal);
  }
  return false;
}

/** Writes the address where users and tools look for it, only when it differs. */
async function publish(deps: ServiceDeps, service: ServiceRecord, facts: LoadBalancerFacts, signal: AbortSignal): Promise<void> {
  const wanted = facts.vips.length > 0 ? [...facts.vips] : facts.domain === undefined ? [] : [facts.domain];
  if (wanted.length === 0 || !listening(deps, service, facts.loadBalancerId)) return;
  const same = wanted.length === service.ingress.length && wanted.every((address, index) => address === service.ingress[index]);
  if (same && service.annotations[LOAD_BALANCER_ID] === facts.loadBalancerId) return;
  const ingress = facts.vips.length > 0 ? wanted.map((ip) => ({ ip })) : wanted.map((hostname) => ({ hostname }));
  const metadata = { uid: service.uid, annotations: { [LOAD_BALANCER_ID]: facts.loadBalancerId } };
  await patchStatus(deps, service, { metadata, status: { loadBalancer: { ingress } } }, signal);
  const message = `Load balancer ${facts.loadBalancerId} (${wanted.join(", ")}) listens for Service ${service.namespace}/${service.name}`;
  deps.tell({ object: serviceRef(service), type: "Normal", reason: "EnsureServiceSuccess", message });
}

/** The address is told once a listener stands behind it; the load balancer's pass brings the Service back then. */
const listening = (deps: ServiceDeps, { uid }: ServiceRecord, loadBalancerId: string): boolean =>
  deps.mirror.read(loadBalancerId)?.listeners.some(({ name }) => isOwnListener(name, deps.clusterId, uid)) === true;

/** The Service goes: its listeners are removed by the load balancer's pass; the finalizer last. */
async function release(deps: ServiceDeps, service: ServiceRecord, signal: AbortSignal): Promise<Outcome> {
  const old = deps.intents.get(service.uid);
  const loadBalancerId = old?.loadBalancerId ?? (await formerLoadBalancer(deps, service, signal));
  enter(deps, service, { intent: old?.intent, blocker: undefined, loadBalancerId, released: true });
  if (loadBalancerId !== undefined && !isCleared(deps, serviceRef(service), loadBalancerId)) {
    if (deps.policy !== undefined && keepsAll(deps.policy)) tellKept(deps, service, loadBalancerId, deps.policy);
    return DONE; // the load balancer's pass brings it back
  }
  if (loadBalancerId !== undefined && deps.intents.of(loadBalancerId).length === 1) {
    deps.intents.forgetLoadBalancer(loadBalancerId);
    deps.mirror.drop(loadBalancerId);
    await deps.addressClaims.drop(loadBalancerId, signal);
  }
  // With the annotation left behind, a Service that lives on would look like another controller's.
  const annotations = { [LOAD_BALANCER_ID]: null };
  const metadata = { uid: service.uid, annotations, "$deleteFromPrimitiveList/finalizers": [FINALIZER] };
  await patchStatus(deps, service, { metadata }, signal);
  deps.intents.remove(service.uid);
  return DONE;
}

function tellKept(deps: ServiceDeps, service: ServiceRecord, loadBalancerId: string, policy: Policy): void {
  const at = `Service ${service.namespace}/${service.name} goes, but its listeners at load balancer ${loadBalancerId} and its finalizer stay`;
  const message = `${at}: POLICY of the coordinator is ${policy}: set it to enforce to let them go`;
  deps.tell({ object: serviceRef(service), type: "Warning", reason: "KeptByPolicy", message });
}

/** Nothing of ours is left there: the load balancer is gone, or a current look shows no listener of this Service. */
function isCleared(deps: ServiceDeps, service: ObjectRef, loadBalancerId: string): boolean {
  const actual = deps.mirror.read(loadBalancerId);
  if (actual === undefined) return deps.mirror.isGone(loadBalancerId);
  if (deps.mirror.staleBecause(loadBalancerId) !== undefined) return false;
  if (actual.listeners.some(({ name }) => isOwnListener(name, deps.clusterId, service.uid))) return false;
  const created = actual.tags[CLUSTER_TAG] === deps.clusterId && actual.tags[OWNER_TAG] === service.uid;
  if (!created) return true;
  if (actual.listeners.length === 0) return false; // it is about to be deleted
  const message = `Load balancer ${loadBalancerId} is kept although Service ${service.namespace}/${service.name} goes: it has listeners that we did not create`;
  deps.tell({ object: service, type: "Warning", reason: "LoadBalancerKept", message });
  return true;
}

/** After a restart: the load balancer that the Service names, or that we created for it. */
async function formerLoadBalancer(deps: ServiceDeps, service: ServiceRecord, signal: AbortSignal): Promise<string | undefined> {
  const named = namedLoadBalancer(service);
  if (named !== undefined) return named;
  const own = await deps.api.ownLoadBalancers(deps.clusterId, signal);
  return own.find(({ tags }) => tags[OWNER_TAG] === service.uid)?.loadBalancerId;
}

/** False: there is no such Service any more; the watch will tell. */
async function patchStatus(deps: ServiceDeps, service: ServiceRecord, body: object, signal: AbortSignal): Promise<boolean> {
  const path = `/api/v1/namespaces/${service.namespace}/services/${service.name}/status`;
  try {
    await deps.client.patch(path, body, "strategic", { signal });
    return true;
  } catch (err) {
    if (err instanceof KubeApiError && err.isOtherObject) return false;
    throw err;
  }
}
