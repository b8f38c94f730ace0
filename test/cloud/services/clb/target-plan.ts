import { isIPv6 } from "node:net";
import type * as clb from "tencentcloud-sdk-nodejs/tencentcloud/services/clb/v20180317/clb_models.js";
import {
  type Account,
  type LoadBalancerRecord,
  type Place,
  requireLoadBalancer,
  requirePlace,
  type TargetRecord,
  targetKey,
} from "../../model/account.ts";
import { badValue, CloudError } from "../../model/errors.ts";
import { type BackendAddress, backendAt } from "../../model/network.ts";
import type { CallContext } from "../../runtime/call.ts";
import type { TargetChanges } from "../../runtime/target-changes.ts";
import type { Writes } from "../../runtime/writes.ts";
import type { ClbPorts } from "./ports.ts";

type PlanPorts = Pick<ClbPorts, "keepGoodTargetsOfFailedListener"> & { readonly writes: Pick<Writes, "requireFree"> };
export type UnbindPorts = PlanPorts & { readonly targets: Pick<TargetChanges, "unbind"> };
export type BindPorts = PlanPorts & Pick<ClbPorts, "network" | "backends" | "limits"> & { readonly targets: Pick<TargetChanges, "bind"> };

export const DEFAULT_WEIGHT = 10;

/** What a write on targets will do. `refused` are the listeners that it leaves alone or does in part. */
export type Plan = {
  readonly loadBalancers: readonly [LoadBalancerRecord];
  readonly targets: number;
  readonly changes: readonly (() => void)[];
  readonly refused: ReadonlySet<string>;
  readonly message: string;
};

/** Where all targets of a call are, if each does not say it itself. */
type Hint = { readonly LocationId?: string; readonly Domain?: string; readonly Url?: string };
type Named = Pick<clb.BatchTarget, "EniIp" | "InstanceId" | "Port">;

/** In the order of clb-api.md §8.3: ids, lock, quota. Throws *NotFound, Duplicate, ResourceInOperating, LimitExceeded. */
export function planBind(
  loadBalancerId: string,
  wanted: readonly clb.BatchTarget[],
  hint: Hint | undefined,
  call: CallContext,
  ports: BindPorts,
): Plan {
  const found = resolve(loadBalancerId, wanted, hint, call.account, ports.writes);
  const limit = ports.limits.targetsPerPlace;
  // Bound ones are counted twice, as the service does (clb-api.md §3.5).
  for (const [place, list] of found.byPlace)
    if (place.targets.size + list.length > limit)
      throw new CloudError(
        "LimitExceeded",
        `targets of ${nameOf(place)}: ${place.targets.size} are bound, ${list.length} more would exceed the quota of ${limit}`,
      );
  return planEach(found, call, ports, (place, one) => {
    const address = addressOf(ports, found.loadBalancer, one);
    if (typeof address === "string") return address;
    const { ip, ...owner } = address;
    return () => ports.targets.bind(place, { ip, port: one.Port, weight: one.Weight ?? DEFAULT_WEIGHT, tag: one.Tag, owner });
  });
}

/** Like `planBind`, without a quota. */
export function planUnbind(
  loadBalancerId: string,
  wanted: readonly clb.BatchTarget[],
  hint: Hint | undefined,
  call: CallContext,
  ports: UnbindPorts,
): Plan {
  const found = resolve(loadBalancerId, wanted, hint, call.account, ports.writes);
  return planEach(found, call, ports, (place, one) => {
    const bound = boundTarget(place, one);
    return bound === undefined ? notBound(place, one) : () => ports.targets.unbind(place, bound);
  });
}

/** Whose address it is, or why it cannot be bound. Where nobody described the network, `backendCidrs` decides. */
function addressOf(
  { network, backends }: Pick<BindPorts, "network" | "backends">,
  { vpcId }: LoadBalancerRecord,
  one: Named,
): BackendAddress | string {
  if (network.enis.size > 0 || network.globalRouterCidrs.length > 0) return backendAt(network, vpcId, one);
  if (one.EniIp === undefined) return `InstanceId ${one.InstanceId} does not exist`;
  return backends.check(one.EniIp, isIPv6(one.EniIp) ? "ipv6" : "ipv4")
    ? { ip: one.EniIp, type: "ENI" }
    : `EniIp ${one.EniIp} is no attached ENI of ${vpcId}`;
}

/** An instance stands for the primary IP of its primary ENI. */
/** The bound targets of a list, each with how the list names it; `fault`: what it is called when one is not bound. */
export const boundTargets = <T extends Named>(
  place: Place,
  list: readonly T[],
  fault: (message: string) => CloudError = badValue,
): { readonly one: T; readonly target: TargetRecord }[] =>
  list.map((one) => {
    const target = boundTarget(place, one);
    if (target === undefined) throw fault(notBound(place, one));
    return { one, target };
  });

function boundTarget(place: Place, { EniIp: ip, InstanceId: instanceId, Port: port }: Named): TargetRecord | undefined {
  if (ip !== undefined) return place.targets.get(targetKey(ip, port));
  return [...place.targets.values()].find(
    (target) => target.port === port && target.owner.type === "CVM" && target.owner.instanceId === instanceId,
  );
}

const notBound = (place: Place, one: Named): string => `target ${one.EniIp ?? one.InstanceId}:${one.Port} is not bound to ${nameOf(place)}`;

/** E.g. "lbl-1" or "lbl-1/loc-2". */
const nameOf = ({ listenerId, locationId }: Place): string => (locationId === undefined ? listenerId : `${listenerId}/${locationId}`);

type ByPlace = ReadonlyMap<Place, readonly clb.BatchTarget[]>;

/** Finds the places, then asks for the lock. */
function resolve(
  loadBalancerId: string,
  wanted: readonly clb.BatchTarget[],
  hint: Hint | undefined,
  account: Account,
  writes: PlanPorts["writes"],
) {
  const byPlace = new Map<Place, clb.BatchTarget[]>();
  const seen = new Set<string>();
  for (const one of wanted) {
    requireOneAddress(one);
    const key = `${one.ListenerId} ${one.LocationId ?? ""} ${one.EniIp ?? one.InstanceId}:${one.Port}`;
    if (seen.has(key))
      throw new CloudError("InvalidParameterValue.Duplicate", `target ${one.EniIp ?? one.InstanceId}:${one.Port} is named twice`);
    seen.add(key);
  }
  const loadBalancer = requireLoadBalancer(account, loadBalancerId);
  for (const one of wanted) {
    const place = requirePlace(loadBalancer, { ...hint, ...one });
    const list = byPlace.get(place);
    if (list === undefined) byPlace.set(place, [one]);
    else list.push(one);
  }
  writes.requireFree([loadBalancer]);
  return { loadBalancer, byPlace: byPlace as ByPlace };
}

/** `plan` gives the change, or the reason why not; one bad target marks its whole listener, with all its rules (clb-api.md §3.6). */
function planEach(
  { loadBalancer, byPlace }: { readonly loadBalancer: LoadBalancerRecord; readonly byPlace: ByPlace },
  call: CallContext,
  { keepGoodTargetsOfFailedListener: keepGood }: PlanPorts,
  plan: (place: Place, one: clb.BatchTarget) => (() => void) | string,
): Plan {
  const outcomes = [...byPlace].flatMap(([place, list]) =>
    list.map((one) => ({ listenerId: place.listenerId, outcome: call.faults.onTarget(one.EniIp ?? "") ?? plan(place, one) })),
  );
  const refused = new Set<string>();
  const reasons: string[] = [];
  for (const { listenerId, outcome } of outcomes) {
    if (typeof outcome !== "string") continue;
    refused.add(listenerId);
    reasons.push(outcome);
  }
  const changes = outcomes.flatMap(({ listenerId, outcome }) =>
    typeof outcome === "string" || (refused.has(listenerId) && !keepGood) ? [] : [outcome],
  );
  return { loadBalancers: [loadBalancer], targets: outcomes.length, changes, refused, message: reasons.slice(0, 3).join("; ") };
}

export function requireOneAddress(one: Named): void {
  if ((one.EniIp === undefined) === (one.InstanceId === undefined))
    throw badValue(`a target needs exactly one of \`EniIp\` and \`InstanceId\` (port ${one.Port})`);
}
