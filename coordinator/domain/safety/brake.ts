import type { Call } from "../call.ts";
import { placeKey, type Slot, slotKey } from "../load-balancer.ts";

/** A level of stable backends and until when it was so, milliseconds since the epoch; levels fall with time, e.g. 10 until 12:00, 6 until now. */
export type Level = { readonly stable: number; readonly untilMs: number };

/** How far back "stable" reaches, and the share of it that stays whatever is merely missing. */
const WINDOW_MS = 600_000;
export const STAYING_SHARE = 0.5;

/** Pure: the history of one place after one more count. Only levels that are the highest of what follows are kept. */
export function noteLevel(history: readonly Level[], stable: number, nowMs: number): readonly Level[] {
  const last = history.at(-1);
  const lasted = last === undefined ? [] : [...history.slice(0, -1), { ...last, untilMs: nowMs }];
  const kept = lasted.filter((level) => level.stable > stable && level.untilMs > nowMs - WINDOW_MS);
  return [...kept, { stable, untilMs: nowMs }];
}

/** What a place had and has: `stableMost` of the last ten minutes, `stable` the slot keys that serve now. */
export type PlaceLoad = { readonly history: readonly Level[]; readonly stable: ReadonlySet<string> };

/**
 * A backend that a plan takes away. `podUid`: the Pod that it was bound for, where known. `confirmed`: why its end is certain; undefined:
 * it is merely missing or no longer selected.
 */
export type Removal = { readonly slot: Slot; readonly podUid: string | undefined; readonly confirmed: string | undefined };

/** Removals of one place that wait. `id` is what releases them, e.g. "r-5e21c0ff": the same Pods in the same slots always have the same one. */
export type Parked = {
  readonly id: string;
  readonly place: string;
  readonly slots: readonly Slot[];
  /** Backends that would stay, and how many of the stable ones of the last ten minutes have to. */
  readonly staying: number;
  readonly floor: number;
  /** An owner names `id` as released, but that release lets nothing go any more. */
  readonly spent?: Spent;
};
/** Why a release that stands on an owner lets nothing go: its removal was carried out, or no such removal waited while it was new. */
export type Spent = "used" | "late";

/**
 * Pure: which removals wait. A place keeps half of the backends that were stable in the last ten minutes, at least one, unless the end of
 * each that goes is confirmed. All that are not confirmed wait together: what has to be doubted is the fact behind them.
 * `loads` is asked for places with something to doubt only; it lacks one whose health was never read: nothing unconfirmed goes there.
 */
export function brake(loads: Pick<ReadonlyMap<string, PlaceLoad>, "get">, removals: readonly Removal[], nowMs: number): readonly Parked[] {
  const byPlace = new Map<string, Removal[]>();
  for (const removal of removals) {
    const key = placeKey(removal.slot);
    const group = byPlace.get(key);
    if (group === undefined) byPlace.set(key, [removal]);
    else group.push(removal);
  }
  return [...byPlace].flatMap(([place, all]) => {
    const doubtful = all.filter(({ confirmed }) => confirmed === undefined);
    if (doubtful.length === 0) return [];
    const load = loads.get(place);
    const going = new Set(all.map(({ slot }) => slotKey(slot)));
    const staying = [...(load?.stable ?? [])].filter((key) => !going.has(key)).length;
    const floor = load === undefined ? 1 : floorOf(load.history, nowMs);
    return staying >= floor ? [] : [{ id: removalId(place, doubtful), place, slots: doubtful.map(({ slot }) => slot), staying, floor }];
  });
}

/** Pure: so many of what was stable in the last ten minutes have to stay. Nothing was: nothing to protect. */
export function floorOf(history: readonly Level[], nowMs: number): number {
  const most = Math.max(0, ...history.filter(({ untilMs }) => untilMs > nowMs - WINDOW_MS).map(({ stable }) => stable));
  return most === 0 ? 0 : Math.max(1, Math.ceil(most * STAYING_SHARE));
}

/**
 * FNV-1a of the place, its slots and their Pods in order: short enough to type, and the same in every process, so that a release outlives
 * a change of leader. The Pods are in it because addresses are used again: a removal of other Pods from the same slots is another one.
 */
function removalId(place: string, doubtful: readonly Removal[]): string {
  const items = doubtful.map(({ slot, podUid }) => `${slotKey(slot)} ${podUid ?? ""}`);
  let hash = 0x811c9dc5;
  for (const character of [place, ...items.toSorted()].join("\n"))
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return `r-${hash.toString(16).padStart(8, "0")}`;
}

/**
 * Slots with a weight that the calls take away: conflict, drain to 0, and what is bound in listeners and rules that are deleted. What is
 * drained already serves nobody. `boundIn`: the slots of one listener, or of some of its rules.
 */
export function removedSlots(
  calls: readonly Call[],
  weightOf: (slot: Slot) => number,
  boundIn: (listenerId: string, locationIds?: readonly string[]) => readonly Slot[],
): Slot[] {
  return calls.flatMap((call): readonly Slot[] => {
    if (call.lane === "drain") return call.weights.filter(({ weight }) => weight === 0);
    if (call.lane === "delete") {
      if ("redirects" in call) return [];
      const all = "rules" in call ? boundIn(call.rules.listenerId, call.rules.locationIds) : call.listenerIds.flatMap((id) => boundIn(id));
      return all.filter((slot) => weightOf(slot) > 0);
    }
    return call.lane === "conflict" || call.lane === "unbind" ? call.slots.filter((slot) => weightOf(slot) > 0) : [];
  });
}

/** The calls without the slots that are parked, nor the deletion of what they are bound in; calls that have nothing left are left out. */
export function withoutParked(calls: readonly Call[], parked: readonly Parked[]): readonly Call[] {
  if (parked.length === 0) return calls;
  const held = new Set(parked.flatMap(({ slots }) => slots.map(slotKey)));
  const heldPlaces = parked.flatMap(({ slots }) => slots.slice(0, 1));
  const mayGo = (listenerId: string, locationId?: string): boolean =>
    !heldPlaces.some((slot) => slot.listenerId === listenerId && (locationId === undefined || slot.locationId === locationId));
  const goes = (slot: Slot): boolean => !held.has(slotKey(slot));
  return calls.flatMap((call): Call[] => {
    if (call.lane === "drain") {
      const weights = call.weights.filter(goes);
      return weights.length === 0 ? [] : [{ ...call, weights }];
    }
    if (call.lane === "delete" && "listenerIds" in call) {
      const listenerIds = call.listenerIds.filter((id) => mayGo(id));
      return listenerIds.length === 0 ? [] : [{ ...call, listenerIds }];
    }
    if (call.lane === "delete" && "rules" in call) {
      const locationIds = call.rules.locationIds.filter((id) => mayGo(call.rules.listenerId, id));
      return locationIds.length === 0 ? [] : [{ ...call, rules: { ...call.rules, locationIds } }];
    }
    if (call.lane !== "conflict" && call.lane !== "unbind") return [call];
    const slots = call.slots.filter(goes);
    return slots.length === 0 ? [] : [{ ...call, slots }];
  });
}
