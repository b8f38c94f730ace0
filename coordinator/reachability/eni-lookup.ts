import { ClbApiError } from "../cloud/clb-error.ts";
import { ReadBatcher } from "../cloud/read-batcher.ts";
import { MOST_ADDRESSES, type VpcApi } from "../cloud/vpc-api.ts";
import type { Eni } from "../domain/eni.ts";
import type { Enis } from "../state/enis.ts";

export type EniLookupDeps = {
  readonly api: Pick<VpcApi, "enisByIp">;
  readonly enis: Enis;
  /** VPC of the load balancers, where it is known. */
  readonly vpcId: string | undefined;
  readonly clock: { now(): number };
};

/** So old may what is known of an address be. */
const MAX_AGE_MS = 60_000;
/** An address that no ENI has may have come a moment ago: lists lag behind (tke-contract.md §9). One that stays away is asked about ever more rarely. */
const ABSENT_MIN_AGE_MS = 5_000;

/** The ENIs that have an address: all callers of a moment share one read of up to 100 addresses, and all addresses of an ENI come with it. */
export function makeEniLookup({ api, enis, vpcId, clock }: EniLookupDeps): (ip: string, signal: AbortSignal) => Promise<readonly Eni[]> {
  const batcher = new ReadBatcher<readonly Eni[]>({
    most: MOST_ADDRESSES,
    isRefusal: (err) => err instanceof ClbApiError && err.call.code.startsWith("InvalidParameter"),
    read: async (ips, signal) => {
      let asked: readonly string[] = [];
      const found = await api.enisByIp(() => (asked = ips()), vpcId, signal);
      enis.note(asked, found, vpcId);
      return new Map(asked.map((ip) => [ip, enis.byIp(ip)?.enis ?? []]));
    },
  });
  return async (ip, signal) => {
    const known = enis.byIp(ip);
    if (known !== undefined && known.atMs + ageOf(known) > clock.now()) return known.enis;
    return (await batcher.ask(ip, signal)) ?? [];
  };
}

/** So old may this be. What one address says is nothing about others: each that is absent is asked for anew. */
function ageOf({ enis, atMs, sinceMs }: { readonly enis: readonly Eni[]; readonly atMs: number; readonly sinceMs: number }): number {
  return enis.length > 0 ? MAX_AGE_MS : Math.min(MAX_AGE_MS, Math.max(ABSENT_MIN_AGE_MS, atMs - sinceMs));
}
