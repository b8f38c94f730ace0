import { INJECT_LABEL } from "../../common/names.ts";
import { injectWishFault } from "../domain/admission/inject-wish.ts";
import { listenersByOwner, type WantedPlace } from "../domain/intent/desired-load-balancer.ts";
import type { Problem } from "../domain/problem.ts";
import { byPods, byWishes, type LastingTeller, wantedPlaces } from "./by-pods.ts";

type Deps = {
  readonly tell: (problem: Problem) => void;
  /** What the label of a Namespace says where that means nothing. */
  readonly misfitWishOf: (namespace: string) => string | undefined;
};

/**
 * An Event for an owner where the label that asks for the gate means nothing, on its Namespace or on Pods that it selects: the webhook warns
 * who creates a Pod, which is a controller that reads no warnings. Names no Pod, so that one Event covers all of them.
 */
export function makeInjectLabelTeller({ tell, misfitWishOf }: Deps): LastingTeller {
  const faultsOf = byPods((standings) => standings.flatMap(({ pod }) => injectWishFault(pod.labels) ?? []));
  const isAnyFaulty = byWishes((desired) => wantedPlaces(desired).some(({ standings }) => faultsOf(standings).length > 0));
  return (desired) => {
    const listeners = isAnyFaulty(desired) ? listenersByOwner(desired) : NO_LISTENERS;
    for (const { ref } of desired.owners) {
      const { kind, namespace, name } = ref;
      const wish = misfitWishOf(namespace);
      const faults = placesOf(listeners.get(ref.uid) ?? []).flatMap(({ standings }) => faultsOf(standings));
      if (wish === undefined && faults.length === 0) continue;
      const at = `${kind} ${namespace}/${name}`;
      const told = (message: string): void => tell({ object: ref, type: "Warning", reason: "InvalidLabel", message });
      if (wish !== undefined)
        told(
          `${at}: Namespace ${namespace} has label ${INJECT_LABEL}: "${wish}", which means nothing: use "enabled" (its Pods get the readiness gate whatever selects them), "disabled" (they get none), or remove it`,
        );
      for (const fault of new Set(faults)) told(`${at}: Pods that it selects have ${fault}: change the template of what makes them`);
    }
  };
}

const NO_LISTENERS: ReturnType<typeof listenersByOwner> = new Map();
type Listeners = ReturnType<typeof listenersByOwner> extends ReadonlyMap<string, infer L> ? L : never;
const placesOf = (listeners: Listeners): readonly WantedPlace[] =>
  listeners.flatMap((listener): readonly WantedPlace[] => listener.rules ?? [listener]);
