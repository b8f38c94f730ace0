import type { AdmissionMode } from "../domain/admission/mode.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import type { StrangeEndpoint } from "../domain/intent/endpoints.ts";
import type { ObjectRef, Problem } from "../domain/problem.ts";
import type { Intents } from "../state/intents.ts";
import { makeInjectLabelTeller } from "./inject-label.ts";
import { makeEmptyTeller } from "./no-backends.ts";
import { makeNotInjectedTeller } from "./not-injected.ts";
import { makeStrangeEndpointTeller } from "./strange-endpoints.ts";

export type LastingDeps = {
  readonly intents: Pick<Intents, "get">;
  readonly tell: (problem: Problem) => void;
  readonly clock: { now(): number };
  /** Addresses in EndpointSlices of a Service without a selector that are bound nowhere; default: there are none. */
  readonly strangeEndpoints?: (service: ObjectRef) => readonly StrangeEndpoint[];
  /** Who gives new Pods their gate; only our webhook is missed. Default: somebody else. */
  readonly admission?: AdmissionMode;
  /** What the label of a Namespace that asks for the gate says where that means nothing; default: no such label is known. */
  readonly misfitWishOf?: (namespace: string) => string | undefined;
  /** Brings another pass over a load balancer after so many milliseconds; default: passes come at least once a minute. */
  readonly lookAgain?: (loadBalancerId: string, afterMs: number) => void;
};

/** Tells what is wrong with the Pods of owners once that has lasted: before, it is what happens while objects come one after the other. */
export function makeLastingTeller(deps: LastingDeps): (desired: DesiredLoadBalancer) => void {
  const all = { lookAgain: () => undefined, strangeEndpoints: () => [], misfitWishOf: () => undefined, ...deps };
  const tellers = [
    makeEmptyTeller(all),
    makeStrangeEndpointTeller(all),
    ...(deps.admission === "webhook" ? [makeNotInjectedTeller(all), makeInjectLabelTeller(all)] : []),
  ];
  return (desired) => {
    for (const tell of tellers) tell(desired);
  };
}
