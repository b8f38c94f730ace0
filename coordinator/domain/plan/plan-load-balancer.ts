import { CALL_LIMITS, type Call } from "../call.ts";
import { chunks } from "../chunks.ts";
import type { WantedBackend } from "../intent/backends.ts";
import type { DesiredLoadBalancer, WantedListener } from "../intent/desired-load-balancer.ts";
import {
  type Listener,
  type LoadBalancer,
  type Place,
  type Rule,
  type Slot,
  type Target,
  targetKey,
  type WeightedSlot,
} from "../load-balancer.ts";
import type { Lasting } from "../readiness/lasting.ts";
import { applyCall } from "./apply-call.ts";
import { addingCalls, weightCalls } from "./fill-calls.ts";
import type { PlacePair } from "./place-pair.ts";
import type { PlanCache } from "./plan-cache.ts";
import { deleteCalls, type LeavingPlan, planLeaving } from "./plan-leaving.ts";
import { endsBefore, planRedirects } from "./plan-redirects.ts";
import { settingCalls } from "./plan-settings.ts";
import { planStructure, type StructurePlan } from "./plan-structure.ts";
import { type Holder, planTargets, servesAsWanted, type TargetChanges } from "./plan-targets.ts";
import type { Lowering, Unready } from "./plan-weights.ts";
import { type QuotaShortage, type Quotas, quotaShortages } from "./quota-forecast.ts";

export type PlanInput = {
  readonly clusterId: string;
  readonly desired: DesiredLoadBalancer;
  readonly actual: LoadBalancer;
  readonly holderOf: (ip: string) => Holder;
  /** An address claim names the holder; changes of an unclaimed holder are not told to the cache. Default: all are claimed. */
  readonly isClaimed?: (ip: string) => boolean;
  readonly serving: (place: Place, target: Target) => boolean;
  readonly drained: (place: Place, target: Target) => boolean;
  /** A wanted backend that nobody has to wait for; default: none is. */
  readonly broken?: (place: Place, backend: WantedBackend, target: Target | undefined) => boolean;
  /** The write that runs now: it counts as done, so it is not planned again. */
  readonly inFlight?: Call | undefined;
  /** Rules per CreateRule. */
  readonly rulesPerCall?: number;
  /** What the last plan of this load balancer found; changes the time it takes, never the plan. */
  readonly cache?: PlanCache;
  /** What takes the weight of Pods of this place that are not ready; default: nothing does. */
  readonly lowering?: (place: Place) => Lowering;
  /** As in TargetView; default: no Pod keeps its weight when it terminates. */
  readonly lasting?: (podUid: string) => Lasting | undefined;
  /** Milliseconds since the epoch, for `lasting`. */
  readonly nowMs?: number;
  /** As in TargetView. */
  readonly aheadMs?: number | undefined;
  /** As `TargetView.unasked`. */
  readonly unasked?: boolean | undefined;
  /** Weights were written last: whoever waits to be bound comes before those that get their weight back. */
  readonly bindsFirst?: boolean;
  /** The cloud refused more for a quota: what is drained or wanted no more makes room before anything is added. */
  readonly roomFirst?: boolean;
  /** For a forecast; undefined while they are not known. */
  readonly quotas?: Quotas | undefined;
};

/** What the plan does not touch but a person should know. `rule`: the target is in this rule of the listener. */
export type Finding =
  | { readonly kind: "port-taken"; readonly wanted: WantedListener; readonly by: Listener }
  | { readonly kind: "orphaned"; readonly listener: Listener }
  /** Its owner asks for it no more. `makesWay`: it goes before what replaces it is there, because that needs its port. */
  | { readonly kind: "leaving"; readonly listener: Listener; readonly makesWay: boolean }
  | ({ readonly kind: "quota" } & QuotaShortage)
  | ({ readonly kind: "unready"; readonly listener: Listener; readonly rule?: Rule } & Unready)
  | { readonly kind: "foreign-target" | "waiting"; readonly listener: Listener; readonly rule?: Rule; readonly target: Target };

/**
 * `dueMs`: when time alone changes the plan, beyond the ends of drains. `lastsMs`: by then the drain of Pods that terminate and serve on has to
 * begin, so no other write should be under way. Milliseconds since the epoch.
 */
export type Plan = {
  readonly calls: readonly Call[];
  readonly findings: readonly Finding[];
  readonly dueMs?: number;
  readonly lastsMs?: number;
};

/**
 * Calls for one load balancer, most urgent lane first, each filled to its limit across listeners and rules. The caller makes the first
 * one and plans again. The order of what is given decides nothing.
 */
export function planLoadBalancer(input: PlanInput): Plan {
  const { clusterId, desired, inFlight: underWay, rulesPerCall = CALL_LIMITS.rules } = input;
  input.cache?.beginPass();
  // Its owners see a shared listener by other names than the one that it has.
  const isChanged = underWay !== undefined && !("rename" in underWay);
  const actual = isChanged ? { ...input.actual, listeners: applyCall(input.actual.listeners, underWay, []) } : input.actual;
  const structure = planStructure({ clusterId, desired, actual, underWay, rulesPerCall, cache: input.cache?.structure });
  const findings: Finding[] = structure.orphaned.map((listener) => ({ kind: "orphaned", listener }));
  const room = input.roomFirst ?? false;
  const leaving = planLeaving({ structure, owners: desired.owners, serves: (pair) => asWanted(pair, input), roomFirst: room });
  const { changes, over } = planPlaces(structure, leaving, input, findings);
  if (input.quotas !== undefined)
    for (const shortage of quotaShortages(desired, actual, input.quotas, structure.isSettled))
      findings.push({ kind: "quota", ...shortage });
  for (const taken of structure.portTaken) findings.push({ kind: "port-taken", ...taken });

  const isOver = (place: Place): boolean => over.has(place);
  const isSettled = structure.isSettled && leaving.makeWay.length === 0;
  const deleting = isSettled ? [] : deleteCalls(structure, leaving, isOver, (isGoing) => endsBefore(actual, clusterId, isGoing));
  const redirects = planRedirects({
    pairs: isSettled ? [] : structure.pairs,
    serves: (pair) => asWanted(pair, input) && pair.place.targets.some((target) => input.serving(pair.place, target)),
    isReady: (pair) => asWanted(pair, input) || isOnlyBroken(pair, input),
  });
  const calls = inLanes(changes, {
    structure,
    deleting,
    redirects,
    room,
    settings: settingCalls(desired, actual),
    bindsFirst: input.bindsFirst ?? false,
  });
  const dueMs = Math.min(...changes.flatMap((change) => change.dueMs ?? []));
  const lastsMs = Math.min(...changes.flatMap((change) => change.lastsMs ?? []));
  return { calls, findings, ...(Number.isFinite(dueMs) && { dueMs }), ...(Number.isFinite(lastsMs) && { lastsMs }) };
}

type Rest = {
  readonly structure: StructurePlan;
  readonly settings: readonly Call[];
  readonly deleting: readonly Call[];
  readonly redirects: readonly Call[];
  readonly room: boolean;
  readonly bindsFirst: boolean;
};
type TargetLane = { [K in keyof TargetChanges]: TargetChanges[K] extends readonly Slot[] ? K : never }[keyof TargetChanges];

/** The calls in the order of their lanes. */
function inLanes(changes: readonly PlaceChanges[], { structure, settings, deleting, redirects, room, bindsFirst }: Rest): Call[] {
  const all = <K extends TargetLane>(lane: K): TargetChanges[K][number][] => changes.flatMap((change) => [...change[lane]]);
  const weights = (lane: "drain" | "tune" | "bind", items: readonly WeightedSlot[]): Call[] =>
    weightCalls(items).map((some): Call => ({ lane, weights: some }));
  const binds = {
    serving: changes.flatMap(({ serves, bind }) => (serves ? bind : [])),
    fresh: changes.flatMap(({ serves, bind }) => (serves ? [] : bind)),
  };
  // Without its security groups a load balancer is open to everybody: nothing listens there before it has them.
  const isOpen = settings.some((call) => "loadBalancer" in call && call.loadBalancer.securityGroups !== undefined);
  const adding = [...settings, ...addingCalls(isOpen ? [] : structure.create, binds)];
  const unbinding = chunks(all("unbind"), CALL_LIMITS.targets).map((slots): Call => ({ lane: "unbind", slots }));
  // A call more would delay the drains; those without a weight come along where there is one anyway.
  const [urgent, stale] = [all("conflict"), all("staleConflict")];
  const conflicts = (slots: readonly Slot[]): Call[] =>
    chunks(slots, CALL_LIMITS.targets).map((some) => ({ lane: "conflict", slots: some }));
  // Whoever is raised in a place that drains comes with the drain, or before it where nothing else would be left there.
  const raised = (which: (change: PlaceChanges) => boolean): WeightedSlot[] =>
    changes.flatMap((change) => (which(change) ? [...change.raise] : []));
  const drains = ({ drain, stop }: PlaceChanges): boolean => drain.length + stop.length > 0;
  const raises = weights(
    "bind",
    raised((change) => !drains(change)),
  );
  const [first, ...others] = adding;
  const added = bindsFirst && first !== undefined ? [first, ...raises, ...others] : [...raises, ...adding];
  return [
    ...(urgent.length > 0 ? conflicts([...urgent, ...stale]) : []),
    ...weights(
      "bind",
      raised((change) => drains(change) && change.raiseFirst),
    ),
    ...weights("drain", [...raised((change) => drains(change) && !change.raiseFirst), ...all("drain"), ...all("stop")]),
    ...(urgent.length > 0 ? [] : conflicts(stale)),
    ...(room ? [...unbinding, ...deleting, ...added, ...redirects] : [...added, ...redirects, ...unbinding]),
    ...weights("tune", [...all("lower"), ...all("tune")]),
    ...structure.modify,
    ...(room ? [] : deleting),
  ];
}

/** `serves`: the place serves already. */
type PlaceChanges = TargetChanges & { readonly serves: boolean };

/** The changes of all places, and what was found there. `over`: places that leave and in which nothing of ours has to drain any more. */
function planPlaces(
  structure: StructurePlan,
  leaving: LeavingPlan,
  input: PlanInput,
  findings: Finding[],
): { readonly changes: readonly PlaceChanges[]; readonly over: ReadonlySet<Place> } {
  for (const { listener } of structure.leaving) findings.push({ kind: "leaving", listener, makesWay: leaving.makeWay.includes(listener) });
  const leavingListeners = new Set(structure.leaving.map(({ listener }) => listener));
  const changes: PlaceChanges[] = [];
  const over = new Set<Place>();
  for (const pair of structure.pairs) {
    if (structure.isSettled && input.cache?.isIdle(pair) === true) continue;
    const { listener, rule, place, wanted } = pair;
    const goes = leaving.goes(pair);
    // What a rule that redirects still has bound gets no requests any more.
    const empties = goes || pair.redirect?.isMade === true;
    const change = empties ? changesOf(place, [], input, true) : changesOf(place, wanted?.backends, input);
    const at = rule === undefined ? { listener } : { listener, rule };
    for (const target of change.foreign) findings.push({ kind: "foreign-target", ...at, target });
    for (const one of change.unready) findings.push({ kind: "unready", ...at, ...one });
    for (const target of change.waiting) findings.push({ kind: "waiting", ...at, target });
    if (!goes && isNothing(change)) {
      const isIdle = structure.isSettled && change.foreign.length + change.unready.length + change.waiting.length === 0;
      if (isIdle) input.cache?.noteIdle(pair);
      continue;
    }
    const { unbind, staleConflict, foreign, bind } = change;
    // A rule with targets of somebody else may be theirs, made by hand in a listener of ours.
    const isKept = foreign.length > 0 && rule !== undefined && !leavingListeners.has(listener);
    if (goes && !isKept && place.targets.length === unbind.length + staleConflict.length + foreign.length) over.add(place);
    else changes.push({ ...change, serves: bind.length > 0 && place.targets.some((target) => input.serving(place, target)) });
  }
  input.cache?.endPass(structure.pairs);
  return { changes, over };
}

/** Nothing is to be done in the place, now or later. */
const isNothing = (change: TargetChanges): boolean =>
  change.dueMs === undefined && change.lastsMs === undefined && LANES.every((lane) => change[lane].length === 0);
const LANES = [
  "conflict",
  "staleConflict",
  "drain",
  "bind",
  "unbind",
  "raise",
  "lower",
  "stop",
  "tune",
] as const satisfies readonly TargetLane[];

/** Something is wanted in this place, and serves. A rule that selects no Pods keeps nobody waiting: an Ingress may have many of them. */
function asWanted({ place, wanted, rule }: PlacePair, { serving, broken }: PlanInput): boolean {
  if (rule !== undefined && wanted?.backends.length === 0) return true;
  return servesAsWanted({
    place,
    wanted: wanted?.backends,
    serving: (target) => serving(place, target),
    broken: (backend, target) => broken?.(place, backend, target) === true,
  });
}

/** Nobody has to wait for any backend of this place, e.g. where a load balancer binds none beside a redirect. */
function isOnlyBroken({ place, wanted }: PlacePair, { broken }: PlanInput): boolean {
  const bound = new Map(place.targets.map((target) => [targetKey(target), target]));
  const due = (wanted?.backends ?? []).filter(({ bindable }) => bindable);
  return due.length > 0 && due.every((backend) => broken?.(place, backend, bound.get(targetKey(backend))) === true);
}

/** Remembers the changes if they stay true until place, wish or a Pod changes. */
function changesOf(
  place: Place,
  wanted: readonly WantedBackend[] | undefined,
  { cache: all, holderOf, isClaimed, serving, drained, broken, lowering, lasting, nowMs, unasked, aheadMs }: PlanInput,
  replaced?: true,
): TargetChanges {
  const cache = replaced === undefined ? all : undefined;
  const known = cache?.recall(place, wanted);
  if (known !== undefined) return known;
  const weighs = lowering?.(place);
  const holders = new Set<string>();
  let isTimeless = true;
  const changes = planTargets({
    place,
    wanted,
    replaced,
    lowering: weighs,
    lasting: (podUid) => {
      isTimeless = false; // depends on time
      return lasting?.(podUid);
    },
    nowMs,
    unasked,
    aheadMs,
    serving: (target) => serving(place, target),
    holderOf: (ip) => {
      const holder = holderOf(ip);
      const isKnown = (holder.kind === "live" || holder.kind === "terminating") && isClaimed?.(ip) !== false;
      if (isKnown) holders.add(holder.podUid);
      else isTimeless = false; // may change without a word about a Pod
      return holder;
    },
    broken: (backend, target) => {
      isTimeless = false; // so does this
      return broken?.(place, backend, target) === true;
    },
    drained: (target) => {
      isTimeless = false; // depends on time
      return drained(place, target);
    },
  });
  const isTimed = changes.unready.some(({ why }) => why !== "lowered" && why !== "none-ready");
  if (isTimeless && !isTimed && changes.lower.length + changes.stop.length === 0) cache?.keep({ place, wanted, changes, holders });
  return changes;
}
