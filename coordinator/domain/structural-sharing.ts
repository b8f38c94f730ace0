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

const TARGETS: ReadonlySet<string> = new Set(["targets", "rules"]);

/** Of two states of one listener: nothing of it has changed but its targets, or those of its rules. As objects, so that it costs nearly nothing. */
export function sameButTargets(before: Listener | undefined, now: Listener): boolean {
  if (before === now) return true;
  if (before === undefined || !sameApart(before, now, TARGETS)) return false;
  return sameEach(before.rules, now.rules, (known, rule) => known !== undefined && sameApart(known, rule, TARGETS));
}

/** As many, and each the same object as the one in its place, or the same by `isSame`. */
export const sameEach = <T>(
  before: readonly T[],
  now: readonly T[],
  isSame: (before: T | undefined, now: T) => boolean = () => false,
): boolean => before === now || (before.length === now.length && now.every((one, at) => one === before[at] || isSame(before[at], one)));

/** The same members, but for those that `apart` names: as objects, or the same by `isSame`. */
export function sameApart(
  a: object,
  b: object,
  apart: ReadonlySet<string>,
  isSame = (_a: unknown, _b: unknown): boolean => false,
): boolean {
  for (const name in a) {
    if (apart.has(name)) continue;
    const one: unknown = Reflect.get(a, name);
    const other: unknown = Reflect.get(b, name);
    if (one !== other && !isSame(one, other)) return false;
  }
  for (const name in b) if (!apart.has(name) && !(name in a)) return false;
  return true;
}
