import { DIRECT_ACCESS, TKE_INGRESS_CLASS } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { isOfTke } from "../domain/intent/ingress-ownership.ts";
import type { IngressRecord } from "../domain/intent/ingress-record.ts";
import type { OwnerObject } from "../domain/intent/owner-object.ts";
import type { ServiceRecord } from "../domain/intent/service.ts";
import { foreignGateText } from "../domain/readiness/foreign-gate.ts";
import type { AwaitedServices } from "../state/awaited-services.ts";
import type { IngressUses } from "../state/ingress-uses.ts";
import type { Intents } from "../state/intents.ts";
import type { WatchedObjects } from "../state/watched-objects.ts";

export type SelectingServicesDeps = {
  readonly objects: Pick<WatchedObjects, "services" | "ingresses" | "synced">;
  readonly intents: Pick<Intents, "get" | "unread" | "unreadAsking" | "selections">;
  readonly ingressUses: Pick<IngressUses, "of">;
  readonly awaitedServices: Pick<AwaitedServices, "wait" | "forget">;
  /** Classes of Ingresses that are TKE's own; default: "qcloud". */
  readonly ingressClasses?: readonly string[];
};

/** What a gate must know of the Services that select its Pod, and the Ingresses that lead to them, besides those that are ours. */
export interface SelectingServices {
  /**
   * Every Service that selects the Pod has had its first pass, well or badly. Others may take their time. "later": not so; the gate's pass
   * is due again when one of them has had it. "unsynced": not even the Services are known.
   */
  known(pod: PodFact): "known" | "later" | "unsynced";
  /**
   * Services with direct access that others serve. TKE's controllers use the same gate: such a Pod is not ours to let through. The gate's
   * pass is due again when one of them changes.
   */
  servedElsewhere(pod: PodFact): readonly OwnerObject[];
  /** The same for people: who has to open the gate. */
  foreignGates(pod: PodFact): readonly string[];
  /** The gate waits for no Service any more. */
  forget(podUid: string): void;
}

export function makeSelectingServices(deps: SelectingServicesDeps): SelectingServices {
  const { objects, intents, awaitedServices, ingressUses, ingressClasses = [TKE_INGRESS_CLASS] } = deps;
  const isElsewhere = (service: ServiceRecord): boolean => {
    if (service.deleting || service.type !== "LoadBalancer" || intents.get(service.uid) !== undefined) return false;
    const access = service.annotations[DIRECT_ACCESS];
    return access !== undefined && access !== "false";
  };
  const ingressesOf = (service: ServiceRecord): IngressRecord[] =>
    [...ingressUses.of(service)].flatMap((uid) => {
      const ingress = objects.ingresses.records.get(uid);
      const isTheirs = ingress !== undefined && !ingress.deleting && intents.get(uid) === undefined;
      return isTheirs && isOfTke(ingress, { tke: ingressClasses }) ? [ingress] : [];
    });
  const servedElsewhere = (pod: PodFact): OwnerObject[] => {
    const services = intents.selections.servicesSelecting(pod).flatMap((uid) => objects.services.records.get(uid) ?? []);
    const ingresses = new Map(services.flatMap(ingressesOf).map((ingress) => [ingress.uid, ingress]));
    return [...services.filter(isElsewhere), ...ingresses.values()];
  };
  return {
    known: (pod) => {
      if (!objects.synced) return "unsynced";
      const service = intents.selections.servicesSelecting(pod).find((uid) => intents.unread.has(uid));
      const unread = service ?? intents.unreadAsking(pod.namespace);
      if (unread === undefined) return "known";
      awaitedServices.wait(unread, pod.uid);
      return "later";
    },
    servedElsewhere: (pod) => {
      const others = servedElsewhere(pod);
      for (const { uid } of others) awaitedServices.wait(uid, pod.uid);
      return others;
    },
    foreignGates: (pod) => servedElsewhere(pod).map(foreignGateText),
    forget: (podUid) => awaitedServices.forget(podUid),
  };
}
