import type { Change } from "../../common/kubernetes/list-watch.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { type ServiceRecord, serviceRef } from "../domain/intent/service.ts";
import { type AddressClaims, makeAddressClaims, tellingClaims } from "./address-claims.ts";
import { AwaitedServices } from "./awaited-services.ts";
import { Hindrances } from "./hindrances.ts";
import { Intents } from "./intents.ts";
import { ListenerOwners } from "./listener-owners.ts";
import { Mirror, type MirrorChange } from "./mirror.ts";
import type { PodFacts } from "./pod-facts.ts";
import { makePodIndex, type PodIndex } from "./pod-index.ts";
import { RefusedCalls } from "./refused-calls.ts";
import type { PodSelection } from "./selection-index.ts";
import type { WatchedObjects } from "./watched-objects.ts";

export type StateDeps = {
  readonly client: KubeClient;
  readonly facts: PodFacts;
  readonly objects: WatchedObjects;
  readonly clock: { now(): number };
  readonly settings: { readonly clusterId: string; readonly namespace: string };
};

/** Told after the state has taken a change in; must not throw. */
export type StateFollowers = {
  readonly mirrorChanged: (loadBalancerId: string, change: MirrorChange) => void;
  readonly addressesClaimed: (loadBalancerId: string, ips: readonly string[]) => void;
  readonly podChanged: (selection: PodSelection) => void;
  /** Live Pods whose gates are closed and that an owner selects no longer. */
  readonly podsDeselected: (podUids: readonly string[]) => void;
};

/** What is known during one reign of a leader. */
export interface State {
  readonly facts: PodFacts;
  readonly objects: WatchedObjects;
  readonly pods: PodIndex;
  readonly mirror: Mirror;
  readonly addressClaims: AddressClaims;
  readonly intents: Intents;
  readonly listenerOwners: ListenerOwners;
  readonly awaitedServices: AwaitedServices;
  readonly hindrances: Hindrances;
  readonly refusedCalls: RefusedCalls;
  /** Takes in a Service as it is watched now. */
  serviceChanged(change: Change<ServiceRecord>): void;
  /** Follows the Pod facts no longer. */
  close(): void;
}

export function makeState({ client, facts, objects, clock, settings }: StateDeps, followers: StateFollowers): State {
  const { clusterId, namespace } = settings;
  const mirror = new Mirror(followers.mirrorChanged);
  const addressClaims = tellingClaims(makeAddressClaims(client, namespace), (id, { ips, passedOn }) => {
    followers.addressesClaimed(id, ips);
    if (passedOn.size > 0) mirror.passOn(id, passedOn, clock.now());
  });
  const pods = makePodIndex(facts);
  const hindrances = new Hindrances(clock);
  const intents = new Intents({
    clusterId,
    pods,
    wishes: (inNamespace, name) => objects.config(inNamespace, name)?.wishes ?? new Map(),
    listenersAt: (id) => mirror.listeners(id) ?? [],
    boundAt: (names) => addressClaims.loadBalancersOf(names),
    onDeselected: followers.podsDeselected,
  });
  const listenerOwners = new ListenerOwners({ intents, mirror, clusterId });
  intents.selections.follow(followers.podChanged);
  return {
    refusedCalls: new RefusedCalls(clock),
    facts,
    objects,
    pods,
    hindrances,
    mirror,
    addressClaims,
    intents,
    listenerOwners,
    awaitedServices: new AwaitedServices(),
    close: () => pods.close(),
    serviceChanged({ kind, record }) {
      const { uid } = record;
      if (kind === "removed") {
        if (intents.get(uid) !== undefined) listenerOwners.remember(serviceRef(record));
        intents.selections.deleteService(uid);
        return;
      }
      if (kind === "added") intents.expect(uid);
      intents.selections.setService(uid, record);
    },
  };
}
