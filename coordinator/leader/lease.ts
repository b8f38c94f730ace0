/**
 * Pure part of leader election. A Lease is judged by when *we* saw it change, on our own clock, never by the times written in it: clocks
 * of machines differ, and renewTime is only what somebody claims.
 */

/** The Lease as last read. `resourceVersion` "" where there is none yet. */
export type SeenLease = {
  readonly resourceVersion: string;
  /** "" when it was released. */
  readonly holder: string;
  readonly durationMs: number;
  readonly transitions: number;
  /** When this resourceVersion was first seen, milliseconds on our clock. */
  readonly changedAtMs: number;
};

/** `writesMs` is two thirds of `durationMs`: who cannot renew has long stopped writing when another may begin. */
export type LeaseTimes = { readonly durationMs: number; readonly renewMs: number; readonly writesMs: number; readonly retryMs: number };
export const LEASE_TIMES: LeaseTimes = { durationMs: 4_000, renewMs: 1_000, writesMs: 2_700, retryMs: 250 };

export type LeaseStep =
  /** Write ourselves in: it is free, expired, or there is none. */
  | { readonly kind: "acquire" }
  /** It is ours: write it again. */
  | { readonly kind: "renew" }
  | { readonly kind: "wait"; readonly ms: number };

/** What to do now. `renewedAtMs`: when our last successful write of the Lease was begun; undefined if we never held it. */
export function leaseStep(from: {
  readonly lease: SeenLease;
  readonly identity: string;
  readonly renewedAtMs: number | undefined;
  readonly nowMs: number;
  readonly times: LeaseTimes;
}): LeaseStep {
  const { lease, identity, renewedAtMs, nowMs, times } = from;
  if (lease.holder === identity && renewedAtMs !== undefined) {
    const dueMs = renewedAtMs + times.renewMs - nowMs;
    return dueMs <= 0 ? { kind: "renew" } : { kind: "wait", ms: dueMs };
  }
  // Our name with a Lease that this process never wrote: a former life of ours. It may still be finishing a call, so it counts as another.
  const free = lease.resourceVersion === "" || lease.holder === "";
  const leftMs = free ? 0 : lease.changedAtMs + Math.max(lease.durationMs, times.durationMs) - nowMs;
  return leftMs <= 0 ? { kind: "acquire" } : { kind: "wait", ms: Math.min(leftMs, times.retryMs) };
}

/** True while a call to the cloud may be begun: the Lease cannot have expired for anybody else before the call is on its way. */
export const mayWrite = (renewedAtMs: number | undefined, nowMs: number, times: LeaseTimes): boolean =>
  renewedAtMs !== undefined && nowMs - renewedAtMs < times.writesMs;

/** What a fresh look makes of what was known: `changedAtMs` moves only with the resourceVersion. */
export function see(known: SeenLease | undefined, read: Omit<SeenLease, "changedAtMs">, nowMs: number): SeenLease {
  const same = known !== undefined && known.resourceVersion === read.resourceVersion;
  return { ...read, changedAtMs: same ? known.changedAtMs : nowMs };
}
