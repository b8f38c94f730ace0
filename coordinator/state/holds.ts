import type { Dial, HoldAnswer, ReleasedPod } from "../../common/holds.ts";
import { isStopping } from "../domain/readiness/drain-end.ts";
import { type Lasting, lastingOf } from "../domain/readiness/lasting.ts";
import type { PodFacts } from "./pod-facts.ts";

/** A Pod's preStop hook was called, or its grace period is another one (`isNews`), or more is known of it; or its calls were answered (`released` undefined: nobody said how). */
export type HoldEvent =
  | { readonly kind: "held"; readonly uid: string; readonly isNews: boolean }
  | { readonly kind: "released"; readonly dial: Dial; readonly released: ReleasedPod | undefined };

/** Which Pods agents hold, and what they are answered. Only the replica that leads answers. */
export interface Holds {
  /** UIDs of Pods that are held, and of those whose calls were answered a short while ago. */
  readonly dials: ReadonlyMap<string, Dial>;
  /** Told to every agent that holds the Pod, now and whenever one begins to; replaces what was answered before. */
  answer(answer: HoldAnswer): void;
  answerOf(podUid: string): HoldAnswer | undefined;
  /** Nothing has to be remembered of the Pod any more. */
  forget(podUid: string): void;
  /** It has turned out that the Pod is of another node than the agent that spoke of it: what its own agent said counts. */
  disown(podUid: string): void;
  /** This replica answers nothing any more. */
  clear(): void;
  /** Must not throw. Returns the way to unsubscribe. */
  follow(listener: (event: HoldEvent) => void): () => void;
}

/** Where no agent holds anything. */
export const NO_HOLDS: Holds = {
  dials: new Map(),
  answer: () => undefined,
  answerOf: () => undefined,
  forget: () => undefined,
  disown: () => undefined,
  clear: () => undefined,
  follow: () => () => undefined,
};

/** Whether a container of a live Pod (UID) is being stopped, now. */
export const stoppingBy =
  (holds: Pick<Holds, "dials">, facts: Pick<PodFacts, "pods">, clock: { now(): number }) =>
  (podUid: string): boolean =>
    isStopping(holds.dials.get(podUid), facts.pods.get(podUid), clock.now());

/** Pods of which it is remembered since when they terminate. */
const MOST_SEEN = 10_000;

/** What is known of the ends of Pods (UID): whether a container of a live one is being stopped, and until when one that terminates may keep its weight. */
export function endsBy(
  holds: Pick<Holds, "dials">,
  facts: Pick<PodFacts, "pods" | "complete">,
  clock: { now(): number },
): { readonly isStopping: (podUid: string) => boolean; readonly lasting: (podUid: string) => Lasting | undefined } {
  const seenMs = new Map<string, number>();
  return {
    isStopping: stoppingBy(holds, facts, clock),
    lasting: (podUid) => {
      const since = seenMs.get(podUid) ?? clock.now();
      seenMs.set(podUid, since);
      const [oldest] = seenMs.keys();
      if (seenMs.size > MOST_SEEN && oldest !== undefined) seenMs.delete(oldest);
      const lasting = lastingOf(facts.pods.get(podUid), holds.dials.get(podUid), since);
      // What replaces it may be on a node that has not told its Pods.
      return facts.complete || lasting === undefined ? lasting : { ...lasting, sightMs: lasting.untilMs, isPartial: true };
    },
  };
}
