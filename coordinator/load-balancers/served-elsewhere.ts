import { NODES_SCOPE, ownerMarkOf } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { ClbApiError, isGone } from "../cloud/clb-error.ts";
import { placesOf, slotKey, slotOf } from "../domain/load-balancer.ts";
import type { ServedElsewhere } from "../safety/cluster-proof.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import type { PodIndex } from "../state/pod-index.ts";
import type { Records } from "../state/records.ts";

export type ServedElsewhereDeps = {
  readonly api: Pick<ClbApi, "listeners" | "health">;
  readonly records: Pick<Records, "scopes" | "former">;
  readonly facts: Pick<PodFacts, "confirm">;
  readonly pods: Pick<PodIndex, "byIp">;
  readonly clusterId: string;
};

/**
 * Whether somebody else's Pods serve in this cluster's listeners at the load balancers on record; gives the first where they do. Backends
 * whose checks are off say nothing. Rejects with ClbApiError, or the signal's reason.
 */
export async function servedElsewhere(deps: ServedElsewhereDeps, signal: AbortSignal): Promise<ServedElsewhere | undefined> {
  const { records, facts, pods } = deps;
  for (const loadBalancerId of new Set([...records.scopes, ...records.former.keys()])) {
    if (loadBalancerId === NODES_SCOPE) continue;
    const healthy = await healthyAt(deps, loadBalancerId, signal);
    await facts.confirm(healthy, signal);
    const ips = healthy.filter((ip) => pods.byIp(ip) === undefined);
    if (ips.length > 0) return { loadBalancerId, ips };
  }
  return undefined;
}

/** Addresses of healthy backends with a weight in listeners that have this cluster's mark. */
async function healthyAt({ api, clusterId }: ServedElsewhereDeps, id: string, signal: AbortSignal): Promise<readonly string[]> {
  try {
    const listeners = await api.listeners(id, (name) => ownerMarkOf(name, clusterId) !== undefined, signal);
    const states = (await api.health([id], signal)).get(id);
    const targets = placesOf({ listeners }).flatMap((place) =>
      place.targets.map((target) => ({ ...target, key: slotKey(slotOf(place, target)) })),
    );
    return [...new Set(targets.flatMap(({ ip, weight, key }) => (weight > 0 && states?.get(key) === "Alive" ? [ip] : [])))];
  } catch (err) {
    if (err instanceof ClbApiError && isGone(err.call.code)) return [];
    throw err;
  }
}
