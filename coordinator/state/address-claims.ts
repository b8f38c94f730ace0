import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import { ADDRESS_CLAIMS_PREFIX } from "../../common/names.ts";
import { LONGEST_TASK_MS } from "../cloud/task-wait.ts";

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
  /** Records the intent; resolves when it is stored. */
  claim(loadBalancerId: string, claims: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void>;
  /** Forgets addresses that are bound nowhere any more; stored with the next claim. */
  release(loadBalancerId: string, ips: Iterable<string>): void;
  /** The load balancer is no longer ours to remember. */
  drop(loadBalancerId: string, signal: AbortSignal): Promise<void>;
}

/** `missedAtMs`: by address the first look of those in a row that did not need it. */
type Book = { readonly pods: Map<string, string>; readonly forgotten: Set<string>; readonly missedAtMs: Map<string, number> };

const bookWith = (stored: Readonly<Record<string, string>> = {}): Book => ({
  pods: new Map(Object.entries(stored)),
  forgotten: new Set(),
  missedAtMs: new Map(),
});

export function makeAddressClaims(client: KubeClient, namespace: string): AddressClaims {
  const books = new Map<string, Book>();
  const collection = `/api/v1/namespaces/${namespace}/configmaps`;
  const nameOf = (loadBalancerId: string): string => `${ADDRESS_CLAIMS_PREFIX}${loadBalancerId}`;
  const pathOf = (loadBalancerId: string): string => `${collection}/${nameOf(loadBalancerId)}`;
  const bookOf = (loadBalancerId: string): Book => {
    const book = books.get(loadBalancerId) ?? bookWith();
    books.set(loadBalancerId, book);
    return book;
  };
  const forget = (loadBalancerId: string, ips: Iterable<string>): void => {
    const { pods, forgotten, missedAtMs } = bookOf(loadBalancerId);
    for (const ip of ips) {
      if (pods.delete(ip)) forgotten.add(ip);
      missedAtMs.delete(ip);
    }
  };

  return {
    async load(loadBalancerId, signal) {
      if (books.has(loadBalancerId)) return;
      const stored = await absentAsUndefined(client.get<{ data?: Record<string, string> }>(pathOf(loadBalancerId), { signal }));
      books.set(loadBalancerId, bookWith(stored?.data));
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
    async claim(loadBalancerId, claims, signal) {
      const book = bookOf(loadBalancerId);
      for (const ip of claims.keys()) book.missedAtMs.delete(ip);
      const fresh = [...claims].filter(([ip, podUid]) => book.pods.get(ip) !== podUid);
      if (fresh.length === 0) return;
      const forgotten = [...book.forgotten];
      const data = Object.fromEntries([...forgotten.map((ip) => [ip, null]), ...fresh]);
      const patched = await absentAsUndefined(client.patch(pathOf(loadBalancerId), { data }, "merge", { signal }));
      if (patched === undefined) {
        const metadata = { name: nameOf(loadBalancerId), namespace };
        await client.create(
          collection,
          { apiVersion: "v1", kind: "ConfigMap", metadata, data: Object.fromEntries([...book.pods, ...fresh]) },
          { signal },
        );
      }
      for (const ip of forgotten) book.forgotten.delete(ip);
      for (const [ip, podUid] of fresh) book.pods.set(ip, podUid);
    },
    release: forget,
    async drop(loadBalancerId, signal) {
      books.delete(loadBalancerId);
      await absentAsUndefined(client.delete(pathOf(loadBalancerId), undefined, { signal }));
    },
  };
}

/** Addresses that got another Pod; `passedOn`: those of them that had one before. */
export type Claimed = { readonly ips: readonly string[]; readonly passedOn: ReadonlySet<string> };

/** Tells which addresses got another Pod. */
export function noting(addressClaims: AddressClaims, onClaim: (loadBalancerId: string, claimed: Claimed) => void): AddressClaims {
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
