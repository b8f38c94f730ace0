import { INJECT_LABEL } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { listenersByOwner, type WantedPlace } from "../domain/intent/desired-load-balancer.ts";
import type { ObjectRef, Problem } from "../domain/problem.ts";
import { byPods, byWishes, type LastingTeller, wantedPlaces } from "./by-pods.ts";

type Deps = {
  readonly clock: { now(): number };
  readonly tell: (problem: Problem) => void;
  /** Brings another pass over a load balancer, so that what has to settle is looked at again. */
  readonly lookAgain: (loadBalancerId: string, afterMs: number) => void;
};

/** Objects of one `kubectl apply` come within seconds, and Pods of a rollout that runs are replaced anyway. Milliseconds. */
const SETTLE_MS = 10_000;
/** Pods that the Event names. */
const MOST_NAMED = 3;

/** How many had no gate when it was told last, and since when there have been any; milliseconds since the epoch. */
type Seen = { readonly sinceMs: number; readonly told: number };

/**
 * An Event for an owner that selects Pods without our gate: they were created before it was known, or while no webhook answered. They are
 * bound and drained like others; only a rollout does not wait for them. Told again when there are more of them.
 */
export function makeNotInjectedTeller({ clock, tell, lookAgain }: Deps): LastingTeller {
  const hasBare = byPods((standings) => standings.some(({ pod }) => isBare(pod)));
  const isAnyBare = byWishes((desired) => wantedPlaces(desired).some(({ standings }) => hasBare(standings)));
  /** Of the owners of each load balancer, by UID: who is none any more is forgotten with the pass that says so. */
  const seenAt = new Map<string, ReadonlyMap<string, Seen>>();
  return (desired) => {
    const before = seenAt.get(desired.loadBalancerId);
    if (before === undefined && !isAnyBare(desired)) return;
    const seen = new Map<string, Seen>();
    const listeners = listenersByOwner(desired);
    for (const { ref, state } of desired.owners) {
      const places = (listeners.get(ref.uid) ?? []).flatMap((listener): readonly WantedPlace[] => listener.rules ?? [listener]);
      if (state !== "served" || !places.some(({ standings }) => hasBare(standings))) continue;
      const pods = new Map(places.flatMap(({ standings }) => standings.map(({ pod }) => [pod.uid, pod] as const)));
      const all = [...pods.values()].filter(isLive);
      const bare = all.filter(isBare);
      const { sinceMs, told } = before?.get(ref.uid) ?? { sinceMs: clock.now(), told: 0 };
      const leftMs = sinceMs + SETTLE_MS - clock.now();
      if (leftMs > 0) lookAgain(desired.loadBalancerId, leftMs); // at every pass: what brings one takes the place of what was to come
      const isDue = leftMs <= 0 && bare.length > told;
      seen.set(ref.uid, { sinceMs, told: isDue ? bare.length : Math.min(told, bare.length) });
      if (isDue)
        tell({
          object: ref,
          type: "Warning",
          reason: "PodsNotInjected",
          message: messageOf(
            ref,
            bare.map(({ name }) => name),
            all.length,
            bare.every(({ endpoints }) => endpoints?.[ref.name] !== undefined),
          ),
        });
    }
    if (seen.size > 0) seenAt.set(desired.loadBalancerId, seen);
    else seenAt.delete(desired.loadBalancerId);
  };
}

const isLive = ({ deletionAtMs, hostNetwork }: PodFact): boolean => deletionAtMs === undefined && !hostNetwork;
/** Whoever has said that it is to be left alone does not miss the gate. */
const isBare = (pod: PodFact): boolean => !pod.hasGate && isLive(pod) && pod.labels[INJECT_LABEL] !== "disabled";

/** `byEndpoints`: EndpointSlices name them, which nobody knows of a Pod that is being created. */
function messageOf({ kind, namespace, name }: ObjectRef, bare: readonly string[], all: number, byEndpoints: boolean): string {
  const named = bare.slice(0, MOST_NAMED).join(", ");
  const more = bare.length > MOST_NAMED ? ` and ${bare.length - MOST_NAMED} more` : "";
  const which = `${kind} ${namespace}/${name}: ${bare.length} of ${all} Pods (${named}${more}) have no readiness gate`;
  if (byEndpoints)
    return `${which}, because a Pod that only EndpointSlices name is not known when it is created: a rollout does not wait for the load balancer. Label their Namespace or Pod template ${INJECT_LABEL}=enabled, and run kubectl rollout restart on what made them`;
  if (namespace === "kube-system")
    return `${which}, because the webhook never sees Pods of kube-system: a rollout does not wait for the load balancer. Put the readiness gate into their template`;
  return `${which}, because they were created before this ${kind} was known, or while no webhook answered: the next rollout does not wait for the load balancer. Run kubectl rollout restart on what made them; to be independent of the order, label their Namespace or Pod template ${INJECT_LABEL}=enabled. Pods that lack it after that: their Namespace is labelled ${INJECT_LABEL}=disabled, or another webhook takes it off`;
}
