/** A load balancer in the resync: when it was last read (milliseconds since the epoch), and how often one re-read calls the action that it calls most. */
export type ResyncState = { readonly id: string; readonly readAtMs: number; readonly calls: number };

/** A re-read begins this much earlier than asked for, because it takes its time, too. */
const LEAD = 0.9;
/** Listeners per DescribeTargets; DescribeLoadBalancers and DescribeListeners are called once. Source: clb-api.md §2.3. */
export const LISTENERS_PER_CALL = 20;
/**
 * Of a load balancer with so many listeners and rules at most the targets are read by one call, which names no listener: the answer has no pages, and one
 * for hundreds of rules has megabytes (clb-api.md §2.3). Own choice.
 */
const WHOLE_PLACES = 100;

/** What a load balancer has: listeners whose targets are read, and listeners and rules of whomever. */
type ReadSize = { readonly wanted: number; readonly places: number };

/** Pure: listeners and rules. */
export const placesIn = (listeners: readonly { readonly rules: readonly unknown[] }[]): number =>
  listeners.reduce((sum, { rules }) => sum + 1 + rules.length, 0);

/** Pure: the targets of all are read at once. */
export const isReadWhole = ({ wanted, places }: ReadSize): boolean => wanted > LISTENERS_PER_CALL && places <= WHOLE_PLACES;

/** Pure: calls of one re-read in the action that it calls most. */
export const resyncCalls = (size: ReadSize): number => (isReadWhole(size) ? 1 : Math.max(1, Math.ceil(size.wanted / LISTENERS_PER_CALL)));

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
