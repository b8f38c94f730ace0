import { ownerMark, ownerMarkOf } from "../../../common/names.ts";
import { CALL_LIMITS, type Call, type NewListeners } from "../call.ts";
import { chunks } from "../chunks.ts";
import { domainOf } from "../intent/asked-places.ts";
import type { DesiredLoadBalancer, WantedListener, WantedPlace, WantedRule } from "../intent/desired-load-balancer.ts";
import {
  type DomainSettings,
  isLayer7,
  type Listener,
  type LoadBalancer,
  type PlaceWish,
  type Rule,
  ruleKey,
  samePort,
} from "../load-balancer.ts";
import { changedListener, changedPlace } from "./changed-settings.ts";
import type { PlacePair } from "./place-pair.ts";
import { redirectStanding } from "./redirect-standing.ts";
import type { StructureCache } from "./structure-cache.ts";

/** A listener that its owner asks for no more. */
type LeavingListener = { readonly listener: Listener; readonly owner: Owner };
/** A listener or rules that an owner asks for and that are not there yet. `by`: the listener that has the port. */
export type Missing = { readonly ownerUid: string; readonly wanted?: WantedListener; readonly by?: Listener };
/** A call that makes places; `followUps`: backends that can be bound when it is done. */
export type Creation = { readonly call: Call; readonly followUps: number };

type Owner = DesiredLoadBalancer["owners"][number];

export type StructureInput = {
  readonly clusterId: string;
  readonly desired: DesiredLoadBalancer;
  readonly actual: LoadBalancer;
  /** What a running call creates already: names of listeners, or rules of a listener. */
  readonly underWay: Call | undefined;
  readonly rulesPerCall: number;
  /** Changes the time it takes, never the plan. */
  readonly cache?: StructureCache | undefined;
};
export type StructurePlan = {
  /** What is there is as it is wanted, apart from targets: there is nothing but places, none of which leaves or redirects. */
  readonly isSettled: boolean;
  readonly pairs: readonly PlacePair[];
  readonly create: readonly Creation[];
  readonly modify: readonly Call[];
  /** Listeners of owners whose deletion was seen. */
  readonly doomed: readonly Listener[];
  readonly leaving: readonly LeavingListener[];
  readonly missing: readonly Missing[];
  readonly orphaned: readonly Listener[];
  readonly portTaken: readonly { readonly wanted: WantedListener; readonly by: Listener }[];
  /** By id of a listener that several owners share: it as each of them sees it. */
  readonly shared: ReadonlyMap<string, readonly Listener[]>;
};

/** Places that exist and are wanted, with what is wanted there. */
export function placePairs(desired: DesiredLoadBalancer, actual: LoadBalancer): PlacePair[] {
  const wantedByName = new Map(desired.listeners.map((listener) => [listener.name, listener]));
  const pairs: PlacePair[] = [];
  for (const listener of actual.listeners) {
    const wanted = wantedByName.get(listener.name);
    if (wanted === undefined) continue;
    const [ownerUid, leaves] = [wanted.owner.uid, wanted.former ?? false];
    if (!isLayer7(listener.protocol)) {
      pairs.push({ listener, rule: undefined, place: listener, wanted, ownerUid, leaves });
      continue;
    }
    const rules = wantedRules(wanted, actual);
    for (const rule of listener.rules) {
      const here = rules.get(ruleKey(rule));
      if (here !== undefined) pairs.push({ listener, rule, place: rule, wanted: here, ownerUid, leaves });
    }
  }
  return pairs;
}

/** Pure: listeners and rules, whatever the order in which they are given. A rule is ours if its listener is. */
export function planStructure(input: StructureInput): StructurePlan {
  const { cache, desired, actual, underWay } = input;
  if (underWay !== undefined || cache === undefined) return structureOf(input);
  const known = cache.recall(desired, actual, (about, wanted) => pairsOf(about, wanted, actual).pairs);
  if (known !== undefined) return { ...NOTHING_TO_DO, pairs: known };
  const plan = structureOf(input);
  cache.keep(desired, actual, plan.isSettled ? plan.pairs : undefined);
  return plan;
}

const NOTHING_TO_DO: Omit<StructurePlan, "pairs"> = {
  isSettled: true,
  create: [],
  modify: [],
  doomed: [],
  leaving: [],
  missing: [],
  orphaned: [],
  portTaken: [],
  shared: new Map(),
};

const isSettled = ({ pairs, shared, ...due }: Omit<StructurePlan, "isSettled">): boolean =>
  [due.create, due.modify, due.doomed, due.leaving, due.missing, due.orphaned, due.portTaken].every(({ length }) => length === 0) &&
  shared.size === 0 &&
  pairs.every(({ leaves, redirect, rule }) => !leaves && redirect === undefined && rule?.redirect === undefined);

function structureOf(input: StructureInput): StructurePlan {
  const { desired, actual } = input;
  const wantedByName = new Map(desired.listeners.map((listener) => [listener.name, listener]));
  const owners = new Map(desired.owners.map((owner) => [ownerMark(owner.ref.uid), owner]));
  const pairs: PlacePair[] = [];
  const doomed: Listener[] = [];
  const leaving: LeavingListener[] = [];
  const orphaned: Listener[] = [];
  const newRules = new Map<string, NewRule[]>();
  const changed: Call[] = [];
  const missing: Missing[] = [...desired.conflicts, ...(desired.ruleConflicts ?? [])].map(({ owner }) => ({ ownerUid: owner.uid }));
  for (const listener of sortedBy(actual.listeners, ({ name, listenerId }) => `${name} ${listenerId}`)) {
    const mark = ownerMarkOf(listener.name, input.clusterId);
    if (mark === undefined) continue;
    const owner = owners.get(mark);
    if (owner === undefined) orphaned.push(listener);
    else if (owner.state === "deleted") doomed.push(listener);
    else {
      if (owner.state === "vanished") orphaned.push(listener);
      const wanted = wantedByName.get(listener.name);
      const leaves = owner.state === "served" && (wanted === undefined || wanted.former === true);
      if (leaves) leaving.push({ listener, owner });
      const found = pairsOf({ listener, ownerUid: owner.ref.uid, leaves }, wanted, actual);
      pairs.push(...found.pairs);
      if (!leaves && wanted !== undefined) changed.push(...changedListener(listener, wanted, found.rules ?? new Map(), actual));
      if (found.rules === undefined) continue;
      const { listenerId } = listener;
      newRules.set(listenerId, [...(newRules.get(listenerId) ?? []), ...absentRules(listener, found.rules, found.present, input)]);
      if ([...found.rules.keys()].some((key) => !found.present.has(key))) missing.push({ ownerUid: owner.ref.uid });
    }
  }
  const { create, absent, portTaken } = newListeners(input);
  const createRules = [...newRules].flatMap(([listenerId, rules]) => ruleCreations(listenerId, rules, input));
  const plan = {
    pairs,
    create: [...create, ...createRules.sort((a, b) => b.followUps - a.followUps)],
    modify: [
      ...misnamed(input),
      ...changed,
      // A listener that waits for its replacement, which may never come, is kept as it was set; its rules go one by one.
      ...pairs.flatMap(({ rule, place, wanted, leaves }) =>
        wanted === undefined || (leaves && rule !== undefined) ? [] : changedPlace(place, wanted),
      ),
    ],
    doomed,
    leaving,
    missing: [...missing, ...absent],
    orphaned,
    portTaken,
    shared: sharedListeners(actual),
  };
  return { ...plan, isSettled: isSettled(plan) };
}

type About = Pick<PlacePair, "listener" | "ownerUid" | "leaves">;

/** The places of a listener. `rules`: those that are wanted there, where it is of layer 7 and stays; the others leave. */
function pairsOf(about: About, wanted: WantedListener | undefined, actual: LoadBalancer) {
  const { listener } = about;
  const present = new Map(sortedBy(listener.rules, ruleKey).map((rule) => [ruleKey(rule), rule]));
  if (!isLayer7(listener.protocol)) return { pairs: [{ ...about, rule: undefined, place: listener, wanted }], rules: undefined, present };
  const rules = about.leaves || wanted === undefined ? undefined : wantedRules(wanted, actual);
  const former = new Map((wanted?.formerRules ?? []).map((rule) => [ruleKey(rule), rule]));
  const pairs = [...present].map(([key, rule]): PlacePair => {
    const here = rules?.get(key);
    const leaves = about.leaves || (rules !== undefined && here === undefined);
    const redirect = redirectStanding(rule, here, actual);
    if (redirect === undefined) return { ...about, rule, place: rule, wanted: here ?? former.get(key), leaves };
    return { ...about, rule, place: rule, wanted: redirect.isMade ? here : former.get(key), leaves, redirect };
  });
  return { pairs, rules, present };
}

function sharedListeners({ listeners }: LoadBalancer): StructurePlan["shared"] {
  const ids = new Set(listeners.flatMap(({ listenerId, sharedName }) => (sharedName === undefined ? [] : listenerId)));
  return Map.groupBy(
    listeners.filter(({ listenerId }) => ids.has(listenerId)),
    ({ listenerId }) => listenerId,
  );
}

/** Those of ours that are shown under other names. */
function misnamed({ actual, clusterId, underWay }: StructureInput): Call[] {
  const done = new Set(underWay !== undefined && "rename" in underWay ? [underWay.rename.listenerId] : []);
  return actual.listeners.flatMap(({ listenerId, name, sharedName, shownName }): Call[] => {
    if (shownName === undefined || ownerMarkOf(name, clusterId) === undefined || done.has(listenerId)) return [];
    done.add(listenerId);
    return [{ lane: "tune", rename: { listenerId, name: sharedName ?? name } }];
  });
}

/** By rule key. */
function wantedRules(listener: WantedListener, actual: LoadBalancer): ReadonlyMap<string, WantedRule> {
  const rules = new Map<string, WantedRule>();
  for (const rule of sortedBy(listener.rules ?? [], ruleKey)) {
    const domain = domainOf(rule.domain, actual);
    const key = ruleKey({ domain, url: rule.url });
    if (!rules.has(key)) rules.set(key, domain === rule.domain ? rule : { ...rule, domain });
  }
  return rules;
}

type NewRule = { readonly rule: WantedRule; readonly followUps: number };

/** One without its certificate is not made. */
function absentRules(
  { listenerId }: Listener,
  wanted: ReadonlyMap<string, WantedRule>,
  present: ReadonlyMap<string, Rule>,
  { underWay }: StructureInput,
): NewRule[] {
  const running = underWay !== undefined && "createRules" in underWay ? underWay.createRules : undefined;
  const beingMade = new Set(running?.listenerId === listenerId ? running.rules.map(ruleKey) : []);
  return [...wanted].flatMap(([key, rule]) =>
    present.has(key) || beingMade.has(key) || rule.lacksCertificate ? [] : [{ rule, followUps: bindable(rule) }],
  );
}

/** The rules that binds wait for come first; those of several owners of one listener are made together. */
function ruleCreations(listenerId: string, missing: readonly NewRule[], { rulesPerCall }: StructureInput): Creation[] {
  return chunks(
    missing.toSorted((a, b) => b.followUps - a.followUps),
    rulesPerCall,
  ).map((part) => ({
    call: {
      lane: "structure",
      createRules: {
        listenerId,
        rules: part.map(({ rule }) => ({ domain: rule.domain, url: rule.url, ...wishOf(rule), ...domainSettings(rule) })),
      },
    },
    followUps: part.reduce((sum, { followUps }) => sum + followUps, 0),
  }));
}

function newListeners({ desired, actual, clusterId, underWay }: StructureInput) {
  const present = new Set(actual.listeners.map(({ name }) => name));
  const beingMade = new Set(underWay !== undefined && "create" in underWay ? underWay.create.listeners.map(({ name }) => name) : []);
  const groups = new Map<string, WantedListener[]>();
  const portTaken: { wanted: WantedListener; by: Listener }[] = [];
  const absent: Missing[] = [];
  const asked = new Set<string>();
  const going = new Set(desired.owners.flatMap(({ ref, state }) => (state === "deleted" ? ownerMark(ref.uid) : [])));
  for (const listener of sortedBy(desired.listeners, ({ name }) => name)) {
    if (listener.former === true || present.has(listener.name)) continue;
    const by = actual.listeners.find(({ port, protocol }) => port === listener.port && samePort(protocol, listener.protocol));
    absent.push({ ownerUid: listener.owner.uid, wanted: listener, ...(by && { by }) });
    if (beingMade.has(createdAs(listener)) || isWithheld(listener)) continue;
    if (by !== undefined) {
      // That of an owner which is being deleted goes by itself.
      if (!going.has(ownerMarkOf(by.name, clusterId) ?? "")) portTaken.push({ wanted: listener, by });
      continue;
    }
    if (asked.has(createdAs(listener))) continue; // another one of its group asks for the same
    asked.add(createdAs(listener));
    const { healthCheck, scheduler, settings } = wishOf(listener);
    const { certificate, keepalive } = listener;
    const key = JSON.stringify([
      listener.protocol,
      scheduler,
      settings,
      certificate,
      keepalive,
      sortedBy(Object.entries(healthCheck), ([name]) => name),
    ]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [listener]);
    else group.push(listener);
  }
  const create = [...groups.values()].flatMap((group) => chunks(group, CALL_LIMITS.ports).map(creation));
  return { create, absent, portTaken };
}

function creation(part: readonly WantedListener[]): Creation {
  const [first] = part;
  const create: NewListeners = {
    protocol: first?.protocol ?? "TCP",
    ...(first === undefined ? { healthCheck: {} } : wishOf(first)),
    ...(first?.certificate !== undefined && { certificate: first.certificate }),
    ...(first?.keepalive !== undefined && { keepalive: first.keepalive }),
    listeners: part.map((one) => ({ name: createdAs(one), port: one.port })),
  };
  return { call: { lane: "structure", create }, followUps: part.reduce((sum, listener) => sum + bindable(listener), 0) };
}

const createdAs = ({ name, sharedName }: WantedListener): string => sharedName ?? name;

/** Nothing could serve there for want of a certificate. */
const isWithheld = ({ lacksCertificate, rules }: WantedListener): boolean =>
  lacksCertificate === true || (rules !== undefined && rules.length > 0 && rules.every((rule) => rule.lacksCertificate === true));

const bindable = ({ backends }: WantedPlace): number => backends.reduce((sum, backend) => sum + (backend.bindable ? 1 : 0), 0);
const domainSettings = ({ certificate, http2 }: DomainSettings): DomainSettings => ({
  ...(certificate !== undefined && { certificate }),
  ...(http2 !== undefined && { http2 }),
});
const wishOf = ({ healthCheck, scheduler, settings }: PlaceWish): PlaceWish => ({
  healthCheck,
  ...(scheduler !== undefined && { scheduler }),
  ...(settings !== undefined && { settings }),
});

/** A copy in the order of a text key, so that the order of what is given decides nothing. */
function sortedBy<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  const keyed = items.map((item) => ({ item, key: keyOf(item) }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key))).map(({ item }) => item);
}
