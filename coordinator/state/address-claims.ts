import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { ADDRESS_CLAIMS_PREFIX } from "../../common/names.ts";
import { LONGEST_TASK_MS } from "../domain/call.ts";

/**
 * Which Pod each address of a load balancer was bound for, written before the bind, so that a restarted coordinator still knows its own
 * backends although their Pods are gone. One ConfigMap per load balancer: key is the address, value the Pod's UID.
 */
export interface AddressClaims {
  /** Reads what is stored, once per load balancer and process. */
  load(loadBalancerId: string, signal: AbortSignal): Promise<void>;
  /**
   * A read of the load balancer, begun at `readAtMs` (milliseconds since the epoch), found who is needed: bound, or known to live. The
   * others are forgotten: a former process may have ended before it stored that. But not by the first read that lacks them, which may
   * have come before a bind took effect that is still under way.
   */
  keepOnly(loadBalancerId: string, isNeeded: (ip: string, podUid: string) => boolean, readAtMs: number): void;
  /** UID of the Pod that this address was bound for. */
  podOf(loadBalancerId: string, ip: string): string | undefined;
  /** Load balancers where something is claimed for one of these Pods (UIDs), or where one of these addresses is claimed. */
  loadBalancersOf(names: readonly string[]): ReadonlySet<string>;
  /** Claims addresses (key) for Pods (value: UID); resolves when that is stored. */
  claim(loadBalancerId: string, claims: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void>;
  /** Forgets addresses that are bound nowhere any more; stored with the next claim. */
  forget(loadBalancerId: string, ips: Iterable<string>): void;
  /** The load balancer is no longer ours to remember. */
  drop(loadBalancerId: string, signal: AbortSignal): Promise<void>;
}

/** The claims at one load balancer. `missedAtMs`: by address the first read of those in a row that did not need it. */
type KnownClaims = { readonly pods: Map<string, string>; readonly forgotten: Set<string>; readonly missedAtMs: Map<string, number> };

const noClaims = (): KnownClaims => ({ pods: new Map(), forgotten: new Set(), missedAtMs: new Map() });

/** Where a Pod (by UID) or an address is named in a claim: how often, by load balancer. */
class ClaimsByName {
  readonly #names = new Map<string, Map<string, number>>();

  of(names: readonly string[]): ReadonlySet<string> {
    const found = new Set<string>();
    for (const name of names) for (const loadBalancerId of this.#names.get(name)?.keys() ?? []) found.add(loadBalancerId);
    return found;
  }

  /** `by` 1: one more claim of the address for the Pod; -1: one less. */
  count(loadBalancerId: string, ip: string, podUid: string | undefined, by: 1 | -1): void {
    if (podUid === undefined) return;
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

export function makeAddressClaims(client: KubeClient, namespace: string): AddressClaims {
  const byLoadBalancer = new Map<string, KnownClaims>();
  const byName = new ClaimsByName();
  const collection = kubePath`/api/v1/namespaces/${namespace}/configmaps`;
  const nameOf = (loadBalancerId: string): string => `${ADDRESS_CLAIMS_PREFIX}${loadBalancerId}`;
  const pathOf = (loadBalancerId: string): string => kubePath`/api/v1/namespaces/${namespace}/configmaps/${nameOf(loadBalancerId)}`;
  const claimsOf = (loadBalancerId: string): KnownClaims => {
    const known = byLoadBalancer.get(loadBalancerId) ?? noClaims();
    byLoadBalancer.set(loadBalancerId, known);
    return known;
  };
  const forget = (loadBalancerId: string, ips: Iterable<string>): void => {
    const { pods, forgotten, missedAtMs } = claimsOf(loadBalancerId);
    for (const ip of ips) {
      byName.count(loadBalancerId, ip, pods.get(ip), -1);
      if (pods.delete(ip)) forgotten.add(ip);
      missedAtMs.delete(ip);
    }
  };
  const claim = async (loadBalancerId: string, claims: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> => {
    const known = claimsOf(loadBalancerId);
    for (const ip of claims.keys()) known.missedAtMs.delete(ip);
    const fresh = [...claims].filter(([ip, podUid]) => known.pods.get(ip) !== podUid);
    if (fresh.length === 0) return;
    const forgotten = [...known.forgotten];
    const data = Object.fromEntries([...forgotten.map((ip) => [ip, null]), ...fresh]);
    const patched = await absentAsUndefined(client.patch(pathOf(loadBalancerId), { data }, "merge", { signal }));
    if (patched === undefined) {
      const metadata = { name: nameOf(loadBalancerId), namespace };
      const all = Object.fromEntries([...known.pods, ...fresh]);
      await client.create(collection, { apiVersion: "v1", kind: "ConfigMap", metadata, data: all }, { signal });
    }
    if (byLoadBalancer.get(loadBalancerId) !== known) return; // dropped meanwhile
    for (const ip of forgotten) known.forgotten.delete(ip);
    for (const [ip, podUid] of fresh) {
      byName.count(loadBalancerId, ip, known.pods.get(ip), -1);
      known.pods.set(ip, podUid);
      byName.count(loadBalancerId, ip, podUid, 1);
    }
  };

  return {
    async load(loadBalancerId, signal) {
      if (byLoadBalancer.has(loadBalancerId)) return;
      const stored = await absentAsUndefined(client.get<{ data?: Record<string, string> }>(pathOf(loadBalancerId), { signal }));
      const { pods, forgotten } = claimsOf(loadBalancerId);
      for (const [ip, podUid] of Object.entries(stored?.data ?? {})) {
        if (pods.has(ip) || forgotten.has(ip)) continue; // loaded, claimed or given up meanwhile
        pods.set(ip, podUid);
        byName.count(loadBalancerId, ip, podUid, 1);
      }
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
    loadBalancersOf: (names) => byName.of(names),
    claim,
    forget,
    async drop(loadBalancerId, signal) {
      for (const [ip, podUid] of byLoadBalancer.get(loadBalancerId)?.pods ?? []) byName.count(loadBalancerId, ip, podUid, -1);
      byLoadBalancer.delete(loadBalancerId);
      await absentAsUndefined(client.delete(pathOf(loadBalancerId), undefined, { signal }));
    },
  };
}

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

async function absentAsUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (err) {
    if (err instanceof KubeApiError && err.failure === "notFound") return undefined;
    throw err;
  }
}
