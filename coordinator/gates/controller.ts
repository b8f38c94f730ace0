import type { Clock } from "../../common/clock.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { GATE_OPEN, GATE_WISH } from "../../common/names.ts";
import type { PodFact } from "../../common/vocabulary.ts";
import { askedPlaces } from "../domain/intent/asked-places.ts";
import { certificateProblems } from "../domain/intent/certificate-problems.ts";
import type { Problem } from "../domain/problem.ts";
import type { Retire } from "../domain/safety/policy.ts";
import type { State } from "../state/state.ts";
import { Worker, type WorkerDeps } from "../workqueue/worker.ts";
import { PodBindings, type PodBindingsDeps } from "./pod-bindings.ts";
import { makePodGateReconciler, type PodGateDeps } from "./reconcile.ts";
import { makeSelectingServices, type SelectingServices } from "./selecting-services.ts";

/**
 * Gates that are worked on at once: each waits for one answer of the API server, on one of the client's 32 connections. Three times as many as owners
 * (owners/controller.ts): Pods wait for these, and for a Service's status nobody but people.
 */
const CONCURRENCY = 32;

export type GatesDeps = Pick<PodBindingsDeps, "progress" | "clusterId"> &
  Pick<PodGateDeps, "stagesSoFar"> & {
    readonly client: Pick<KubeClient, "patch">;
    readonly state: Pick<
      State,
      "facts" | "hindrances" | "objects" | "refusedCalls" | "intents" | "ingressUses" | "mirror" | "addressClaims" | "awaitedServices"
    >;
    readonly gateType: string;
    /** As of `SelectingServicesDeps`. */
    readonly ingressClasses?: readonly string[];
    /** Default: off. */
    readonly retire?: Retire | undefined;
    /** How long after its containers a gate opens by itself; undefined: never. */
    readonly gateExpiryMs?: number | undefined;
    readonly tell: (problem: Problem) => void;
    readonly clock: Clock;
    readonly log: Logger;
    /** Told when a gate turned True: seconds since its containers became ready, where known. */
    readonly onReady: (seconds: number) => void;
    /** The same, for whom the Pod matters; `patchMs`: how long the API server took to answer. */
    readonly onOpened?: (pod: PodFact, patchMs: number) => void;
    readonly onOutcome: NonNullable<WorkerDeps["onOutcome"]>;
  };

/** The queue of gates, by Pod UID, and where each Pod stands. */
export type GatesController = { readonly queue: Worker; readonly podBindings: PodBindings; readonly services: SelectingServices };

export function makeGatesController(deps: GatesDeps): GatesController {
  const { client, state, progress, clusterId, gateType, clock, log, onOutcome } = deps;
  const podBindings = new PodBindings({
    ...state,
    selections: state.intents.selections,
    isCheckOff: (owner, asked) => state.intents.isCheckOff(owner, asked),
    certificateFault: ({ ref }, { certificate }) =>
      certificate && certificateProblems(ref, [certificate], state.objects.certificates)[0]?.message,
    isOpened: ({ ref: { kind, uid } }) => {
      const { services, ingresses } = state.objects;
      return (kind === "Ingress" ? ingresses : services).records.get(uid)?.annotations[GATE_WISH] === GATE_OPEN;
    },
    progress,
    clock,
    clusterId,
    places: (owner) => askedPlaces(clusterId, state.intents.granted(owner)),
  });
  const services = makeSelectingServices({ ...state, ...(deps.ingressClasses && { ingressClasses: deps.ingressClasses }) });
  const reconcile = makePodGateReconciler({
    client,
    facts: state.facts,
    podBindings,
    services,
    tell: deps.tell,
    clock,
    log,
    gateType,
    retire: deps.retire,
    expiryMs: deps.gateExpiryMs,
    ...(deps.stagesSoFar && { stagesSoFar: deps.stagesSoFar }),
    onReady: (pod, waitedMs, patchMs) => {
      deps.onOpened?.(pod, patchMs);
      if (waitedMs !== undefined) deps.onReady(Math.max(waitedMs, 0) / 1000);
    },
  });
  return { queue: new Worker({ name: "gates", reconcile, clock, log, concurrency: CONCURRENCY, onOutcome }), podBindings, services };
}
