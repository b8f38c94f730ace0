import { DIRECT_ACCESS } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { ServiceRecord } from "../domain/intent/service.ts";
import { foreignGateText } from "../domain/readiness/foreign-gate.ts";
import type { AwaitedServices } from "../state/awaited-services.ts";
import type { Intents } from "../state/intents.ts";
import type { WatchedObjects } from "../state/watched-objects.ts";

export type SelectingServicesDeps = {
  readonly objects: Pick<WatchedObjects, "services" | "synced">;
  readonly intents: Pick<Intents, "get" | "unread" | "selections">;
  readonly awaitedServices: Pick<AwaitedServices, "wait" | "forget">;
};

/** What a gate must know of the Services that select its Pod, besides those that are ours. */
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
  servedElsewhere(pod: PodFact): readonly ServiceRecord[];
  /** The same for people: who has to open the gate. */
  foreignGates(pod: PodFact): readonly string[];
  /** The gate waits for no Service any more. */
  forget(podUid: string): void;
}

export function makeSelectingServices({ objects, intents, awaitedServices }: SelectingServicesDeps): SelectingServices {
  const servedElsewhere = (pod: PodFact): ServiceRecord[] =>
    intents.selections.servicesSelecting(pod).flatMap((uid) => {
      const service = objects.services.records.get(uid);
      if (service === undefined || service.deleting || service.type !== "LoadBalancer" || intents.get(uid) !== undefined) return [];
      const access = service.annotations[DIRECT_ACCESS];
      return access === undefined || access === "false" ? [] : [service];
    });
  return {
    known: (pod) => {
      if (!objects.synced) return "unsynced";
      const unread = intents.selections.servicesSelecting(pod).find((uid) => intents.unread.has(uid));
      if (unread === undefined) return "known";
      awaitedServices.wait(unread, pod.uid);
      return "later";
    },
    servedElsewhere: (pod) => {
      const services = servedElsewhere(pod);
      for (const { uid } of services) awaitedServices.wait(uid, pod.uid);
      return services;
    },
    foreignGates: (pod) => servedElsewhere(pod).map(foreignGateText),
    forget: (podUid) => awaitedServices.forget(podUid),
  };
}
