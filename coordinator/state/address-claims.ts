import { LONGEST_TASK_MS } from "../domain/call.ts";
import type { Records } from "./records.ts";

/**
 * Which Pod each address of a load balancer was bound for, stored before the bind, so that a restarted coordinator still knows its own
 * backends although their Pods are gone. An entry of the load balancer's record for each address: the Pod's UID, node and name.
 */
export interface AddressClaims {
  /** Takes in what a former leader stored; once, when the records have been read. */
  restore(): Generator<void>;
  /**
   * A read of the load balancer, begun at `readAtMs` (milliseconds since the epoch), found who is needed: bound, or known to live. The
   * others are forgotten: a former process may have ended before it stored that. But not by the first read that lacks them, which may
   * have come before a bind took effect that is still under way.
   */
  keepOnly(loadBalancerId: string, isNeeded: (ip: string, podUid: string) => boolean, readAtMs: number): void;
  /** UID of the Pod that this address was bound for. */
  podOf(loadBalancerId: string, ip: string): string | undefined;
  /** Another number when any address of the load balancer was claimed for another Pod, or is claimed no more. */
  version(loadBalancerId: string): number;
  /** Node and name of the Pod that the address was bound for, as they were stored. */
  claimedPod(loadBalancerId: string, ip: string): ClaimedPod | undefined;
  /** Load balancers where something is claimed for one of these Pods (UIDs), or where one of these addresses is claimed. */
  loadBalancersOf(names: readonly string[]): ReadonlySet<string>;
  /** Claims addresses (key) for Pods (value: UID); resolves when that is stored. */
  claim(loadBalancerId: string, claims: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void>;
  /** Forgets addresses that are bound nowhere any more; stored soon after. */
  forget(loadBalancerId: string, ips: Iterable<string>): void;
  /** The load balancer is no longer ours to remember. */
  drop(loadBalancerId: string, signal: AbortSignal): Promise<void>;
}

/** The claims at one load balancer. `missedAtMs`: by address the first read of those in a row that did not need it. */
type KnownClaims = { readonly pods: Map<string, string>; readonly missedAtMs: Map<string, number> };

const noClaims = (): KnownClaims => ({ pods: new Map(), missedAtMs: new Map() });

/** Where a Pod (by UID) or an address is named in a claim: how often, by load balancer. */
class ClaimsByName {
  readonly #names = new Map<string, Map<string, number>>();
  /** By load balancer: how often its claims have changed. */
  readonly #versions = new Map<string, number>();

  version(loadBalancerId: string): number {
    return this.#versions.get(loadBalancerId) ?? 0;
  }

  of(names: readonly string[]): ReadonlySet<string> {
    const found = new Set<string>();
    for (const name of names) for (const loadBalancerId of this.#names.get(name)?.keys() ?? []) found.add(loadBalancerId);
    return found;
  }

  /** `by` 1: one more claim of the address for the Pod; -1: one less. */
  count(loadBalancerId: string, ip: string, podUid: string | undefined, by: 1 | -1): void {
    if (podUid === undefined) return;
    this.#versions.set(loadBalancerId, this.version(loadBalancerId) + 1);
    for (const name of [podUid, ip]) {
      const claims = this.#names.get(name) ?? new Map<string, number>();
      const left = (claims.get(loadBalancerId) ?? 0) + by;
      if (left > 0) claims.set(loadBalancerId, left);
      else claims.delete(loadBalancerId);
      if (claims.size > 0) this.#names.set(name, claims);
      else this.#names.delete(name);
    }
  }
}

/** What is stored of the Pod behind an address, besides its UID. */
export type ClaimedPod = { readonly node: string; readonly namespace: string; readonly name: string };

/** `podOf`: the Pod of that UID, where it is known. */
export function makeAddressClaims(records: Records, podOf: (uid: string) => ClaimedPod | undefined): AddressClaims {
  const byLoadBalancer = new Map<string, KnownClaims>();
  const byName = new ClaimsByName();
  const converted = new Set<string>();
  const claimsOf = (loadBalancerId: string): KnownClaims => {
    const known = byLoadBalancer.get(loadBalancerId) ?? noClaims();
    byLoadBalancer.set(loadBalancerId, known);
    return known;
  };
  const set = (loadBalancerId: string, { pods }: KnownClaims, ip: string, podUid: string): void => {
    byName.count(loadBalancerId, ip, pods.get(ip), -1);
    pods.set(ip, podUid);
    byName.count(loadBalancerId, ip, podUid, 1);
  };
  const forget = (loadBalancerId: string, ips: Iterable<string>): void => {
    const { pods, missedAtMs } = claimsOf(loadBalancerId);
    const gone = [...ips];
    for (const ip of gone) {
      byName.count(loadBalancerId, ip, pods.get(ip), -1);
      pods.delete(ip);
      missedAtMs.delete(ip);
    }
    records.forget(loadBalancerId, gone.map(keyOf));
  };

  return {
    *restore() {
      const recorded = new Set(records.scopes);
      for (const scope of recorded) {
        for (const [key, value] of records.entries(scope)) {
          const ip = ipOf(key);
          const [podUid] = value.split(" ");
          if (ip !== undefined && podUid !== undefined) set(scope, claimsOf(scope), ip, podUid);
        }
        yield;
      }
      for (const [scope, data] of records.former)
        if (!recorded.has(scope)) for (const [ip, podUid] of Object.entries(data)) set(scope, claimsOf(scope), ip, podUid);
    },
    keepOnly(loadBalancerId, isNeeded, readAtMs) {
      const { pods, missedAtMs } = claimsOf(loadBalancerId);
      for (const [ip, podUid] of pods)
        if (isNeeded(ip, podUid)) missedAtMs.delete(ip);
        else if (!missedAtMs.has(ip)) missedAtMs.set(ip, readAtMs);
      const over = [...missedAtMs].filter(([, sinceMs]) => readAtMs - sinceMs >= LONGEST_TASK_MS);
      forget(
        loadBalancerId,
        over.map(([ip]) => ip),
      );
    },
    podOf: (loadBalancerId, ip) => byLoadBalancer.get(loadBalancerId)?.pods.get(ip),
    version: (loadBalancerId) => byName.version(loadBalancerId),
    claimedPod(loadBalancerId, ip) {
      const [uid, node, path = ""] = records.get(loadBalancerId, keyOf(ip))?.split(" ") ?? [];
      const [namespace, name] = path.split("/");
      if (uid === undefined || node === undefined || namespace === undefined || name === undefined) return undefined;
      return { node, namespace, name };
    },
    loadBalancersOf: (names) => byName.of(names),
    async claim(loadBalancerId, claims, signal) {
      const known = claimsOf(loadBalancerId);
      for (const ip of claims.keys()) known.missedAtMs.delete(ip);
      const fresh = [...claims].filter(([ip, podUid]) => known.pods.get(ip) !== podUid);
      if (fresh.length === 0) return;
      // What a former version stored is stored anew, for from now on nobody reads that.
      const isConverted = converted.has(loadBalancerId) || !records.former.has(loadBalancerId);
      const former = isConverted
        ? []
        : [...known.pods].filter(([ip]) => !claims.has(ip) && records.get(loadBalancerId, keyOf(ip)) === undefined);
      const entries = [...former, ...fresh].map(([ip, podUid]) => [keyOf(ip), textOf(podUid, podOf(podUid))] as const);
      await records.put(loadBalancerId, new Map(entries), signal);
      converted.add(loadBalancerId);
      if (byLoadBalancer.get(loadBalancerId) !== known) return; // dropped meanwhile
      for (const [ip, podUid] of fresh) set(loadBalancerId, known, ip, podUid);
    },
    forget,
    async drop(loadBalancerId, signal) {
      for (const [ip, podUid] of byLoadBalancer.get(loadBalancerId)?.pods ?? []) byName.count(loadBalancerId, ip, podUid, -1);
      byLoadBalancer.delete(loadBalancerId);
      await records.drop(loadBalancerId, signal);
    },
  };
}

/** Keys of a ConfigMap may hold letters, digits, "-", "_" and ".". */
const keyOf = (ip: string): string => `ip.${ip.replaceAll(":", "_")}`;
const ipOf = (key: string): string | undefined => (key.startsWith("ip.") ? key.slice(3).replaceAll("_", ":") : undefined);
/** "<uid> <node> <namespace>/<name>", or the UID alone. */
const textOf = (podUid: string, pod: ClaimedPod | undefined): string =>
  pod === undefined ? podUid : `${podUid} ${pod.node} ${pod.namespace}/${pod.name}`;

/** Addresses that got another Pod; `passedOn`: those of them that had one before. */
export type Claimed = { readonly ips: readonly string[]; readonly passedOn: ReadonlySet<string> };

/** The same claims; tells which addresses got another Pod. */
export function tellingClaims(addressClaims: AddressClaims, onClaim: (loadBalancerId: string, claimed: Claimed) => void): AddressClaims {
  return {
    ...addressClaims,
    claim: async (loadBalancerId, claims, signal) => {
      const ips = [...claims].flatMap(([ip, podUid]) => (addressClaims.podOf(loadBalancerId, ip) === podUid ? [] : [ip]));
      const passedOn = new Set(ips.filter((ip) => addressClaims.podOf(loadBalancerId, ip) !== undefined));
      await addressClaims.claim(loadBalancerId, claims, signal);
      onClaim(loadBalancerId, { ips, passedOn });
    },
  };
}
