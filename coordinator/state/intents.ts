import { isDeepStrictEqual } from "node:util";
import type { PodFact } from "../../common/vocabulary.ts";
import type { Selection } from "../domain/intent/backends.ts";
import { type Claim, type DesiredLoadBalancer, desiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import { type IntentPort, type ServiceIntent, selects } from "../domain/intent/service.ts";
import { type ListenerWishes, wishKey } from "../domain/intent/service-config.ts";
import type { ObjectRef } from "../domain/problem.ts";
import type { FaultReason } from "../domain/reasons.ts";
import type { PodIndex } from "./pod-index.ts";

/** What is known of one Service that is ours. */
export type OwnerIntent = {
  readonly ref: ObjectRef;
  /** Orders the Services of one load balancer: creation time, then UID. */
  readonly order: string;
  readonly selector: Readonly<Record<string, string>>;
  /** The last one that could be read. */
  readonly intent: ServiceIntent | undefined;
  readonly loadBalancerId: string | undefined;
  /** Its deletion has been seen: what we made for it goes. */
  readonly released: boolean;
  /** Why it has no load balancer; for its Pods' conditions. */
  readonly blocker: Blocker | undefined;
};
export type Blocker = { readonly reason: FaultReason; readonly message: string };

/** Former selectors remembered of one Service. */
const MAX_SELECTORS = 8;

/** Which Service uses which load balancer, and what it asks for: written by the Service reconciler, read by everybody else. */
export class Intents {
  readonly #entries = new Map<string, OwnerIntent>();
  readonly #known = new Set<string>();
  /** By UID of the Service, the latest last. */
  readonly #formerSelectors = new Map<string, readonly OwnerIntent["selector"][]>();
  readonly #deps: IntentsDeps;

  readonly #selections: Selections;

  constructor(deps: IntentsDeps) {
    this.#deps = deps;
    this.#selections = new Selections(deps.pods);
  }

  get(serviceUid: string): OwnerIntent | undefined {
    return this.#entries.get(serviceUid);
  }

  get entries(): Iterable<OwnerIntent> {
    return this.#entries.values();
  }

  /** Every load balancer that was ever in use by this process: also those whose owners vanished are looked at. */
  get loadBalancerIds(): ReadonlySet<string> {
    return this.#known;
  }

  set(entry: OwnerIntent): void {
    // The same intent stays the same object, so that what was selected for it still holds.
    const known = this.#entries.get(entry.ref.uid)?.intent;
    this.#entries.set(entry.ref.uid, isDeepStrictEqual(known, entry.intent) ? { ...entry, intent: known } : entry);
    if (entry.loadBalancerId !== undefined) this.#known.add(entry.loadBalancerId);
    if (known === undefined || entry.intent === undefined || isDeepStrictEqual(known.selector, entry.intent.selector)) return;
    const former = this.#formerSelectors.get(entry.ref.uid) ?? [];
    this.#formerSelectors.set(entry.ref.uid, [...former, known.selector].slice(-MAX_SELECTORS));
  }

  /**
   * This Service selects the Pod, or did until the Service itself was changed: that it asks for others, or for another port, is its
   * owner's word. False: the Pod's labels may have changed instead; a new process cannot know.
   */
  hasAskedFor(serviceUid: string, pod: PodFact): boolean {
    const entry = this.#entries.get(serviceUid);
    if (entry === undefined || entry.ref.namespace !== pod.namespace) return false;
    const selectors = [...(entry.intent === undefined ? [] : [entry.intent.selector]), ...(this.#formerSelectors.get(serviceUid) ?? [])];
    return selectors.some((selector) => selects(selector, pod.labels));
  }

  /** The Service is no longer ours or is gone; without `released` before, its listeners stay and are reported as orphaned. */
  remove(serviceUid: string): void {
    this.#entries.delete(serviceUid);
    this.#formerSelectors.delete(serviceUid);
    this.#selections.forget(serviceUid);
  }

  /** Nothing of ours is left at this load balancer. */
  forgetLoadBalancer(loadBalancerId: string): void {
    this.#known.delete(loadBalancerId);
  }

  /** Services of one load balancer, oldest first. */
  of(loadBalancerId: string): OwnerIntent[] {
    const entries = [...this.#entries.values()].filter((entry) => entry.loadBalancerId === loadBalancerId);
    return entries.sort((a, b) => (a.order < b.order ? -1 : 1));
  }

  desired(loadBalancerId: string): DesiredLoadBalancer {
    const claims = this.of(loadBalancerId).map(
      ({ ref, released, intent }): Claim => ({ ref, released, intent, wishes: this.wishesOf(ref.namespace, intent) }),
    );
    const { clusterId, pods, listens } = this.#deps;
    return desiredLoadBalancer({
      loadBalancerId,
      clusterId,
      claims,
      ...(listens !== undefined && { listens: (name: string) => listens(loadBalancerId, name) }),
      podsOf: (namespace): Iterable<PodFact> => pods.inNamespace(namespace),
      remembered: (claim, port, select) => this.#selections.of(claim, port, select),
    });
  }

  wishesOf(namespace: string, intent: ServiceIntent | undefined): ListenerWishes {
    return intent?.configName === undefined ? new Map() : this.#deps.wishes(namespace, intent.configName);
  }
}

type Selected = { readonly intent: ServiceIntent | undefined; readonly kept: Selection; stale: boolean };

/** What each port of each Service selects, until a Pod that it selects or selected changes. */
class Selections {
  /** By UID of the Service, then by "TCP/80". */
  readonly #byService = new Map<string, Map<string, Selected>>();

  constructor(pods: PodIndex) {
    pods.follow(({ before, after }) => {
      for (const ports of this.#byService.values())
        for (const entry of ports.values())
          if (!entry.stale && [before, after].some((pod) => concerns(entry.intent, pod))) entry.stale = true;
    });
  }

  of({ ref, intent }: Claim, port: IntentPort, select: () => Selection): Selection {
    const ports = this.#byService.get(ref.uid) ?? new Map<string, Selected>();
    this.#byService.set(ref.uid, ports);
    const key = wishKey(port.protocol, port.port);
    const known = ports.get(key);
    if (known !== undefined && known.intent === intent && !known.stale) return known.kept;
    const fresh = select();
    const sameBackends = known !== undefined && isDeepStrictEqual(known.kept.backends, fresh.backends);
    const kept = sameBackends ? { standings: fresh.standings, backends: known.kept.backends } : fresh;
    ports.set(key, { intent, stale: false, kept });
    return kept;
  }

  forget(serviceUid: string): void {
    this.#byService.delete(serviceUid);
  }
}

const concerns = (intent: ServiceIntent | undefined, pod: PodFact | undefined): boolean =>
  intent !== undefined && pod !== undefined && pod.namespace === intent.service.namespace && selects(intent.selector, pod.labels);

export type IntentsDeps = {
  readonly clusterId: string;
  readonly pods: PodIndex;
  /** The load balancer has a listener of this name, as far as is known. */
  readonly listens?: (loadBalancerId: string, name: string) => boolean;
  /** What a TkeServiceConfig says; empty if there is none of that name. */
  readonly wishes: (namespace: string, configName: string) => ListenerWishes;
};
