import { CloudError } from "../model/errors.ts";

/** Throws RequestLimitExceeded when the call is one too many in its second. `limit` in calls per second. */
export type RateLimit = (key: string, limit: number, nowMs: number) => void;

/** Fixed one-second windows by arrival, one count per (action, region, account). Source: clb-api.md §1.5. */
export function makeRateLimit(): RateLimit {
  let second = Number.NaN;
  const counts = new Map<string, number>();
  return (key, limit, nowMs) => {
    if (Math.floor(nowMs / 1000) !== second) counts.clear();
    second = Math.floor(nowMs / 1000);
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    if (count <= limit) return;
    const said = `Your current request times equals to \`${count}\` in a second, which exceeds the frequency limit \`${limit}\` for a second.`;
    throw new CloudError("RequestLimitExceeded", `${said} Please reduce the frequency of calls.`);
  };
}
