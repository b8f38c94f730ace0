import type { WantedBackend } from "../intent/backends.ts";
import { type BoundSlot, type Place, type Slot, slotOf, type Target, targetKey, type WeightedSlot } from "../load-balancer.ts";
import type { Lasting } from "../readiness/lasting.ts";
import { STAYING_SHARE } from "../safety/brake.ts";
import { type Bound, type Lowering, planWeights, type Unready } from "./plan-weights.ts";

/** What the planner must know about the Pod behind a bound address. */
export type Holder =
  /** No Pod has the address, and no address claim names one: somebody else bound it. */
  | { readonly kind: "foreign" }
  /** It was given to this Pod, of which nothing is known at the moment; undefined: to nobody that is known, and not every Pod is. */
  | { readonly kind: "unknown"; readonly podUid: string | undefined }
  /** The Pod lives and still has the address. */
  | { readonly kind: "live"; readonly podUid: string }
  /** The Pod terminates; it may still serve running requests. */
  | { readonly kind: "terminating"; readonly podUid: string }
  /** Nothing of the Pod runs any more, by evidence; `inferred`: only because the API server, asked for it, has no such Pod. */
  | { readonly kind: "over"; readonly podUid: string; readonly inferred: boolean }
  /** The address belongs to another live Pod now. */
  | { readonly kind: "reused"; readonly podUid: string };

export type TargetView = {
  readonly place: Place;
  /** Undefined: nobody asks for this place's backends at the moment (the owner is held), so only ends of Pods count. */
  readonly wanted: readonly WantedBackend[] | undefined;
  readonly holderOf: (ip: string) => Holder;
  /** True if the cloud sends traffic to this target: healthy, or not checked. */
  readonly serving: (target: Target) => boolean;
  /** Nobody expects this backend to serve soon: the load balancer has found it dead, or refused to bind it, for long. */
  readonly broken: (backend: WantedBackend, target: Target | undefined) => boolean;
  /** The drain of this target is over: weight 0 has been effective for the drain time. */
  readonly drained: (target: Target) => boolean;
  /** What is wanted instead of this whole place serves elsewhere; undefined: what is wanted here decides. */
  readonly replaced?: true | undefined;
  /** What takes the weight of Pods that are not ready; default: nothing does. */
  readonly lowering?: Lowering | undefined;
  /** Until when this Pod, which terminates, may keep its weight where too few others serve; default: no Pod may. */
  readonly lasting?: ((podUid: string) => Lasting | undefined) | undefined;
  /** Milliseconds since the epoch; only `lasting` is compared with it. */
  readonly nowMs?: number | undefined;
  /** Nobody has asked yet how the load balancer finds its targets, as after a change of leaders: whoever has a weight may serve. Default: not so. */
  readonly unasked?: boolean | undefined;
  /** The write that comes next takes so long, milliseconds: where somebody else serves, Pods leave now whose time is up before its end. Default 0. */
  readonly aheadMs?: number | undefined;
};

/** Changes of one place's backends, by lane; the caller merges places and cuts them into full calls. */
export type TargetChanges = {
  readonly conflict: readonly Slot[];
  /** Conflicts at weight 0: nothing is sent there, so they only keep an heir waiting. */
  readonly staleConflict: readonly Slot[];
  readonly drain: readonly WeightedSlot[];
  readonly bind: readonly BoundSlot[];
  readonly unbind: readonly Slot[];
  /** Weights that come back. `raiseFirst`: before the drains, else with them. */
  readonly raise: readonly WeightedSlot[];
  readonly raiseFirst: boolean;
  /** Weights that become 0 because Pods are not ready; `stop`: because a container of theirs is being stopped, which is as urgent as a drain. */
  readonly lower: readonly WeightedSlot[];
  readonly stop: readonly WeightedSlot[];
  readonly unready: readonly Unready[];
  /** When time alone changes `lower` or `waiting`; milliseconds since the epoch. */
  readonly dueMs: number | undefined;
  /** When the time of the first Pod that terminates and serves on is up. */
  readonly lastsMs: number | undefined;
  readonly tune: readonly WeightedSlot[];
  /** Bound by somebody else into our place: left alone and reported. */
  readonly foreign: readonly Target[];
  /** A removal that waits until what replaces it serves. */
  readonly waiting: readonly Target[];
};

/**
 * A backend leaves at once when its Pod ends, and when its address passed to another Pod. A live Pod that is merely not wanted here any
 * more (selector, label or port changed) leaves when what is wanted instead serves: add before remove. That is so when every wanted
 * backend whose containers are ready serves. One that is broken is not waited for, else a single bad Pod would keep all others bound for
 * ever, but then at least half of all that are wanted must serve, and one. So what is left is never less than what is wanted without
 * what is broken or not ready, and never less than the share that the brake protects.
 *
 * Of Pods that end all together, e.g. with their node, those that are held serve on: they keep their weight for as long as they may and less
 * than that share of them serves elsewhere, unless what is wanted is no more. kube-proxy does the same where all endpoints terminate (KEP-1669).
 */
export function planTargets(view: TargetView): TargetChanges {
  const { place, wanted } = view;
  const keyOf = keysFor(wanted?.[0] ?? place.targets[0]);
  const wantedByKey = new Map<string, WantedBackend>();
  for (const backend of wanted ?? []) wantedByKey.set(keyOf(backend), backend);
  const boundByKey = new Map<string, Target>();
  for (const target of place.targets) boundByKey.set(keyOf(target), target);
  const slot = (target: Target | WantedBackend): Slot => slotOf(place, target);
  const [conflict, staleConflict, unbind]: [Slot[], Slot[], Slot[]] = [[], [], []];
  const [drain, tune]: [WeightedSlot[], WeightedSlot[]] = [[], []];
  const isInTheWay = (target: Target): void => void (target.weight > 0 ? conflict : staleConflict).push(slot(target));
  const foreign: Target[] = [];
  const waiting: Target[] = [];
  const bound: Bound[] = [];
  const goes = new Set<Target>();
  const ending: Ending[] = [];
  let { replaced }: { replaced?: boolean | undefined } = view; // found out only if somebody has to leave

  for (const [key, target] of boundByKey) {
    const backend = wantedByKey.get(key);
    const holder = view.holderOf(target.ip);
    if (backend !== undefined) {
      if (holder.kind !== "foreign" && holder.kind !== "terminating" && holder.podUid !== backend.podUid) {
        isInTheWay(target);
        goes.add(target);
        continue;
      }
      bound.push({ target, backend });
      if (target.weight > 0 && target.weight !== backend.weight) tune.push({ ...slot(target), weight: backend.weight });
      continue;
    }
    replaced ??= wanted !== undefined && areReplaced(view, wantedByKey, boundByKey);
    const way = wayOut(holder, target, { replaced, isAsked: wanted !== undefined });
    if (way === "conflict" || way === "leave") goes.add(target);
    if (way === "foreign") foreign.push(target);
    else if (way === "wait") waiting.push(target);
    else if (way === "conflict") isInTheWay(target);
    else if (way === "leave" && target.weight > 0) {
      const lasting = holder.kind === "terminating" && view.replaced === undefined ? view.lasting?.(holder.podUid) : undefined;
      if (lasting === undefined) drain.push({ ...slot(target), weight: 0 });
      else ending.push({ target, lasting });
    } else if ((holder.kind === "over" && !holder.inferred) || view.drained(target)) unbind.push(slot(target));
  }
  const last = ending.length === 0 ? NOBODY : lastOnes(ending, view, { wantedByKey, boundByKey, goes });
  for (const { target } of ending) {
    if (last.keep.has(target)) {
      goes.delete(target);
      waiting.push(target);
    } else drain.push({ ...slot(target), weight: 0 });
  }
  const bind: BoundSlot[] = [];
  for (const [key, backend] of wantedByKey) {
    if (boundByKey.has(key)) continue;
    if (backend.bindable) bind.push(boundSlot(place, backend));
    else if (backend.early === "listens") bind.push({ ...boundSlot(place, backend), weight: 0 }); // its checks begin while it starts
  }
  const weights = planWeights({ bound, goes, all: place.targets, serving: view.serving, lowering: view.lowering });
  const raise = weights.raise.map(({ target, backend }): WeightedSlot => ({ ...slot(target), weight: backend.weight }));
  const toZero = (target: Target): WeightedSlot => ({ ...slot(target), weight: 0 });
  const [lower, stop] = [weights.lower.map(toZero), weights.stop.map(toZero)];
  const low = new Set([...weights.lower, ...weights.stop].map(targetKey));
  const tuned = low.size === 0 ? tune : tune.filter((one) => !low.has(targetKey(one)));
  for (const lane of [conflict, staleConflict, drain, unbind, raise, lower, stop, tuned, bind, foreign, waiting])
    if (lane.length > 1) lane.sort(byAddress);
  const { raiseFirst, unready } = weights;
  const dueMs = earliest(weights.dueMs, last.dueMs);
  const { lastsMs } = last;
  return {
    conflict,
    staleConflict,
    drain,
    unbind,
    raise,
    raiseFirst,
    lower,
    stop,
    unready,
    dueMs,
    lastsMs,
    tune: tuned,
    bind,
    foreign,
    waiting,
  };
}

/** What is wanted and what is there, by the same keys. */
type Keyed = { readonly wantedByKey: ReadonlyMap<string, WantedBackend>; readonly boundByKey: ReadonlyMap<string, Target> };
/** A target whose Pod terminates and is held. */
type Ending = { readonly target: Target; readonly lasting: Lasting };
/** Who keeps its weight, when time alone changes that, and when the first of them must have left. */
type Last = { readonly keep: ReadonlySet<Target>; readonly dueMs: number | undefined; readonly lastsMs: number | undefined };
const NOBODY: Last = { keep: new Set(), dueMs: undefined, lastsMs: undefined };

function lastOnes(
  ending: readonly Ending[],
  { place, unasked, broken, nowMs = Number.POSITIVE_INFINITY, aheadMs = 0, ...view }: TargetView,
  { wantedByKey, boundByKey, goes }: Keyed & { readonly goes: ReadonlySet<Target> },
): Last {
  const serving = (target: Target): boolean => view.serving(target) || (unasked === true && target.weight > 0);
  const leaving = ending.filter(({ target }) => serving(target)).length;
  const staying = place.targets.filter((target) => target.weight > 0 && !goes.has(target) && serving(target)).length;
  if (leaving === 0 || staying >= Math.ceil(leaving * STAYING_SHARE)) return NOBODY;
  const coming = [...wantedByKey].filter(([key, backend]) => !broken(backend, boundByKey.get(key))).length;
  const isSeen = coming > 0;
  const isAll = !ending.some(({ lasting }) => lasting.isPartial === true);
  if (isSeen && isAll && staying >= coming) return NOBODY; // fewer are wanted than before
  const keep = new Set<Target>();
  let [dueMs, lastsMs]: (number | undefined)[] = [];
  // Where nobody else serves, somebody who leaves too late loses less than an empty place.
  const endMs = nowMs + (staying > 0 ? aheadMs : 0);
  const lasts = ({ lasting }: Ending): boolean => lasting.untilMs > endMs && (isSeen || lasting.sightMs > nowMs);
  const isReadyOne = (one: Ending): boolean => one.lasting.isReady && serving(one.target) && lasts(one);
  // As of those that live: who is not ready keeps its weight only where nobody is.
  const isAnyReady = staying > 0 || ending.some(isReadyOne);
  for (const one of ending) {
    const { target, lasting } = one;
    if (!lasts(one) || (isAnyReady && !lasting.isReady)) continue;
    keep.add(target);
    dueMs = earliest(dueMs, isSeen ? lasting.untilMs : lasting.sightMs);
    lastsMs = earliest(lastsMs, lasting.untilMs);
  }
  return { keep, dueMs, lastsMs };
}

const earliest = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);

/** Written out field by field, because thousands are made at once. */
function boundSlot({ listenerId, locationId }: Place, { ip, port, weight, podUid }: WantedBackend): BoundSlot {
  return locationId === undefined ? { listenerId, ip, port, weight, podUid } : { listenerId, locationId, ip, port, weight, podUid };
}

/** Keys of targets inside one place. Nearly always they share a port: then the address alone will do, and no text has to be made. */
function keysFor(first: Address | undefined): (target: Address) => string {
  return (target) => (target.port === first?.port ? target.ip : targetKey(target));
}

type Address = { readonly ip: string; readonly port: number };
/** Any fixed order will do. */
const byAddress = (a: Address, b: Address): number => (a.ip === b.ip ? a.port - b.port : a.ip < b.ip ? -1 : 1);

type WayOut = "foreign" | "wait" | "conflict" | "leave";

/** `replaced`: what is wanted instead serves already. `isAsked`: an owner says what it wants there; else nobody wants a live Pod gone. */
function wayOut(holder: Holder, target: Target, { replaced, isAsked }: { readonly replaced: boolean; readonly isAsked: boolean }): WayOut {
  switch (holder.kind) {
    case "foreign":
      return "foreign";
    case "unknown":
      return "wait"; // absence of facts neither binds nor removes
    case "reused":
      return "conflict";
    case "over":
      if (holder.inferred) return "leave"; // nobody saw it end, so running requests may finish
      return target.weight > 0 ? "conflict" : "leave";
    case "terminating":
      return "leave";
    case "live":
      return replaced || (isAsked && target.weight === 0) ? "leave" : "wait";
    default:
      return holder satisfies never;
  }
}

/** Pure: what is wanted in this place serves. */
export function servesAsWanted(view: Pick<TargetView, "place" | "wanted" | "serving" | "broken">): boolean {
  const wanted = new Map((view.wanted ?? []).map((backend) => [targetKey(backend), backend]));
  return areReplaced(view, wanted, new Map(view.place.targets.map((target) => [targetKey(target), target])));
}

/** What is wanted serves, so that the others may leave. */
function areReplaced(
  view: Pick<TargetView, "serving" | "broken">,
  wanted: ReadonlyMap<string, WantedBackend>,
  bound: ReadonlyMap<string, Target>,
): boolean {
  let serving = 0;
  for (const [key, backend] of wanted) {
    const target = bound.get(key);
    if (target !== undefined && view.serving(target)) serving += 1;
    else if (backend.bindable && !view.broken(backend, target)) return false;
  }
  return serving >= Math.max(1, Math.ceil(wanted.size * STAYING_SHARE));
}
