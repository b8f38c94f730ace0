import type { PodFact } from "../../common/vocabulary.ts";
import type { Early } from "../domain/intent/backends.ts";
import { AwaitedServices } from "./awaited-services.ts";
import { Hindrances } from "./hindrances.ts";
import { waitsForGate } from "./pod-index.ts";
import { RefusedCalls } from "./refused-calls.ts";

/** What one reign of a leader has found out besides what it reads. */
export type Memories = {
  readonly hindrances: Hindrances;
  readonly refusedCalls: RefusedCalls;
  readonly awaitedServices: AwaitedServices;
  /** Waiting Pods (UIDs) all of whose ports that are to be bound answer, by their agents' word. */
  readonly listening: Set<string>;
  /** What these say of a Pod that has never been ready; undefined: it is, or was. */
  readonly earlyOf: (pod: PodFact) => Early | undefined;
};

export function makeMemories(clock: { now(): number }): Memories {
  const listening = new Set<string>();
  return {
    hindrances: new Hindrances(clock),
    refusedCalls: new RefusedCalls(clock),
    awaitedServices: new AwaitedServices(),
    listening,
    earlyOf: (pod) => {
      if (pod.containersReady || !waitsForGate(pod)) return undefined;
      return listening.has(pod.uid) ? "listens" : "silent";
    },
  };
}
