import { CLUSTER_TAG, listenerName } from "../../common/names.ts";
import type { ClbApi } from "../cloud/clb-api.ts";
import { loadBalancerOf, type OwnerIntent } from "../domain/intent/owner-intent.ts";
import { kindOfObject, type OwnerObject } from "../domain/intent/owner-object.ts";
import type { ListenerRecord, OwnerRecord } from "../domain/intent/owner-record.ts";
import type { ServiceIntent } from "../domain/intent/service.ts";
import { wishKey } from "../domain/intent/service-config.ts";
import type { Intents } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";

export type HeirloomsDeps = {
  readonly ownerRecords: Pick<OwnerRecords, "get" | "isMadeFor">;
  /** By UID, of all objects that may be owners. */
  readonly object: (uid: string) => OwnerObject | undefined;
  readonly clusterId: string;
};

/** What an owner of the object's name has left behind that the object asks for too; `key` e.g. "TCP/80". */
type Heirloom = {
  readonly loadBalancerId: string;
  readonly from: OwnerRecord;
  readonly listeners: readonly (readonly [key: string, listener: ListenerRecord])[];
};

/** Of those of the owners that are of its kind, Namespace and name, are gone, and nobody has seen deleted: what is left of the youngest comes first. */
export function heirloomsFor(
  { ownerRecords, object: objectOf, clusterId }: HeirloomsDeps,
  object: OwnerObject,
  { ports, group }: Pick<ServiceIntent, "ports" | "group">,
  owners: Iterable<OwnerIntent>,
): Heirloom[] {
  const { uid, namespace, name } = object;
  const asked = new Set(ports.map(({ protocol, port }) => wishKey(protocol, port)));
  const found: Heirloom[] = [];
  for (const owner of owners) {
    const { ref, state } = owner;
    if (ref.uid === uid || ref.kind !== kindOfObject(object) || ref.namespace !== namespace || ref.name !== name) continue;
    const loadBalancerId = loadBalancerOf(owner);
    // Its own pass, which says that it has vanished, may be still to come.
    if (loadBalancerId === undefined || state === "deleted" || objectOf(ref.uid) !== undefined) continue;
    const from = ownerRecords.get(loadBalancerId, ref.uid);
    if (from === undefined || from.intent.group !== group) continue;
    const listeners = Object.entries(from.listeners).flatMap(([key, listener]): Heirloom["listeners"] => {
      const [protocol = "", port = ""] = key.split("/");
      if (!asked.has(key)) return [];
      const { id, healthCheck, scheduler, rules } = listener;
      if (rules !== undefined) return [[key, { id, healthCheck, scheduler, rules }]]; // its name is that of the group
      const formerName = listenerName(clusterId, ref.uid, protocol, Number(port));
      return [[key, { id, healthCheck, scheduler, formerName }]];
    });
    if (listeners.length > 0) found.push({ loadBalancerId, from, listeners });
  }
  return found.sort((one, other) => (one.from.order < other.from.order ? 1 : -1));
}

type TakeOverDeps = HeirloomsDeps & {
  readonly intents: Pick<Intents, "all">;
  readonly api: Pick<ClbApi, "loadBalancer">;
  readonly mirror: Pick<Mirror, "facts" | "isGone">;
};

/**
 * The load balancer that was made for a vanished owner of the object's name, where the object wants one made as well, in the same network,
 * with a port that is served there already: it is not made twice, and nothing that serves is interrupted. Undefined: there is none.
 */
export async function loadBalancerLeftFor(
  deps: TakeOverDeps,
  object: OwnerObject,
  intent: ServiceIntent,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { source } = intent;
  if (source.kind !== "create") return undefined;
  for (const { loadBalancerId, from } of heirloomsFor(deps, object, intent, deps.intents.all)) {
    const former = from.intent.source;
    if (former.kind !== "create" || former.subnetId !== source.subnetId || deps.mirror.isGone(loadBalancerId)) continue;
    const facts = deps.mirror.facts(loadBalancerId) ?? (await deps.api.loadBalancer(loadBalancerId, signal));
    if (facts?.tags[CLUSTER_TAG] === deps.clusterId && deps.ownerRecords.isMadeFor(facts, from.ref.uid)) return loadBalancerId;
  }
  return undefined;
}
