import { CALL_LIMITS, type Call } from "../call.ts";
import { chunks } from "../chunks.ts";
import { type BoundSlot, placeKey, type WeightedSlot } from "../load-balancer.ts";
import type { Creation } from "./plan-structure.ts";

/** A weight call takes at most 500 targets in at most 100 entries of at most 50 targets of one place and weight; each is filled. */
export function weightCalls(items: readonly WeightedSlot[]): WeightedSlot[][] {
  const result: WeightedSlot[][] = [];
  let call: WeightedSlot[] = [];
  let entries = 0;
  for (const entry of weightEntries(items))
    for (let rest = entry; rest.length > 0; ) {
      if (call.length === CALL_LIMITS.targets || entries === CALL_LIMITS.weightEntries) {
        result.push(call);
        call = [];
        entries = 0;
      }
      const part = rest.slice(0, CALL_LIMITS.targets - call.length);
      call.push(...part);
      entries += 1;
      rest = rest.slice(part.length);
    }
  if (call.length > 0) result.push(call);
  return result;
}

/** Groups of at most 50 targets that share place and weight. */
export function weightEntries(items: readonly WeightedSlot[]): WeightedSlot[][] {
  const groups = new Map<string, WeightedSlot[]>();
  for (const item of items) {
    const key = `${placeKey(item)} ${item.weight}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups.values()].flatMap((group) => chunks(group, CALL_LIMITS.weightsPerEntry));
}

/** Backends to bind; `serving`: of places that serve already, so that somebody's rollout waits for them. */
export type Binds = { readonly serving: readonly BoundSlot[]; readonly fresh: readonly BoundSlot[] };

/**
 * The order of structure and binds that costs least. Every write takes longer the more rules the load balancer has (3.88 s + 0.005 s per
 * rule, clb-api.md §7.5), so of two neighbours the bind goes before the creation of rules wherever it can: a **full** bind call goes
 * first, since waiting could save no call. What fills no call waits for the next creation, whose backends fill it up: so the number of
 * calls stays the smallest possible, and each bind meets as few rules as possible. Rules with many backends are created first.
 * 200 new rules with 50 backends each, 20 rules per call: 10 creations and 20 binds in 141 s if all rules come first, in 126 s like this.
 * One exception: backends of places that serve already (a rollout) do not wait for more than one creation, at the price of a call.
 */
export function addingCalls(create: readonly Creation[], binds: Binds): Call[] {
  const calls = chunks([...binds.serving, ...binds.fresh], CALL_LIMITS.targets).map((targets): Call => ({ lane: "bind", targets }));
  const full = Math.floor((binds.serving.length + binds.fresh.length) / CALL_LIMITS.targets);
  const left = binds.serving.length + binds.fresh.length - full * CALL_LIMITS.targets;
  const rolloutWaits = binds.serving.length > full * CALL_LIMITS.targets && creationsToFill(create, left) > 1;
  const first = rolloutWaits ? calls.length : full;
  return [...calls.slice(0, first), ...create.map(({ call }) => call), ...calls.slice(first)];
}

/** How many creations `left` backends would wait until their call is full or nothing more can be created. */
function creationsToFill(create: readonly Creation[], left: number): number {
  let total = left;
  const filling = create.findIndex(({ followUps }) => {
    total += followUps;
    return total >= CALL_LIMITS.targets;
  });
  return filling < 0 ? create.length : filling + 1;
}
