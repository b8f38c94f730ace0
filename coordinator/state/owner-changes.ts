import { DIRECT_ACCESS } from "../../common/names.ts";
import { isEndpointSelector } from "../domain/intent/endpoints.ts";
import type { OwnerIntent } from "../domain/intent/owner-intent.ts";
import { objectRef } from "../domain/intent/owner-object.ts";
import { hasSelector, podSelector, type ServiceRecord } from "../domain/intent/service.ts";
import type { AddressClaims } from "./address-claims.ts";
import type { Intents } from "./intents.ts";
import type { ListenerOwners } from "./listener-owners.ts";
import type { IngressChange, OwnerObjects, ServiceChange } from "./owner-objects.ts";
import type { OwnerRecords } from "./owner-records.ts";
import { makeRestoration, type Restoration } from "./restoration.ts";
import type { WatchedObjects } from "./watched-objects.ts";

type TakingIn = { readonly ownerObjects: OwnerObjects; readonly intents: Intents; readonly listenerOwners: ListenerOwners };
/** What changes of the objects that may own listeners are told to. */
type Takers = { serviceChanged(change: ServiceChange): void; ingressChanged(change: IngressChange): void };

export const takingIn = ({ ownerObjects, intents, listenerOwners }: TakingIn): Takers => ({
  ingressChanged(change) {
    const { uid, namespace } = change.record;
    ownerObjects.ingressChanged(change);
    if (change.kind === "added") intents.expect(uid, namespace);
    if (change.kind !== "removed") return;
    intents.noteRead(uid);
    if (intents.get(uid) !== undefined) listenerOwners.remember(objectRef(change.record));
  },
  serviceChanged(change) {
    const { kind, record } = change;
    const { uid } = record;
    ownerObjects.serviceChanged(change);
    if (kind === "removed") {
      if (intents.get(uid) !== undefined) listenerOwners.remember(objectRef(record));
      intents.selections.deleteService(uid);
      return;
    }
    if (kind === "added") intents.expect(uid, hasSelector(record) ? undefined : record.namespace);
    intents.selections.setService(uid, { namespace: record.namespace, selector: podSelector(record) });
  },
});

type Stored = { readonly addressClaims: AddressClaims; readonly ownerRecords: OwnerRecords; readonly object: OwnerObjects["object"] };

/** Takes in what a former leader stored; `take` is told of each owner. */
export const restorationOf = ({ addressClaims, ownerRecords, object }: Stored, take: (owner: OwnerIntent) => void): Restoration =>
  makeRestoration(function* () {
    yield* addressClaims.restore();
    yield* ownerRecords.restore();
    for (const loadBalancerId of ownerRecords.loadBalancerIds) {
      for (const owner of ownersAt(loadBalancerId, ownerRecords, object)) take(owner);
      yield;
    }
  });

/** The owners of a load balancer as the former leader knew them last; one whose object is not there any more has vanished meanwhile. */
const ownersAt = (loadBalancerId: string, ownerRecords: OwnerRecords, object: OwnerObjects["object"]): OwnerIntent[] =>
  [...ownerRecords.of(loadBalancerId)].map(({ ref, order, intent }): OwnerIntent => {
    const owner = { ref, order, loadBalancerId };
    if (object(ref.uid) === undefined) return { ...owner, selector: {}, state: "vanished" };
    // Which Pods it asks for is known when its EndpointSlices have been read: until its first pass only ends of Pods count.
    if (isEndpointSelector(intent.selector)) return { ...owner, selector: intent.selector, state: "held", blocker: undefined };
    return { ...owner, selector: intent.selector, state: "served", intent };
  });

type References = Pick<WatchedObjects, "endpointSlices" | "services" | "tkeSwitches">;

/**
 * Tells of Services (UIDs) whose EndpointSlices change, of all without a selector when it is known whether there are any, and of all that do
 * not say whether they want direct access when the cluster's default changes. Returns the way to end that.
 */
export function followReferences(
  { endpointSlices, services, tkeSwitches }: References,
  serviceNamed: OwnerObjects["serviceNamed"],
  tell: (serviceUid: string) => void,
): () => void {
  const tellAll = (concerns: (service: ServiceRecord) => boolean) => (): void => {
    for (const service of services.records.values()) if (concerns(service)) tell(service.uid);
  };
  const ends = [
    endpointSlices.follow((before, after) => {
      for (const uid of new Set([before, after].map((slice) => slice && serviceNamed(slice.namespace, slice.service)?.uid)))
        if (uid !== undefined) tell(uid);
    }),
    endpointSlices.followKnown(tellAll((service) => !hasSelector(service))),
    tkeSwitches.follow(tellAll(({ annotations }) => annotations[DIRECT_ACCESS] === undefined)),
  ];
  return () => {
    for (const end of ends) end();
  };
}
