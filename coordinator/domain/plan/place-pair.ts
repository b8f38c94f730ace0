import type { WantedPlace } from "../intent/desired-load-balancer.ts";
import type { Listener, Place, Rule } from "../load-balancer.ts";
import type { RedirectStanding } from "./redirect-standing.ts";

/**
 * A place of ours and what is wanted there; `wanted` undefined: nobody can say, so only ends of Pods count. `leaves`: its owner asks for it
 * no more, so it goes when what is asked for instead serves.
 */
export type PlacePair = {
  readonly listener: Listener;
  readonly rule: Rule | undefined;
  readonly place: Place;
  readonly wanted: WantedPlace | undefined;
  readonly ownerUid: string;
  readonly leaves: boolean;
  /** Of a rule that is to redirect: until it does, `wanted` is what it serves meanwhile; then it is to have no backends. */
  readonly redirect?: RedirectStanding;
};
