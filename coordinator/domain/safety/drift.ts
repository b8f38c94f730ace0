import { ownerMarkOf } from "../../../common/names.ts";
import { type Listener, type Place, placeKey, placesOf, type Target, targetKey } from "../load-balancer.ts";

/** What somebody else did to a listener of ours, e.g. "targets removed: 2 (10.244.1.1:8080, 10.244.1.2:8080)". */
export type Drift = { readonly listener: Listener; readonly what: string; readonly isDeleted?: true };

/** Targets named in a drift. */
const MAX_NAMED = 3;

/** Pure, added targets apart, which the plan finds or takes over: the difference of a re-read to what we knew, in listeners of this cluster. Only for a re-read that nothing of ours made necessary. */
export function driftOf(clusterId: string, known: readonly Listener[], read: readonly Listener[]): Drift[] {
  const readById = Map.groupBy(read, ({ listenerId }) => listenerId);
  return known.flatMap((listener): Drift[] => {
    if (ownerMarkOf(listener.name, clusterId) === undefined) return [];
    // One that is shared stands there once for each of its owners.
    const present = readById.get(listener.listenerId) ?? [];
    const now = present.find(({ name }) => name === listener.name) ?? present[0];
    if (now === listener) return [];
    if (now === undefined) return [{ listener, what: "it was deleted", isDeleted: true }];
    // One that is given up is told apart.
    const changes = now.name === listener.name || now.shownName !== undefined ? [] : [`it was renamed to "${now.name}"`];
    if (ownerMarkOf(now.name, clusterId) === undefined) return changes.map((what) => ({ listener, what })); // foreign now: its targets are not read
    const nowByKey = new Map(placesOf({ listeners: [now] }).map((place) => [placeKey(place), place]));
    const before = placesOf({ listeners: [listener] });
    for (const place of before) changes.push(...placeChanges(place, nowByKey.get(placeKey(place))));
    const added = nowByKey.size - before.filter((place) => nowByKey.has(placeKey(place))).length;
    if (added > 0) changes.push(`${added} rules were added`);
    return changes.map((what) => ({ listener, what }));
  });
}

function placeChanges(known: Place, read: Place | undefined): string[] {
  if (read === known) return [];
  const at = "url" in known && "domain" in known ? `rule ${String(known.domain)}${String(known.url)}: ` : "";
  if (read === undefined) return [`${at}it was deleted`];
  const changes: string[] = [];
  // What the cloud filled in since is no news.
  const sameCheck = Object.entries(known.healthCheck).every(([name, value]) => Reflect.get(read.healthCheck, name) === value);
  const sameSettings = Object.entries(known.settings ?? {}).every(([name, value]) => Reflect.get(read.settings ?? {}, name) === value);
  if (!sameCheck || !sameSettings || known.scheduler !== read.scheduler) changes.push("health check or scheduler changed");
  const knownByKey = new Map(known.targets.map((target) => [targetKey(target), target]));
  const readByKey = new Map(read.targets.map((target) => [targetKey(target), target]));
  const tell = (targets: readonly Target[], what: string): void => {
    if (targets.length === 0) return;
    const named = targets.map(targetKey).sort().slice(0, MAX_NAMED).join(", ");
    changes.push(`${what}: ${targets.length} (${named}${targets.length > MAX_NAMED ? ", …" : ""})`);
  };
  tell(
    known.targets.filter((target) => !readByKey.has(targetKey(target))),
    "targets removed",
  );
  tell(
    read.targets.filter((target) => (knownByKey.get(targetKey(target))?.weight ?? target.weight) !== target.weight),
    "weights changed",
  );
  return changes.map((what) => `${at}${what}`);
}
