import type { Clock } from "../../common/clock.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import { Worker, type WorkerDeps } from "../workqueue/worker.ts";
import { PodBindings, type PodBindingsDeps } from "./pod-bindings.ts";
import { makePodGateReconciler } from "./reconcile.ts";
import { makeSelectingServices, type SelectingServicesDeps } from "./selecting-services.ts";

/** Gates that are worked on at once: each waits for one answer of the API server. */
const CONCURRENCY = 16;

export type GatesDeps = Omit<PodBindingsDeps, "selections"> &
  SelectingServicesDeps & {
    readonly client: Pick<KubeClient, "patch">;
    readonly facts: PodFacts;
    readonly gateType: string;
    readonly clock: Clock;
    readonly log: Logger;
    /** Told when a gate turned True: seconds since its containers became ready, where known. */
    readonly onReady: (seconds: number) => void;
    readonly onOutcome: NonNullable<WorkerDeps["onOutcome"]>;
  };

/** The queue of gates, by Pod UID, and where each Pod stands. */
export function makeGatesController(deps: GatesDeps): { readonly queue: Worker; readonly podBindings: PodBindings } {
  const { client, facts, gateType, clock, log, intents, onOutcome } = deps;
  const podBindings = new PodBindings({ ...deps, selections: intents.selections });
  const reconcile = makePodGateReconciler({
    client,
    facts,
    podBindings,
    services: makeSelectingServices(deps),
    clock,
    log,
    gateType,
    onReady: (_pod, waitedMs) => {
      if (waitedMs !== undefined) deps.onReady(Math.max(waitedMs, 0) / 1000);
    },
  });
  return { queue: new Worker({ name: "gates", reconcile, clock, log, concurrency: CONCURRENCY, onOutcome }), podBindings };
}
