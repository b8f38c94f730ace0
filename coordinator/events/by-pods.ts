import type { PodStanding } from "../domain/intent/backends.ts";
import type { DesiredLoadBalancer, WantedPlace } from "../domain/intent/desired-load-balancer.ts";

/** What follows of the places that are wanted and of nothing else, found out once for each list of them: no pass changes it. */
export function byWishes<T>(find: (desired: DesiredLoadBalancer) => T): (desired: DesiredLoadBalancer) => T {
  const found = new WeakMap<DesiredLoadBalancer["listeners"], { readonly value: T }>();
  return (desired) => {
    const known = found.get(desired.listeners) ?? { value: find(desired) };
    found.set(desired.listeners, known);
    return known.value;
  };
}

/** Is told of each pass. */
export type LastingTeller = (desired: DesiredLoadBalancer) => void;

/** All places that are wanted, one after the other. */
export function* wantedPlaces({ listeners }: DesiredLoadBalancer): Generator<WantedPlace> {
  for (const listener of listeners)
    if (listener.rules === undefined) yield listener;
    else yield* listener.rules;
}

/**
 * What follows of the Pods of a place and of nothing else, found out once for each list of them: as long as no Pod that a port selects has
 * changed, every pass shows the same list.
 */
export function byPods<T>(find: (standings: readonly PodStanding[]) => T): (standings: readonly PodStanding[]) => T {
  const found = new WeakMap<readonly PodStanding[], { readonly value: T }>();
  return (standings) => {
    const known = found.get(standings) ?? { value: find(standings) };
    found.set(standings, known);
    return known.value;
  };
}
