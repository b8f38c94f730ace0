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
};

/** So old may what is known of an address be. */
const MAX_AGE_MS = 60_000;
/** An address that no ENI has may have come a moment ago: lists lag behind (tke-contract.md §9). */
const ABSENT_MAX_AGE_MS = 5_000;

/** The ENI of an address: all callers of a moment share one read of up to 100 addresses, and all addresses of an ENI come with it. */
export function makeEniLookup({ api, enis, vpcId }: EniLookupDeps): (ip: string, signal: AbortSignal) => Promise<Eni | undefined> {
  const batcher = new ReadBatcher<Eni>({
    most: MOST_ADDRESSES,
    isRefusal: (err) => err instanceof ClbApiError && err.call.code.startsWith("InvalidParameter"),
    read: async (ips, signal) => {
      let asked: readonly string[] = [];
      const found = await api.enisByIp(() => (asked = ips()), signal);
      enis.note(asked, found, vpcId);
      return new Map(
        asked.flatMap((ip) => {
          const eni = enis.byIp(ip, MAX_AGE_MS)?.eni;
          return eni === undefined ? [] : [[ip, eni] as const];
        }),
      );
    },
  });
  return async (ip, signal) => {
    const known = enis.byIp(ip, MAX_AGE_MS);
    if (known?.eni !== undefined) return known.eni;
    if (enis.byIp(ip, ABSENT_MAX_AGE_MS) !== undefined) return undefined;
    if (!enis.areKnown && enis.isReadWithin(MAX_AGE_MS)) return undefined; // an account without ENIs is asked once a minute
    return await batcher.ask(ip, signal);
  };
}
