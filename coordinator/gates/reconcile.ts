import type { Clock } from "../../common/clock.ts";
import { KubeApiError } from "../../common/kubernetes/api-error.ts";
import { kubePath } from "../../common/kubernetes/path.ts";
import type { KubeClient } from "../../common/kubernetes/requests.ts";
import type { Logger } from "../../common/log.ts";
import { DEFAULT_GATE_TYPE } from "../../common/names.ts";
import { isEnding, type PodFact, podName } from "../../common/vocabulary.ts";
import type { Problem } from "../domain/problem.ts";
import { foreignGate } from "../domain/readiness/foreign-gate.ts";
import { type GateCondition, readiness } from "../domain/readiness/gate-condition.ts";
import type { Retire } from "../domain/safety/policy.ts";
import type { PodFacts } from "../state/pod-facts.ts";
import { waitsForGate } from "../state/pod-index.ts";
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
  readonly tell: (problem: Problem) => void;
  /** Told when a gate turned True; `waitedMs` since its containers became ready, where known. */
  readonly onReady?: (pod: PodFact, waitedMs: number | undefined) => void;
};

/** A cause that passes faster than this is not written: most Pods go from bound to healthy without a word. */
const STEADY_MS = 1_000;
/** A Pod may be created a moment before its Service: only after this long is "no Service selects it" believed. */
const UNSELECTED_MS = 3_000;
const UNSYNCED_MS = 100;

/** Makes one Pod's condition match its readiness. Writes only what changed, True at once, causes of waiting when they last. */
export function makePodGateReconciler(deps: PodGateDeps): Reconcile {
  const written = new Map<string, string>();
  const pending = new Map<string, { readonly text: string; readonly sinceMs: number }>();
  const forget = (podUid: string): void => {
    written.delete(podUid);
    pending.delete(podUid);
    deps.services.forget(podUid);
  };

  return async (podUid, signal): Promise<Outcome> => {
    const pod = deps.facts.pods.get(podUid);
    if (pod === undefined || !waitsForGate(pod)) {
      forget(podUid); // what we wrote has arrived: should somebody turn it back, it is written again
      return { kind: "done" };
    }
    const known = deps.services.known(pod);
    if (known === "unsynced") return { kind: "again", afterMs: UNSYNCED_MS, because: "not every watch has synced" };
    if (known === "later") return { kind: "done" };
    const condition = conditionOf(deps, pod);
    const text = JSON.stringify(condition);
    if (pending.get(podUid)?.text !== text) pending.delete(podUid); // what comes back later has not lasted meanwhile
    if (condition === undefined || isForeign(deps, pod, condition)) return { kind: "done" };
    if (written.get(podUid) === text) return { kind: "done" };
    const waitMs = steadyIn(pending, pod, condition, text, deps.clock.now());
    if (waitMs > 0) return { kind: "again", afterMs: waitMs, because: condition.reason };
    await write(deps, pod, condition, signal);
    written.set(podUid, text);
    return { kind: "done" };
  };
}

const conditionOf = (deps: PodGateDeps, pod: PodFact): GateCondition | undefined =>
  readiness({
    gateType: deps.gateType,
    gate: pod.gate,
    containersReady: pod.containersReady,
    ending: isEnding(pod),
    bindings: deps.podBindings.of(pod),
    retired: (deps.retire ?? "off") !== "off",
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
  deps.onReady?.(pod, pod.containersReadyAtMs === undefined ? undefined : nowMs - pod.containersReadyAtMs);
}
