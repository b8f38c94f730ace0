import { listenersByOwner, type WantedPlace } from "../domain/intent/desired-load-balancer.ts";
import { isEndpointSelector } from "../domain/intent/endpoints.ts";
import { type OwnerIntent, selectorsOf } from "../domain/intent/owner-intent.ts";
import type { Problem } from "../domain/problem.ts";
import type { Intents } from "../state/intents.ts";
import { byWishes, type LastingTeller, wantedPlaces } from "./by-pods.ts";
import { nameOf } from "./wording.ts";

type Deps = {
  readonly intents: Pick<Intents, "get">;
  readonly clock: { now(): number };
  readonly tell: (problem: Problem) => void;
};

/** A Deployment may come after its Service, and Pods may all be replaced at once; after so long that is not it. Milliseconds. */
const EMPTY_MS = 180_000;

/** An Event for a Service whose selector has matched no Pod for minutes. Passes come at least once a minute. */
export function makeEmptyTeller({ intents, clock, tell }: Deps): LastingTeller {
  const isFull = byWishes((desired) => wantedPlaces(desired).every(({ standings }) => standings.length > 0));
  /** Since when, by load balancer and UID of its owner: who is none any more is forgotten with the pass that says so. */
  const sinceAt = new Map<string, ReadonlyMap<string, number>>();
  return (desired) => {
    const before = sinceAt.get(desired.loadBalancerId);
    if (before === undefined && isFull(desired)) return;
    const since = new Map<string, number>();
    const listeners = listenersByOwner(desired);
    for (const { ref, state } of desired.owners) {
      const own = (listeners.get(ref.uid) ?? []).flatMap((one): readonly WantedPlace[] => one.rules ?? [one]);
      if (state !== "served" || own.length === 0 || own.some(({ standings }) => standings.length > 0)) continue;
      const sinceMs = before?.get(ref.uid) ?? clock.now();
      since.set(ref.uid, sinceMs);
      if (clock.now() - sinceMs < EMPTY_MS) continue;
      const owner = intents.get(ref.uid);
      const selectors = owner === undefined ? [] : selectorsOf(owner);
      const where = ref.kind === "Service" ? "its selector" : "the selectors of its Services,";
      const message = selectors.some(isEndpointSelector)
        ? `${nameOf(ref)}: no live Pod has had an address of its EndpointSlices for minutes, so nothing is bound: correct the slices, or add spec.selector`
        : `${nameOf(ref)}: no Pod has matched ${where} ${selectors.map(selectorText).join(" or ")} for minutes, so nothing is bound: correct spec.selector or the Pods' labels`;
      tell({ object: ref, type: "Warning", reason: "NoBackends", message });
    }
    if (since.size > 0) sinceAt.set(desired.loadBalancerId, since);
    else sinceAt.delete(desired.loadBalancerId);
  };
}

const selectorText = (selector: OwnerIntent["selector"]): string =>
  Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
