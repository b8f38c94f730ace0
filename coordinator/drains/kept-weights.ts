import { slotKey, slotOf } from "../domain/load-balancer.ts";
import type { Plan } from "../domain/plan/plan-load-balancer.ts";
import type { UnreadyWhy } from "../domain/plan/plan-weights.ts";

/** Why backends that are not to be sent to have their weight all the same, as of the last plan of each load balancer. */
export class KeptWeights {
  readonly #byLoadBalancer = new Map<string, ReadonlyMap<string, UnreadyWhy>>();

  planned(loadBalancerId: string, { findings }: Pick<Plan, "findings">): void {
    const kept = findings.flatMap((one): [string, UnreadyWhy][] =>
      one.kind === "unready" ? [[slotKey(slotOf({ ...one.rule, listenerId: one.listener.listenerId }, one.target)), one.why]] : [],
    );
    if (kept.length === 0) this.#byLoadBalancer.delete(loadBalancerId);
    else this.#byLoadBalancer.set(loadBalancerId, new Map(kept));
  }

  /** Undefined: it is not kept, or nobody has planned. */
  why(loadBalancerId: string, slot: string): UnreadyWhy | undefined {
    return this.#byLoadBalancer.get(loadBalancerId)?.get(slot);
  }
}
