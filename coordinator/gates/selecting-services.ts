import { DIRECT_ACCESS } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
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
  /** TKE's controllers use the same gate: where they serve a Service, its Pods are not ours to let through. */
  claimedElsewhere(pod: PodFact): boolean;
}

export function makeSelectingServices({ objects, intents }: SelectingServicesDeps): SelectingServices {
  return {
    known: (pod) => objects.synced && intents.selections.servicesSelecting(pod).every((uid) => !intents.unread.has(uid)),
    claimedElsewhere: (pod) =>
      intents.selections.servicesSelecting(pod).some((uid) => {
        const service = objects.services.records.get(uid);
        if (service === undefined || service.deleting || service.type !== "LoadBalancer" || intents.get(uid) !== undefined) return false;
        const access = service.annotations[DIRECT_ACCESS];
        return access !== undefined && access !== "false";
      }),
  };
}
