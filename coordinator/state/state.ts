import type { Clock } from "../../common/clock.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import type { OwnerIntent } from "../domain/intent/owner-intent.ts";
import { type AddressClaims, type ClaimedPod, makeAddressClaims, tellingClaims } from "./address-claims.ts";
import { EndpointFacts, strangeEndpointsOf } from "./endpoint-facts.ts";
import { endsBy, type Holds, NO_HOLDS } from "./holds.ts";
import { Intents } from "./intents.ts";
import { ListenerIdentity } from "./listener-identity.ts";
import { ListenerOwners } from "./listener-owners.ts";
import { type Memories, makeMemories } from "./memories.ts";
import { Mirror, type MirrorChange, ownersView } from "./mirror.ts";
import { followReferences, restorationOf, takingIn } from "./owner-changes.ts";
import { type IngressChange, OwnerObjects, type ServiceChange } from "./owner-objects.ts";
import { OwnerRecords } from "./owner-records.ts";
import type { PodFacts } from "./pod-facts.ts";
import { makePodIndex, type PodIndex, UnreadyPods } from "./pod-index.ts";
import { makeRecords, type Records } from "./records.ts";
import type { PodSelection } from "./selection-index.ts";
import { type WatchedObjects, wishesIn } from "./watched-objects.ts";

export type StateDeps = {
  readonly client: KubeClient;
  readonly facts: PodFacts;
  /** Default: no agent holds anything. */
  readonly holds?: Holds;
  readonly objects: WatchedObjects;
  readonly clock: Clock;
  readonly log: Logger;
  /** `earlyBind`: a Pod that listens is bound at weight 0 before it is ready; default: not. */
  readonly settings: { readonly clusterId: string; readonly namespace: string; readonly earlyBind?: boolean };
  /** Where certificates of Secrets come from; default: only those that name ids. */
  readonly certificates?: Certificates;
};
export type Certificates = Pick<WatchedObjects["certificates"], "find" | "denied">;

/** Told after the state has taken a change in; must not throw. */
export type StateFollowers = {
  readonly mirrorChanged: (loadBalancerId: string, change: MirrorChange) => void;
  readonly addressesClaimed: (loadBalancerId: string, ips: readonly string[]) => void;
  readonly podChanged: (selection: PodSelection) => void;
  /** An owner is known again from what a former leader stored. */
  readonly ownerRestored: (owner: OwnerIntent) => void;
  /** Live Pods whose gates are closed and that an owner selects no longer. */
  readonly podsDeselected: (podUids: readonly string[]) => void;
  /** What a Service (UID) refers to without naming it may have changed: its EndpointSlices, or a switch of the cluster. */
  readonly referenceChanged: (serviceUid: string) => void;
};

/** What is known during one reign of a leader. */
export interface State extends Memories, Pick<OwnerObjects, "ingressUses" | "object" | "serviceNamed" | "ingresses"> {
  readonly facts: PodFacts;
  readonly holds: Holds;
  /** A container of this live Pod is being stopped: its preStop hook was called. */
  readonly isStopping: (podUid: string) => boolean;
  /** Until when this Pod, which terminates, serves on as before; undefined: it does not. */
  readonly lasting: ReturnType<typeof endsBy>["lasting"];
  readonly objects: WatchedObjects;
  readonly certificates: Certificates;
  readonly pods: PodIndex;
  readonly unreadyPods: UnreadyPods;
  readonly mirror: Mirror;
  readonly records: Records;
  readonly addressClaims: AddressClaims;
  readonly ownerRecords: OwnerRecords;
  readonly identity: ListenerIdentity;
  /** Every object is watched, and what a former leader stored has been taken in: before that nothing is decided. */
  readonly ready: boolean;
  readonly intents: Intents;
  readonly listenerOwners: ListenerOwners;
  /** Addresses in EndpointSlices of a Service without a selector that are bound nowhere. */
  strangeEndpoints(service: { readonly uid: string }): ReturnType<typeof strangeEndpointsOf>;
  /** Takes in a Service as it is watched now. */
  serviceChanged(change: ServiceChange): void;
  /** Takes in an Ingress as it is watched now. */
  ingressChanged(change: IngressChange): void;
  /** Follows the Pod facts no longer. */
  close(): void;
}

export function makeState(from: StateDeps, followers: StateFollowers): State {
  const { client, holds = NO_HOLDS, objects, clock, log, settings, certificates = objects.certificates, ...deps } = from;
  const { clusterId, namespace } = settings;
  const facts = new EndpointFacts(deps.facts, objects.endpointSlices);
  const records = makeRecords({ client, clock, log, namespace, clusterId });
  const ownerRecords = new OwnerRecords(records, log);
  const view = ownersView((id) => intents.shared(id), clusterId);
  const mirror = new Mirror(followers.mirrorChanged, view);
  const addressClaims = tellingClaims(makeAddressClaims(records, claimedPod(facts)), (id, { ips, passedOn }) => {
    followers.addressesClaimed(id, ips);
    if (passedOn.size > 0) mirror.passOn(id, passedOn, clock.now());
  });
  const pods = makePodIndex(facts);
  const memories = makeMemories(clock);
  const unreadyPods = new UnreadyPods(clock);
  for (const after of facts.pods.values()) unreadyPods.podChanged({ before: undefined, after });
  pods.follow((change) => unreadyPods.podChanged(change)); // before whoever plans by it
  const ends = endsBy(holds, facts, clock);
  const intents = new Intents({
    ...(settings.earlyBind === true && { earlyOf: memories.earlyOf }),
    isHeldBack: (podUid) => memories.hindrances.holdsBack(podUid) || ends.isStopping(podUid),
    clusterId,
    pods,
    ...wishesIn(objects),
    certificateOf: (inNamespace, source) => {
      if (source === undefined || !("secret" in source)) return source;
      const reading = certificates.find(inNamespace, source.secret);
      return reading !== undefined && "certificate" in reading ? reading.certificate : undefined;
    },
    listenersAt: (id) => mirror.listeners(id) ?? [],
    addressAt: (id) => mirror.facts(id),
    recorded: (id, uid) => ownerRecords.get(id, uid),
    recordsVersion: (id) => ownerRecords.version(id),
    boundAt: (names) => addressClaims.loadBalancersOf(names),
    onDeselected: followers.podsDeselected,
  });
  const listenerOwners = new ListenerOwners({ intents, mirror, clusterId });
  intents.selections.follow(followers.podChanged);
  const ownerObjects = new OwnerObjects(objects);
  const { ingressUses, object, serviceNamed, ingresses } = ownerObjects;
  const unfollow = followReferences(objects, serviceNamed, followers.referenceChanged);
  const restoration = restorationOf({ addressClaims, ownerRecords, object }, (owner) => {
    intents.set(owner);
    followers.ownerRestored(owner);
  });
  return {
    records,
    ownerRecords,
    identity: new ListenerIdentity({ ownerRecords, clusterId, clock }),
    get ready() {
      return objects.synced && records.synced && restoration.isDone();
    },
    certificates,
    facts,
    holds,
    ...ends,
    objects,
    pods,
    ...memories,
    unreadyPods,
    mirror,
    addressClaims,
    intents,
    listenerOwners,
    ingressUses,
    object,
    serviceNamed,
    ingresses,
    strangeEndpoints: ({ uid }) => strangeEndpointsOf(object(uid), objects.endpointSlices, { pods, facts }),
    close: () => {
      pods.close();
      facts.close();
      unfollow();
    },
    ...takingIn({ ownerObjects, intents, listenerOwners }),
  };
}

const claimedPod =
  (facts: PodFacts) =>
  (uid: string): ClaimedPod | undefined => {
    const pod = facts.pods.get(uid);
    return pod && { node: pod.nodeName, namespace: pod.namespace, name: pod.name };
  };
