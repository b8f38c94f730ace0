import type { PortTask, SourceSet } from "../../common/reachability.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { placeTaskKey } from "../domain/hindrance.ts";
import { type AskedPlace, askedPlaces, findPlace, placeName } from "../domain/intent/asked-places.ts";
import { type OwnerIntent } from "../domain/intent/owner-intent.ts";
import { type LoadBalancer, transportOf } from "../domain/load-balancer.ts";

/** A place that is to send to a Pod, with the target there; `actual`: the load balancer as far as it was read. */
export type WantedPort = {
  readonly owner: OwnerIntent;
  readonly loadBalancerId: string;
  readonly asked: AskedPlace;
  readonly ip: string;
  readonly port: number;
  readonly actual: LoadBalancer | undefined;
};

/** Pure: the places of served owners that are to send to the Pod. */
export function wantedPorts(
  clusterId: string,
  pod: PodFact,
  owners: readonly OwnerIntent[],
  read: (loadBalancerId: string) => LoadBalancer | undefined,
): WantedPort[] {
  return owners.flatMap((owner) => {
    if (owner.state !== "served") return [];
    const { loadBalancerId } = owner;
    return askedPlaces(clusterId, owner).flatMap((asked): WantedPort[] => {
      const standing = asked.standing(pod);
      if (standing === undefined || !("backend" in standing)) return [];
      const { ip, port } = standing.backend;
      return [{ owner, loadBalancerId, asked, ip, port, actual: read(loadBalancerId) }];
    });
  });
}

const EVERYBODY = ["0.0.0.0/0", "::/0"];

/** Pure: what the Pod's agent is asked about one place. `groups` judge what reaches the Pod; `unjudged` says why none does. */
export function portTask({ asked, loadBalancerId, port, actual }: WantedPort, groups: readonly string[], unjudged: string): PortTask {
  const listener = { protocol: transportOf(asked.protocol), port: asked.port };
  const passes = actual?.settings?.passToTarget === true;
  const place = actual === undefined ? undefined : findPlace(asked, actual);
  const clients: SourceSet = { kind: "clients", addresses: EVERYBODY, admittedBy: actual?.settings?.securityGroups ?? [], ...listener };
  const vips = actual?.vips ?? [];
  // Checks out of 100.64.0.0/10 pass without a rule (clb-api.md §6.1); those from the load balancer's own address do not.
  const checks: SourceSet[] =
    typeof place === "object" && place.checkedByVip === true && vips.length > 0
      ? [{ kind: "health-check", addresses: vips, admittedBy: [], ...listener }]
      : [];
  const key = placeTaskKey(loadBalancerId, placeName(asked));
  if (passes || groups.length === 0) {
    const why = passes ? "the load balancer passes everything to its backends (pass-to-target)" : unjudged;
    return { key, protocol: listener.protocol, port, groups: [], unjudged: why, sources: [clients] };
  }
  return { key, protocol: listener.protocol, port, groups, unjudged: "", sources: [...checks, clients] };
}
