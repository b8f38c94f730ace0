import type { Call } from "../domain/call.ts";
import { objectName } from "../domain/intent/owner-object.ts";
import type { Parked } from "../domain/safety/brake.ts";
import { type Causes, reasonsOf } from "../events/causes.ts";
import { describeForTable } from "../events/wording.ts";
import type { RemovalGuard } from "../safety/removal-guard.ts";
import type { Intents } from "../state/intents.ts";
import type { Mirror } from "../state/mirror.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import type { State } from "../state/state.ts";
import type { WatchedObjects } from "../state/watched-objects.ts";
import type { FailedPasses, Failure } from "../workqueue/failed-passes.ts";

export type ProgressDeps = {
  /** Of the API server, for people. */
  readonly server: string;
  readonly objects: Pick<WatchedObjects, "synced" | "nodes">;
  readonly object: State["object"];
  readonly facts: Pick<PodFacts, "complete">;
  readonly intents: Pick<Intents, "unread" | "loadBalancerIds">;
  readonly mirror: Pick<Mirror, "isGone" | "read">;
  readonly guard: Pick<RemovalGuard, "isHealthRead">;
  readonly owners: { readonly failed: Pick<FailedPasses, "entries"> };
  readonly loadBalancers: {
    readonly failed: Pick<FailedPasses, "entries">;
    /** The calls that are due at each load balancer, and the removals that the brake holds. */
    due(): readonly { readonly loadBalancerId: string; readonly calls: readonly Call[]; readonly parked: readonly Parked[] }[];
  };
  readonly causes: (loadBalancerId: string) => Causes;
};

/** One line of the plan, e.g. { loadBalancerId: "lb-1", lane: "bind", call: "BatchRegisterTargets", what: "2 targets: …", why: "Pod shop/web-1 is ready" }. */
export type Planned = {
  readonly loadBalancerId: string;
  readonly lane: string;
  readonly call: string;
  readonly what: string;
  readonly why: string;
};

/** The lines of one load balancer: every call that is due, and every removal that the brake holds. */
function plannedAt(loadBalancerId: string, calls: readonly Call[], parked: readonly Parked[], causes: Causes): Planned[] {
  const due = calls.map((call): Planned => {
    return { loadBalancerId, lane: call.lane, ...describeForTable(call), why: reasonsOf(call, causes).join("; ") };
  });
  const held = parked.map(({ id, slots }): Planned => {
    const why = `removal ${id}: nobody saw their Pods end`;
    return { loadBalancerId, lane: "parked", call: "(none)", what: `${slots.length} targets`, why };
  });
  return [...due, ...held];
}

/** How far the reading has come, and what is to be done, for somebody who wants to know all. */
export class Progress {
  readonly #deps: ProgressDeps;

  constructor(deps: ProgressDeps) {
    this.#deps = deps;
  }

  /** What is still to be read before `planned` is complete, e.g. "load balancer lb-1"; undefined: nothing. */
  get unread(): string | undefined {
    const { server, objects, facts, intents, mirror, guard } = this.#deps;
    if (!objects.synced) return `Services, Ingresses, TkeServiceConfigs and Nodes of ${server}`;
    if (!facts.complete && objects.nodes.records.size > 0) return `the Pods of every Node of ${server}`;
    if (intents.unread.size > 0) return `${intents.unread.size} Services and Ingresses and their load balancers`;
    for (const id of intents.loadBalancerIds) {
      if (mirror.isGone(id)) continue;
      if (mirror.read(id) === undefined) return `load balancer ${id}`;
      if (!guard.isHealthRead(id)) return `the health of load balancer ${id}`;
    }
    return undefined;
  }

  /** What could not be read when it was last tried, e.g. { what: "Service shop/web", error, sinceMs }. */
  get failures(): readonly Failure[] {
    const { object, owners, loadBalancers } = this.#deps;
    const nameOf = (uid: string): string => {
      const known = object(uid);
      return known === undefined ? `owner ${uid}` : objectName(known);
    };
    return [
      ...owners.failed.entries.map(({ key, ...pass }) => ({ what: nameOf(key), ...pass })),
      ...loadBalancers.failed.entries.map(({ key, ...pass }) => ({ what: `load balancer ${key}`, ...pass })),
    ];
  }

  /** Every call that is due now, and every removal that the brake holds, with their causes. */
  planned(): Planned[] {
    const { loadBalancers, causes } = this.#deps;
    return loadBalancers
      .due()
      .flatMap(({ loadBalancerId, calls, parked }) => plannedAt(loadBalancerId, calls, parked, causes(loadBalancerId)));
  }
}
