/**
 * Pure part of leader election. A Lease is judged by when *we* saw it change, on our own clock, never by the times written in it: clocks
 * of machines differ, and renewTime is only what somebody says.
 */

/** The Lease as last read. `resourceVersion` "" where there is none: then `holder` is who had it when it was deleted, "" if nobody ever did. */
export type SeenLease = {
  readonly resourceVersion: string;
  /** "" when it was given up. */
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

/** The duration that a holder writes who gives the Lease up, as client-go does. */
export const GIVEN_UP_MS = 1_000;

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
  // A hand that deletes the Lease or clears its holder stops nobody: the leader learns of it by its next renewal, and writes until then.
  const free = lease.holder === "" && (lease.resourceVersion === "" || lease.durationMs <= GIVEN_UP_MS);
  const leftMs = free ? 0 : lease.changedAtMs + Math.max(lease.durationMs, times.durationMs) - nowMs;
  return leftMs <= 0 ? { kind: "acquire" } : { kind: "wait", ms: Math.min(leftMs, times.retryMs) };
}

/** True while a call to the cloud may be begun: the Lease cannot have expired for anybody else before the call is on its way. */
export const mayWrite = (renewedAtMs: number | undefined, nowMs: number, times: LeaseTimes): boolean =>
  renewedAtMs !== undefined && nowMs - renewedAtMs < times.writesMs;

/** What a fresh read makes of what was known: `changedAtMs` moves only with the resourceVersion. `read` undefined: there is no Lease. */
export function see(known: SeenLease | undefined, read: Omit<SeenLease, "changedAtMs"> | undefined, nowMs: number): SeenLease {
  if (read === undefined) return see(known, { ...(known ?? NO_LEASE), resourceVersion: "" }, nowMs);
  const same = known !== undefined && known.resourceVersion === read.resourceVersion;
  return { ...read, changedAtMs: same ? known.changedAtMs : nowMs };
}

/** Where nobody has made one yet. */
export const NO_LEASE: SeenLease = { resourceVersion: "", holder: "", durationMs: 0, transitions: 0, changedAtMs: 0 };
