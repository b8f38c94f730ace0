import type { DeniedCall } from "../domain/access-denied.ts";

/** What is denied is tried again sooner; an older denial is of a call that nobody needs any more. Milliseconds. */
const BELIEVED_MS = 90_000;

/** Stands for every load balancer: the call names none. */
const ALL = "*";

/** Calls about load balancers that the cloud's key may not make, as the last answers say. */
export class AccessDenials {
  /** By load balancer, then by action. */
  readonly #denied = new Map<string, Map<string, DeniedCall & { readonly atMs: number }>>();
  readonly #clock: { now(): number };

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  /** True: it was not known. `loadBalancerIds` empty: the call names none, and all of them need it. */
  note(loadBalancerIds: readonly string[], call: DeniedCall): boolean {
    const atMs = this.#clock.now();
    let isNew = false;
    for (const id of loadBalancerIds.length === 0 ? [ALL] : loadBalancerIds) {
      const calls = this.#denied.get(id) ?? new Map<string, DeniedCall & { readonly atMs: number }>();
      this.#denied.set(id, calls);
      isNew ||= calls.get(call.action)?.words !== call.words;
      calls.set(call.action, { ...call, atMs });
    }
    return isNew;
  }

  /** The call may be made. True: that is news. */
  worked(loadBalancerIds: readonly string[], action: string): boolean {
    if (this.#denied.size === 0) return false;
    let isNew = false;
    for (const id of loadBalancerIds.length === 0 ? [ALL] : loadBalancerIds) {
      const calls = this.#denied.get(id);
      if (calls?.delete(action) === true) isNew = true;
      if (calls?.size === 0) this.#denied.delete(id);
    }
    return isNew;
  }

  /** What is denied at this load balancer, e.g. that its health may not be read. */
  at(loadBalancerId: string): DeniedCall[] {
    if (this.#denied.size === 0) return [];
    const fromMs = this.#clock.now() - BELIEVED_MS;
    const calls = [...(this.#denied.get(loadBalancerId)?.values() ?? []), ...(this.#denied.get(ALL)?.values() ?? [])];
    return calls.flatMap(({ atMs, ...call }) => (atMs >= fromMs ? [call] : []));
  }
}
