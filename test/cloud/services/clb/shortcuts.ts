import type { Clock } from "../../../../common/clock.ts";
import { type Account, type HealthStatus, requireLoadBalancer, requirePlace, targetKey } from "../../model/account.ts";
import { badValue } from "../../model/errors.ts";
import type { Network } from "../../model/network.ts";
import type { Vips } from "../../model/vips.ts";
import type { AccountChanges } from "../../runtime/account-changes.ts";
import type { Health } from "../../runtime/health.ts";
import type { Random } from "../../runtime/random.ts";
import { newLoadBalancer } from "./new-load-balancer.ts";

/** What tests, scenarios and people do to load balancers without a call of the API. Both throw CloudError. */
export interface Shortcuts {
  /** A load balancer as a user made it before, at once and without a task. */
  addLoadBalancer(wanted?: {
    /** E.g. "lb-demo0001"; else made up, as the VIP. */
    id?: string;
    name?: string;
    type?: "OPEN" | "INTERNAL";
    tags?: Record<string, string>;
    vip?: string;
    vpcId?: string;
    subnetId?: string;
  }): { loadBalancerId: string; vip: string };
  /** Fixes a target's health, or lets the probes speak again (`undefined`). Throws if it is not bound. */
  setHealth(
    target: { loadBalancerId: string; listenerId: string; locationId?: string; ip: string; port: number },
    status: HealthStatus | undefined,
  ): void;
}

type Ports = {
  readonly account: Account;
  readonly changes: Pick<AccountChanges, "addLoadBalancer">;
  readonly health: Pick<Health, "pin">;
  readonly network: Pick<Network, "vpcs">;
  readonly vips: Pick<Vips, "take">;
  readonly random: Random;
  readonly clock: Pick<Clock, "now">;
};

export const makeShortcuts = ({ account, changes, health, ...ports }: Ports): Shortcuts => ({
  addLoadBalancer: ({ id, name, type = "OPEN", tags = {}, vip, vpcId, subnetId } = {}) => {
    if (id !== undefined && account.loadBalancers.has(id)) throw badValue(`there is a load balancer ${id} already`);
    const request = {
      LoadBalancerType: type,
      Tags: Object.entries(tags).map(([TagKey, TagValue]) => ({ TagKey, TagValue })),
      ...(name !== undefined && { LoadBalancerName: name }),
      ...(vip !== undefined && { Vip: vip }),
      ...(vpcId !== undefined && { VpcId: vpcId }),
      ...(subnetId !== undefined && { SubnetId: subnetId }),
    };
    const made = newLoadBalancer(request, account, ports);
    const loadBalancer = { ...made, id: id ?? made.id };
    changes.addLoadBalancer(loadBalancer);
    return { loadBalancerId: loadBalancer.id, vip: loadBalancer.vip };
  },
  setHealth: ({ loadBalancerId, listenerId, locationId = "", ip, port }, status) => {
    const place = requirePlace(requireLoadBalancer(account, loadBalancerId), { ListenerId: listenerId, LocationId: locationId });
    const target = place.targets.get(targetKey(ip, port));
    if (target === undefined) throw badValue(`target ${ip}:${port} is not bound to ${listenerId} ${locationId}`);
    health.pin(place, target, status);
  },
});
