import { KubeApiError } from "../../common/kubernetes/api-error.ts";
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
   * A look at the load balancer, begun at `lookedAtMs` (milliseconds since the epoch), found who is needed: bound, or known to live. The
   * others are forgotten: a former process may have ended before it stored that. But not by the first look that lacks them, which may
   * have come before a bind took effect that is still under way.
   */
  keepOnly(loadBalancerId: string, isNeeded: (ip: string, podUid: string) => boolean, lookedAtMs: number): void;
  /** UID of the Pod that this address was bound for. */
  podOf(loadBalancerId: string, ip: string): string | undefined;
  /** Load balancers where an address is claimed for this Pod. */
  loadBalancersOf(podUid: string): Iterable<string>;
  /** Records the intent; resolves when it is stored. */
  claim(loadBalancerId: string, claims: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void>;
  /** Forgets addresses that are bound nowhere any more; stored with the next claim. */
  forget(loadBalancerId: string, ips: Iterable<string>): void;
  /** The load balancer is no longer ours to remember. */
  drop(loadBalancerId: string, signal: AbortSignal): Promise<void>;
}

/** `missedAtMs`: by address the first look of those in a row that did not need it. */
type Book = { readonly pods: Map<string, string>; readonly forgotten: Set<string>; readonly missedAtMs: Map<string, number> };

const emptyBook = (): Book => ({ pods: new Map(), forgotten: new Set(), missedAtMs: new Map() });

/** How many addresses are claimed for each Pod, by load balancer. */
class ClaimsByPod {
  readonly #pods = new Map<string, Map<string, number>>();

  of(podUid: string): Iterable<string> {
    return this.#pods.get(podUid)?.keys() ?? [];
  }

  /** `by` 1: one more address; -1: one less. */
  count(loadBalancerId: string, podUid: string | undefined, by: 1 | -1): void {
    if (podUid === undefined) return;
    const claims = this.#pods.get(podUid) ?? new Map<string, number>();
    const left = (claims.get(loadBalancerId) ?? 0) + by;
    if (left > 0) claims.set(loadBalancerId, left);
    else claims.delete(loadBalancerId);
    if (claims.size > 0) this.#pods.set(podUid, claims);
    else this.#pods.delete(podUid);
  }
}

export function makeAddressClaims(client: KubeClient, namespace: string): AddressClaims {
  const books = new Map<string, Book>();
  const byPod = new ClaimsByPod();
  const collection = `/api/v1/namespaces/${namespace}/configmaps`;
  const nameOf = (loadBalancerId: string): string => `${ADDRESS_CLAIMS_PREFIX}${loadBalancerId}`;
  const pathOf = (loadBalancerId: string): string => `${collection}/${nameOf(loadBalancerId)}`;
  const bookOf = (loadBalancerId: string): Book => {
    const book = books.get(loadBalancerId) ?? emptyBook();
    books.set(loadBalancerId, book);
    return book;
  };
  const forget = (loadBalancerId: string, ips: Iterable<string>): void => {
    const { pods, forgotten, missedAtMs } = bookOf(loadBalancerId);
    for (const ip of ips) {
      byPod.count(loadBalancerId, pods.get(ip), -1);
      if (pods.delete(ip)) forgotten.add(ip);
      missedAtMs.delete(ip);
    }
  };
  const claim = async (loadBalancerId: string, claims: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> => {
    const book = bookOf(loadBalancerId);
    for (const ip of claims.keys()) book.missedAtMs.delete(ip);
    const fresh = [...claims].filter(([ip, podUid]) => book.pods.get(ip) !== podUid);
    if (fresh.length === 0) return;
    const forgotten = [...book.forgotten];
    const data = Object.fromEntries([...forgotten.map((ip) => [ip, null]), ...fresh]);
    const patched = await absentAsUndefined(client.patch(pathOf(loadBalancerId), { data }, "merge", { signal }));
    if (patched === undefined) {
      const metadata = { name: nameOf(loadBalancerId), namespace };
      const all = Object.fromEntries([...book.pods, ...fresh]);
      await client.create(collection, { apiVersion: "v1", kind: "ConfigMap", metadata, data: all }, { signal });
    }
    if (books.get(loadBalancerId) !== book) return; // dropped meanwhile
    for (const ip of forgotten) book.forgotten.delete(ip);
    for (const [ip, podUid] of fresh) {
      byPod.count(loadBalancerId, book.pods.get(ip), -1);
      book.pods.set(ip, podUid);
      byPod.count(loadBalancerId, podUid, 1);
    }
  };

  return {
    async load(loadBalancerId, signal) {
      if (books.has(loadBalancerId)) return;
      const stored = await absentAsUndefined(client.get<{ data?: Record<string, string> }>(pathOf(loadBalancerId), { signal }));
      const { pods, forgotten } = bookOf(loadBalancerId);
      for (const [ip, podUid] of Object.entries(stored?.data ?? {})) {
        if (pods.has(ip) || forgotten.has(ip)) continue; // loaded, claimed or given up meanwhile
        pods.set(ip, podUid);
        byPod.count(loadBalancerId, podUid, 1);
      }
    },
    keepOnly(loadBalancerId, isNeeded, lookedAtMs) {
      const { pods, missedAtMs } = bookOf(loadBalancerId);
      for (const [ip, podUid] of pods)
        if (isNeeded(ip, podUid)) missedAtMs.delete(ip);
        else if (!missedAtMs.has(ip)) missedAtMs.set(ip, lookedAtMs);
      const over = [...missedAtMs].filter(([, sinceMs]) => lookedAtMs - sinceMs >= LONGEST_TASK_MS);
      forget(
        loadBalancerId,
        over.map(([ip]) => ip),
      );
    },
    podOf: (loadBalancerId, ip) => books.get(loadBalancerId)?.pods.get(ip),
    loadBalancersOf: (podUid) => byPod.of(podUid),
    claim,
    forget,
    async drop(loadBalancerId, signal) {
      for (const podUid of books.get(loadBalancerId)?.pods.values() ?? []) byPod.count(loadBalancerId, podUid, -1);
      books.delete(loadBalancerId);
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
