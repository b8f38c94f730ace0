import { isDeepStrictEqual } from "node:util";
import type { PodFact } from "../../common/vocabulary.ts";
import type { AskedPlace } from "../domain/intent/asked-places.ts";
import type { Early } from "../domain/intent/backends.ts";
import { desiredLoadBalancer } from "../domain/intent/desire.ts";
import type { DesiredLoadBalancer } from "../domain/intent/desired-load-balancer.ts";
import type { CertificateOf } from "../domain/intent/intent-port.ts";
import { OutlineCache } from "../domain/intent/outline-cache.ts";
import { intentOf, intentSelectors, loadBalancerOf, type OwnerIntent } from "../domain/intent/owner-intent.ts";
import type { OwnerRecord } from "../domain/intent/owner-record.ts";
import { type ServiceIntent, selects } from "../domain/intent/service.ts";
import { wishKey } from "../domain/intent/service-config.ts";
import {
  type GroupMember,
  grantedPorts,
  groupMember,
  refusedRule,
  type SharedRules,
  sharedRuleAt,
  shareRules,
} from "../domain/intent/shared-rules.ts";
import { canonicalDomain, type Listener, type PlaceId, ruleKey } from "../domain/load-balancer.ts";
import { Askings, type AskingsDeps } from "./askings.ts";
import { ConfigUses } from "./config-uses.ts";
import type { PodIndex } from "./pod-index.ts";
import { SelectionIndex } from "./selection-index.ts";

/** Former selectors remembered of one owner; an Ingress may lead to a new Service in each of 50 rules at once. */
export const MAX_SELECTORS = 64;

export type IntentsDeps = AskingsDeps & {
  readonly clusterId: string;
  readonly pods: PodIndex;
  /** The listeners of a load balancer, as far as is known. */
  readonly listenersAt?: (loadBalancerId: string) => readonly Listener[];
  /** Something besides its own facts keeps the Pod (UID) from being bound anew; default: nothing does. */
  readonly isHeldBack?: (podUid: string) => boolean;
  /** Of a Pod that is not ready; default: nobody is bound before that. */
  readonly earlyOf?: (pod: PodFact) => Early | undefined;
  /** Default: none but those that are named by id. */
  readonly certificateOf?: CertificateOf;
  /** Load balancers where Pods (UIDs) or addresses are bound; default: nothing is known of that. */
  readonly boundAt?: (names: readonly string[]) => Iterable<string>;
  /** Told of live Pods whose gates are closed and that an owner selects no longer, because it asks for others or went; UIDs. */
  readonly onDeselected?: (podUids: readonly string[]) => void;
};

/** What follows of the owners and the records of one load balancer. */
type Shared = { readonly owners: readonly OwnerIntent[]; readonly recordsVersion: number; readonly shared: SharedRules | undefined };

/** Who asks for what of which load balancer: written by the owners' passes, read by everybody else. */
export class Intents {
  readonly selections: SelectionIndex;
  readonly #configUses = new ConfigUses();
  readonly #owners = new Map<string, OwnerIntent>();
  /** UIDs of the owners of each load balancer. */
  readonly #byLoadBalancer = new Map<string, Set<string>>();
  readonly #known = new Set<string>();
  /** By UID of the owner, the latest last. */
  readonly #formerSelectors = new Map<string, readonly OwnerIntent["selector"][]>();
  readonly #unread = new Set<string>();
  /** Namespaces by UID. */
  readonly #unreadAsking = new Map<string, string>();
  /** By load balancer: its owners in order, as long as none of them changes. */
  readonly #inOrder = new Map<string, readonly OwnerIntent[]>();
  readonly #shared = new Map<string, Shared>();
  readonly #members = new WeakMap<OwnerIntent, { readonly record: OwnerRecord | undefined; readonly member: GroupMember | undefined }>();
  readonly #askings: Askings;
  readonly #outlines = new Map<string, OutlineCache<DesiredLoadBalancer>>();
  readonly #deps: IntentsDeps;

  constructor(deps: IntentsDeps) {
    this.#deps = deps;
    this.#askings = new Askings(deps);
    this.selections = new SelectionIndex(deps.pods, deps.boundAt);
  }

  get(ownerUid: string): OwnerIntent | undefined {
    return this.#owners.get(ownerUid);
  }

  get all(): Iterable<OwnerIntent> {
    return this.#owners.values();
  }

  /** Every load balancer that was ever in use by this process: also those whose owners vanished get passes. */
  get loadBalancerIds(): ReadonlySet<string> {
    return this.#known;
  }

  /** Objects that may be owners and have not had their first pass: until then nobody knows what they ask for. */
  get unread(): ReadonlySet<string> {
    return this.#unread;
  }

  /** A new object: its first pass is to come. `namespace` of one of which nobody knows yet which Pods it asks for: an Ingress, or a Service without a selector. */
  expect(ownerUid: string, namespace?: string): void {
    this.#unread.add(ownerUid);
    if (namespace !== undefined) this.#unreadAsking.set(ownerUid, namespace);
  }

  /** It has had a pass, well or badly. True: its first one. */
  noteRead(ownerUid: string): boolean {
    this.#unreadAsking.delete(ownerUid);
    return this.#unread.delete(ownerUid);
  }

  /** An Ingress of the Namespace, or a Service without a selector, that has not had its first pass; UID. */
  unreadAsking(namespace: string): string | undefined {
    for (const [uid, where] of this.#unreadAsking) if (where === namespace) return uid;
    return undefined;
  }

  /** False: that was known, down to the last word. */
  set(owner: OwnerIntent): boolean {
    const { uid } = owner.ref;
    const known = this.#owners.get(uid);
    const former = known && intentOf(known);
    const intent = intentOf(owner);
    // The same intent stays the same object, so that what was selected for it still holds.
    const kept = former !== undefined && isDeepStrictEqual(former, intent) ? withIntent(owner, former) : owner;
    const loadBalancerId = loadBalancerOf(kept);
    const isForgotten = loadBalancerId !== undefined && !this.#known.has(loadBalancerId);
    if (loadBalancerId !== undefined) this.#known.add(loadBalancerId);
    if (isDeepStrictEqual(known, kept)) return isForgotten; // every pass of an owner says again what it asks for
    this.#noteChange(known, kept);
    this.#owners.set(uid, kept);
    this.#configUses.changed(owner.ref.namespace, former, intentOf(kept));
    this.#place(uid, known && loadBalancerOf(known), loadBalancerId);
    const left = former === undefined || intent === undefined ? [] : leftSelectors(former, intent);
    if (left.length > 0) this.#formerSelectors.set(uid, [...(this.#formerSelectors.get(uid) ?? []), ...left].slice(-MAX_SELECTORS));
    this.#tellDeselected(this.selections.setOwner(kept));
    return true;
  }

  /**
   * This owner selects the Pod, or did until the owner itself was changed: that it asks for others, or for another port, is its own word.
   * False: the Pod's labels may have changed instead. `place`: where it is bound.
   */
  hasAskedFor(ownerUid: string, pod: Pick<PodFact, "namespace" | "labels">, place: PlaceId): boolean {
    const owner = this.#owners.get(ownerUid);
    if (owner === undefined) return false;
    if (this.#askedItself(owner, pod)) return true;
    const loadBalancerId = loadBalancerOf(owner);
    const shared = loadBalancerId === undefined ? undefined : this.shared(loadBalancerId);
    if (loadBalancerId === undefined || shared?.members.some(({ ref }) => ref.uid === ownerUid) !== true) return false;
    // A rule that it took over has the Pods of whoever had it before.
    const { inherited = [] } = this.#deps.recorded?.(loadBalancerId, ownerUid) ?? {};
    if (inherited.some(({ namespace, selector }) => namespace === pod.namespace && selects(selector, pod.labels))) return true;
    const { listenersAt, addressAt } = this.#deps;
    const at = sharedRuleAt(listenersAt?.(loadBalancerId) ?? [], place, addressAt?.(loadBalancerId));
    return shared.members.some(({ ref, asks, holds }) => {
      const hadIt = at !== undefined && [asks, holds].some((rules) => rules.get(at.listener)?.has(at.rule) === true);
      const other = hadIt && ref.uid !== ownerUid ? this.#owners.get(ref.uid) : undefined;
      return other !== undefined && this.#askedItself(other, pod);
    });
  }

  #askedItself(owner: OwnerIntent, pod: Pick<PodFact, "namespace" | "labels">): boolean {
    const { uid, namespace } = owner.ref;
    if (namespace !== pod.namespace) return false;
    const intent = intentOf(owner);
    const loadBalancerId = loadBalancerOf(owner);
    const stored = loadBalancerId === undefined ? undefined : this.#deps.recorded?.(loadBalancerId, uid)?.formerSelectors;
    const selectors = [...(intent === undefined ? [] : intentSelectors(intent)), ...(stored ?? this.#formerSelectors.get(uid) ?? [])];
    return selectors.some((one) => selects(one, pod.labels));
  }

  /** Whose the rules of listeners are that the Ingresses of a group share; undefined: nobody shares any there. */
  shared(loadBalancerId: string): SharedRules | undefined {
    const owners = this.of(loadBalancerId);
    const recordsVersion = this.#deps.recordsVersion?.(loadBalancerId) ?? 0;
    const known = this.#shared.get(loadBalancerId);
    if (known?.owners === owners && known.recordsVersion === recordsVersion) return known.shared;
    const members = owners.flatMap((owner) => this.#memberOf(owner, this.#deps.recorded?.(loadBalancerId, owner.ref.uid)) ?? []);
    const shared = members.length === 0 ? undefined : shareRules(members);
    this.#shared.set(loadBalancerId, { owners, recordsVersion, shared });
    return shared;
  }

  #memberOf(owner: OwnerIntent, record: OwnerRecord | undefined): GroupMember | undefined {
    const known = this.#members.get(owner);
    if (known !== undefined && known.record === record) return known.member;
    const member = groupMember(owner, record);
    this.#members.set(owner, { record, member });
    return member;
  }

  /** The owner with what it asks for and may have: rules of shared listeners that others have are left out. */
  granted(owner: OwnerIntent): OwnerIntent {
    const loadBalancerId = loadBalancerOf(owner);
    if (loadBalancerId === undefined || owner.state !== "served" || owner.intent.group !== true) return owner;
    const refused = (this.shared(loadBalancerId)?.conflicts ?? []).flatMap((one) =>
      one.owner.uid === owner.ref.uid ? refusedRule(one) : [],
    );
    if (refused.length === 0) return owner;
    return { ...owner, intent: { ...owner.intent, ports: grantedPorts(owner.intent, new Set(refused)) } };
  }

  /** The object is no longer ours or is gone; if it was not `deleted` before, its listeners stay and are reported as orphaned. */
  remove(ownerUid: string): void {
    const owner = this.#owners.get(ownerUid);
    if (owner === undefined) return;
    this.#noteChange(owner);
    this.#owners.delete(ownerUid);
    this.#configUses.changed(owner.ref.namespace, intentOf(owner), undefined);
    this.#formerSelectors.delete(ownerUid);
    this.#place(ownerUid, loadBalancerOf(owner), undefined);
    this.#tellDeselected(this.selections.deleteOwner(ownerUid));
  }

  /** Nothing of ours is left at this load balancer. */
  forgetLoadBalancer(loadBalancerId: string): void {
    this.#known.delete(loadBalancerId);
    this.#shared.delete(loadBalancerId);
    this.#inOrder.delete(loadBalancerId);
    this.#outlines.delete(loadBalancerId);
    this.#askings.forget(loadBalancerId);
  }

  /** Owners of one load balancer, oldest first. */
  of(loadBalancerId: string): readonly OwnerIntent[] {
    const known = this.#inOrder.get(loadBalancerId);
    if (known !== undefined) return known;
    const owners = [...(this.#byLoadBalancer.get(loadBalancerId) ?? [])].flatMap((uid) => this.#owners.get(uid) ?? []);
    owners.sort((a, b) => (a.order < b.order ? -1 : 1));
    this.#inOrder.set(loadBalancerId, owners);
    return owners;
  }

  #noteChange(...owners: readonly (OwnerIntent | undefined)[]): void {
    for (const owner of owners) this.#inOrder.delete((owner && loadBalancerOf(owner)) ?? "");
  }

  desired(loadBalancerId: string): DesiredLoadBalancer {
    const { clusterId, isHeldBack, earlyOf, listenersAt, addressAt, recorded, certificateOf } = this.#deps;
    const address = addressAt?.(loadBalancerId);
    const cache = this.#outlines.get(loadBalancerId) ?? new OutlineCache();
    this.#outlines.set(loadBalancerId, cache);
    return desiredLoadBalancer({
      loadBalancerId,
      clusterId,
      cache,
      owners: this.#askings.of(loadBalancerId, this.of(loadBalancerId)),
      selected: this.selections.version(loadBalancerId),
      present: listenersAt?.(loadBalancerId) ?? [],
      ...(isHeldBack !== undefined && { isHeldBack }),
      ...(earlyOf !== undefined && { earlyOf }),
      ...(certificateOf !== undefined && { certificateOf }),
      ...(address !== undefined && { address }),
      shared: this.shared(loadBalancerId),
      settings: (owner, port) => recorded?.(loadBalancerId, owner.uid)?.listeners[wishKey(port.protocol, port.port)],
      podsOf: (owner) => this.selections.podsOf(owner),
      remembered: (owner, intent, port, select) => this.selections.ofPort(owner, intent, port, select),
    });
  }

  /** The checks of this place are off because somebody decided that, now or before; else somebody has only switched them off by hand. */
  isCheckOff(owner: OwnerIntent, { protocol, port, rule }: Pick<AskedPlace, "protocol" | "port" | "rule">): boolean {
    const key = wishKey(protocol, port);
    const loadBalancerId = loadBalancerOf(owner);
    const { wishes, rules } = this.#askings.wishesOf(owner);
    const at = rule && ruleKey({ domain: canonicalDomain(rule.domain), url: rule.url });
    const wish = at === undefined ? wishes.get(key)?.enabled : rules?.get(`${key} ${at}`)?.healthCheck.enabled;
    if (wish !== undefined || loadBalancerId === undefined) return wish === false;
    const stored = this.#deps.recorded?.(loadBalancerId, owner.ref.uid)?.listeners[key];
    return at === undefined ? stored?.healthCheck.enabled === false : stored?.uncheckedRules?.includes(at) === true;
  }

  /** Another number when any owner asks for something else, perhaps through a TkeServiceConfig. */
  get usesVersion(): number {
    return this.#configUses.version;
  }

  /** What owners that name this TkeServiceConfig ask for: "TCP/80", "HTTP/80 shop.example.com /cart". */
  askedThrough(namespace: string, configName: string): Pick<ReadonlySet<string>, "has"> {
    return this.#configUses.askedThrough(namespace, configName);
  }

  #tellDeselected(podUids: readonly string[]): void {
    if (podUids.length > 0) this.#deps.onDeselected?.(podUids);
  }

  #place(ownerUid: string, from: string | undefined, to: string | undefined): void {
    if (from === to) return;
    if (from !== undefined) {
      const left = this.#byLoadBalancer.get(from);
      left?.delete(ownerUid);
      if (left?.size === 0) this.#byLoadBalancer.delete(from);
    }
    if (to === undefined) return;
    const present = this.#byLoadBalancer.get(to);
    if (present === undefined) this.#byLoadBalancer.set(to, new Set([ownerUid]));
    else present.add(ownerUid);
  }
}

/** Pure: what an owner asked for and asks for no more. */
export function leftSelectors(former: ServiceIntent, intent: ServiceIntent): readonly OwnerIntent["selector"][] {
  const present = intentSelectors(intent);
  return intentSelectors(former).filter((selector) => !present.some((one) => isDeepStrictEqual(one, selector)));
}

const withIntent = (owner: OwnerIntent, intent: ServiceIntent): OwnerIntent =>
  owner.state === "held" || owner.state === "vanished" ? owner : { ...owner, intent };
