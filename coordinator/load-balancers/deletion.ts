import type { Logger } from "../../common/log.ts";
import { CLUSTER_TAG } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import type { LoadBalancer } from "../domain/load-balancer.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";

export type DeletionDeps = {
  readonly api: Pick<ClbApi, "deleteLoadBalancer">;
  readonly ownerRecords: Pick<OwnerRecords, "isMadeFor">;
  readonly mirror: Pick<Mirror, "forget">;
  readonly clusterId: string;
  readonly log: Logger;
};

/** A load balancer that we created goes with its owner, once nothing is on it any more. */
export async function deleteIfOver(
  deps: DeletionDeps,
  desired: DesiredLoadBalancer,
  actual: LoadBalancer,
  signal: AbortSignal,
): Promise<boolean> {
  const [owner, ...others] = desired.owners;
  if (owner === undefined || others.length > 0 || owner.state !== "deleted" || actual.listeners.length > 0) return false;
  if (actual.tags[CLUSTER_TAG] !== deps.clusterId || !deps.ownerRecords.isMadeFor(actual, owner.ref.uid)) return false;
  if (owner.retain || actual.settings?.deleteProtect === true) return false; // its owner's pass tells that it is kept
  await deps.api.deleteLoadBalancer(actual.loadBalancerId, signal);
  deps.log.info({ loadBalancerId: actual.loadBalancerId }, "load balancer deleted");
  deps.mirror.forget(actual.loadBalancerId);
  return true;
}
