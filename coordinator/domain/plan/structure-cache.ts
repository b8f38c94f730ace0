import type { DesiredLoadBalancer, WantedListener } from "../intent/desired-load-balancer.ts";
import type { LoadBalancer } from "../load-balancer.ts";
import { sameApart, sameButTargets, sameEach } from "../structural-sharing.ts";
import type { PlacePair } from "./place-pair.ts";

/** The places of a listener that stays; makes them as `planStructure` does. */
type PairsOf = (about: Pick<PlacePair, "listener" | "ownerUid" | "leaves">, wanted: WantedListener | undefined) => readonly PlacePair[];

/** One listener: where it stands among those that are there and those that are wanted (-1: nowhere), and its places. */
type Part = { readonly at: number; readonly wantedAt: number; readonly pairs: readonly PlacePair[] };
type Kept = Seen & {
  readonly parts: readonly Part[];
  readonly pairs: readonly PlacePair[];
};

/**
 * The places of one load balancer whose listeners and rules are as they are wanted. That holds until anything of them changes but Pods: what is
 * bound in a place, and what is wanted there. Compared as objects; what is not the same object is looked at member by member.
 */
export class StructureCache {
  #kept: Kept | undefined;

  /** Undefined: something else may be due than targets. */
  recall(desired: DesiredLoadBalancer, actual: LoadBalancer, pairsOf: PairsOf): readonly PlacePair[] | undefined {
    const kept = this.#kept;
    if (kept === undefined || desired.conflicts.length + (desired.ruleConflicts?.length ?? 0) > 0) return undefined;
    if (actual.vips !== kept.actual.vips || actual.domain !== kept.actual.domain || !isSameStructure(kept, desired, actual))
      return undefined;
    if (kept.desired.listeners === desired.listeners && kept.actual.listeners === actual.listeners) return kept.pairs;
    const parts = kept.parts.map((part) => {
      const { at, wantedAt, pairs } = part;
      const [listener, wanted, first] = [actual.listeners[at], desired.listeners[wantedAt], pairs[0]];
      if (listener === undefined || first === undefined) return part;
      if (listener === kept.actual.listeners[at] && wanted === kept.desired.listeners[wantedAt]) return part;
      return { at, wantedAt, pairs: pairsOf({ listener, ownerUid: first.ownerUid, leaves: false }, wanted) };
    });
    const isSame = parts.every((part, at) => part === kept.parts[at]);
    this.#kept = { desired, actual, parts, pairs: isSame ? kept.pairs : parts.flatMap(({ pairs }) => pairs) };
    return this.#kept.pairs;
  }

  /** `pairs`: all places, those of one listener together; undefined: there is more to be done than targets. */
  keep(desired: DesiredLoadBalancer, actual: LoadBalancer, pairs: readonly PlacePair[] | undefined): void {
    this.#kept = pairs && { desired, actual, pairs, parts: partsOf(desired, actual, pairs) };
  }
}

function partsOf(desired: DesiredLoadBalancer, actual: LoadBalancer, pairs: readonly PlacePair[]): Part[] {
  const places = new Map(actual.listeners.map((listener, at) => [listener, at]));
  const wanted = new Map(desired.listeners.map(({ name }, at) => [name, at]));
  return [...Map.groupBy(pairs, ({ listener }) => listener)].map(([listener, own]) => ({
    at: places.get(listener) ?? -1,
    wantedAt: wanted.get(listener.name) ?? -1,
    pairs: own,
  }));
}

/** What a load balancer was to be and was. */
export type Seen = { readonly desired: DesiredLoadBalancer; readonly actual: LoadBalancer };

/** Pure: the same owners, and the same listeners and rules but for Pods: neither has one of them another wish, nor is it set otherwise. */
export function isSameStructure(kept: Seen, desired: DesiredLoadBalancer, actual: LoadBalancer): boolean {
  return (
    desired.owners === kept.desired.owners &&
    sameEach(kept.actual.listeners, actual.listeners, sameButTargets) &&
    sameEach(kept.desired.listeners, desired.listeners, sameButPods)
  );
}

const PODS: ReadonlySet<string> = new Set(["backends", "standings"]);
const PODS_AND_RULES: ReadonlySet<string> = new Set([...PODS, "rules"]);

/** Of two states of one wish: nothing of it has changed but its Pods, or those of its rules. */
function sameButPods(before: WantedListener | undefined, now: WantedListener): boolean {
  if (before === now) return true;
  if (before === undefined || !sameApart(before, now, PODS_AND_RULES)) return false;
  return sameEach(before.rules ?? [], now.rules ?? [], (was, rule) => was !== undefined && sameApart(was, rule, PODS));
}
