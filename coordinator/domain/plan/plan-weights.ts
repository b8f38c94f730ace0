import type { WantedBackend } from "../intent/backends.ts";
import type { Target } from "../load-balancer.ts";

/** Containers that are not ready for so long are not ready. Milliseconds. */
const UNREADY_MS = 1_000;
/** The weight of one backend is lowered at most so often, however its Pod flaps. Milliseconds. */
const LOWERED_MS = 10_000;

/** What decides whether Pods that are not ready lose their weight in one place. Times are milliseconds since the epoch. */
export type Lowering = {
  readonly nowMs: number;
  /** A container of the Pod is being stopped although nobody says that the Pod ends. It loses its weight at once; default: none is. */
  readonly stopping?: (podUid: string) => boolean;
  /** Since when the Pod's containers are not ready; undefined: nobody has seen that. */
  readonly unreadySinceMs: (podUid: string) => number | undefined;
  /** When the target's weight became 0 last. */
  readonly loweredAtMs: (target: Target) => number | undefined;
  /** So many of those that serve have to keep their weight: what the brake protects. Undefined: what serves is not known yet. */
  readonly floor: () => number | undefined;
};

/** A wanted backend that is bound, and its target. */
export type Bound = { readonly target: Target; readonly backend: WantedBackend };

/**
 * Why a bound backend that is not ready has the weight that it has.
 * `lowered`: it is 0. `soon`: it is about to be. `floor`: too few would be left. `none-ready`: no Pod here is ready. `unknown`: what serves is not known yet.
 */
export type UnreadyWhy = "lowered" | "soon" | "floor" | "none-ready" | "unknown";
export type Unready = { readonly target: Target; readonly why: UnreadyWhy };

/** Changes of weights for the sake of readiness. `dueMs`: when time alone changes them. */
export type WeightPlan = {
  readonly raise: readonly Bound[];
  readonly lower: readonly Target[];
  /** Those that lose it because a container of their Pod is being stopped. */
  readonly stop: readonly Target[];
  readonly unready: readonly Unready[];
  readonly dueMs: number | undefined;
  /** Nothing would be left with a weight: whoever is raised comes before whoever is drained. */
  readonly raiseFirst: boolean;
};

export type WeightView = {
  /** Wanted backends that are bound, in any order. */
  readonly bound: readonly Bound[];
  /** What goes from the place by this plan, e.g. because its Pod ends. */
  readonly goes: ReadonlySet<Target>;
  readonly all: readonly Target[];
  readonly serving: (target: Target) => boolean;
  /** Undefined: nothing is lowered. */
  readonly lowering: Lowering | undefined;
};

/** It is ready, or its Service asks for Pods that are not as well. */
const isReady = ({ backend }: Bound): boolean => backend.bindable;

/**
 * Pure: who of one place gets its weight back, and who loses it because its Pod is not ready. Who is ready gets its weight at once. Who is
 * not ready loses it, those that are being stopped and then those that are so for longest first, as long as enough of what serves keep
 * theirs; where nobody is ready all keep theirs. Where nothing would be left with a weight, all that have none get theirs back, ready or not;
 * but for those that were bound early, which have never had any.
 */
export function planWeights({ bound, goes, all, serving, lowering }: WeightView): WeightPlan {
  const atZero = bound.filter(({ target, backend }) => target.weight === 0 && backend.weight > 0);
  const unready = bound.filter((one) => one.target.weight > 0 && !isReady(one));
  if (atZero.length === 0 && unready.length === 0) return { ...NONE, raise: [], raiseFirst: false };
  const staying = all.filter((target) => target.weight > 0 && !goes.has(target));
  const ready = atZero.filter(isReady);
  const isEmpty = staying.length === 0;
  const raise = isEmpty && ready.length === 0 ? atZero.filter(({ backend }) => backend.early === undefined) : ready;
  const someReady = ready.length > 0 || bound.some((one) => one.target.weight > 0 && !goes.has(one.target) && isReady(one));
  const lowered = lowering === undefined ? NONE : planLowering(unready, { staying, someReady, serving }, lowering);
  const low = new Set(raise);
  const left = atZero.filter((one) => !low.has(one)).map(({ target }): Unready => ({ target, why: "lowered" }));
  return { ...lowered, raise, unready: [...left, ...lowered.unready], raiseFirst: isEmpty };
}

const NONE: Pick<WeightPlan, "lower" | "stop" | "unready" | "dueMs"> = { lower: [], stop: [], unready: [], dueMs: undefined };

function planLowering(
  unready: readonly Bound[],
  place: { readonly staying: readonly Target[]; readonly someReady: boolean; readonly serving: (target: Target) => boolean },
  { nowMs, stopping, unreadySinceMs, loweredAtMs, floor }: Lowering,
): typeof NONE {
  if (unready.length === 0) return NONE;
  if (!place.someReady) return { ...NONE, unready: unready.map(({ target }) => ({ target, why: "none-ready" })) };
  const least = floor();
  if (least === undefined) return { ...NONE, unready: unready.map(({ target }) => ({ target, why: "unknown" })) };
  const candidates = unready.map(({ target, backend }) => {
    const sinceMs = unreadySinceMs(backend.podUid) ?? nowMs;
    const lastMs = loweredAtMs(target);
    const stops = stopping?.(backend.podUid) === true;
    const dueMs = stops ? nowMs : Math.max(sinceMs + UNREADY_MS, lastMs === undefined ? 0 : lastMs + LOWERED_MS);
    return { target, sinceMs, dueMs, stops, serves: place.serving(target) };
  });
  candidates.sort(
    (a, b) =>
      Number(a.serves) - Number(b.serves) || Number(b.stops) - Number(a.stops) || a.sinceMs - b.sinceMs || byAddress(a.target, b.target),
  );
  let weighted = place.staying.length;
  let serving = place.staying.filter(place.serving).length;
  const lower: Target[] = [];
  const stop: Target[] = [];
  const others: Unready[] = [];
  let nextMs: number | undefined;
  for (const { target, dueMs, serves, stops } of candidates) {
    if (weighted <= 1 || (serves && serving - 1 < least)) others.push({ target, why: "floor" });
    else {
      // One that is about to go counts as gone: who is not ready for less long does not go in its place.
      weighted -= 1;
      if (serves) serving -= 1;
      if (dueMs <= nowMs) (stops ? stop : lower).push(target);
      else {
        others.push({ target, why: "soon" });
        nextMs = Math.min(nextMs ?? dueMs, dueMs);
      }
    }
  }
  return { lower, stop, unready: others, dueMs: nextMs };
}

const byAddress = (a: Target, b: Target): number => (a.ip === b.ip ? a.port - b.port : a.ip < b.ip ? -1 : 1);
