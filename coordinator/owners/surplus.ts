import { isOwnListener, OWNER_TAG } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError, isGone } from "../cloud/clb-error.ts";
import { type ServiceRecord, serviceRef } from "../domain/intent/service.ts";
import type { LoadBalancerFacts } from "../domain/load-balancer.ts";
import { keepsAll, type Policy } from "../domain/safety/policy.ts";
import type { Outcome } from "../workqueue/worker.ts";
import type { SourceDeps } from "./load-balancer-source.ts";

export type SurplusDeps = Pick<SourceDeps, "clusterId" | "orders" | "tell" | "log"> & {
  readonly api: Pick<ClbApi, "loadBalancer" | "ownLoadBalancers" | "listeners" | "deleteLoadBalancer">;
  /** Default: what was made for a Service goes with it. */
  readonly policy?: Policy;
};

/**
 * Whatever else has our tags for a Service that goes: load balancers that were ordered and shown too late. Tags can be copied, so only what
 * we remember to have made, or what has no listener but ours, is deleted; the rest is told. `had`: the one that the Service had.
 * Undefined: nothing is left.
 */
export async function deleteSurplus(
  deps: SurplusDeps,
  service: ServiceRecord,
  had: string | undefined,
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  const { api, clusterId, orders } = deps;
  const awaited = orders.awaited(service.uid);
  const tagged = (await api.ownLoadBalancers(clusterId, signal)).filter(({ tags }) => tags[OWNER_TAG] === service.uid);
  const isMissing =
    awaited !== undefined && awaited.loadBalancerId !== had && !tagged.some((one) => one.loadBalancerId === awaited.loadBalancerId);
  const late = isMissing ? await api.loadBalancer(awaited.loadBalancerId, signal) : undefined;
  if (isMissing && late === undefined) return { kind: "again", afterMs: awaited.lookMs, because: "its load balancer is not shown yet" };
  for (const one of late === undefined ? tagged : [...tagged, late])
    if (one.loadBalancerId !== had) await deleteOne(deps, service, one, one.loadBalancerId === awaited?.loadBalancerId, signal);
  return undefined;
}

async function deleteOne(
  { api, clusterId, policy, tell, log }: SurplusDeps,
  service: ServiceRecord,
  { loadBalancerId }: LoadBalancerFacts,
  isOnRecord: boolean,
  signal: AbortSignal,
): Promise<void> {
  const listeners = await api.listeners(loadBalancerId, () => false, signal).catch(unlessGone);
  if (listeners === undefined) return;
  const foreign = listeners.filter(({ name }) => !isOwnListener(name, clusterId, service.uid));
  const isOurs = isOnRecord || foreign.length === 0;
  if (!isOurs || (policy !== undefined && keepsAll(policy))) {
    const why = isOurs
      ? `POLICY of the coordinator is ${policy}`
      : `it has listeners that we did not create (${foreign.map(({ name }) => name).join(", ")})`;
    const message = `Service ${service.namespace}/${service.name} goes, and load balancer ${loadBalancerId} with its tags is kept: ${why}. Delete it by hand if nobody needs it, or take the tags off`;
    return tell({ object: serviceRef(service), type: "Warning", reason: "LoadBalancerKept", message });
  }
  await api.deleteLoadBalancer(loadBalancerId, signal).catch(unlessGone);
  log.info({ loadBalancerId, service: `Service ${service.namespace}/${service.name}` }, "surplus load balancer deleted");
}

function unlessGone(err: unknown): undefined {
  if (err instanceof ClbApiError && isGone(err.call.code)) return undefined;
  throw err;
}
