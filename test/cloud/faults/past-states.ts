import type { Clock } from "../../../common/clock.ts";
import type { Journal } from "../journal/journal.ts";
import type { Account } from "../model/account.ts";

/** How the account looked lately, for reads that are answered late by a replica. Costs nothing until it is asked to remember. */
export interface PastStates {
  /** Keeps states from now on, for reads so many ms back. */
  remember(ageMs: number): void;
  forget(): void;
  /** The account as it was at that time, or at the earliest time that is remembered. Tasks and tags of the task list are not part of it. */
  at(timeMs: number): Account | undefined;
}

type State = { readonly fromMs: number; readonly account: Account };

/** A state is copied whenever the journal tells of a change, once per turn of the event loop: a batch of 500 is one change. */
export function makePastStates({ account, clock, journal }: { account: Account; clock: Clock; journal: Journal }): PastStates {
  let states: State[] = [];
  let oldestMs = 0;
  let unwatch: (() => void) | undefined;
  let ordered = false;

  const take = (): void => {
    ordered = false;
    if (unwatch === undefined) return;
    const nowMs = clock.now();
    states.push({ fromMs: nowMs, account: copyOf(account, new Map()) });
    const needed = states.findLastIndex(({ fromMs }) => fromMs <= nowMs - oldestMs);
    if (needed > 0) states = states.slice(needed);
  };

  return {
    remember: (ageMs) => {
      oldestMs = Math.max(oldestMs, ageMs);
      if (unwatch !== undefined) return;
      unwatch = journal.watch(({ kind }) => {
        if (ordered || kind === "call" || kind === "data-plane" || kind === "fault") return;
        ordered = true;
        queueMicrotask(take);
      });
      take();
    },
    forget: () => {
      unwatch?.();
      unwatch = undefined;
      states = [];
      oldestMs = 0;
    },
    at: (timeMs) => (states.findLast(({ fromMs }) => fromMs <= timeMs) ?? states[0])?.account,
  };
}

/** A copy of maps, sets, lists and plain objects, all the way down; anything else (a signal, a socket) is kept as it is. */
function copyOf<T>(value: T, known: Map<unknown, unknown>): T {
  if (typeof value !== "object" || value === null) return value;
  const copied = known.get(value);
  if (copied !== undefined) return copied as T; // what `known` holds is a copy of its key
  if (value instanceof Map) {
    const copy = new Map<unknown, unknown>();
    known.set(value, copy);
    for (const [key, item] of value) copy.set(key, copyOf(item, known));
    return copy as T;
  }
  if (value instanceof Set) {
    const copy = new Set<unknown>();
    known.set(value, copy);
    for (const item of value) copy.add(copyOf(item, known));
    return copy as T;
  }
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return value;
  const copy: object = Array.isArray(value) ? [] : {};
  known.set(value, copy);
  for (const [name, item] of Object.entries(value)) Reflect.set(copy, name, copyOf(item, known));
  return copy as T;
}
