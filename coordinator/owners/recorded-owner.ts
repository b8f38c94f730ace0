import { isDeepStrictEqual } from "node:util";
import { listenerName } from "../../common/names.ts";
import type { ListenerRecord, OwnerRecord } from "../domain/intent/owner-record.ts";
import { type ServiceIntent, type ServiceRecord, serviceRef } from "../domain/intent/service.ts";
import { wishKey } from "../domain/intent/service-config.ts";
import { type Intents, MAX_SELECTORS } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";

export type RecordedOwnerDeps = {
  readonly ownerRecords: OwnerRecords;
  readonly intents: Pick<Intents, "get" | "of" | "remove">;
  readonly mirror: Pick<Mirror, "markStale">;
  readonly clusterId: string;
};

/**
 * Stores what the Service asks for, before anything is done for it. A new Service takes over what a vanished one of its name has on ports
 * that it asks for too. Rejects with KubeApiError.
 */
export async function recordOwner(
  deps: RecordedOwnerDeps,
  service: ServiceRecord,
  intent: ServiceIntent,
  loadBalancerId: string,
  signal: AbortSignal,
): Promise<void> {
  const { ownerRecords } = deps;
  const heirlooms = leftBehind(deps, service, intent, loadBalancerId);
  const ref = serviceRef(service);
  // The Pods of the vanished Service leave as those of a former selector do.
  const inherited = heirlooms.flatMap(({ from }) => [...from.formerSelectors, from.intent.selector]);
  const change = (known: OwnerRecord | undefined): OwnerRecord => {
    const taken = Object.fromEntries(heirlooms.flatMap(({ listeners }) => listeners));
    const isReselected = known !== undefined && !isDeepStrictEqual(known.intent.selector, intent.selector);
    const formerSelectors = [...(known?.formerSelectors ?? inherited), ...(isReselected ? [known.intent.selector] : [])].slice(
      -MAX_SELECTORS,
    );
    const listeners = { ...taken, ...known?.listeners };
    return { ref, order: `${service.createdAt} ${service.uid}`, intent, formerSelectors, listeners };
  };
  await ownerRecords.update(loadBalancerId, service.uid, change, signal);
  for (const { from, listeners } of heirlooms) {
    const taken = new Set(listeners.map(([key]) => key));
    const left = Object.entries(from.listeners).filter(([key]) => !taken.has(key));
    if (left.length === 0) {
      ownerRecords.remove(loadBalancerId, from.ref.uid);
      deps.intents.remove(from.ref.uid);
    } else await ownerRecords.update(loadBalancerId, from.ref.uid, () => ({ ...from, listeners: Object.fromEntries(left) }), signal);
  }
  if (heirlooms.length > 0) deps.mirror.markStale(loadBalancerId, "listeners of a vanished Service were taken over");
}

type Heirloom = { readonly from: OwnerRecord; readonly listeners: readonly (readonly [key: string, listener: ListenerRecord])[] };

function leftBehind(
  { ownerRecords, intents, clusterId }: RecordedOwnerDeps,
  { uid, namespace, name }: ServiceRecord,
  { ports }: ServiceIntent,
  loadBalancerId: string,
): Heirloom[] {
  const asked = new Set(ports.map(({ protocol, port }) => wishKey(protocol, port)));
  return intents.of(loadBalancerId).flatMap(({ ref, state }): Heirloom[] => {
    const from = ownerRecords.get(loadBalancerId, ref.uid);
    if (from === undefined || state !== "vanished" || ref.uid === uid || ref.namespace !== namespace || ref.name !== name) return [];
    const listeners = Object.entries(from.listeners).flatMap(([key, listener]) => {
      const [protocol = "", port = ""] = key.split("/");
      const { id, healthCheck, scheduler } = listener;
      const formerName = listenerName(clusterId, ref.uid, protocol, Number(port));
      return asked.has(key) ? [[key, { id, healthCheck, scheduler, formerName }] as const] : [];
    });
    return listeners.length === 0 ? [] : [{ from, listeners }];
  });
}
