import { DIRECT_ACCESS } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import type { ServiceRecord } from "../domain/intent/service.ts";
import { foreignGateText } from "../domain/readiness/foreign-gate.ts";
import type { Intents } from "../state/intents.ts";
import type { WatchedObjects } from "../state/watched-objects.ts";

export type SelectingServicesDeps = {
  readonly objects: Pick<WatchedObjects, "services" | "synced">;
  readonly intents: Pick<Intents, "get" | "unread" | "selections">;
};

/** What a gate must know of the Services that select its Pod, besides those that are ours. */
export interface SelectingServices {
  /** Every Service that selects the Pod has had its first pass, well or badly. Others may take their time. */
  known(pod: PodFact): boolean;
  /** Services with direct access that others serve. TKE's controllers use the same gate: such a Pod is not ours to let through. */
  servedElsewhere(pod: PodFact): readonly ServiceRecord[];
  /** The same for people: who has to open the gate. */
  foreignGates(pod: PodFact): readonly string[];
}

export function makeSelectingServices({ objects, intents }: SelectingServicesDeps): SelectingServices {
  const servedElsewhere = (pod: PodFact): ServiceRecord[] =>
    intents.selections.servicesSelecting(pod).flatMap((uid) => {
      const service = objects.services.records.get(uid);
      if (service === undefined || service.deleting || service.type !== "LoadBalancer" || intents.get(uid) !== undefined) return [];
      const access = service.annotations[DIRECT_ACCESS];
      return access === undefined || access === "false" ? [] : [service];
    });
  return {
    servedElsewhere,
    foreignGates: (pod) => servedElsewhere(pod).map(foreignGateText),
    known: (pod) => objects.synced && intents.selections.servicesSelecting(pod).every((uid) => !intents.unread.has(uid)),
  };
}
