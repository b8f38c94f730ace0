import { isDeepStrictEqual } from "node:util";
import type { Call } from "../domain/call.ts";
import type { Listener } from "../domain/load-balancer.ts";
import { applyCall } from "../domain/plan/apply-call.ts";

/** Reads have been seen to lag by seconds; what was written longer ago is what the read says. Milliseconds. */
const BELIEVED_MS = 60_000;

/** A read that contradicts us so long after the first one that did is believed. Milliseconds. */
const SECOND_MS = 12_000;

/** When a read that failed is tried again. Milliseconds. */
const FAILED_MS = 5_000;

type Written = { readonly call: Call; readonly created: readonly string[]; readonly atMs: number };

/** What we wrote within the last minute is not contradicted by a read: that may be older than the write. */
export class RecentWrites {
  /** Since when reads say something else than was written, by load balancer. */
  readonly #contradicted = new Map<string, number>();
  /** By load balancer, in their order. */
  readonly #writes = new Map<string, Written[]>();

  /** The cloud has confirmed the call; `created` are the ids of new listeners or rules. */
  note(loadBalancerId: string, call: Call, created: readonly string[], nowMs: number): void {
    const kept = this.#recent(loadBalancerId, nowMs);
    kept.push({ call, created, atMs: nowMs });
    this.#writes.set(loadBalancerId, kept);
  }

  /** When to read again to learn whether a read that contradicted us was right; milliseconds since the epoch. */
  rereadAtMs(loadBalancerId: string): number | undefined {
    const sinceMs = this.#contradicted.get(loadBalancerId);
    return sinceMs === undefined ? undefined : sinceMs + SECOND_MS;
  }

  /** The read that was to tell did not come about. */
  rereadFailed(loadBalancerId: string, nowMs: number): void {
    const sinceMs = this.#contradicted.get(loadBalancerId);
    if (sinceMs !== undefined) this.#contradicted.set(loadBalancerId, Math.max(sinceMs, nowMs - SECOND_MS + FAILED_MS));
  }

  /** A write is in doubt, so that only a read tells what is there; or the load balancer is gone. */
  forget(loadBalancerId: string): void {
    this.#writes.delete(loadBalancerId);
    this.#contradicted.delete(loadBalancerId);
  }

  /** What a read says, with what was written since a time that it may not show. */
  over(loadBalancerId: string, read: readonly Listener[], nowMs: number): readonly Listener[] {
    const recent = this.#recent(loadBalancerId, nowMs);
    const ours = recent.reduce((listeners, { call, created }) => carriedOut(listeners, call, created), read);
    const sinceMs = this.#contradicted.get(loadBalancerId);
    if (recent.length === 0 || isDeepStrictEqual(inOrder(ours), inOrder(read))) {
      this.#contradicted.delete(loadBalancerId);
      return ours;
    }
    if (sinceMs === undefined) this.#contradicted.set(loadBalancerId, nowMs);
    if (sinceMs === undefined || nowMs < sinceMs + SECOND_MS) return ours;
    // No lag is that long; but one may hide what was written since, and that is not what was contradicted then.
    const younger = recent.filter(({ atMs }) => atMs > nowMs - SECOND_MS);
    this.#writes.set(loadBalancerId, younger);
    this.#contradicted.delete(loadBalancerId);
    return younger.reduce((listeners, { call, created }) => carriedOut(listeners, call, created), read);
  }

  #recent(loadBalancerId: string, nowMs: number): Written[] {
    return (this.#writes.get(loadBalancerId) ?? []).filter(({ atMs }) => atMs > nowMs - BELIEVED_MS);
  }
}

/** Targets in one order: what is unbound and bound anew comes last. */
const inOrder = (listeners: readonly Listener[]): readonly Listener[] =>
  listeners.map((one) => ({
    ...one,
    targets: sorted(one.targets),
    rules: one.rules.map((rule) => ({ ...rule, targets: sorted(rule.targets) })),
  }));

const sorted = (targets: Listener["targets"]): Listener["targets"] =>
  targets.toSorted((a, b) => a.port - b.port || (a.ip < b.ip ? -1 : Number(a.ip > b.ip)));

/** What the call has created and the read shows is not added again. */
function carriedOut(listeners: readonly Listener[], call: Call, created: readonly string[]): readonly Listener[] {
  if (call.lane !== "structure" || "loadBalancer" in call || "redirects" in call) return applyCall(listeners, call, created);
  const shown = new Set(listeners.flatMap(({ listenerId, rules }) => [listenerId, ...rules.map(({ locationId }) => locationId)]));
  const missing = created.map((id) => !shown.has(id));
  const ids = created.filter((_, at) => missing[at]);
  if ("create" in call) {
    const { create } = call;
    return applyCall(listeners, { ...call, create: { ...create, listeners: create.listeners.filter((_, at) => missing[at]) } }, ids);
  }
  const { createRules } = call;
  return applyCall(listeners, { ...call, createRules: { ...createRules, rules: createRules.rules.filter((_, at) => missing[at]) } }, ids);
}
