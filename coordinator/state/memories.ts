import { AwaitedServices } from "./awaited-services.ts";
import { Hindrances } from "./hindrances.ts";
import { RefusedCalls } from "./refused-calls.ts";

/** What one reign of a leader has found out besides what it reads. */
export type Memories = {
  readonly hindrances: Hindrances;
  readonly refusedCalls: RefusedCalls;
  readonly awaitedServices: AwaitedServices;
};

export const makeMemories = (clock: { now(): number }): Memories => ({
  hindrances: new Hindrances(clock),
  refusedCalls: new RefusedCalls(clock),
  awaitedServices: new AwaitedServices(),
});
