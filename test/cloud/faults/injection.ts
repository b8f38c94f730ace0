import type { Clock } from "../../../common/clock.ts";
import type { Journal } from "../journal/journal.ts";
import type { Account } from "../model/account.ts";
import { makeRandom } from "../runtime/random.ts";
import { type CallFaults, makeFaultEffects } from "./effects.ts";
import { type Faults, type FaultyCall, makeFaults } from "./faults.ts";
import { makePastStates } from "./past-states.ts";

/** What goes wrong, as tests and people say it. */
export type FaultControl = Pick<Faults, "add" | "replace" | "clear" | "list">;

type Ports = {
  readonly account: Account;
  readonly clock: Clock;
  readonly journal: Journal;
  /** Of a row of numbers of its own: faults change neither ids nor latencies. */
  readonly seed: number;
  readonly stopped: AbortSignal;
};

/** The faults of a cloud, and what they do to each call. */
export function makeFaultInjection({ account, clock, journal, seed, stopped }: Ports): {
  readonly faults: FaultControl;
  readonly faultsOf: (call: FaultyCall) => CallFaults;
} {
  const random = makeRandom(seed);
  const past = makePastStates({ account, clock, journal });
  const faults = makeFaults({ clock, random, journal, past });
  return { faults, faultsOf: makeFaultEffects({ account, clock, random, faults, past, stopped }) };
}
