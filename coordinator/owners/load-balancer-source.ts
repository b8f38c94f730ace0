import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { CLUSTER_TAG, EXISTING_LOAD_BALANCER, INTERNAL_SUBNET, OWNER_TAG, TKE_CREATED_TAG } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError } from "../cloud/clb-error.ts";
import type { Blocker } from "../domain/intent/owner-intent.ts";
import { namedLoadBalancer, type ServiceIntent, type ServiceRecord, serviceRef } from "../domain/intent/service.ts";
import type { LoadBalancerFacts } from "../domain/load-balancer.ts";
import { type Problem, tkeCode } from "../domain/problem.ts";
import type { Mirror } from "../state/mirror.ts";

export type SourceDeps = {
  readonly api: Pick<ClbApi, "loadBalancer" | "ownLoadBalancers" | "createLoadBalancer">;
  readonly mirror: Pick<Mirror, "facts">;
  readonly clusterId: string;
  /** VPC in which load balancers are created; undefined: the account's default. */
  readonly vpcId: string | undefined;
  readonly tell: (problem: Problem) => void;
  /** Orders of load balancers that came to nothing, by Service UID: part of the next order's ClientToken. */
  readonly attempts: Map<string, number>;
  readonly clock: Clock;
  readonly log: Logger;
};

/** How often, and with what pause, a load balancer that was just created is read. */
const READS = 3;
const READ_PAUSE_MS = 1_000;
/** An address may come a moment after the load balancer runs. */
export const hasAddress = ({ vips, domain }: LoadBalancerFacts): boolean => vips.length > 0 || domain !== undefined;

/** `creating`: it was ordered; a later pass finds it running, one of ours by its tag. */
export type Found =
  | { readonly kind: "found"; readonly facts: LoadBalancerFacts }
  | { readonly kind: "creating" }
  | { readonly kind: "blocked"; readonly blocker: Blocker };

/** The load balancer that the Service has, names, or gets. `present`: the one that it had until now. */
export async function ensureLoadBalancer(
  deps: SourceDeps,
  { service, intent, present }: { readonly service: ServiceRecord; readonly intent: ServiceIntent; readonly present: string | undefined },
  signal: AbortSignal,
): Promise<Found> {
  const known = present === undefined ? undefined : deps.mirror.facts(present);
  if (known !== undefined) {
    tellRefusedChange(deps, service, intent, known);
    if (hasAddress(known)) return { kind: "found", facts: known };
    return { kind: "found", facts: (await deps.api.loadBalancer(known.loadBalancerId, signal)) ?? known };
  }
  const at = `Service ${service.namespace}/${service.name}`;
  if (intent.source.kind === "create") return await findOrCreate(deps, at, service, intent.source.subnetId, signal);
  const { loadBalancerId } = intent.source;
  const facts = await deps.api.loadBalancer(loadBalancerId, signal);
  if (facts !== undefined) return unlessForeign(deps, at, service, facts);
  const fix = `correct the annotation ${EXISTING_LOAD_BALANCER}`;
  const message = tkeCode("E4018", `${at}: load balancer ${loadBalancerId} does not exist in this region: ${fix}`);
  return { kind: "blocked", blocker: { reason: "LoadBalancerNotFound", message } };
}

/** A Service keeps the load balancer that it has; another one needs another life of it (tke-contract.md §2.7). */
function tellRefusedChange(deps: SourceDeps, service: ServiceRecord, { source }: ServiceIntent, present: LoadBalancerFacts): void {
  const created = present.tags[OWNER_TAG] === service.uid;
  const wanted = source.kind === "existing" ? source.loadBalancerId : created ? present.loadBalancerId : "one that we create";
  if (wanted === present.loadBalancerId) return;
  const at = `Service ${service.namespace}/${service.name}`;
  const message = `${at}: its load balancer cannot change from ${present.loadBalancerId} to ${wanted} in place: undo the change of annotation ${EXISTING_LOAD_BALANCER}, or create the Service anew`;
  deps.tell({ object: serviceRef(service), type: "Warning", reason: "LoadBalancerChangeRefused", message });
}

/** A load balancer that another cluster or owner created is not a user's load balancer. */
function unlessForeign(deps: SourceDeps, at: string, service: ServiceRecord, facts: LoadBalancerFacts): Found {
  const cluster = facts.tags[CLUSTER_TAG] ?? deps.clusterId;
  const owner = facts.tags[OWNER_TAG] ?? service.uid;
  const byTke = facts.tags[TKE_CREATED_TAG] === "yes";
  if (!byTke && cluster === deps.clusterId && owner === service.uid) return facts.running ? { kind: "found", facts } : { kind: "creating" };
  const by = byTke ? "by TKE" : `for Service ${owner} of cluster ${cluster}`;
  const message = tkeCode("E4019", `${at}: load balancer ${facts.loadBalancerId} was created ${by}: name one that you created yourself`);
  return { kind: "blocked", blocker: { reason: "ForeignController", message } };
}

async function findOrCreate(
  deps: SourceDeps,
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
  return { kind: "creating" }; // the next pass finds it by its tag, with its address
}

/** Reads a few times before it believes that a load balancer, whose order has ended well, is not there: another order would make a second one. */
async function appears({ api, clock }: SourceDeps, loadBalancerId: string, signal: AbortSignal): Promise<boolean> {
  for (let reads = 0; reads < READS; reads += 1) {
    if ((await api.loadBalancer(loadBalancerId, signal)) !== undefined) return true;
    await clock.sleep(READ_PAUSE_MS, signal);
  }
  return false;
}

/** After a restart: the load balancer that the Service names, or that we created for it. */
export async function formerLoadBalancer(deps: SourceDeps, service: ServiceRecord, signal: AbortSignal): Promise<string | undefined> {
  const named = namedLoadBalancer(service);
  if (named !== undefined) return named;
  const own = await deps.api.ownLoadBalancers(deps.clusterId, signal);
  return own.find(({ tags }) => tags[OWNER_TAG] === service.uid)?.loadBalancerId;
}
