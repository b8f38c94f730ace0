import type { Change } from "../common/kubernetes/list-watch.ts";
import { intentOf, loadBalancerOf } from "./domain/intent/owner-intent.ts";
import type { ServiceRecord } from "./domain/intent/service.ts";
import type { Intents } from "./state/intents.ts";
import { waitsForGate } from "./state/pod-index.ts";
import type { PodSelection } from "./state/selection-index.ts";
import type { ConfigRecord } from "./state/watched-objects.ts";

/** Whose pass is due; a key that is there already is not added twice. */
export type Queue = { add(key: string): void };

/** Who can be woken. Owners by UID of their object, load balancers by id, gates by UID of their Pod. */
export type WakeUpsDeps = {
  readonly intents: Pick<Intents, "all" | "get" | "of" | "loadBalancerIds">;
  /** UIDs of live Pods whose gates are still closed. */
  readonly waitingForGate: ReadonlySet<string>;
  readonly owners: Queue;
  readonly loadBalancers: Queue;
  readonly gates: Queue;
  /** Asks for health anew where somebody waits now who did not before. */
  readonly health: { wake(): void };
  /** Plans that rest on these Pods (UIDs) and addresses are made anew, at one load balancer or at all. */
  readonly plans: { podsChanged(names: readonly string[], loadBalancerId?: string): void };
  /** True: a person has released or taken back a removal at this load balancer. */
  readonly releases: { releasesChanged(loadBalancerId: string): boolean };
};

/**
 * The one table of who wakes whom:
 *
 * | what has changed | owner | load balancer | gate | besides |
 * |---|---|---|---|---|
 * | a Pod | | of owners that select it or did, and where it is bound | its own | plans that name it; health, if its gate waits now |
 * | a Service | its own | its own, if a release was written | | |
 * | a TkeServiceConfig | | of owners that name it | all that wait | |
 * | what an owner asks for | | its own | all that wait | |
 * | what is known of a load balancer | all of it | its own | all that wait | health |
 * | an address passes to another Pod | | | | plans that name it |
 * | a load balancer comes into doubt, or is to be re-read | | its own | | |
 * | what the cloud's key may do | | | all that wait | |
 * | a quota is raised | | all | | |
 */
export class WakeUps {
  readonly #deps: WakeUpsDeps;

  constructor(deps: WakeUpsDeps) {
    this.#deps = deps;
  }

  podChanged({ change: { before, after }, loadBalancerIds }: Pick<PodSelection, "change" | "loadBalancerIds">): void {
    const { loadBalancers, gates, health, plans } = this.#deps;
    const pod = after ?? before;
    if (pod === undefined) return;
    plans.podsChanged([pod.uid, ...(before?.ips ?? []), ...(after?.ips ?? [])]);
    for (const id of loadBalancerIds) if (this.#deps.intents.loadBalancerIds.has(id)) loadBalancers.add(id);
    // A Pod may be bound before anybody told us of it (after a restart): now that it is known, somebody waits for its health.
    if (after !== undefined && waitsForGate(after) && !(before !== undefined && waitsForGate(before))) health.wake();
    gates.add(pod.uid);
  }

  serviceChanged({ record: { uid } }: Change<ServiceRecord>): void {
    const { owners, loadBalancers, releases } = this.#deps;
    owners.add(uid);
    const owner = this.#deps.intents.get(uid);
    const loadBalancerId = owner && loadBalancerOf(owner);
    // At once: a release that is taken away and written again within a moment is a new one.
    if (loadBalancerId !== undefined && releases.releasesChanged(loadBalancerId)) loadBalancers.add(loadBalancerId);
  }

  configChanged({ record }: Change<ConfigRecord>): void {
    for (const owner of this.#deps.intents.all) {
      const loadBalancerId = loadBalancerOf(owner);
      const isNamed = owner.ref.namespace === record.namespace && intentOf(owner)?.configName === record.name;
      if (isNamed && loadBalancerId !== undefined) this.intentChanged(loadBalancerId);
    }
  }

  /** What is wanted of this load balancer, or who it is wanted for, may have changed. */
  intentChanged(loadBalancerId: string): void {
    this.#deps.loadBalancers.add(loadBalancerId);
    this.#wakeGates();
  }

  mirrorChanged(loadBalancerId: string): void {
    const { owners, loadBalancers, health } = this.#deps;
    loadBalancers.add(loadBalancerId);
    for (const { ref } of this.#deps.intents.of(loadBalancerId)) owners.add(ref.uid);
    this.#wakeGates();
    health.wake();
  }

  /** These addresses were given to other Pods. */
  addressesClaimed(loadBalancerId: string, ips: readonly string[]): void {
    this.#deps.plans.podsChanged(ips, loadBalancerId);
  }

  /** What is known of the load balancer is in doubt, or its re-read is due. */
  loadBalancerDue(loadBalancerId: string): void {
    this.#deps.loadBalancers.add(loadBalancerId);
  }

  quotasRaised(): void {
    const { loadBalancers } = this.#deps;
    for (const id of this.#deps.intents.loadBalancerIds) loadBalancers.add(id);
  }

  /** What the cloud's key may do has changed. */
  accessChanged(): void {
    this.#wakeGates();
  }

  #wakeGates(): void {
    const { gates } = this.#deps;
    for (const podUid of this.#deps.waitingForGate) gates.add(podUid);
  }
}
