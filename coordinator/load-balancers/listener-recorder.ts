import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { ownerMark, ownerMarkOf, ownListeners } from "../../common/names.ts";
import { type DesiredLoadBalancer, listenersByOwner, type WantedListener } from "../domain/intent/desired-load-balancer.ts";
import type { ListenerRecord, OwnerRecord } from "../domain/intent/owner-record.ts";
import { wishKey } from "../domain/intent/service-config.ts";
import { sharedRuleName } from "../domain/intent/shared-rules.ts";
import { canonicalDomain, type Listener, type LoadBalancer, ruleKey, targetKey } from "../domain/load-balancer.ts";
import { placePairs } from "../domain/plan/plan-structure.ts";
import { isSameStructure, type Seen } from "../domain/plan/structure-cache.ts";
import type { ObjectRef } from "../domain/problem.ts";
import type { Intents } from "../state/intents.ts";
import type { ListenerIdentity, Misnamed } from "../state/listener-identity.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";

export type ListenerRecorderDeps = {
  readonly ownerRecords: OwnerRecords;
  readonly identity: ListenerIdentity;
  readonly intents: Pick<Intents, "of" | "remove">;
  readonly mirror: Pick<Mirror, "markStale">;
  readonly clusterId: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of a listener that somebody renamed. */
  readonly onRenamed: (loadBalancerId: string, owner: ObjectRef, listener: RenamedListener) => void;
  /** What is stored has changed, or could not be stored and is to be tried again. */
  readonly due: (loadBalancerId: string) => void;
};
/** A listener under another name than it should have; e.g. { listenerId: "lbl-1", shown: "mine" }; `because`: why it is given up. */
export type RenamedListener = { readonly listenerId: string; readonly shown: string; readonly because: string | undefined };

const RETRY_MS = 5_000;

/**
 * Brings what is on record of owners in step with their load balancer: ids of their listeners, and how these are set. Beside the passes,
 * because no drain waits for it.
 */
export class ListenerRecorder {
  readonly #deps: ListenerRecorderDeps;
  readonly #running = new Set<string>();
  /** What was in step with its records, of the version that these had; by the owners, which are other objects when anything of them changes. */
  readonly #inStep = new WeakMap<DesiredLoadBalancer["owners"], Seen & { readonly version: number }>();

  constructor(deps: ListenerRecorderDeps) {
    this.#deps = deps;
  }

  /** The load balancer as it was just read or written. */
  keep(desired: DesiredLoadBalancer, actual: LoadBalancer, signal: AbortSignal): void {
    const id = actual.loadBalancerId;
    forgetCleared(this.#deps, actual);
    if (this.#running.has(id)) return; // its end brings the next pass, if it changes anything
    if (this.#isInStep(desired, actual)) return;
    this.#running.add(id);
    void this.#storeBeside(desired, actual, signal);
  }

  /** Pods decide nothing of what is on record, but for who shares a listener with others or has left rules of one. */
  #isInStep(desired: DesiredLoadBalancer, actual: LoadBalancer): boolean {
    const { ownerRecords, identity } = this.#deps;
    const id = actual.loadBalancerId;
    const known = this.#inStep.get(desired.owners);
    if (known?.version !== ownerRecords.version(id) || identity.misnamed(id).length > 0) return false;
    if (!isSameStructure(known, desired, actual)) return false;
    this.#inStep.set(desired.owners, { desired, actual, version: known.version });
    return true;
  }

  async #storeBeside(desired: DesiredLoadBalancer, actual: LoadBalancer, signal: AbortSignal): Promise<void> {
    const id = actual.loadBalancerId;
    const isChanged = await this.#store(desired, actual, signal);
    this.#running.delete(id);
    if (isChanged && !signal.aborted) this.#deps.due(id);
  }

  /** True: another pass is needed. Never rejects. */
  async #store(desired: DesiredLoadBalancer, actual: LoadBalancer, signal: AbortSignal): Promise<boolean> {
    const { ownerRecords, identity, clock, log } = this.#deps;
    const id = actual.loadBalancerId;
    const before = [...ownerRecords.of(id)];
    try {
      for (const misnamed of identity.misnamed(id)) await settleName(this.#deps, id, misnamed, signal);
      const [wanted, present] = [listenersByOwner(desired), presentAt(desired, actual, this.#deps.clusterId, clock.now())];
      const changes = desired.owners.map(
        ({ ref }) => [ref.uid, (known?: OwnerRecord) => known && inStep(known, wanted.get(ref.uid) ?? [], present)] as const,
      );
      await ownerRecords.updateAll(id, new Map(changes), signal);
      const after = [...ownerRecords.of(id)];
      if (after.some((record, at) => record !== before[at])) return true;
      const isLasting = after.every(({ intent, leftRules }) => intent.group !== true && leftRules === undefined);
      if (isLasting) this.#inStep.set(desired.owners, { desired, actual, version: ownerRecords.version(id) });
      return false;
    } catch (err) {
      if (signal.aborted) return false;
      log.warn({ err, loadBalancerId: id }, "listeners not recorded, trying again");
      await clock.sleep(RETRY_MS, signal).catch(() => undefined);
      return true;
    }
  }
}

/** Stored before it is told, and before the listener is named back by the plan that comes of the next read. */
async function settleName(deps: ListenerRecorderDeps, id: string, { listenerId, shown, recorded, verdict }: Misnamed, signal: AbortSignal) {
  const { owner, key } = recorded;
  const settled = (known: OwnerRecord | undefined): OwnerRecord | undefined => {
    const isSame = known?.listeners[key]?.id === listenerId && verdict.record !== undefined;
    return isSame ? withListener(known, key, verdict.record) : undefined;
  };
  const before = deps.ownerRecords.get(id, owner.ref.uid);
  await deps.ownerRecords.update(id, owner.ref.uid, settled, signal);
  if (deps.ownerRecords.get(id, owner.ref.uid) === before || verdict.kind === "ours") return;
  deps.onRenamed(id, owner.ref, { listenerId, shown, because: verdict.because });
  deps.mirror.markStale(id, "a listener was renamed");
}

/** A vanished owner of which nothing is left is forgotten. */
function forgetCleared({ intents, ownerRecords, clusterId }: ListenerRecorderDeps, actual: LoadBalancer): void {
  const id = actual.loadBalancerId;
  const vanished = intents.of(id).filter(({ state }) => state === "vanished");
  if (vanished.length === 0) return;
  const present = new Set(actual.listeners.map(({ listenerId }) => listenerId));
  for (const { ref } of vanished) {
    const record = ownerRecords.get(id, ref.uid);
    const isThere = Object.values(record?.listeners ?? {}).some((one) =>
      one.rules === undefined
        ? present.has(one.id) && ownerRecords.listener(id, one.id)?.owner === record
        : actual.listeners.some(ownListeners(clusterId, ref.uid)),
    );
    if (isThere) continue;
    ownerRecords.remove(id, ref.uid);
    intents.remove(ref.uid);
  }
}

type Present = {
  readonly byName: ReadonlyMap<string, Listener>;
  readonly ids: ReadonlySet<string>;
  /** The owner's rules in a listener that it shares; undefined: it has none there. */
  readonly rulesOf: (uid: string, listenerId: string) => readonly string[] | undefined;
  /** The same by "HTTP/80". */
  readonly names: (uid: string, key: string) => ReadonlySet<string>;
  /** The rule has backends that whoever it belongs to does not want there. */
  readonly hasOthers: (key: string, rule: string) => boolean;
  readonly nowMs: number;
};

function presentAt(desired: DesiredLoadBalancer, actual: LoadBalancer, clusterId: string, nowMs: number): Present {
  const { listeners } = actual;
  let others: ReadonlySet<string> | undefined;
  const own = Map.groupBy(listeners, ({ name }) => ownerMarkOf(name, clusterId));
  const ownOf = (uid: string): readonly Listener[] => own.get(ownerMark(uid)) ?? [];
  return {
    hasOthers: (key, rule) => {
      others ??= rulesWithOthers(desired, actual);
      return others.has(`${key} ${rule}`);
    },
    byName: new Map(listeners.map((listener) => [listener.name, listener])),
    ids: new Set(listeners.map(({ listenerId }) => listenerId)),
    rulesOf: (uid, listenerId) =>
      ownOf(uid)
        .find((one) => one.listenerId === listenerId)
        ?.rules.map((rule) => sharedRuleName(rule, actual))
        .sort(),
    nowMs,
    names: (uid, key) =>
      new Set(
        ownOf(uid).flatMap(({ protocol, port, rules }) =>
          wishKey(protocol, port) === key ? rules.map((rule) => sharedRuleName(rule, actual)) : [],
        ),
      ),
  };
}

/** E.g. "HTTP/80 shop.example.com /". */
const rulesWithOthers = (desired: DesiredLoadBalancer, actual: LoadBalancer): ReadonlySet<string> =>
  new Set(
    placePairs(desired, actual).flatMap(({ listener: { protocol, port }, rule, place, wanted }) => {
      if (rule === undefined) return [];
      const asked = new Set(wanted?.backends.map(targetKey));
      const hasOthers = place.targets.some((target) => !asked.has(targetKey(target)));
      return hasOthers ? `${wishKey(protocol, port)} ${sharedRuleName(rule, actual)}` : [];
    }),
  );

/** The same record where it is in step already: this is asked at every pass. */
function inStep(recorded: OwnerRecord, wanted: readonly WantedListener[], present: Present): OwnerRecord {
  const { byName, ids, rulesOf } = present;
  const known = withoutGoneRules(recorded, present);
  const listeners: Record<string, ListenerRecord> = {};
  const withRules = (listener: ListenerRecord): ListenerRecord | undefined => {
    if (known.intent.group !== true) return listener;
    const rules = rulesOf(known.ref.uid, listener.id);
    if (rules === undefined) return undefined;
    return isDeepStrictEqual(rules, listener.rules) ? listener : { ...listener, rules };
  };
  for (const [key, listener] of Object.entries(known.listeners)) {
    const kept = ids.has(listener.id) ? withRules(listener) : undefined;
    const isWanted = wanted.some(({ protocol, port }) => wishKey(protocol, port) === key);
    if (kept !== undefined || isWanted) listeners[key] = kept ?? listener;
  }
  for (const want of wanted) {
    const key = wishKey(want.protocol, want.port);
    const listener = byName.get(want.name);
    const record = listener && recordOf(listeners[key], want, listener);
    if (record !== undefined) listeners[key] = withRules(record) ?? record;
  }
  const entries = Object.entries(listeners);
  const isSame =
    entries.length === Object.keys(known.listeners).length && entries.every(([key, listener]) => known.listeners[key] === listener);
  return isSame ? known : { ...known, listeners };
}

/** A call of a leader that fell takes effect within this time, or never does. Milliseconds; tasks take seconds (clb-api.md §2.1). */
const LATE_CALL_MS = 180_000;

/**
 * Rules that it left, that are not there and will not come any more are forgotten; one that another owner has taken over only when the Pods
 * that were bound for this one are gone from it: every leader is to know why they leave.
 */
function withoutGoneRules(known: OwnerRecord, { names, hasOthers, nowMs }: Present): OwnerRecord {
  if (known.leftRules === undefined) return known;
  const left = Object.entries(known.leftRules).flatMap(([key, rules]) => {
    const there = names(known.ref.uid, key);
    const stay = Object.entries(rules).filter(
      ([rule, sinceMs]) => there.has(rule) || nowMs - sinceMs < LATE_CALL_MS || hasOthers(key, rule),
    );
    return stay.length === 0 ? [] : [[key, Object.fromEntries(stay)] as const];
  });
  const now = Object.fromEntries(left);
  if (isDeepStrictEqual(now, known.leftRules)) return known;
  const { leftRules: _, ...rest } = known;
  return left.length === 0 ? rest : { ...rest, leftRules: now };
}

/** What the listener has once it is set as it is wanted; until then what it had. Checks that nobody wants off are on. */
function recordOf(former: ListenerRecord | undefined, wanted: WantedListener, listener: Listener): ListenerRecord {
  const { healthCheck: wish, scheduler: spread } = wanted;
  const { listenerId: id, healthCheck: check, scheduler } = listener;
  const known = former?.id === id ? withUnchecked(former, wanted) : undefined;
  if (known === undefined)
    return withUnchecked({ id, healthCheck: { ...check, enabled: true, ...wish }, scheduler: spread ?? scheduler }, wanted);
  const isSet = isDeepStrictEqual({ ...check, ...wish }, check) && (spread ?? scheduler) === scheduler;
  return isSet && !(isDeepStrictEqual(known.healthCheck, check) && known.scheduler === scheduler)
    ? { ...known, healthCheck: check, scheduler }
    : known;
}

/** A rule whose config goes keeps its check as it is: without one, where it was switched off. */
function withUnchecked(known: ListenerRecord, { rules = [] }: WantedListener): ListenerRecord {
  const { uncheckedRules: before = [], ...rest } = known;
  const now = rules.flatMap(({ domain, url, healthCheck: { enabled } }) => {
    const key = ruleKey({ domain: canonicalDomain(domain), url });
    return (enabled ?? !before.includes(key)) ? [] : key;
  });
  now.sort();
  if (isDeepStrictEqual(now, before)) return known;
  return now.length === 0 ? rest : { ...rest, uncheckedRules: now };
}

const withListener = (owner: OwnerRecord, key: string, listener: ListenerRecord | undefined): OwnerRecord =>
  listener === undefined ? owner : { ...owner, listeners: { ...owner.listeners, [key]: listener } };
