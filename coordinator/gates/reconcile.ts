import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { DEFAULT_GATE_TYPE, GATE_OPEN, GATE_WISH } from "../../common/names.ts";
import { isEnding, type PodFact, podName } from "../../common/vocabulary.ts";
import type { ObjectRef, Problem } from "../domain/problem.ts";
import { foreignGate } from "../domain/readiness/foreign-gate.ts";
import { type Binding, type GateCondition, readiness, type StagesSoFar, withStages } from "../domain/readiness/gate-condition.ts";
import type { Retire } from "../domain/safety/policy.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import { waitsForGate } from "../state/pod-index.ts";
import { PutBacks } from "../state/put-backs.ts";
import type { Outcome, Reconcile } from "../workqueue/worker.ts";
import type { PodBindings } from "./pod-bindings.ts";
import type { SelectingServices } from "./selecting-services.ts";

export type PodGateDeps = {
  readonly client: Pick<KubeClient, "patch">;
  readonly facts: PodFacts;
  readonly podBindings: Pick<PodBindings, "of">;
  /** `known`: "no Service selects it", or "no other one", can be believed. */
  readonly services: Pick<SelectingServices, "known" | "servedElsewhere" | "forget">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly gateType: string;
  /** Default: off. */
  readonly retire?: Retire | undefined;
  /** How long after its containers a gate opens by itself; default: never. */
  readonly expiryMs?: number | undefined;
  readonly tell: (problem: Problem) => void;
  /** How long each stage of a Pod's way took until it served; default: nobody knows. */
  readonly stagesSoFar?: (podUid: string) => StagesSoFar | undefined;
  /** Told when a gate turned True; `waitedMs` since its containers became ready, where known, until the patch, which took `patchMs`. */
  readonly onReady?: (pod: PodFact, waitedMs: number | undefined, patchMs: number) => void;
};

/** A cause that passes faster than this is not written: most Pods go from bound to healthy without a word. */
const STEADY_MS = 1_000;
/** A Pod may be created a moment before its Service: only after this long is "no Service selects it" believed. */
const UNSELECTED_MS = 3_000;
const UNSYNCED_MS = 100;

/** Makes one Pod's condition match its readiness. Writes only what changed, True at once, causes of waiting when they last. */
export function makePodGateReconciler(deps: PodGateDeps): Reconcile {
  const written = new Map<string, string>();
  const putBacks = new PutBacks(deps.clock);
  const pending = new Map<string, { readonly text: string; readonly sinceMs: number }>();
  const forget = (podUid: string): void => {
    written.delete(podUid);
    pending.delete(podUid);
    deps.services.forget(podUid);
  };

  return async (podUid, signal): Promise<Outcome> => {
    const pod = deps.facts.pods.get(podUid);
    if (pod === undefined || !waitsForGate(pod)) {
      forget(podUid); // what we wrote has arrived: should somebody turn it back, it is written again, though ever more rarely
      if (pod === undefined) putBacks.forget(podUid);
      return { kind: "done" };
    }
    const known = deps.services.known(pod);
    if (known === "unsynced") return { kind: "again", afterMs: UNSYNCED_MS, because: "not every watch has synced" };
    if (known === "later") return { kind: "done" };
    tellWish(deps, pod);
    const bindings = deps.podBindings.of(pod);
    const condition = conditionOf(deps, pod, bindings);
    const text = JSON.stringify(condition);
    if (pending.get(podUid)?.text !== text) pending.delete(podUid); // what comes back later has not lasted meanwhile
    if (condition === undefined || isForeign(deps, pod, condition)) return { kind: "done" };
    const done = whenDone(deps, pod, condition);
    if (written.get(podUid) === text) return done;
    const waitMs = steadyIn(pending, pod, condition, text, deps.clock.now());
    if (waitMs > 0) return { kind: "again", afterMs: waitMs, because: condition.reason };
    const restMs = condition.status === "True" ? putBacks.restMs(podUid, "True", pod.resourceVersion) : 0;
    if (restMs !== "unseen" && restMs > 0) return { kind: "again", afterMs: restMs, because: "somebody else writes the condition" };
    if (condition.status === "True" && putBacks.isToBeTold(podUid, "True")) tellContested(deps, pod);
    await write(deps, pod, withStages(condition, deps.stagesSoFar?.(podUid)), signal);
    written.set(podUid, text);
    if (condition.status === "True") putBacks.wrote(podUid, "True", pod.resourceVersion);
    tellOpened(deps, pod, condition, bindings);
    return done;
  };
}

/** The condition has a time also while they are not ready. */
const readyAtOf = ({ containersReady, containersReadyAtMs }: PodFact): number | undefined =>
  containersReady ? containersReadyAtMs : undefined;

/** A gate that waits is looked at again when it is to open by itself. */
function whenDone({ expiryMs, clock }: PodGateDeps, pod: PodFact, { status }: GateCondition): Outcome {
  const readyAtMs = readyAtOf(pod);
  if (status === "True" || expiryMs === undefined || readyAtMs === undefined) return { kind: "done" };
  return { kind: "again", afterMs: Math.max(STEADY_MS, readyAtMs + expiryMs - clock.now()), because: "expiry" };
}

const refOf = ({ namespace, name, uid }: PodFact): ObjectRef => ({ kind: "Pod", namespace, name, uid });

function tellWish({ tell }: PodGateDeps, pod: PodFact): void {
  if (pod.gateWish === undefined || pod.gateWish === GATE_OPEN) return;
  const message = `Pod ${podName(pod)}: annotation ${GATE_WISH} is "${pod.gateWish}", which means nothing: use "${GATE_OPEN}" to open its gate, or remove it`;
  tell({ object: refOf(pod), type: "Warning", reason: "InvalidAnnotation", message });
}

function tellContested({ tell, gateType }: PodGateDeps, pod: PodFact): void {
  const message = `Pod ${podName(pod)}: somebody else turns the condition ${gateType} back again and again, and the Pod is not ready meanwhile: find out who writes it, e.g. in metadata.managedFields. It is put back once in 30 s`;
  tell({ object: refOf(pod), type: "Warning", reason: "StatusContested", message });
}

/** On whoever carries the annotation, or on the Pod whose gate has waited for so long. */
function tellOpened({ tell }: PodGateDeps, pod: PodFact, { reason, message }: GateCondition, bindings: readonly Binding[]): void {
  if (reason === "GateExpired") return tell({ object: refOf(pod), type: "Warning", reason, message: `Pod ${podName(pod)}: ${message}` });
  if (reason !== "GateOpened") return;
  const own = pod.gateWish === GATE_OPEN ? [refOf(pod)] : [];
  for (const object of own.length > 0 ? own : bindings.flatMap(({ openedBy }) => openedBy ?? [])) {
    const text = `${object.kind} ${object.namespace}/${object.name}: annotation ${GATE_WISH}: ${GATE_OPEN} opens gates before the load balancer sends to their Pods: remove it when the load balancer works again`;
    tell({ object, type: "Warning", reason, message: text });
  }
}

const conditionOf = (deps: PodGateDeps, pod: PodFact, bindings: readonly Binding[]): GateCondition | undefined =>
  readiness({
    gateType: deps.gateType,
    gate: pod.gate,
    containersReady: pod.containersReady,
    ending: isEnding(pod),
    bindings,
    retired: (deps.retire ?? "off") !== "off",
    opened: pod.gateWish === GATE_OPEN,
    containersReadyAtMs: readyAtOf(pod),
    expiry: deps.expiryMs === undefined ? undefined : { afterMs: deps.expiryMs, nowMs: deps.clock.now() },
  });

/** Nothing of ours makes the Pod wait, and a Service that another controller serves selects it: the gate is that one's to open. */
function isForeign({ services, gateType, tell }: PodGateDeps, pod: PodFact, { reason }: GateCondition): boolean {
  if (gateType !== DEFAULT_GATE_TYPE || (reason !== "NoDirectAccess" && reason !== "NotServed")) return false;
  const [service] = services.servedElsewhere(pod);
  if (service !== undefined) tell(foreignGate(service, gateType));
  return service !== undefined;
}

/** How long the condition must still last before it is written. */
function steadyIn(
  pending: Map<string, { readonly text: string; readonly sinceMs: number }>,
  pod: PodFact,
  condition: GateCondition,
  text: string,
  nowMs: number,
): number {
  const selected = condition.reason !== "NoDirectAccess";
  if (condition.status === "True" && selected) return 0;
  const known = pending.get(pod.uid);
  const sinceMs = known?.text === text ? known.sinceMs : nowMs;
  pending.set(pod.uid, { text, sinceMs });
  return sinceMs + (selected ? STEADY_MS : UNSELECTED_MS) - nowMs;
}

/** Strategic merge with the UID: a Pod replaced under the same name is never touched (kubernetes.md §2). */
async function write(deps: PodGateDeps, pod: PodFact, condition: GateCondition, signal: AbortSignal): Promise<void> {
  const nowMs = deps.clock.now();
  const lastTransitionTime = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  const changes = pod.gate !== condition.status && { lastTransitionTime };
  const body = { metadata: { uid: pod.uid }, status: { conditions: [{ type: deps.gateType, ...condition, ...changes }] } };
  try {
    await deps.client.patch(kubePath`/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/status`, body, "strategic", { signal });
  } catch (err) {
    if (err instanceof KubeApiError && err.isOtherObject) return; // this Pod is gone
    throw err;
  }
  deps.log.info({ pod: podName(pod), status: condition.status, reason: condition.reason }, "gate written");
  if (condition.status !== "True") return;
  const waitedMs = pod.containersReadyAtMs === undefined ? undefined : nowMs - pod.containersReadyAtMs;
  deps.onReady?.(pod, waitedMs, deps.clock.now() - nowMs);
}
