import { CALL_LIMITS, type Call } from "../call.ts";
import { chunks } from "../chunks.ts";
import type { DesiredLoadBalancer } from "../intent/desired-load-balancer.ts";
import type { Listener, Place, Rule } from "../load-balancer.ts";
import type { PlacePair } from "./place-pair.ts";
import type { Missing, StructurePlan } from "./plan-structure.ts";

type Owner = DesiredLoadBalancer["owners"][number];

/** How far what an owner asks for has come: something is not there; all is there; all of it serves. */
type Standing = "missing" | "made" | "serves";

/**
 * A listener or rule that its owner asks for no more goes when what the owner asks for instead serves: add before remove.
 *
 * | what the owner asks for | place with targets | empty place |
 * |---|---|---|
 * | all of it serves | drains, then goes | goes |
 * | all of it is there, but does not serve | stays | goes |
 * | something is not there: it is to be created, another listener has its port, a quota is met | stays | stays; goes where a quota needs room |
 * | a port in its place has a protocol that no load balancer serves | stays | stays |
 * | it waits for nothing but a port that this one has, perhaps by way of others | goes at once: nothing can be added before | goes |
 */
export type LeavingPlan = {
  /** True: this place goes now, so it is drained. */
  readonly goes: (pair: PlacePair) => boolean;
  /** Listeners that go at once, with what they serve: what replaces them needs their ports. */
  readonly makeWay: readonly Listener[];
};

export type LeavingInput = {
  readonly structure: Pick<StructurePlan, "isSettled" | "pairs" | "leaving" | "missing">;
  readonly owners: readonly Owner[];
  /** What is wanted in this place serves. */
  readonly serves: (pair: PlacePair) => boolean;
  /** The cloud refused more for a quota. */
  readonly roomFirst: boolean;
};

/** Pure: which places that nobody asks for any more go. */
export function planLeaving({ structure, owners, serves, roomFirst }: LeavingInput): LeavingPlan {
  if (structure.isSettled || (structure.pairs.every(({ leaves }) => !leaves) && structure.leaving.length === 0))
    return { goes: () => false, makeWay: [] };
  const known = new Map<string, Standing>();
  const unready = (uid: string): boolean =>
    structure.pairs.some((pair) => pair.ownerUid === uid && !pair.leaves && isUnready(pair, serves));
  const standingOf = (uid: string): Standing => {
    const standing = known.get(uid) ?? (isMissing(structure.missing, uid) ? "missing" : unready(uid) ? "made" : "serves");
    known.set(uid, standing);
    return standing;
  };
  const ownerOf = new Map(owners.map((owner) => [owner.ref.uid, owner]));
  const goes = ({ leaves, ownerUid, listener, rule, place }: PlacePair): boolean => {
    if (!leaves || standsIn(ownerOf.get(ownerUid), listener)) return false;
    const standing = standingOf(ownerUid);
    if (standing === "serves") return true;
    const isEmpty = place.targets.length === 0 && rule?.redirect === undefined; // one that redirects serves its clients
    return isEmpty && (standing === "made" || roomFirst);
  };
  return { goes, makeWay: inEachOthersWay(structure, unready) };
}

/** A rule that is to redirect and does not yet is as one that does not serve. */
const isUnready = (pair: PlacePair, serves: (pair: PlacePair) => boolean): boolean =>
  pair.redirect?.isMade === false || (pair.wanted !== undefined && !serves(pair));

const isMissing = (missing: readonly Missing[], uid: string): boolean => missing.some(({ ownerUid }) => ownerUid === uid);

/** A port that cannot be served stands in place of this listener: it has its number, or the Pods' port. A name may be any port. */
const standsIn = (owner: Owner | undefined, { port, targets }: Listener): boolean =>
  owner?.unserved?.some(
    (unserved) =>
      unserved.port === port ||
      typeof unserved.targetPort === "string" ||
      targets.some((target) => target.port === unserved.targetPort) ||
      targets.length === 0,
  ) === true;

/**
 * Listeners whose owners wait for nothing but ports of each other, e.g. two Services that swap their ports, or one that asks for another
 * protocol on the same port. Whoever waits for a port that Pods are ready for is in it; who waits for anything else as well is not.
 */
function inEachOthersWay(
  { leaving, missing }: Pick<StructurePlan, "leaving" | "missing">,
  unready: (uid: string) => boolean,
): readonly Listener[] {
  let inTheWay = leaving.filter(({ listener, owner }) => {
    if (listener.sharedName !== undefined) return false; // others serve there
    const waits = missing.filter(({ by }) => by?.listenerId === listener.listenerId);
    return waits.some(isReady) && !standsIn(owner, listener) && !unready(owner.ref.uid);
  });
  for (;;) {
    const ids = new Set(inTheWay.map(({ listener }) => listener.listenerId));
    const left = inTheWay.filter(({ owner }) => {
      const waits = missing.filter(({ ownerUid }) => ownerUid === owner.ref.uid);
      return waits.length > 0 && waits.every(({ by }) => by !== undefined && ids.has(by.listenerId));
    });
    if (left.length === inTheWay.length) return left.map(({ listener }) => listener);
    inTheWay = left;
  }
}

const isReady = ({ wanted }: Missing): boolean =>
  (wanted?.rules ?? [wanted]).some((place) => place?.backends.some(({ bindable }) => bindable) === true);

/**
 * The deletions: of listeners with all their places, and of rules of listeners that stay; first those of redirects from and to them. `isOver`:
 * nothing of ours has to drain there any more.
 */
export function deleteCalls(
  { doomed, leaving, pairs, shared }: Pick<StructurePlan, "doomed" | "leaving" | "pairs" | "shared">,
  { goes, makeWay }: LeavingPlan,
  isOver: (place: Place) => boolean,
  ends: (isGoing: (rule: Rule) => boolean) => Call[],
): Call[] {
  const over = leaving.flatMap(({ listener, owner }) => {
    const places = pairs.filter((pair) => pair.listener === listener);
    const bare = { listener, place: listener, rule: undefined, wanted: undefined, ownerUid: owner.ref.uid, leaves: true };
    return (places.length === 0 ? goes(bare) : places.every(({ place }) => isOver(place))) ? listener : [];
  });
  const going = new Set([...doomed, ...over, ...makeWay]);
  const isWhole = ({ listenerId }: Listener): boolean => shared.get(listenerId)?.every((one) => going.has(one)) !== false;
  const ids = [...new Set([...going].filter(isWhole).map(({ listenerId }) => listenerId))];
  const rules = new Map<string, string[]>();
  // Of a listener that others share only their own rules go.
  for (const listener of going) {
    const own = isWhole(listener) ? [] : listener.rules.map(({ locationId }) => locationId);
    if (own.length > 0) rules.set(listener.listenerId, [...(rules.get(listener.listenerId) ?? []), ...own]);
  }
  for (const { listener, rule, leaves, place } of pairs) {
    if (rule === undefined || !leaves || !isOver(place) || leaving.some((one) => one.listener === listener)) continue;
    rules.set(listener.listenerId, [...(rules.get(listener.listenerId) ?? []), rule.locationId]);
  }
  const [goingListeners, goingRules] = [new Set(ids), new Set([...rules.values()].flat())];
  const first = ends((rule) => goingListeners.has(rule.listenerId) || goingRules.has(rule.locationId));
  if (first.length > 0) return first;
  return [
    ...chunks(ids, CALL_LIMITS.deletedListeners).map((listenerIds): Call => ({ lane: "delete", listenerIds })),
    ...[...rules].flatMap(([listenerId, all]) =>
      chunks(all, CALL_LIMITS.deletedRules).map((locationIds): Call => ({ lane: "delete", rules: { listenerId, locationIds } })),
    ),
  ];
}
