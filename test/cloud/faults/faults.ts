import type { Clock } from "../../../common/clock.ts";
import type { Journal } from "../journal/journal.ts";
import type { Random } from "../runtime/random.ts";
import type { PastStates } from "./past-states.ts";
import { type Fault, type ReadFault, readFault } from "./script.ts";

/** What a call is chosen by. */
export type FaultyCall = {
  readonly service: string;
  readonly action: string;
  readonly caller: string;
  readonly isWrite: boolean;
  readonly loadBalancerIds: readonly string[];
};

/** A fault, since when it is there, how many calls it could have met and how many it has. `state` tells whether it meets any now. */
export type FaultStatus = {
  readonly fault: ReadFault;
  readonly addedMs: number;
  readonly seen: number;
  readonly hits: number;
  readonly state: "waiting" | "active" | "over";
};

export interface Faults {
  /** Throws a TypeError that names the field and what it must be. */
  add(fault: Fault | ReadFault): void;
  /** Takes these in place of all that are there. */
  replace(faults: readonly ReadFault[]): void;
  /** Ends all faults; stuck tasks go on. */
  clear(): void;
  list(): FaultStatus[];
  /** The faults that meet this call; each is used up by one. */
  take(call: FaultyCall): ReadFault[];
  /** Aborts when the faults that are there now have been cleared. */
  readonly cleared: AbortSignal;
}

type Active = { readonly fault: ReadFault; readonly addedMs: number; seen: number; hits: number };

export function makeFaults(deps: { clock: Clock; random: Random; journal: Journal; past: PastStates }): Faults {
  const { clock, random, journal } = deps;
  let active: Active[] = [];
  let clearing = new AbortController();

  const add = (given: Fault | ReadFault): void => {
    const fault = readFault(given);
    if (fault.kind === "stale") deps.past.remember(fault.age);
    active.push({ fault, addedMs: clock.now(), seen: 0, hits: 0 });
    journal.add({ kind: "fault", change: "added", fault: fault.kind });
  };
  const clear = (): void => {
    if (active.length === 0) return;
    for (const { fault } of active) journal.add({ kind: "fault", change: "cleared", fault: fault.kind });
    active = [];
    deps.past.forget();
    clearing.abort();
    clearing = new AbortController();
  };
  const meets = (one: Active, call: FaultyCall): boolean => {
    if (stateOf(one, clock.now()) !== "active" || !couldMeet(one.fault, call)) return false;
    one.seen++;
    if (one.fault.every !== undefined && one.seen % one.fault.every !== 0) return false;
    if (one.fault.probability !== undefined && random() >= one.fault.probability) return false;
    one.hits++;
    return true;
  };

  return {
    add,
    clear,
    replace: (faults) => {
      clear();
      for (const fault of faults) add(fault);
    },
    list: () => active.map((one) => ({ ...one, state: stateOf(one, clock.now()) })),
    take: (call) => active.filter((one) => meets(one, call)).map(({ fault }) => fault),
    get cleared() {
      return clearing.signal;
    },
  };
}

function stateOf({ fault, addedMs, hits }: Active, nowMs: number): FaultStatus["state"] {
  const beginsMs = addedMs + (fault.from ?? 0);
  if (hits >= (fault.count ?? Infinity) || nowMs >= beginsMs + (fault.for ?? Infinity)) return "over";
  return nowMs < beginsMs ? "waiting" : "active";
}

/** Actions that a fault of this kind means where it names none. */
const REGISTRATIONS = ["RegisterTargets", "BatchRegisterTargets"];
const DEREGISTRATIONS = ["DeregisterTargets", "BatchDeregisterTargets"];

/** Pure: whether the call is of those that the fault names, and of a sort that its kind can meet. */
function couldMeet(fault: ReadFault, call: FaultyCall): boolean {
  const named = (names: readonly string[] | undefined, given: readonly string[]): boolean =>
    names === undefined || given.some((name) => names.includes(name));
  return (
    named(fault.action, [call.action]) &&
    named(fault.loadBalancerId, call.loadBalancerIds) &&
    named(fault.caller, [call.caller]) &&
    fitsKind(fault.kind, call)
  );
}

function fitsKind(kind: ReadFault["kind"], { action, isWrite }: FaultyCall): boolean {
  switch (kind) {
    case "task-failed":
    case "task-stuck":
    case "lost-response":
    case "locked":
      return isWrite;
    case "partial":
      return REGISTRATIONS.includes(action) || DEREGISTRATIONS.includes(action);
    case "not-bound":
      return REGISTRATIONS.includes(action);
    case "stale":
      return !isWrite;
    case "error":
    case "throttled":
    case "expired-credentials":
    case "http":
    case "reset":
    case "latency":
    case "chunked":
    case "truncated":
      return true;
    default:
      return kind satisfies never;
  }
}
