import { intentSelectors, type OwnerIntent } from "../domain/intent/owner-intent.ts";
import { type OwnerObject, objectRef } from "../domain/intent/owner-object.ts";
import type { OwnerRecord } from "../domain/intent/owner-record.ts";
import type { ServiceIntent } from "../domain/intent/service.ts";
import { wishKey } from "../domain/intent/service-config.ts";
import { namesAsked } from "../domain/intent/shared-rules.ts";
import { type Intents, leftSelectors, MAX_SELECTORS } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";
import { type HeirloomsDeps, heirloomsFor } from "./heirlooms.ts";

export type RecordedOwnerDeps = HeirloomsDeps & {
  readonly ownerRecords: OwnerRecords;
  readonly intents: Pick<Intents, "of" | "remove">;
  readonly mirror: Pick<Mirror, "markStale">;
  readonly clock: { now(): number };
};

/**
 * Stores what the object asks for, before anything is done for it. A new object takes over what a vanished one of its name has on ports
 * that it asks for too, and the load balancer itself where it wants one made as well. True: something is on record that was not. Rejects with KubeApiError.
 */
export async function recordOwner(
  deps: RecordedOwnerDeps,
  object: OwnerObject,
  intent: ServiceIntent,
  loadBalancerId: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { ownerRecords } = deps;
  const heirlooms = heirloomsFor(deps, object, intent, deps.intents.of(loadBalancerId));
  const ref = objectRef(object);
  // The Pods of the vanished object leave as those of a former selector do.
  const inherited = heirlooms.flatMap(({ from }) => [...from.formerSelectors, ...intentSelectors(from.intent)]);
  const [heirloom] = intent.source.kind === "create" ? heirlooms.filter(({ from }) => from.intent.source.kind === "create") : [];
  const change = (known: OwnerRecord | undefined): OwnerRecord => {
    const taken = Object.fromEntries(heirlooms.flatMap(({ listeners }) => listeners));
    const left = known === undefined ? [] : leftSelectors(known.intent, intent);
    const formerSelectors = [...(known?.formerSelectors ?? inherited), ...left].slice(-MAX_SELECTORS);
    const listeners = { ...taken, ...known?.listeners };
    const former = known ?? heirlooms[0]?.from;
    const leaving = former && leftRules(former, intent, deps.clock.now());
    const madeFor = known?.madeFor ?? (heirloom && (heirloom.from.madeFor ?? heirloom.from.ref.uid));
    return {
      ref,
      order: `${object.createdAt} ${object.uid}`,
      intent,
      formerSelectors,
      ...(madeFor !== undefined && { madeFor }),
      listeners,
      ...(leaving !== undefined && { leftRules: leaving }),
      ...(known?.inherited !== undefined && { inherited: known.inherited }),
    };
  };
  const before = ownerRecords.get(loadBalancerId, object.uid);
  await ownerRecords.update(loadBalancerId, object.uid, change, signal);
  for (const { from, listeners } of heirlooms) {
    const taken = new Set(listeners.map(([key]) => key));
    const left = Object.entries(from.listeners).filter(([key]) => !taken.has(key));
    if (left.length === 0) {
      ownerRecords.remove(loadBalancerId, from.ref.uid);
      deps.intents.remove(from.ref.uid);
    } else await ownerRecords.update(loadBalancerId, from.ref.uid, () => ({ ...from, listeners: Object.fromEntries(left) }), signal);
  }
  if (heirlooms.length > 0) deps.mirror.markStale(loadBalancerId, "listeners of a vanished owner were taken over");
  return heirlooms.length > 0 || ownerRecords.get(loadBalancerId, object.uid) !== before;
}

/** It asks for another controller, and has nothing at any load balancer: none is made for it, and no Pod waits for one. */
export function forgetIntent(
  { intents, intentChanged }: { readonly intents: Intents; readonly intentChanged: (owner: OwnerIntent) => void },
  { uid }: Pick<OwnerObject, "uid">,
): { readonly kind: "done" } {
  const known = intents.get(uid);
  if (known !== undefined) {
    intents.remove(uid);
    intentChanged(known);
  }
  return { kind: "done" };
}

/** Rules that it asks for no more may be there already without being on record as its own: a leader may have fallen right after it made them. */
function leftRules({ intent: former, leftRules: known = {} }: OwnerRecord, intent: ServiceIntent, nowMs: number): OwnerRecord["leftRules"] {
  if (former.group !== true) return undefined;
  const asked = rulesAsked(intent);
  const before = rulesAsked(former);
  const left = [...new Set([...before.keys(), ...Object.keys(known)])].flatMap((key) => {
    const since = { ...known[key], ...Object.fromEntries([...(before.get(key) ?? [])].map((rule) => [rule, nowMs] as const)) };
    const rules = Object.entries(since).filter(([rule]) => asked.get(key)?.has(rule) !== true);
    return rules.length === 0 ? [] : [[key, Object.fromEntries(rules)] as const];
  });
  return left.length === 0 ? undefined : Object.fromEntries(left);
}

const rulesAsked = ({ ports }: ServiceIntent): ReadonlyMap<string, ReadonlySet<string>> =>
  new Map(ports.map((port) => [wishKey(port.protocol, port.port), namesAsked(port)]));

/** Before the object's record goes: who has taken over rules of it in their group has the Pods that it asked for as well. Rejects with KubeApiError. */
export async function leaveToOthers(
  { ownerRecords, intents }: { readonly ownerRecords: OwnerRecords; readonly intents: Pick<Intents, "shared"> },
  { uid, namespace }: Pick<OwnerObject, "uid" | "namespace">,
  loadBalancerId: string,
  signal: AbortSignal,
): Promise<void> {
  const record = ownerRecords.get(loadBalancerId, uid);
  if (record?.intent.group !== true) return;
  const holders = intents.shared(loadBalancerId)?.holders;
  const heirs = new Set(
    record.intent.ports.flatMap((port) =>
      [...namesAsked(port)].flatMap((name) => holders?.get(wishKey(port.protocol, port.port))?.get(name)?.uid ?? []),
    ),
  );
  heirs.delete(uid);
  const left = [...record.formerSelectors, ...intentSelectors(record.intent)].map((selector) => ({ namespace, selector }));
  const change = (known: OwnerRecord | undefined): OwnerRecord | undefined => {
    if (known === undefined) return undefined;
    const { ref, order, intent, formerSelectors, ...rest } = known; // in the order of `recordOwner`, so that nothing is written twice
    return { ref, order, intent, formerSelectors, ...rest, inherited: [...(known.inherited ?? []), ...left].slice(-MAX_SELECTORS) };
  };
  await ownerRecords.updateAll(loadBalancerId, new Map([...heirs].map((heir) => [heir, change])), signal);
}
