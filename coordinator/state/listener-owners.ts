import { GROUP_MARK, ownerMark, ownerMarkOf } from "../../common/names.ts";
import type { OwnerIntent } from "../domain/intent/owner-intent.ts";
import { wishKey } from "../domain/intent/service-config.ts";
import { type GroupMember, sharedRuleName } from "../domain/intent/shared-rules.ts";
import { canonicalDomain, type Listener, listenerAt, type PlaceId } from "../domain/load-balancer.ts";
import type { ObjectRef } from "../domain/problem.ts";
import type { Intents } from "./intents.ts";
import type { Mirror } from "./mirror.ts";

/** Former owners remembered, to address what is left of them. */
const MAX_FORMER = 1_000;

export type ListenerOwnersDeps = {
  readonly intents: Pick<Intents, "of" | "shared">;
  readonly mirror: Pick<Mirror, "read">;
  readonly clusterId: string;
};

/** Whose a listener is, also when its owner is gone. */
export class ListenerOwners {
  readonly #deps: ListenerOwnersDeps;
  /** By the owner's mark in a listener's name. */
  readonly #former = new Map<string, ObjectRef>();
  /** The same owners by mark, and the same listeners by rule: asked for each backend that leaves, where hundreds may share a load balancer. */
  readonly #byMark = new WeakMap<readonly OwnerIntent[], ReadonlyMap<string, ObjectRef>>();
  readonly #byRule = new WeakMap<readonly Listener[], ReadonlyMap<string, Listener>>();

  constructor(deps: ListenerOwnersDeps) {
    this.#deps = deps;
  }

  /** It was an owner and is not any more, e.g. because it was deleted. */
  remember(former: ObjectRef): void {
    if (this.#former.size >= MAX_FORMER) this.#former.delete(this.#former.keys().next().value ?? "");
    this.#former.set(ownerMark(former.uid), former);
  }

  /** The owner of a listener by its name, of a group the oldest member that asks for it; undefined: it is not ours, or nobody remembers whose it was. */
  of(loadBalancerId: string, listenerName: string): ObjectRef | undefined {
    const mark = ownerMarkOf(listenerName, this.#deps.clusterId);
    if (mark === undefined) return undefined;
    if (mark === GROUP_MARK) return this.#ofGroup(loadBalancerId, listenerName);
    const owners = this.#deps.intents.of(loadBalancerId);
    const byMark = this.#byMark.get(owners) ?? new Map(owners.toReversed().map(({ ref }) => [ownerMark(ref.uid), ref]));
    this.#byMark.set(owners, byMark);
    return byMark.get(mark) ?? this.#former.get(mark);
  }

  #ofGroup(loadBalancerId: string, listenerName: string): ObjectRef | undefined {
    const { members = [] } = this.#deps.intents.shared(loadBalancerId) ?? {};
    const key = /-(http|https)(\d+)$/.exec(listenerName);
    const asksFor = ({ asks }: GroupMember): boolean => key !== null && asks.has(wishKey((key[1] ?? "").toUpperCase(), Number(key[2])));
    return (members.find(asksFor) ?? members[0])?.ref;
  }

  /** Who asks for a rule that is to be made in this listener; undefined: the listener is not shared, or nobody who is known does. */
  ofNewRule(
    loadBalancerId: string,
    { name, sharedName = name, protocol, port }: Pick<Listener, "name" | "sharedName" | "protocol" | "port">,
    { domain, url }: { readonly domain: string; readonly url: string },
  ): ObjectRef | undefined {
    if (ownerMarkOf(sharedName, this.#deps.clusterId) !== GROUP_MARK) return undefined;
    const rule = sharedRuleName({ domain: canonicalDomain(domain), url }, this.#deps.mirror.read(loadBalancerId));
    return this.#deps.intents.shared(loadBalancerId)?.holders.get(wishKey(protocol, port))?.get(rule);
  }

  /** The owner of the listener or rule with this id, as the load balancer has it. */
  ofPlace(loadBalancerId: string, place: PlaceId): ObjectRef | undefined {
    const listeners = this.#deps.mirror.read(loadBalancerId)?.listeners ?? [];
    const listener = this.#listenerOf(listeners, place) ?? listenerAt(listeners, place);
    return listener && this.of(loadBalancerId, listener.name);
  }

  #listenerOf(listeners: readonly Listener[], { locationId = "" }: PlaceId): Listener | undefined {
    const byRule =
      this.#byRule.get(listeners) ??
      new Map(listeners.flatMap((listener) => listener.rules.map((rule) => [rule.locationId, listener] as const)));
    this.#byRule.set(listeners, byRule);
    return byRule.get(locationId);
  }
}
