import { yieldTurn } from "../../common/event-loop.ts";

/** What is done once, in pieces between which timers and I/O have their turn: with 2 000 owners all of it takes half a second of CPU. */
export interface Restoration {
  /** Begins it when it is first asked. Throws what it ended with, each time: who knows only a part of it must not decide. */
  isDone(): boolean;
}

/** `pieces`: a load balancer each, e.g. of 50 owners. */
export function makeRestoration(pieces: () => Iterable<void>): Restoration {
  let state: "not begun" | "under way" | "done" | { readonly error: unknown } = "not begun";
  const run = async (): Promise<void> => {
    try {
      for (const _ of pieces()) await yieldTurn("restoration");
      state = "done";
    } catch (error) {
      state = { error };
    }
  };
  return {
    isDone() {
      if (state === "not begun") {
        state = "under way"; // first, for the pieces may ask
        void run();
      }
      if (typeof state === "object") throw state.error;
      return state === "done";
    },
  };
}
