import { ownerMark, ownerMarkOf } from "../../../common/names.ts";
import { CALL_LIMITS, type Call, type NewListeners } from "../call.ts";
import { chunks } from "../chunks.ts";
import { domainOf } from "../intent/asked-places.ts";
import type { DesiredLoadBalancer, WantedListener, WantedPlace, WantedRule } from "../intent/desired-load-balancer.ts";
import {
  type HealthCheck,
  isLayer7,
  type Listener,
  type LoadBalancer,
  type Place,
  type PlaceWish,
  type Rule,
  ruleKey,
  samePort,
} from "../load-balancer.ts";

/** A place of ours and what is wanted there; `wanted` undefined: its owner is held, so only ends of Pods count. */
export type PlacePair = {
  readonly listener: Listener;
  readonly rule: Rule | undefined;
  readonly place: Place;
  readonly wanted: WantedPlace | undefined;
};
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
};
export type StructurePlan = {
  readonly pairs: readonly PlacePair[];
  readonly create: readonly Creation[];
  readonly modify: readonly Call[];
  readonly delete: readonly Call[];
  readonly orphaned: readonly Listener[];
  readonly portTaken: readonly { readonly wanted: WantedListener; readonly by: Listener }[];
};

/** Places that exist and are wanted, with what is wanted there. */
export function placePairs(desired: DesiredLoadBalancer, actual: LoadBalancer): PlacePair[] {
  const wantedByName = new Map(desired.listeners.map((listener) => [listener.name, listener]));
  return actual.listeners.flatMap((listener): PlacePair[] => {
    const wanted = wantedByName.get(listener.name);
    if (wanted === undefined) return [];
    if (!isLayer7(listener.protocol)) return [{ listener, rule: undefined, place: listener, wanted }];
    const rules = wantedRules(wanted, actual);
    return listener.rules.flatMap((rule) => {
      const here = rules.get(ruleKey(rule));
      return here === undefined ? [] : [{ listener, rule, place: rule, wanted: here }];
    });
  });
}

/** Pure: listeners and rules, whatever the order in which they are given. A rule is ours if its listener is. */
export function planStructure(input: StructureInput): StructurePlan {
  const { desired, actual } = input;
  const wantedByName = new Map(desired.listeners.map((listener) => [listener.name, listener]));
  const owners = new Map(desired.owners.map((owner) => [ownerMark(owner.ref.uid), owner]));
  const pairs: PlacePair[] = [];
  const doomed: string[] = [];
  const orphaned: Listener[] = [];
  const createRules: Creation[] = [];
  const deleteRules: Call[] = [];
  for (const listener of sortedBy(actual.listeners, ({ name, listenerId }) => `${name} ${listenerId}`)) {
    const verdict = judge(listener, wantedByName, { clusterId: input.clusterId, owners });
    if (verdict === "doomed") doomed.push(listener.listenerId);
    if (verdict === "orphaned" || verdict === "vanished") orphaned.push(listener);
    if (verdict !== "kept" && verdict !== "vanished") continue;
    const wanted = wantedByName.get(listener.name);
    if (!isLayer7(listener.protocol)) {
      pairs.push({ listener, rule: undefined, place: listener, wanted });
      continue;
    }
    const rules = wanted && wantedRules(wanted, actual);
    const present = new Map(sortedBy(listener.rules, ruleKey).map((rule) => [ruleKey(rule), rule]));
    for (const [key, rule] of present)
      if (rules === undefined || rules.has(key)) pairs.push({ listener, rule, place: rule, wanted: rules?.get(key) });
    if (rules === undefined) continue;
    createRules.push(...newRules(listener, rules, present, input));
    const gone = [...present].flatMap(([key, { locationId }]) => (rules.has(key) ? [] : [locationId]));
    for (const locationIds of chunks(gone, CALL_LIMITS.deletedRules))
      deleteRules.push({ lane: "delete", rules: { listenerId: listener.listenerId, locationIds } });
  }
  const { create, portTaken } = newListeners(input);
  return {
    pairs,
    create: [...create, ...createRules.sort((a, b) => b.followUps - a.followUps)],
    modify: [...actual.listeners.flatMap((listener) => misnamed(listener, input)), ...pairs.flatMap(changedSettings)],
    delete: [...chunks(doomed, CALL_LIMITS.deletedListeners).map((listenerIds): Call => ({ lane: "delete", listenerIds })), ...deleteRules],
    orphaned,
    portTaken,
  };
}

/** A listener of ours goes only when its owner is known: deleted, or alive and no longer asking for this port. */
function judge(
  listener: Listener,
  wanted: ReadonlyMap<string, WantedListener>,
  { clusterId, owners }: { readonly clusterId: string; readonly owners: ReadonlyMap<string, Owner> },
): "foreign" | "doomed" | "orphaned" | "vanished" | "kept" {
  const mark = ownerMarkOf(listener.name, clusterId);
  if (mark === undefined) return "foreign";
  const owner = owners.get(mark);
  if (owner === undefined) return "orphaned";
  if (owner.state === "deleted") return "doomed";
  if (owner.state === "vanished") return "vanished";
  return owner.state === "held" || wanted.has(listener.name) ? "kept" : "doomed";
}

/** One of ours that is shown under another name. */
function misnamed({ listenerId, name, shownName }: Listener, { clusterId }: StructureInput): Call[] {
  if (shownName === undefined || ownerMarkOf(name, clusterId) === undefined) return [];
  return [{ lane: "tune", rename: { listenerId, name } }];
}

/** By rule key. */
function wantedRules(listener: WantedListener, { vips }: LoadBalancer): ReadonlyMap<string, WantedRule> {
  const rules = new Map<string, WantedRule>();
  for (const rule of sortedBy(listener.rules ?? [], ruleKey)) {
    const domain = domainOf(rule.domain, vips);
    const key = ruleKey({ domain, url: rule.url });
    if (!rules.has(key)) rules.set(key, domain === rule.domain ? rule : { ...rule, domain });
  }
  return rules;
}

/** The rules that binds wait for come first. */
function newRules(
  { listenerId }: Listener,
  wanted: ReadonlyMap<string, WantedRule>,
  present: ReadonlyMap<string, Rule>,
  { underWay, rulesPerCall }: StructureInput,
): Creation[] {
  const running = underWay !== undefined && "createRules" in underWay ? underWay.createRules : undefined;
  const beingMade = new Set(running?.listenerId === listenerId ? running.rules.map(ruleKey) : []);
  const missing = [...wanted].flatMap(([key, rule]) =>
    present.has(key) || beingMade.has(key) ? [] : [{ rule, followUps: bindable(rule) }],
  );
  return chunks(
    missing.sort((a, b) => b.followUps - a.followUps),
    rulesPerCall,
  ).map((part) => ({
    call: {
      lane: "structure",
      createRules: { listenerId, rules: part.map(({ rule }) => ({ domain: rule.domain, url: rule.url, ...wishOf(rule) })) },
    },
    followUps: part.reduce((sum, { followUps }) => sum + followUps, 0),
  }));
}

function newListeners({ desired, actual, clusterId, underWay }: StructureInput) {
  const present = new Set(actual.listeners.map(({ name }) => name));
  const beingMade = new Set(underWay !== undefined && "create" in underWay ? underWay.create.listeners.map(({ name }) => name) : []);
  const groups = new Map<string, WantedListener[]>();
  const portTaken: { wanted: WantedListener; by: Listener }[] = [];
  for (const listener of sortedBy(desired.listeners, ({ name }) => name)) {
    if (present.has(listener.name) || beingMade.has(listener.name)) continue;
    const blocker = actual.listeners.find(({ port, protocol }) => port === listener.port && samePort(protocol, listener.protocol));
    if (blocker !== undefined) {
      // Our own listener in the way (of an owner that is being deleted) goes first in the delete lane; another's never does.
      if (ownerMarkOf(blocker.name, clusterId) === undefined) portTaken.push({ wanted: listener, by: blocker });
      continue;
    }
    const { healthCheck, scheduler } = wishOf(listener);
    const key = JSON.stringify([listener.protocol, scheduler, sortedBy(Object.entries(healthCheck), ([name]) => name)]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [listener]);
    else group.push(listener);
  }
  const create = [...groups.values()].flatMap((group) => chunks(group, CALL_LIMITS.ports).map(creation));
  return { create, portTaken };
}

function creation(part: readonly WantedListener[]): Creation {
  const [first] = part;
  const create: NewListeners = {
    protocol: first?.protocol ?? "TCP",
    ...(first === undefined ? { healthCheck: {} } : wishOf(first)),
    listeners: part.map(({ name, port }) => ({ name, port })),
  };
  return { call: { lane: "structure", create }, followUps: part.reduce((sum, listener) => sum + bindable(listener), 0) };
}

const bindable = ({ backends }: WantedPlace): number => backends.reduce((sum, backend) => sum + (backend.bindable ? 1 : 0), 0);
const wishOf = ({ healthCheck, scheduler }: PlaceWish): PlaceWish => ({ healthCheck, ...(scheduler !== undefined && { scheduler }) });

/** Only what is wished is compared, so that a default which the cloud fills in causes no write. */
function changedSettings({ place, wanted }: PlacePair): Call[] {
  if (wanted === undefined) return [];
  const healthCheck = { ...place.healthCheck, ...wanted.healthCheck };
  const scheduler = wanted.scheduler ?? place.scheduler;
  if (sameCheck(healthCheck, place.healthCheck) && scheduler === place.scheduler) return [];
  const { listenerId, locationId } = place;
  const at = locationId === undefined ? { listenerId } : { listenerId, locationId };
  return [{ lane: "tune", ...at, healthCheck, ...(scheduler !== place.scheduler && { scheduler }) }];
}

/** Checks that are off are the same, whatever else they say. */
function sameCheck(a: HealthCheck, b: HealthCheck): boolean {
  if (a.enabled !== b.enabled) return false;
  return (
    !a.enabled ||
    (a.intervalSeconds === b.intervalSeconds &&
      a.timeoutSeconds === b.timeoutSeconds &&
      a.healthyCount === b.healthyCount &&
      a.unhealthyCount === b.unhealthyCount &&
      a.httpPath === b.httpPath &&
      a.httpDomain === b.httpDomain &&
      a.httpMethod === b.httpMethod &&
      a.httpCodes === b.httpCodes)
  );
}

/** A copy in the order of a text key, so that the order of what is given decides nothing. */
function sortedBy<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  const keyed = items.map((item) => ({ item, key: keyOf(item) }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key))).map(({ item }) => item);
}
