import { CloudError } from "./errors.ts";

/** Throws RequestLimitExceeded when the call is one too many in its second. `limit` in calls per second. */
export type RateLimit = (key: string, limit: number, nowMs: number) => void;

/** Fixed one-second windows by arrival, one count per (action, region, account). Source: clb-api.md §1.5. */
export function makeRateLimit(): RateLimit {
  const windows = new Map<string, { second: number; count: number }>();
  return (key, limit, nowMs) => {
    const second = Math.floor(nowMs / 1000);
    const current = windows.get(key);
    const window = current?.second === second ? current : { second, count: 0 };
    windows.set(key, window);
    window.count++;
    if (window.count <= limit) return;
    const said = `Your current request times equals to \`${window.count}\` in a second, which exceeds the frequency limit \`${limit}\` for a second.`;
    throw new CloudError("RequestLimitExceeded", `${said} Please reduce the frequency of calls.`);
  };
}
