import type { Dial, HoldAnswer, ReleasedPod } from "../../common/holds.ts";
import { isStopping } from "../domain/readiness/drain-end.ts";
import type { PodFacts } from "./pod-facts.ts";

/** A Pod's preStop hook was called (`isNew`), or more is known of it; or its calls were answered (`released` undefined: nobody said how). */
export type HoldEvent =
  | { readonly kind: "held"; readonly uid: string; readonly isNew: boolean }
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
  clear: () => undefined,
  follow: () => () => undefined,
};

/** Whether a container of a live Pod (UID) is being stopped, now. */
export const stoppingBy =
  (holds: Pick<Holds, "dials">, facts: Pick<PodFacts, "pods">, clock: { now(): number }) =>
  (podUid: string): boolean =>
    isStopping(holds.dials.get(podUid), facts.pods.get(podUid), clock.now());
