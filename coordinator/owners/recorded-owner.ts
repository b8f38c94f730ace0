import { listenerName } from "../../common/names.ts";
import { intentSelectors } from "../domain/intent/owner-intent.ts";
import { kindOfObject, type OwnerObject, objectRef } from "../domain/intent/owner-object.ts";
import type { ListenerRecord, OwnerRecord } from "../domain/intent/owner-record.ts";
import type { ServiceIntent } from "../domain/intent/service.ts";
import { wishKey } from "../domain/intent/service-config.ts";
import { type Intents, leftSelectors, MAX_SELECTORS } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";

export type RecordedOwnerDeps = {
  readonly ownerRecords: OwnerRecords;
  readonly intents: Pick<Intents, "get" | "of" | "remove">;
  readonly mirror: Pick<Mirror, "markStale">;
  readonly clusterId: string;
};

/**
 * Stores what the object asks for, before anything is done for it. A new object takes over what a vanished one of its name has on ports
 * that it asks for too. Rejects with KubeApiError.
 */
export async function recordOwner(
  deps: RecordedOwnerDeps,
  object: OwnerObject,
  intent: ServiceIntent,
  loadBalancerId: string,
  signal: AbortSignal,
): Promise<void> {
  const { ownerRecords } = deps;
  const heirlooms = leftBehind(deps, object, intent, loadBalancerId);
  const ref = objectRef(object);
  // The Pods of the vanished object leave as those of a former selector do.
  const inherited = heirlooms.flatMap(({ from }) => [...from.formerSelectors, ...intentSelectors(from.intent)]);
  const change = (known: OwnerRecord | undefined): OwnerRecord => {
    const taken = Object.fromEntries(heirlooms.flatMap(({ listeners }) => listeners));
    const left = known === undefined ? [] : leftSelectors(known.intent, intent);
    const formerSelectors = [...(known?.formerSelectors ?? inherited), ...left].slice(-MAX_SELECTORS);
    const listeners = { ...taken, ...known?.listeners };
    return { ref, order: `${object.createdAt} ${object.uid}`, intent, formerSelectors, listeners };
  };
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
}

type Heirloom = { readonly from: OwnerRecord; readonly listeners: readonly (readonly [key: string, listener: ListenerRecord])[] };

function leftBehind(
  { ownerRecords, intents, clusterId }: RecordedOwnerDeps,
  object: OwnerObject,
  { ports }: ServiceIntent,
  loadBalancerId: string,
): Heirloom[] {
  const { uid, namespace, name } = object;
  const asked = new Set(ports.map(({ protocol, port }) => wishKey(protocol, port)));
  return intents.of(loadBalancerId).flatMap(({ ref, state }): Heirloom[] => {
    const from = ownerRecords.get(loadBalancerId, ref.uid);
    if (
      from === undefined ||
      state !== "vanished" ||
      ref.uid === uid ||
      ref.kind !== kindOfObject(object) ||
      ref.namespace !== namespace ||
      ref.name !== name
    )
      return [];
    const listeners = Object.entries(from.listeners).flatMap(([key, listener]) => {
      const [protocol = "", port = ""] = key.split("/");
      const { id, healthCheck, scheduler } = listener;
      const formerName = listenerName(clusterId, ref.uid, protocol, Number(port));
      return asked.has(key) ? [[key, { id, healthCheck, scheduler, formerName }] as const] : [];
    });
    return listeners.length === 0 ? [] : [{ from, listeners }];
  });
}
