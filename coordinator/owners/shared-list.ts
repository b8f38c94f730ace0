import type { Clock } from "../../common/clock.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import type { LoadBalancerFacts } from "../domain/load-balancer.ts";

type Api = Pick<ClbApi, "ownLoadBalancers" | "createLoadBalancer" | "deleteLoadBalancer">;

/** Whoever looks again for what was ordered does so after this long, and then gets a list of its own. Milliseconds. */
const SHARED_MS = 500;

/**
 * The same calls; all who ask for the list of our load balancers within half a second share one, which is read in pages: a new leader would
 * else read all pages once for each Service. Nobody gets a list that was begun before an order or a deletion of ours.
 */
export function sharingLists<A extends Api>(api: A, clock: Clock): A {
  let last: { readonly clusterId: string; readonly begunMs: number; readonly list: Promise<LoadBalancerFacts[]> } | undefined;
  const afresh = async <T>(change: Promise<T>): Promise<T> => {
    last = undefined;
    return await change.finally(() => {
      last = undefined;
    });
  };
  return {
    ...api,
    ownLoadBalancers: async (clusterId, signal) => {
      if (last?.clusterId === clusterId && clock.now() - last.begunMs < SHARED_MS) return await last.list;
      const one = { clusterId, begunMs: clock.now(), list: api.ownLoadBalancers(clusterId, signal) };
      last = one;
      one.list.catch(() => {
        if (last === one) last = undefined;
      });
      return await one.list;
    },
    createLoadBalancer: async (...wish) => await afresh(api.createLoadBalancer(...wish)),
    deleteLoadBalancer: async (...which) => await afresh(api.deleteLoadBalancer(...which)),
  };
}
