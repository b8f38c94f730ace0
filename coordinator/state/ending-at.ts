import type { PodFact } from "../../common/vocabulary.ts";
import { loadBalancerOf } from "../domain/intent/owner-intent.ts";
import type { Holds } from "./holds.ts";
import type { PodIndex } from "./pod-index.ts";
import type { SelectionIndex } from "./selection-index.ts";

export type EndingAtDeps = {
  readonly pods: Pick<PodIndex, "ending">;
  readonly facts: { readonly pods: ReadonlyMap<string, PodFact> };
  readonly holds: Pick<Holds, "dials">;
  readonly intents: { readonly selections: Pick<SelectionIndex, "ownersSelecting"> };
  readonly clock: { now(): number };
};

/** The answer is no older than this, milliseconds: it is asked for everybody who waits for a call, twenty times a second. */
const FRESH_MS = 100;

/** True of a load balancer where a Pod that ends, or whose preStop hook was called, is selected: it is read, and written to, before others. */
export function makeEndingAt({ pods, facts, holds, intents, clock }: EndingAtDeps): (loadBalancerId: string) => boolean {
  let [ids, askedMs] = [new Set<string>(), Number.NEGATIVE_INFINITY];
  return (loadBalancerId) => {
    if (clock.now() - askedMs >= FRESH_MS) {
      askedMs = clock.now();
      const held = [...holds.dials].flatMap(([uid, { releasedAtMs }]) => (releasedAtMs === undefined ? [uid] : []));
      const owners = [...pods.ending, ...held].flatMap((uid) => {
        const pod = facts.pods.get(uid);
        return pod === undefined ? [] : intents.selections.ownersSelecting(pod);
      });
      ids = new Set(owners.flatMap((owner) => loadBalancerOf(owner) ?? []));
    }
    return ids.has(loadBalancerId);
  };
}
