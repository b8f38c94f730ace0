import { intentSelectors } from "../domain/intent/owner-intent.ts";
import { type OwnerObject, objectRef } from "../domain/intent/owner-object.ts";
import type { OwnerRecord } from "../domain/intent/owner-record.ts";
import type { ServiceIntent } from "../domain/intent/service.ts";
import { type Intents, leftSelectors, MAX_SELECTORS } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { OwnerRecords } from "../state/owner-records.ts";
import { type HeirloomsDeps, heirloomsFor } from "./heirlooms.ts";

export type RecordedOwnerDeps = HeirloomsDeps & {
  readonly ownerRecords: OwnerRecords;
  readonly intents: Pick<Intents, "of" | "remove">;
  readonly mirror: Pick<Mirror, "markStale">;
};

/**
 * Stores what the object asks for, before anything is done for it. A new object takes over what a vanished one of its name has on ports
 * that it asks for too, and the load balancer itself where it wants one made as well. Rejects with KubeApiError.
 */
export async function recordOwner(
  deps: RecordedOwnerDeps,
  object: OwnerObject,
  intent: ServiceIntent,
  loadBalancerId: string,
  signal: AbortSignal,
): Promise<void> {
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
    const madeFor = known?.madeFor ?? (heirloom && (heirloom.from.madeFor ?? heirloom.from.ref.uid));
    return {
      ref,
      order: `${object.createdAt} ${object.uid}`,
      intent,
      formerSelectors,
      ...(madeFor !== undefined && { madeFor }),
      listeners,
    };
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
