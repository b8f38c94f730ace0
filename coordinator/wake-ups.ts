import type { Change } from "../common/kubernetes/list-watch.ts";
import { GATE_WISH, VERDICT_DELAY } from "../common/names.ts";
import { isEnding, type PodFact } from "../common/vocabulary.ts";
import { isAutoConfigName } from "./domain/intent/auto-config-name.ts";
import { certificatesOf, secretsOf } from "./domain/intent/certificate-problems.ts";
import type { IngressRecord } from "./domain/intent/ingress-record.ts";
import { intentOf, loadBalancerOf, type OwnerIntent } from "./domain/intent/owner-intent.ts";
import type { ServiceRecord } from "./domain/intent/service.ts";
import type { AddressClaims } from "./state/address-claims.ts";
import type { AwaitedServices } from "./state/awaited-services.ts";
import type { ConfigRecord } from "./state/config-objects.ts";
import type { IngressUses } from "./state/ingress-uses.ts";
import type { Intents } from "./state/intents.ts";
import type { Mirror, MirrorChange } from "./state/mirror.ts";
import type { PodChange, PodFacts } from "./state/pod-facts.ts";
import { type PodIndex, waitsForGate } from "./state/pod-index.ts";
import type { PodSelection, SelectionIndex } from "./state/selection-index.ts";

/** Whose pass is due; a key that is there already is not added twice. */
export type Queue = { add(key: string): void };
/** `delayMs`: its pass may wait so long for others, unless it is due earlier; default 0. */
type Patient = { add(key: string, delayMs?: number): void };
/** `addFirst`: its pass comes before those that only look whether anything has changed. */
type TwoLanes = Queue & { addFirst(key: string): void };

/** Who can be woken. Owners by UID of their object, load balancers by id, gates and networks by UID of their Pod. */
export type WakeUpsDeps = {
  readonly intents: Pick<Intents, "all" | "get" | "of" | "loadBalancerIds" | "shared"> & {
    readonly selections: Pick<SelectionIndex, "waitingOf" | "podJudged" | "ownersSelecting">;
  };
  readonly pods: Pick<PodIndex, "waitingForGate" | "byIp">;
  /** Not `complete`: Nodes have yet to tell their Pods, e.g. after a restart. */
  readonly facts: Pick<PodFacts, "complete">;
  /** A container of this live Pod is being stopped. */
  readonly isStopping: (podUid: string) => boolean;
  readonly addressClaims: Pick<AddressClaims, "podOf">;
  readonly mirror: Pick<Mirror, "hasWeight">;
  readonly awaitedServices: Pick<AwaitedServices, "take">;
  readonly ingressUses: Pick<IngressUses, "of">;
  /** UIDs of all Ingresses. */
  readonly ingresses: () => Iterable<string>;
  readonly owners: Queue;
  readonly loadBalancers: Patient;
  readonly gates: TwoLanes;
  /** Whether load balancers reach a waiting Pod; looked at now and then without a word as well. Default: nobody asks. */
  readonly networks?: Queue | undefined;
  /** TkeServiceConfigs that are made for owners, by UID of the owner. Default: none are made. */
  readonly configs?: Queue | undefined;
  /** Asks for health anew where somebody waits now who did not before. */
  readonly health: { wake(loadBalancerId: string): void };
  /** Plans of a load balancer that rest on these Pods (UIDs) and addresses are made anew. */
  readonly plans: { podsChanged(names: readonly string[], loadBalancerId: string): void; podsComplete(): void };
  /** Pods whose preStop hook was called are answered anew. */
  readonly drains: { loadBalancerChanged(loadBalancerId: string): void; podChanged(podUid: string): void };
  /** True: a person has released or taken back a removal at this load balancer. */
  readonly releases: { releasesChanged(loadBalancerId: string): boolean };
};

/**
 * After a restart thousands of Nodes tell the Pods that a load balancer has, hundreds for each, and such a Pod changes no call of its plan: it
 * was bound for it, serves, and nobody waits for it. So those that come within this time are taken in by one pass. Milliseconds; own choice: no
 * longer than until it is noticed that every Node has told its Pods, which brings a pass anyway.
 */
const ARRIVALS_MS = 1_000;

/**
 * The one table of who wakes whom. Of gates and networks only those of Pods that still wait are woken:
 *
 * | what has changed | owner | load balancer | gate | network | besides |
 * |---|---|---|---|---|---|
 * | a Pod | | of owners that select it or did, and where it or its address is bound | its own | its own | plans there; its hold; health, if its gate waits now |
 * | a Pod comes as it is on record, while Nodes have yet to tell theirs | | the same, within a second | | | the same |
 * | whether a Pod may be bound or have a weight, besides its own facts | | of owners that select it | its own | | plans there; its hold |
 * | a Service | its own, and of Ingresses that lead to it | its own, if a release was written | that wait for it | | |
 * | an Ingress | its own | its own, if a release was written | that wait for it | | |
 * | an IngressClass | of all Ingresses | | | | |
 * | a Service or Ingress has had its first pass | | | that wait for it | | |
 * | who may use which load balancer | that wait for one | | | |
 * | a Secret with ids of certificates | that name it | of these | of Pods that these select | the same | |
 * | EndpointSlices of a Service without a selector | that Service | | | |
 * | whether direct access is the default | every Service that does not say | | | |
 * | a TkeServiceConfig | | of owners that name it | | | that itself, where it is made for its owner |
 * | what an owner asks for, or where it stands | | its own | of Pods that it selects | the same | the TkeServiceConfig that is made for it |
 * | whose a rule of a group is | who asked for it in vain, or does now | | of Pods that it selects | the same | |
 * | an owner selects a Pod no longer | | | of that Pod | | |
 * | a load balancer, as far as is known: anything | all of it | its own | of Pods that its owners select | the same | health; holds of Pods that are bound there; TkeServiceConfigs that are made for its owners |
 * | targets of it only | | its own | of the Pods behind them | | health; holds of Pods that are bound there |
 * | an address passes to another Pod | | | of that Pod | | plans there; health |
 * | the cloud refuses a bind | | | of Pods that the owners there select | | |
 * | a load balancer comes into doubt, or is to be re-read | | its own | | | |
 * | what the cloud's key may do | | | all that wait | | |
 * | a quota is raised | | all | | | |
 * | every Node has told its Pods | | all | | | plans of all |
 */
export class WakeUps {
  readonly #deps: WakeUpsDeps;
  /** By load balancer and UID of the owner: the rules of a group that it asks for in vain. */
  readonly #refused = new Map<string, ReadonlyMap<string, string>>();

  constructor(deps: WakeUpsDeps) {
    this.#deps = deps;
  }

  podChanged(selection: Pick<PodSelection, "change" | "loadBalancerIds">): void {
    const { before, after } = selection.change;
    const isConcerned = after === undefined || [before, after].some((pod) => pod !== undefined && waitsForGate(pod));
    const podUid = after?.uid ?? before?.uid;
    if (isConcerned && podUid !== undefined) this.#deps.networks?.add(podUid); // one that is over is forgotten by its pass
    this.#podChanged(selection);
  }

  #podChanged({ change, loadBalancerIds }: Pick<PodSelection, "change" | "loadBalancerIds">): void {
    const { loadBalancers, gates, health, plans, intents, drains } = this.#deps;
    const { before, after } = change;
    const pod = after ?? before;
    if (pod === undefined) return;
    drains.podChanged(pod.uid);
    const names = [pod.uid, ...(before?.ips ?? []), ...(after?.ips ?? [])];
    for (const id of loadBalancerIds) {
      plans.podsChanged(names, id);
      if (intents.loadBalancerIds.has(id)) loadBalancers.add(id, this.#isOnRecord(id, change) ? ARRIVALS_MS : 0);
    }
    const waits = after !== undefined && waitsForGate(after);
    const waited = before !== undefined && waitsForGate(before);
    // A Pod may be bound before anybody told us of it (after a restart): now that it is known, somebody waits for its health.
    if (waits && !waited) for (const id of loadBalancerIds) health.wake(id);
    if (waits || waited) gates.add(pod.uid); // one that waits no longer is forgotten by its pass
  }

  /**
   * While Nodes have yet to tell their Pods, one comes that serves there as it is on record. Another one is to be bound, is in the way of whom its
   * address was bound for, leaves, waits for its gate, is not ready, or gets its weight back: that must not wait. Nor must one that its agent holds
   * before anybody has told its deletion: it loses its weight.
   */
  #isOnRecord(loadBalancerId: string, { before, after }: PodChange): boolean {
    const { facts, isStopping, addressClaims, mirror } = this.#deps;
    if (before !== undefined || after === undefined || facts.complete) return false;
    if (!after.containersReady || isEnding(after) || waitsForGate(after) || isStopping(after.uid)) return false;
    const claimed = after.ips.filter((ip) => addressClaims.podOf(loadBalancerId, ip) !== undefined);
    const isOwn = (ip: string): boolean => addressClaims.podOf(loadBalancerId, ip) === after.uid && mirror.hasWeight(loadBalancerId, ip);
    return claimed.length > 0 && claimed.every(isOwn);
  }

  /** What is decided of the Pod besides its facts has changed: whether it may be bound now. */
  podJudged(pod: PodFact): void {
    const { selections } = this.#deps.intents;
    selections.podJudged(pod);
    const loadBalancerIds = new Set(selections.ownersSelecting(pod).flatMap((owner) => loadBalancerOf(owner) ?? []));
    this.#podChanged({ change: { before: pod, after: pod, end: undefined }, loadBalancerIds });
  }

  serviceChanged({ record }: Change<ServiceRecord>): void {
    for (const ingress of this.#deps.ingressUses.of(record)) this.#deps.owners.add(ingress);
    this.#ownerChanged(record);
  }

  ingressChanged({ record }: Change<IngressRecord>): void {
    this.#ownerChanged(record);
  }

  /** Whose Ingresses are may have changed. */
  ingressClassChanged(): void {
    for (const uid of this.#deps.ingresses()) this.#deps.owners.add(uid);
  }

  #ownerChanged({ uid, annotations }: Pick<ServiceRecord, "uid" | "annotations">): void {
    const { owners, loadBalancers, releases, intents } = this.#deps;
    owners.add(uid);
    this.serviceRead(uid);
    if (annotations[GATE_WISH] !== undefined || annotations[VERDICT_DELAY] !== undefined) this.#wakeSelected(uid); // no intent says these
    const owner = intents.get(uid);
    const loadBalancerId = owner && loadBalancerOf(owner);
    // At once: a release that is taken away and written again within a moment is a new one.
    if (loadBalancerId !== undefined && releases.releasesChanged(loadBalancerId)) loadBalancers.add(loadBalancerId);
  }

  /** It has had its first pass, or has changed: who waited for it may wait for something else now. */
  serviceRead(serviceUid: string): void {
    this.#wakeGates(this.#deps.awaitedServices.take(serviceUid));
  }

  configChanged({ record }: Change<ConfigRecord>): void {
    for (const owner of this.#deps.intents.all) {
      const loadBalancerId = loadBalancerOf(owner);
      const isNamed = owner.ref.namespace === record.namespace && intentOf(owner)?.configName === record.name;
      if (isNamed) this.#wakeConfig(owner);
      if (isNamed && loadBalancerId !== undefined) this.#deps.loadBalancers.add(loadBalancerId);
    }
  }

  /** Who may use which load balancer has changed: whoever waits for one may get it now. */
  accessRulesChanged(): void {
    for (const { ref, state } of this.#deps.intents.all) if (state === "waiting") this.#deps.owners.add(ref.uid);
  }

  referenceChanged(serviceUid: string): void {
    const { owners, loadBalancers, intents } = this.#deps;
    owners.add(serviceUid);
    const owner = intents.get(serviceUid);
    const loadBalancerId = owner && loadBalancerOf(owner);
    if (loadBalancerId !== undefined) loadBalancers.add(loadBalancerId); // it says which addresses of the slices are bound nowhere
  }

  secretChanged({ namespace, name }: { readonly namespace: string; readonly name: string }): void {
    for (const owner of this.#deps.intents.all) {
      if (owner.ref.namespace !== namespace || !secretsOf(certificatesOf(intentOf(owner)?.ports ?? [])).includes(name)) continue;
      this.#deps.owners.add(owner.ref.uid);
      const loadBalancerId = loadBalancerOf(owner);
      if (loadBalancerId !== undefined) this.#deps.loadBalancers.add(loadBalancerId);
      this.#wakeSelected(owner.ref.uid); // a gate says what its place lacks
    }
  }

  /** What the owner asks for, or where it stands, may have changed. */
  intentChanged(owner: OwnerIntent): void {
    const loadBalancerId = loadBalancerOf(owner);
    if (loadBalancerId !== undefined) this.#deps.loadBalancers.add(loadBalancerId);
    if (loadBalancerId !== undefined) this.#wakeRefused(loadBalancerId);
    this.#wakeConfig(owner);
    this.#wakeSelected(owner.ref.uid);
  }

  /** Whoever asks for a rule in vain now, or does so no more, is told and has its Pods judged anew. */
  #wakeRefused(loadBalancerId: string): void {
    const now = new Map(
      [...Map.groupBy(this.#deps.intents.shared(loadBalancerId)?.conflicts ?? [], ({ owner }) => owner.uid)].map(
        ([uid, own]) => [uid, own.map(({ listener, rule, holder }) => `${listener} ${rule} ${holder.uid}`).join()] as const,
      ),
    );
    const before = this.#refused.get(loadBalancerId) ?? new Map<string, string>();
    for (const uid of new Set([...before.keys(), ...now.keys()])) {
      if (before.get(uid) === now.get(uid)) continue;
      this.#deps.owners.add(uid);
      this.#wakeSelected(uid);
    }
    if (now.size > 0) this.#refused.set(loadBalancerId, now);
    else this.#refused.delete(loadBalancerId);
  }

  podsDeselected(podUids: readonly string[]): void {
    this.#wakeGates(podUids);
  }

  mirrorChanged(loadBalancerId: string, change: MirrorChange): void {
    const { owners, loadBalancers, health, intents, drains } = this.#deps;
    loadBalancers.add(loadBalancerId);
    health.wake(loadBalancerId);
    drains.loadBalancerChanged(loadBalancerId);
    if (change.kind === "targets") return this.#wakeGatesBehind(loadBalancerId, change.ips);
    this.#wakeRefused(loadBalancerId);
    for (const owner of intents.of(loadBalancerId)) {
      owners.add(owner.ref.uid);
      this.#wakeConfig(owner);
      this.#wakeSelected(owner.ref.uid);
    }
  }

  /** These addresses were given to other Pods. */
  addressesClaimed(loadBalancerId: string, ips: readonly string[]): void {
    this.#deps.plans.podsChanged(ips, loadBalancerId);
    this.#deps.health.wake(loadBalancerId);
    this.#wakeGatesBehind(loadBalancerId, ips);
  }

  /** The cloud refused to bind a Pod, perhaps because a place is full: others of the place wait for the same. */
  bindRefused(loadBalancerId: string): void {
    this.#wakeGatesAt(loadBalancerId);
  }

  /** What is known of the load balancer is in doubt, or its re-read is due. */
  loadBalancerDue(loadBalancerId: string): void {
    this.#deps.loadBalancers.add(loadBalancerId);
    this.#wakeRefused(loadBalancerId); // what is on record of its owners may have changed, and with it whose a rule is
  }

  quotasRaised(): void {
    for (const id of this.#deps.intents.loadBalancerIds) this.#deps.loadBalancers.add(id);
  }

  /** Every Node has told its Pods: who is missing now can be asked about. */
  podsComplete(): void {
    const { intents, plans, loadBalancers } = this.#deps;
    plans.podsComplete();
    for (const id of intents.loadBalancerIds) loadBalancers.add(id);
  }

  /** What the cloud's key may do has changed. */
  accessChanged(): void {
    this.#wakeGates(this.#deps.pods.waitingForGate);
  }

  /** The TkeServiceConfig that is made for the owner, where one is. */
  #wakeConfig(owner: OwnerIntent): void {
    const name = intentOf(owner)?.configName;
    if (name !== undefined && isAutoConfigName(name)) this.#deps.configs?.add(owner.ref.uid);
  }

  /** Gates and networks of the waiting Pods that this owner selects. */
  #wakeSelected(ownerUid: string): void {
    for (const podUid of this.#deps.intents.selections.waitingOf(ownerUid)) {
      if (!this.#deps.pods.waitingForGate.has(podUid)) continue;
      this.#deps.gates.add(podUid);
      this.#deps.networks?.add(podUid);
    }
  }

  #wakeGatesAt(loadBalancerId: string): void {
    const { intents } = this.#deps;
    for (const { ref } of intents.of(loadBalancerId)) this.#wakeGates(intents.selections.waitingOf(ref.uid));
  }

  /** First: of all gates that are woken these are the ones that may open. */
  #wakeGatesBehind(loadBalancerId: string, ips: Iterable<string>): void {
    const { pods, addressClaims, gates } = this.#deps;
    for (const ip of ips)
      for (const podUid of [pods.byIp(ip)?.uid, addressClaims.podOf(loadBalancerId, ip)])
        if (podUid !== undefined && pods.waitingForGate.has(podUid)) gates.addFirst(podUid);
  }

  #wakeGates(podUids: Iterable<string | undefined>): void {
    const { gates, pods } = this.#deps;
    for (const podUid of podUids) if (podUid !== undefined && pods.waitingForGate.has(podUid)) gates.add(podUid);
  }
}
