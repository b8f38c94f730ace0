import type { Call } from "../domain/call.ts";
import type { Listener } from "../domain/load-balancer.ts";
import { applyCall } from "../domain/plan/apply-call.ts";

/** Reads have been seen to lag by seconds; what was written longer ago is what the read says. Milliseconds. */
const BELIEVED_MS = 60_000;

type Written = { readonly call: Call; readonly created: readonly string[]; readonly atMs: number };

/** What we wrote within the last minute is not contradicted by a read: that may be older than the write. */
export class RecentWrites {
  /** By load balancer, in their order. */
  readonly #writes = new Map<string, Written[]>();

  /** The cloud has confirmed the call; `created` are the ids of new listeners or rules. */
  note(loadBalancerId: string, call: Call, created: readonly string[], nowMs: number): void {
    const kept = this.#recent(loadBalancerId, nowMs);
    kept.push({ call, created, atMs: nowMs });
    this.#writes.set(loadBalancerId, kept);
  }

  /** A write is in doubt, so that only a read tells what is there; or the load balancer is gone. */
  forget(loadBalancerId: string): void {
    this.#writes.delete(loadBalancerId);
  }

  /** What a read says, with what was written since a time that it may not show. */
  over(loadBalancerId: string, read: readonly Listener[], nowMs: number): readonly Listener[] {
    return this.#recent(loadBalancerId, nowMs).reduce((listeners, { call, created }) => carriedOut(listeners, call, created), read);
  }

  #recent(loadBalancerId: string, nowMs: number): Written[] {
    return (this.#writes.get(loadBalancerId) ?? []).filter(({ atMs }) => atMs > nowMs - BELIEVED_MS);
  }
}

/** What the call has created and the read shows is not added again. */
function carriedOut(listeners: readonly Listener[], call: Call, created: readonly string[]): readonly Listener[] {
  if (call.lane !== "structure") return applyCall(listeners, call, created);
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
