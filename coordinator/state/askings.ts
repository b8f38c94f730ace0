import { fitWishes } from "../domain/intent/config-fit.ts";
import type { OwnAddress } from "../domain/intent/former-rules.ts";
import { intentOf, loadBalancerOf, type OwnerIntent, type OwnerWishes } from "../domain/intent/owner-intent.ts";
import type { OwnerRecord } from "../domain/intent/owner-record.ts";
import type { ConfigWishes, ListenerWishes } from "../domain/intent/service-config.ts";
import type { LoadBalancerOrder } from "../domain/load-balancer.ts";

export type AskingsDeps = {
  /** Where it is reached and what kind it is of; default: not known. */
  readonly addressAt?: (loadBalancerId: string) => (OwnAddress & { readonly order?: LoadBalancerOrder }) | undefined;
  /** What a TkeServiceConfig says; empty if there is none of that name. */
  readonly wishes: (namespace: string, configName: string) => ListenerWishes;
  /** What else it says; default: nothing. */
  readonly moreWishes?: (namespace: string, configName: string) => Omit<ConfigWishes, "wishes"> | undefined;
  /** Another number when any TkeServiceConfig has changed; default: they are looked at each time. */
  readonly configsVersion?: () => number;
  /** What is on record of an owner at its load balancer; default: nothing. */
  readonly recorded?: (loadBalancerId: string, ownerUid: string) => OwnerRecord | undefined;
  /** Another number when anything on record of that load balancer has changed; default: nothing ever does. */
  readonly recordsVersion?: (loadBalancerId: string) => number;
};

/** What an owner's TkeServiceConfig says, and what of that its load balancer can have. */
type Fitted = {
  readonly wishes: ListenerWishes;
  readonly more: Omit<ConfigWishes, "wishes"> | undefined;
  readonly order: LoadBalancerOrder | undefined;
  readonly fitted: ConfigWishes;
};
type Asking = { readonly wishes: ConfigWishes; readonly record: OwnerRecord | undefined; readonly asking: OwnerWishes };
/** All owners of one load balancer, and what they follow of. */
type AtOne = {
  readonly owners: readonly OwnerIntent[];
  readonly follows: readonly unknown[];
  readonly all: readonly OwnerWishes[];
};

const NO_WISHES: ConfigWishes = { wishes: new Map() };

/** What owners wish besides what their objects say. What has not changed stays the same object, so that whoever compares objects sees that. */
export class Askings {
  readonly #deps: AskingsDeps;
  readonly #fitted = new WeakMap<OwnerIntent, Fitted>();
  readonly #asking = new WeakMap<OwnerIntent, Asking>();
  readonly #all = new Map<string, AtOne>();

  constructor(deps: AskingsDeps) {
    this.#deps = deps;
  }

  forget(loadBalancerId: string): void {
    this.#all.delete(loadBalancerId);
  }

  /** Of each owner; another object when it, its wishes, or what is on record of it have changed. */
  of(loadBalancerId: string, owners: readonly OwnerIntent[]): readonly OwnerWishes[] {
    const { addressAt, configsVersion, recordsVersion } = this.#deps;
    const known = this.#all.get(loadBalancerId);
    const [configs, records] = [configsVersion?.(), recordsVersion?.(loadBalancerId)];
    const follows = [configs, records, addressAt?.(loadBalancerId)?.order];
    const isTold = configs !== undefined && records !== undefined;
    if (isTold && known?.owners === owners && known.follows.every((one, at) => one === follows[at])) return known.all;
    const all = owners.map((owner) => this.#askingOf(loadBalancerId, owner));
    this.#all.set(loadBalancerId, { owners, follows, all });
    return all;
  }

  #askingOf(loadBalancerId: string, owner: OwnerIntent): OwnerWishes {
    const wishes = this.wishesOf(owner);
    const record = this.#deps.recorded?.(loadBalancerId, owner.ref.uid);
    const known = this.#asking.get(owner);
    if (known?.wishes === wishes && known.record === record) return known.asking;
    const asking = { owner, ...wishes };
    this.#asking.set(owner, { wishes, record, asking });
    return asking;
  }

  /** What its TkeServiceConfig says, without what the owner's load balancer cannot have. */
  wishesOf(owner: OwnerIntent): ConfigWishes {
    const configName = intentOf(owner)?.configName;
    if (configName === undefined) return NO_WISHES;
    const { namespace } = owner.ref;
    const [wishes, more] = [this.#deps.wishes(namespace, configName), this.#deps.moreWishes?.(namespace, configName)];
    const loadBalancerId = loadBalancerOf(owner);
    const order = loadBalancerId === undefined ? undefined : this.#deps.addressAt?.(loadBalancerId)?.order;
    const known = this.#fitted.get(owner);
    if (known?.wishes === wishes && known.more === more && known.order === order) return known.fitted;
    const config = { ...more, wishes };
    const fitted = loadBalancerId === undefined ? config : fitWishes(config, order);
    this.#fitted.set(owner, { wishes, more, order, fitted });
    return fitted;
  }
}
