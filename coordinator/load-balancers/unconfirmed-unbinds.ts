import type { Call } from "../domain/call.ts";
import { type LoadBalancer, placesOf, slotKey, slotOf } from "../domain/load-balancer.ts";
import type { AddressClaims } from "../state/address-claims.ts";

/** A target as it was before the unbind that the cloud has confirmed. */
type Former = { readonly ip: string; readonly podUid: string; readonly weight: number };

/** So many unbinds of one load balancer wait to be confirmed; the claims are stored in a ConfigMap, and Kubernetes lets that hold 1 MiB. */
const MAX_UNCONFIRMED = 1_000;

/**
 * Targets that the cloud says it has unbound. Their addresses lose their claims when a read has shown that they are gone: one that is
 * bound after all, whatever the cloud said, would be nobody's, and would stay for ever.
 */
export class UnconfirmedUnbinds {
  readonly #addressClaims: Pick<AddressClaims, "podOf" | "forget">;
  /** By load balancer and slot key, oldest first. */
  readonly #former = new Map<string, Map<string, Former>>();

  constructor(addressClaims: Pick<AddressClaims, "podOf" | "forget">) {
    this.#addressClaims = addressClaims;
  }

  /** This call is about to be made: what it names is not merely unbound any more. */
  begins(loadBalancerId: string, call: Call): void {
    const former = this.#former.get(loadBalancerId);
    const named = "targets" in call ? call.targets : "weights" in call ? call.weights : [];
    for (const slot of named) former?.delete(slotKey(slot));
  }

  /** The cloud says that the call is done; `before` is how the load balancer was until then. */
  ended(loadBalancerId: string, call: Call, before: LoadBalancer | undefined): void {
    if (!("slots" in call)) return;
    const weights = boundSlots(before);
    const former = this.#former.get(loadBalancerId) ?? new Map<string, Former>();
    this.#former.set(loadBalancerId, former);
    for (const slot of call.slots) {
      const podUid = this.#addressClaims.podOf(loadBalancerId, slot.ip);
      const weight = weights.get(slotKey(slot))?.weight;
      if (podUid !== undefined && weight !== undefined) former.set(slotKey(slot), { ip: slot.ip, podUid, weight });
    }
    for (const slot of call.slots) weights.delete(slotKey(slot));
    this.#forgetAddresses(loadBalancerId, [...former.keys()].slice(0, -MAX_UNCONFIRMED), weights);
  }

  /** `actual` was just read. A target that was at weight 0 and has another one now was bound anew, by somebody else. */
  confirm(actual: LoadBalancer): void {
    const former = this.#former.get(actual.loadBalancerId);
    if (former === undefined) return;
    const bound = boundSlots(actual);
    const settled = [...former].flatMap(([key, { weight }]) => {
      const now = bound.get(key);
      return now === undefined || (weight === 0 && now.weight > 0) ? key : [];
    });
    for (const key of settled) bound.delete(key);
    this.#forgetAddresses(actual.loadBalancerId, settled, bound);
  }

  forget(loadBalancerId: string): void {
    this.#former.delete(loadBalancerId);
  }

  /** An address that is bound elsewhere or was claimed for another Pod meanwhile keeps its claim. */
  #forgetAddresses(loadBalancerId: string, keys: readonly string[], bound: ReadonlyMap<string, { readonly ip: string }>): void {
    const former = this.#former.get(loadBalancerId);
    const stay = new Set([...bound.values()].map(({ ip }) => ip));
    const gone = keys.flatMap((key) => {
      const one = former?.get(key);
      former?.delete(key);
      return one === undefined || stay.has(one.ip) || this.#addressClaims.podOf(loadBalancerId, one.ip) !== one.podUid ? [] : one.ip;
    });
    if (former?.size === 0) this.#former.delete(loadBalancerId);
    this.#addressClaims.forget(loadBalancerId, gone);
  }
}

const boundSlots = (loadBalancer: LoadBalancer | undefined): Map<string, { readonly ip: string; readonly weight: number }> =>
  new Map(placesOf(loadBalancer ?? { listeners: [] }).flatMap((place) => place.targets.map((one) => [slotKey(slotOf(place, one)), one])));
