import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import type { StrangeEndpoint } from "../domain/intent/endpoints.ts";
import type { ObjectRef, Problem } from "../domain/problem.ts";

type Deps = {
  readonly clock: { now(): number };
  readonly tell: (problem: Problem) => void;
  /** Brings another pass over a load balancer. */
  readonly lookAgain: (loadBalancerId: string, afterMs: number) => void;
  /** Addresses in EndpointSlices of a Service without a selector that are bound nowhere. */
  readonly strangeEndpoints: (service: ObjectRef) => readonly StrangeEndpoint[];
};

/** A Pod may be told of later than the slice that names it. Milliseconds. */
const SETTLE_MS = 10_000;
/** Addresses of one Service that get an Event each. */
const MOST_TOLD = 10;

/** An Event for each address that a hand-made EndpointSlice names and that is not bound, once that has lasted. */
export function makeStrangeEndpointTeller({ clock, tell, lookAgain, strangeEndpoints }: Deps): (desired: DesiredLoadBalancer) => void {
  /** By load balancer: since when, by UID of the Service and message. */
  const sinceAt = new Map<string, ReadonlyMap<string, number>>();
  return ({ loadBalancerId, owners }) => {
    const before = sinceAt.get(loadBalancerId);
    const since = new Map<string, number>();
    for (const { ref, state } of owners) {
      if (state !== "served" || ref.kind !== "Service") continue;
      for (const { slice, address, because } of strangeEndpoints(ref).slice(0, MOST_TOLD)) {
        const message = `Service ${ref.namespace}/${ref.name}: ${address} of EndpointSlice ${slice} is not bound: ${because}. Correct the slice`;
        const key = `${ref.uid} ${message}`;
        const sinceMs = before?.get(key) ?? clock.now();
        since.set(key, sinceMs);
        const leftMs = sinceMs + SETTLE_MS - clock.now();
        if (leftMs > 0) lookAgain(loadBalancerId, leftMs);
        else tell({ object: ref, type: "Warning", reason: "EndpointNotBound", message });
      }
    }
    if (since.size > 0) sinceAt.set(loadBalancerId, since);
    else sinceAt.delete(loadBalancerId);
  };
}
