import { DIRECT_ACCESS } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
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
   * TKE's controllers use the same gate: where they serve a Service, its Pods are not ours to let through. If so, the gate's pass is due
   * again when such a Service changes.
   */
  servedElsewhere(pod: PodFact): boolean;
  /** The gate waits for no Service any more. */
  forget(podUid: string): void;
}

export function makeSelectingServices({ objects, intents, awaitedServices }: SelectingServicesDeps): SelectingServices {
  const isServedElsewhere = (uid: string): boolean => {
    const service = objects.services.records.get(uid);
    if (service === undefined || service.deleting || service.type !== "LoadBalancer" || intents.get(uid) !== undefined) return false;
    const access = service.annotations[DIRECT_ACCESS];
    return access !== undefined && access !== "false";
  };
  /** The first Service that selects the Pod and is so; the Pod's gate waits for it from now on. */
  const awaitOne = (pod: PodFact, isSo: (uid: string) => boolean): boolean => {
    const uid = intents.selections.servicesSelecting(pod).find(isSo);
    if (uid !== undefined) awaitedServices.wait(uid, pod.uid);
    return uid !== undefined;
  };
  return {
    known: (pod) => {
      if (!objects.synced) return "unsynced";
      return awaitOne(pod, (uid) => intents.unread.has(uid)) ? "later" : "known";
    },
    servedElsewhere: (pod) => awaitOne(pod, isServedElsewhere),
    forget: (podUid) => awaitedServices.forget(podUid),
  };
}
