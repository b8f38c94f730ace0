import { type Listener, type Place, placeKey, type Target, targetKey } from "./load-balancer.ts";

/** The listeners of a new read; those and their rules in which nothing has changed are the known objects. */
export function keepKnown(known: readonly Listener[], read: readonly Listener[]): readonly Listener[] {
  const knownById = new Map(known.map((listener) => [listener.listenerId, listener]));
  return read.map((listener) => {
    const before = knownById.get(listener.listenerId);
    if (before === undefined) return listener;
    const rulesById = new Map(before.rules.map((rule) => [rule.locationId, rule]));
    const rules = listener.rules.map((rule) => {
      const same = rulesById.get(rule.locationId);
      return same !== undefined && same.domain === rule.domain && same.url === rule.url && isSamePlace(same, rule) ? same : rule;
    });
    const { name, shownName, protocol, port } = listener;
    const isSame =
      before.name === name &&
      before.shownName === shownName &&
      before.protocol === protocol &&
      before.port === port &&
      before.rules.length === rules.length &&
      isSamePlace(before, listener) &&
      rules.every((rule) => rulesById.get(rule.locationId) === rule);
    return isSame ? before : { ...listener, rules };
  });
}

/** Copies of the places that `keys` names: something has changed that they do not show. */
export function renewed(listeners: readonly Listener[], keys: ReadonlySet<string>): readonly Listener[] {
  const renew = <P extends Place>(place: P): P => (keys.has(placeKey(place)) ? { ...place } : place);
  return listeners.map((listener) => {
    const rules = listener.rules.map(renew);
    return rules.every((rule, index) => rule === listener.rules[index]) ? renew(listener) : { ...listener, rules };
  });
}

const isSamePlace = (a: Place, b: Place): boolean =>
  a.scheduler === b.scheduler && sameFields(a.healthCheck, b.healthCheck) && sameTargets(a.targets, b.targets);

function sameFields(a: object, b: object): boolean {
  const fields = Object.entries(a);
  return fields.length === Object.keys(b).length && fields.every(([name, value]) => Reflect.get(b, name) === value);
}

/** In any order. */
function sameTargets(a: readonly Target[], b: readonly Target[]): boolean {
  if (a.length !== b.length) return false;
  const weights = new Map(a.map((target) => [targetKey(target), target.weight]));
  return b.every((target) => weights.get(targetKey(target)) === target.weight);
}
