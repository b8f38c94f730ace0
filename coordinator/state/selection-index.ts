import { isDeepStrictEqual } from "node:util";
import type { PodFact } from "../../common/vocabulary.ts";
import { type Selection, sameBackends } from "../domain/intent/backends.ts";
import type { IntentPort } from "../domain/intent/intent-port.ts";
import { intentOf, loadBalancerOf, type OwnerIntent, selectorsOf } from "../domain/intent/owner-intent.ts";
import { type ServiceIntent, selectorTest } from "../domain/intent/service.ts";
import { wishKey } from "../domain/intent/service-config.ts";
import type { ObjectRef } from "../domain/problem.ts";
import { sameApart } from "../domain/structural-sharing.ts";
import { LabelIndex } from "./label-index.ts";
import type { PodChange } from "./pod-facts.ts";
import { type PodIndex, waitsForGate } from "./pod-index.ts";
import { SelectorLists, SelectorTable } from "./selector-table.ts";

/** A change of a Pod, and whom it concerns. */
export type PodSelection = {
  readonly change: PodChange;
  /** UIDs of owners that have a load balancer and select the Pod as it is now, or as it was last. */
  readonly selecting: readonly string[];
  /** Owners that selected it until its own labels were changed. */
  readonly left: readonly string[];
  /** Load balancers of all these, and those where the Pod or one of its addresses is bound. */
  readonly loadBalancerIds: ReadonlySet<string>;
};

/** A Service as it is watched, ours or not; `undefined`: it is gone. */
type WatchedSelector = { readonly namespace: string; readonly selector: Readonly<Record<string, string>> };

type Indexed = {
  owner: OwnerIntent;
  /** Labels that `#labels` keeps for it. */
  selectors: readonly OwnerIntent["selector"][];
  /** The Pods that it selects, by UID. */
  readonly pods: Map<string, PodFact>;
  /** Those of them whose gates are still closed. */
  readonly waiting: Set<string>;
  /** What each of its ports selects, by "TCP/80 8080". */
  readonly ports: Map<string, PortSelection>;
  /** The same by the ports themselves, for whoever asks again for the same. */
  readonly asked: WeakMap<IntentPort, PortSelection>;
};
type PortSelection = { intent: ServiceIntent; kept: Selection; stale: boolean };

/** Load balancers where something is claimed for one of these Pods (UIDs), or one of these addresses. */
type BoundAt = (names: readonly string[]) => Iterable<string>;

/**
 * Who selects whom: which owners and Services select a Pod, and which Pods an owner selects. Each change of a Pod is looked up once, by
 * its namespace and labels; everybody else reads the answer.
 */
export class SelectionIndex {
  readonly #labels: LabelIndex;
  readonly #boundAt: BoundAt;
  readonly #owners = new Map<string, Indexed>();
  readonly #ownerSelectors = new SelectorLists();
  readonly #serviceSelectors = new SelectorTable();
  readonly #services = new Map<string, WatchedSelector>();
  readonly #followers: ((selection: PodSelection) => void)[] = [];
  /** By load balancer: how often what an owner there selects has, or may have, changed. */
  readonly #versions = new Map<string, number>();

  /** `boundAt`: default: nothing is known of that. */
  constructor(pods: PodIndex, boundAt: BoundAt = () => []) {
    this.#labels = new LabelIndex(pods);
    this.#boundAt = boundAt;
    pods.follow((change) => this.#podChanged(change));
  }

  /** Called after each change of a Pod has been taken in; must not throw. */
  follow(listener: (selection: PodSelection) => void): void {
    this.#followers.push(listener);
  }

  /** An owner is new, or asks for something else, or has another load balancer. Returns the waiting Pods that it selects no longer. */
  setOwner(owner: OwnerIntent): readonly string[] {
    const { uid, namespace } = owner.ref;
    const selectors = selectorsOf(owner);
    const known = this.#owners.get(uid);
    const indexed: Indexed = known ?? { owner, selectors: [], pods: new Map(), waiting: new Set(), ports: new Map(), asked: new WeakMap() };
    indexed.owner = owner;
    this.#owners.set(uid, indexed);
    if (!this.#ownerSelectors.set(uid, namespace, selectors) && known !== undefined) return [];
    const before = [...indexed.waiting];
    indexed.pods.clear();
    indexed.waiting.clear();
    for (const selector of selectors) this.#labels.use(namespace, selector);
    for (const selector of indexed.selectors) this.#labels.unuse(namespace, selector);
    indexed.selectors = selectors;
    for (const selector of selectors) {
      const isSelected = selectorTest(selector);
      for (const pod of this.#labels.candidates(namespace, selector)) if (isSelected(pod.labels)) keep(indexed, pod);
    }
    return before.filter((podUid) => !indexed.waiting.has(podUid));
  }

  /** Returns the waiting Pods that it selected. */
  deleteOwner(uid: string): readonly string[] {
    const indexed = this.#owners.get(uid);
    if (indexed === undefined) return [];
    this.#owners.delete(uid);
    this.#ownerSelectors.delete(uid);
    for (const selector of indexed.selectors) this.#labels.unuse(indexed.owner.ref.namespace, selector);
    return [...indexed.waiting];
  }

  setService(uid: string, service: WatchedSelector): void {
    const { namespace, selector } = service;
    if (!this.#serviceSelectors.set(uid, namespace, selector)) return;
    this.#labels.use(namespace, selector); // before the first pass, so that the Pods are gone through once for all Services
    this.#unuseService(uid);
    this.#services.set(uid, { namespace, selector });
  }

  deleteService(uid: string): void {
    this.#serviceSelectors.delete(uid);
    this.#unuseService(uid);
    this.#services.delete(uid);
  }

  /** Watched Services that select the Pod, whosever they are; UIDs. */
  servicesSelecting({ namespace, labels }: PodFact): readonly string[] {
    return this.#serviceSelectors.matching(namespace, labels);
  }

  /** Owners that ask for the Pod, oldest first. */
  ownersSelecting({ namespace, labels }: PodFact): OwnerIntent[] {
    const owners = this.#ownerSelectors.matching(namespace, labels).flatMap((uid) => this.#owners.get(uid)?.owner ?? []);
    return owners.length < 2 ? owners : owners.sort((a, b) => (a.order < b.order ? -1 : 1));
  }

  /** The Pods that an owner selects. */
  podsOf({ uid }: Pick<ObjectRef, "uid">): Iterable<PodFact> {
    return this.#owners.get(uid)?.pods.values() ?? [];
  }

  /** Those of them whose gates are still closed; UIDs. */
  waitingOf(ownerUid: string): Iterable<string> {
    return this.#owners.get(ownerUid)?.waiting ?? [];
  }

  /** Something besides its own facts keeps the Pod back, or does no more: what owners select of it is asked anew. */
  podJudged({ namespace, labels }: PodFact): void {
    for (const uid of this.#ownerSelectors.matching(namespace, labels)) this.#markStale(this.#owners.get(uid));
  }

  /** Another number when what any owner of the load balancer selects may have changed, as long as its owners are the same. */
  version(loadBalancerId: string): number {
    return this.#versions.get(loadBalancerId) ?? 0;
  }

  /** What one port of an owner selects; asks `select` again after a Pod that it selects or selected has changed. */
  ofPort({ uid }: ObjectRef, intent: ServiceIntent, asked: IntentPort, select: () => Selection): Selection {
    const indexed = this.#owners.get(uid);
    if (indexed === undefined) return select();
    const { ports } = indexed;
    const known = indexed.asked.get(asked) ?? ports.get(portKey(asked));
    if (known === undefined) {
      const first = { intent, stale: false, kept: select() };
      ports.set(portKey(asked), first);
      indexed.asked.set(asked, first);
      return first.kept;
    }
    indexed.asked.set(asked, known);
    if (known.intent === intent && !known.stale) return known.kept;
    const fresh = select();
    known.kept = sameBackends(known.kept.backends, fresh.backends) ? { standings: fresh.standings, backends: known.kept.backends } : fresh;
    known.intent = intent;
    known.stale = false;
    return known.kept;
  }

  #podChanged(change: PodChange): void {
    const { before, after } = change;
    const pod = after ?? before;
    if (pod === undefined) return;
    this.#labels.podChanged(before, after);
    const now = this.#ownerSelectors.matching(pod.namespace, pod.labels);
    if (before !== undefined && after !== undefined && isSameBackend(before, after)) return this.#backendStays(change, after, now);
    const formerly = before === undefined || before === pod ? [] : this.#ownerSelectors.matching(before.namespace, before.labels);
    const gone = formerly.filter((uid) => !now.includes(uid));
    for (const uid of now) this.#note(uid, pod.uid, after);
    for (const uid of gone) this.#note(uid, pod.uid, undefined);
    const selecting = now.filter((uid) => this.#isServed(uid));
    const left = gone.filter((uid) => this.#isServed(uid));
    // Also one that lost its labels long ago and is still bound: when it ends, it has to be drained like any other.
    const loadBalancerIds = new Set(this.#boundAt([pod.uid, ...(before?.ips ?? []), ...(after?.ips ?? [])]));
    for (const uid of [...selecting, ...left]) {
      const id = this.#loadBalancerOf(uid);
      if (id !== undefined) loadBalancerIds.add(id);
    }
    const selection = { change, selecting, left, loadBalancerIds };
    for (const listener of this.#followers) listener(selection);
  }

  /** No load balancer has to hear of it. */
  #backendStays(change: PodChange, pod: PodFact, selecting: readonly string[]): void {
    for (const uid of selecting) {
      const indexed = this.#owners.get(uid);
      if (indexed === undefined) continue;
      indexed.pods.set(pod.uid, pod); // keeps its place
      noteGate(indexed, pod);
      this.#markStale(indexed); // whoever looks for another reason finds the Pod as it is now
    }
    const selection = { change, selecting: selecting.filter((uid) => this.#isServed(uid)), left: [], loadBalancerIds: NONE };
    for (const listener of this.#followers) listener(selection);
  }

  #unuseService(uid: string): void {
    const known = this.#services.get(uid);
    if (known !== undefined) this.#labels.unuse(known.namespace, known.selector);
  }

  #note(ownerUid: string, podUid: string, pod: PodFact | undefined): void {
    const indexed = this.#owners.get(ownerUid);
    if (indexed === undefined) return;
    if (pod === undefined) drop(indexed, podUid);
    else keep(indexed, pod);
    this.#markStale(indexed);
  }

  #markStale(indexed: Indexed | undefined): void {
    if (indexed === undefined) return;
    for (const port of indexed.ports.values()) port.stale = true;
    const id = loadBalancerOf(indexed.owner);
    if (id !== undefined) this.#versions.set(id, this.version(id) + 1);
  }

  #isServed(uid: string): boolean {
    const owner = this.#owners.get(uid)?.owner;
    return owner !== undefined && intentOf(owner) !== undefined && loadBalancerOf(owner) !== undefined;
  }

  #loadBalancerOf(uid: string): string | undefined {
    const owner = this.#owners.get(uid)?.owner;
    return owner && loadBalancerOf(owner);
  }
}

/** What decides, besides the owner's intent, whom a port selects and at which of their ports. */
function portKey({ protocol, port, targetPort, selector, service, publishNotReady }: IntentPort): string {
  const others = selector === undefined ? "" : ` ${JSON.stringify([selector, service, publishNotReady])}`;
  return `${wishKey(protocol, port)} ${targetPort}${others}`;
}

/** The Pod that changed last comes last, and where two are told with one address it is the one that has it. */
function keep(indexed: Indexed, pod: PodFact): void {
  indexed.pods.delete(pod.uid);
  indexed.pods.set(pod.uid, pod);
  noteGate(indexed, pod);
}

function noteGate({ waiting }: Indexed, pod: PodFact): void {
  if (waitsForGate(pod)) waiting.add(pod.uid);
  else waiting.delete(pod.uid);
}

const NONE: ReadonlySet<string> = new Set();

/**
 * Nothing has changed but the Pod's version and its gate, which is what we write ourselves when a backend serves: no load balancer is to be
 * looked at for it. A gate that was turned back is a change: somebody waits for health again.
 */
function isSameBackend(before: PodFact, after: PodFact): boolean {
  if (waitsForGate(after) && !waitsForGate(before)) return false;
  // Nearly all members are the same objects or texts, which tells most without a look into them.
  return sameApart(before, after, OURS, isDeepStrictEqual);
}

/** What differs where nothing has changed but what we wrote. */
const OURS: ReadonlySet<string> = new Set(["resourceVersion", "gate"]);

function drop({ pods, waiting }: Indexed, podUid: string): void {
  pods.delete(podUid);
  waiting.delete(podUid);
}
