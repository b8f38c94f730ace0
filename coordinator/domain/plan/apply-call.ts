import type { Call, DomainChange, ListenerChange, NewListeners, NewRules, Redirects } from "../call.ts";
import {
  type BoundSlot,
  canonicalCheck,
  canonicalDomain,
  canonicalSettings,
  DEFAULT_HEALTH_CHECK,
  type HealthCheck,
  kindOf,
  type Listener,
  type Place,
  placeKey,
  type Rule,
  type Slot,
  type Target,
  targetKey,
  type WeightedSlot,
} from "../load-balancer.ts";

/**
 * Pure: the listeners after the call has been carried out. `created` are the ids of new listeners or rules, in the order of the call;
 * without an id nothing is added. Listeners and rules that the call does not concern stay the same objects.
 */
export function applyCall(listeners: readonly Listener[], call: Call, created: readonly string[]): readonly Listener[] {
  switch (call.lane) {
    case "conflict":
    case "unbind":
      return change(listeners, byPlace(call.slots), removeTargets);
    case "bind":
      if ("weights" in call) return change(listeners, byPlace(call.weights), setWeights);
      return change(listeners, byPlace(call.targets), addTargets);
    case "drain":
      return change(listeners, byPlace(call.weights), setWeights);
    case "tune":
      if ("weights" in call) return change(listeners, byPlace(call.weights), setWeights);
      if ("rename" in call) return rename(listeners, call.rename);
      if ("listener" in call) return changeListener(listeners, call.listener);
      if ("domain" in call) return changeDomain(listeners, call.domain);
      return change(listeners, new Map([[placeKey(call), call]]), ({ scheduler, settings }, tuned) => ({
        healthCheck: canonicalCheck(tuned.healthCheck, kindOf(call)),
        scheduler: tuned.scheduler ?? scheduler,
        ...checkSource(tuned.healthCheck),
        ...(tuned.settings !== undefined && { settings: canonicalSettings({ ...settings, ...tuned.settings }).settings ?? {} }),
      }));
    case "structure":
      if ("loadBalancer" in call) return listeners;
      if ("redirects" in call) return redirected(listeners, call.redirects, true);
      return "create" in call ? addListeners(listeners, call.create, created) : addRules(listeners, call.createRules, created);
    case "delete":
      if ("redirects" in call) return redirected(listeners, call.redirects, false);
      return "listenerIds" in call
        ? listeners.filter(({ listenerId }) => !call.listenerIds.includes(listenerId))
        : removeRules(listeners, call.rules.listenerId, call.rules.locationIds);
    default:
      return call satisfies never;
  }
}

function rename(
  listeners: readonly Listener[],
  { listenerId, name }: { readonly listenerId: string; readonly name: string },
): readonly Listener[] {
  return listeners.map((listener) => {
    if (listener.listenerId !== listenerId) return listener;
    const { shownName: _, ...rest } = listener;
    return { ...rest, name };
  });
}

function changeListener(listeners: readonly Listener[], { listenerId, certificate, keepalive }: ListenerChange): readonly Listener[] {
  return listeners.map((listener): Listener => {
    if (listener.listenerId !== listenerId) return listener;
    const { keepalive: was, ...rest } = listener;
    const keeps = keepalive ?? was === true;
    return { ...rest, ...(certificate !== undefined && { certificate }), ...(keeps && { keepalive: true }) };
  });
}

function changeDomain(
  listeners: readonly Listener[],
  { listenerId, domain, certificate, http2, isDefault }: DomainChange,
): readonly Listener[] {
  const changed = (rule: Rule): Rule => {
    const { http2: was, isDefault: wasDefault, ...rest } = rule;
    if (rule.domain !== domain) return isDefault && wasDefault ? { ...rest, ...(was && { http2: was }) } : rule;
    const speaks = http2 ?? was === true;
    const serves = isDefault ?? wasDefault;
    return {
      ...rest,
      ...(certificate !== undefined && { certificate }),
      ...(speaks && { http2: true }),
      ...(serves && { isDefault: true }),
    };
  };
  return listeners.map((listener) => (listener.listenerId === listenerId ? { ...listener, rules: listener.rules.map(changed) } : listener));
}

/** As a read shows it: what is off has no member. */
function withoutEmpty<P extends Place>(place: P): P {
  const { settings, checkedByVip, ...rest } = place;
  const isOn = settings !== undefined && Object.keys(settings).length > 0;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same place without optional members
  return { ...rest, ...(isOn && { settings }), ...(checkedByVip && { checkedByVip }) } as unknown as P;
}

/** Where the check comes from, if the call says so: 0 is the load balancer's own address. */
const checkSource = ({ sourceIpType }: Partial<HealthCheck>) =>
  sourceIpType === undefined ? {} : { checkedByVip: sourceIpType === 0 ? (true as const) : undefined };

/** Replaces the places that `groups` names. */
function change<T>(
  listeners: readonly Listener[],
  groups: ReadonlyMap<string, T>,
  how: (place: Place, group: T) => Partial<Place>,
): readonly Listener[] {
  const changed = <P extends Place>(place: P): P => {
    const group = groups.get(placeKey(place));
    if (group === undefined) return place;
    const what = how(place, group);
    return "healthCheck" in what ? withoutEmpty({ ...place, ...what }) : { ...place, ...what };
  };
  return listeners.map((listener) => {
    const rules = listener.rules.map(changed);
    const itself = changed(listener);
    return rules.every((rule, index) => rule === listener.rules[index]) ? itself : { ...itself, rules };
  });
}

function byPlace<S extends Slot>(slots: readonly S[]): Map<string, S[]> {
  const groups = new Map<string, S[]>();
  for (const slot of slots) {
    const key = placeKey(slot);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [slot]);
    else group.push(slot);
  }
  return groups;
}

function removeTargets({ targets }: Place, slots: readonly Slot[]): Partial<Place> {
  const gone = new Set(slots.map(targetKey));
  return { targets: targets.filter((target) => !gone.has(targetKey(target))) };
}

function addTargets({ targets }: Place, slots: readonly BoundSlot[]): Partial<Place> {
  const all = new Map<string, Target>(targets.map((target) => [targetKey(target), target]));
  for (const { ip, port, weight } of slots) all.set(targetKey({ ip, port }), { ip, port, weight });
  return { targets: [...all.values()] };
}

function setWeights({ targets }: Place, slots: readonly WeightedSlot[]): Partial<Place> {
  const weightOf = new Map(slots.map((slot) => [targetKey(slot), slot.weight]));
  return {
    targets: targets.map((target) => {
      const weight = weightOf.get(targetKey(target));
      return weight === undefined ? target : { ...target, weight };
    }),
  };
}

function addListeners(listeners: readonly Listener[], create: NewListeners, created: readonly string[]): readonly Listener[] {
  const { protocol, scheduler = "WRR", settings, certificate, keepalive } = create;
  const more = {
    ...canonicalSettings(settings),
    ...(certificate !== undefined && { certificate }),
    ...(keepalive && { keepalive: true as const }),
  };
  const byVip = create.healthCheck.sourceIpType === 0 ? { checkedByVip: true as const } : {};
  const healthCheck = canonicalCheck({ ...DEFAULT_HEALTH_CHECK, ...create.healthCheck }, "listener");
  const added = create.listeners.flatMap(({ name, port }, index): Listener[] => {
    const listenerId = created[index];
    return listenerId === undefined
      ? []
      : [{ listenerId, name, protocol, port, healthCheck, scheduler, ...more, ...byVip, targets: [], rules: [] }];
  });
  return [...listeners, ...added];
}

function addRules(listeners: readonly Listener[], { listenerId, rules }: NewRules, created: readonly string[]): readonly Listener[] {
  const added = rules.flatMap(({ domain, url, scheduler = "WRR", ...rule }, index): Rule[] => {
    const locationId = created[index];
    if (locationId === undefined) return [];
    const healthCheck = canonicalCheck({ ...DEFAULT_HEALTH_CHECK, ...rule.healthCheck }, "rule");
    const place = { listenerId, locationId, domain: canonicalDomain(domain), url, healthCheck, scheduler, targets: [] };
    const more = {
      ...canonicalSettings(rule.settings),
      ...(rule.healthCheck.sourceIpType === 0 && { checkedByVip: true as const }),
      ...(rule.certificate !== undefined && { certificate: rule.certificate }),
      ...(rule.http2 && { http2: true as const }),
    };
    return [{ ...place, ...more }];
  });
  return listeners.map((listener) =>
    listener.listenerId === listenerId && added.length > 0 ? { ...listener, rules: [...listener.rules, ...added] } : listener,
  );
}

function redirected(
  listeners: readonly Listener[],
  { listenerId, targetListenerId, rules }: Redirects,
  isOn: boolean,
): readonly Listener[] {
  const changed = new Map(rules.map((one) => [one.locationId, one]));
  const after = (rule: Rule): Rule => {
    const one = changed.get(rule.locationId);
    if (one === undefined) return rule;
    const { redirect: _, ...rest } = rule;
    return isOn ? { ...rest, redirect: { listenerId: targetListenerId, locationId: one.targetLocationId, code: one.code } } : rest;
  };
  return listeners.map((listener) => (listener.listenerId === listenerId ? { ...listener, rules: listener.rules.map(after) } : listener));
}

function removeRules(listeners: readonly Listener[], listenerId: string, locationIds: readonly string[]): readonly Listener[] {
  return listeners.map((listener) =>
    listener.listenerId === listenerId
      ? { ...listener, rules: listener.rules.filter(({ locationId }) => !locationIds.includes(locationId)) }
      : listener,
  );
}
