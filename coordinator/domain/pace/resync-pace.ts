/** A load balancer in the resync: when it was last read (milliseconds since the epoch), and how often one re-read calls the action that it calls most. */
export type ResyncState = { readonly id: string; readonly readAtMs: number; readonly calls: number };

/** A re-read begins this much earlier than asked for, because it takes its time, too. */
const LEAD = 0.9;
/** Listeners per DescribeTargets; DescribeLoadBalancers and DescribeListeners are called once. Source: clb-api.md §2.3. */
const LISTENERS_PER_CALL = 20;

/** Pure: calls of one re-read in the action that it calls most, for so many listeners whose targets are read. */
export const resyncCalls = (listeners: number): number => Math.max(1, Math.ceil(listeners / LISTENERS_PER_CALL));

/** Pure: how long one round of re-reads takes, milliseconds: as long as asked for, longer where `perSecond` calls of each action do not suffice for it. */
export function resyncPeriodMs(all: readonly ResyncState[], resyncMs: number, perSecond: number): number {
  const calls = all.reduce((sum, one) => sum + one.calls, 0);
  return Math.max(resyncMs * LEAD, (calls * 1000) / perSecond);
}

/**
 * Pure: which load balancer comes next, and the latest moment for it (milliseconds since the epoch) at which none gets older than a
 * period if all are re-read evenly from then on. So they are spread over the period, also when all were read at the same time.
 * Undefined if there is none.
 */
export function nextResync(all: readonly ResyncState[], periodMs: number): (ResyncState & { readonly atMs: number }) | undefined {
  const oldestFirst = all.toSorted((a, b) => a.readAtMs - b.readAtMs);
  const [next] = oldestFirst;
  if (next === undefined) return undefined;
  const msPerCall = periodMs / all.reduce((sum, { calls }) => sum + calls, 0);
  let atMs = Number.POSITIVE_INFINITY;
  let before = 0;
  for (const { readAtMs, calls } of oldestFirst) {
    atMs = Math.min(atMs, readAtMs + periodMs - before * msPerCall);
    before += calls;
  }
  return { ...next, atMs };
}
