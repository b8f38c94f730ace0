/** HTTP, HTTPS and TCP_SSL listeners watch what they forward: 3 failures block a backend for 10 s. Source: clb-api.md §4.2 (214/6097). */
const FAILURES = 3;
const BLOCKED_MS = 10_000;

export interface PassiveCheck<Target> {
  failed(target: Target, nowMs: number): void;
  succeeded(target: Target): void;
  /** Those that are not blocked; all of them if all are. */
  allowed(targets: readonly Target[], nowMs: number): readonly Target[];
}

export function makePassiveCheck<Target extends object>(): PassiveCheck<Target> {
  const seen = new WeakMap<Target, { failures: number; blockedUntilMs: number }>();
  let someBlockedUntilMs = 0;
  return {
    failed: (target, nowMs) => {
      const before = seen.get(target);
      const failures = (before?.failures ?? 0) + 1;
      const blocks = failures >= FAILURES;
      const blockedUntilMs = blocks ? nowMs + BLOCKED_MS : (before?.blockedUntilMs ?? 0);
      seen.set(target, { failures: blocks ? 0 : failures, blockedUntilMs });
      someBlockedUntilMs = Math.max(someBlockedUntilMs, blockedUntilMs);
    },
    succeeded: (target) => void seen.delete(target),
    allowed: (targets, nowMs) => {
      if (someBlockedUntilMs <= nowMs) return targets;
      const open = targets.filter((target) => (seen.get(target)?.blockedUntilMs ?? 0) <= nowMs);
      return open.length > 0 ? open : targets;
    },
  };
}
