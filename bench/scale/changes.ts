/** Pods that change at an even rate. */
import type { Ground, Seat } from "./ground.ts";
import { aPod, terminating, touched, withReadiness } from "./objects.ts";
import { type Patience, untilAll } from "./wait.ts";

/**
 * `touch`: an annotation of Pods that no Service selects. `flip`: containers of any Pods are unready for a while. `churn`: any Pods are
 * replaced; one replacement is four changes.
 */
export type Mix = "touch" | "flip" | "churn";

export type Driven = {
  readonly changes: number;
  readonly seconds: number;
  /** From containers ready to the gate True in the store, per new Pod that a Service selects. */
  readonly gateMs: readonly number[];
  /** New Pods whose gate was not True long after everything was done. */
  readonly unopened: number;
};

const TICK_MS = 10;
/** Longer than the second after which a bound Pod that is not ready gets weight 0. */
const UNREADY_MS = 2_000;
/** Containers take seconds to start; a Pod that is not ready is read after two (pod-reader.ts). */
const START_MS = 3_000;
const GRACE_MS = 2_000;
/** A gate counts as one that never opens when none has opened for so long: a busy machine is slow, and is waited for. */
const LAST_GATES: Patience = { stalledMs: 20_000, mostMs: 120_000 };
/** Coprime to the number of seats, nearly always: neighbours in time are on different nodes. */
const STRIDE = 7_919;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function drive(
  ground: Ground,
  mix: Mix,
  { rate, seconds }: { readonly rate: number; readonly seconds: number },
): Promise<Driven> {
  const { seats, get, put } = ground;
  const mayPick = seats.map((_, index) => index).filter((index) => mix !== "touch" || seats[index]?.service === undefined);
  const later: { readonly dueMs: number; readonly act: () => void }[] = [];
  const gateMs: number[] = [];
  let picked = 0;
  let changes = 0;
  let awaited = 0;

  const pick = (): number => mayPick[(picked++ * STRIDE) % mayPick.length] ?? 0;
  const change = (seat: Seat, make: (pod: NonNullable<ReturnType<typeof get>>) => ReturnType<typeof put>): void => {
    const pod = get(seat);
    if (pod !== undefined) put(make(pod));
  };
  const after = (ms: number, act: () => void): void => void later.push({ dueMs: performance.now() + ms, act });

  const begin = (): void => {
    const index = pick();
    const seat = seats[index];
    if (seat === undefined) return;
    if (mix === "touch") change(seat, (pod) => touched(pod, picked));
    else if (mix === "flip") {
      change(seat, (pod) => withReadiness(pod, false));
      after(UNREADY_MS, () => change(seat, (pod) => withReadiness(pod, true)));
    } else replace(index, seat);
  };
  const replace = (index: number, seat: Seat): void => {
    const { node, service } = seat;
    change(seat, (pod) => terminating(pod, GRACE_MS / 1_000));
    after(GRACE_MS, () => {
      const pod = get(seat);
      if (pod !== undefined) ground.store.remove("pods", pod);
    });
    const fresh = aPod({ node, number: ground.nextNumber(), service, ready: false, gateOpen: false });
    const successor = { node, name: fresh.metadata.name, service };
    seats[index] = successor;
    after(0, () => {
      put(fresh);
      after(START_MS, () => {
        if (service !== undefined) {
          const readyMs = performance.now();
          awaited += 1;
          ground.onGate(fresh.metadata.uid, (atMs) => void gateMs.push(atMs - readyMs));
        }
        change(successor, (pod) => withReadiness(pod, true));
      });
    });
  };

  const startMs = performance.now();
  const endMs = startMs + seconds * 1_000;
  let doneMs = startMs;
  for (let budget = 0, lastMs = startMs; ; ) {
    await pause(TICK_MS);
    const nowMs = performance.now();
    const over = nowMs >= endMs;
    if (over && later.length === 0) break;
    budget = Math.min(budget + ((nowMs - lastMs) * rate) / 1_000, rate); // a pause of ours is made good, but never more than a second of it
    lastMs = nowMs;
    for (; budget >= 1; budget -= 1) {
      const due = later.findIndex(({ dueMs }) => over || dueMs <= nowMs); // what is left at the end comes early, at the same rate
      const [one] = due < 0 ? [] : later.splice(due, 1);
      if (one === undefined && over) break;
      (one?.act ?? begin)();
      changes += 1;
      doneMs = nowMs;
    }
  }
  await untilAll(() => gateMs.length, awaited, LAST_GATES);
  return { changes, seconds: (doneMs - startMs) / 1_000, gateMs, unopened: awaited - gateMs.length };
}

/** The share of sorted or unsorted times, e.g. (times, 0.99); undefined of none. */
export function quantile(times: readonly number[], share: number): number | undefined {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
