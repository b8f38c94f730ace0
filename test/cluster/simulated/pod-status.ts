/** Pure: what the kubelet says about a Pod. */
import { type Condition, conditionOf, isTrue, kubernetesTime, type Pod } from "./objects.ts";

/** What really runs. `ip` and `startedAtMs` are undefined before the Pod has an address. */
export type PodRuntime = {
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed";
  readonly ip: string | undefined;
  readonly hostIp: string;
  readonly startedAtMs: number | undefined;
  readonly containersReady: boolean;
  /** How often its containers were started anew. */
  readonly restarts: number;
  /** Why the containers are not ready, e.g. "ContainersNotReady" or "PodCompleted". */
  readonly reason: string;
  readonly message: string;
};

/** Strategic merge patch of pods/status that makes it true, undefined if it is; conditions of others are not in it and so survive. */
export function planPodStatus(pod: Pod, runtime: PodRuntime, nowMs: number): object | undefined {
  const before = pod.status?.conditions;
  const wanted = conditions(pod, runtime);
  const changed = wanted.filter((condition) => !isSame(condition, conditionOf(before, condition.type)));
  const address = runtime.ip !== undefined && pod.status?.podIP !== runtime.ip;
  if (changed.length === 0 && !address && pod.status?.phase === runtime.phase) return undefined;
  const stamp = (condition: Condition): object => {
    const was = conditionOf(before, condition.type);
    const kept = was?.status === condition.status ? was.lastTransitionTime : undefined;
    // A merge keeps what it does not name: the reason of the state before has to be taken off.
    const cleared = { ...(was?.reason !== undefined && { reason: null }), ...(was?.message !== undefined && { message: null }) };
    return { ...cleared, ...condition, lastTransitionTime: kept ?? kubernetesTime(nowMs) };
  };
  return {
    metadata: { uid: pod.metadata.uid },
    status: {
      phase: runtime.phase,
      conditions: changed.map(stamp),
      hostIP: runtime.hostIp,
      hostIPs: [{ ip: runtime.hostIp }],
      ...(runtime.ip === undefined ? {} : { podIP: runtime.ip, podIPs: [{ ip: runtime.ip }] }),
      ...(runtime.startedAtMs === undefined ? {} : { startTime: kubernetesTime(runtime.startedAtMs) }),
      containerStatuses: pod.spec.containers.map(({ name, image = "" }) => containerStatus(name, image, runtime)),
    },
  };
}

function conditions(pod: Pod, runtime: PodRuntime): readonly Condition[] {
  const { containersReady, reason, message } = runtime;
  const missing = (pod.spec.readinessGates ?? []).filter(({ conditionType }) => !isTrue(pod.status?.conditions, conditionType));
  const gates = missing.map(
    ({ conditionType }) => `corresponding condition of pod readiness gate "${conditionType}" does not exist or is not True.`,
  );
  return [
    { type: "PodScheduled", status: "True" },
    { type: "Initialized", status: "True" },
    containersReady ? { type: "ContainersReady", status: "True" } : notReady("ContainersReady", reason, message),
    !containersReady
      ? notReady("Ready", reason, message)
      : missing.length > 0
        ? notReady("Ready", "ReadinessGatesNotReady", gates.join(" "))
        : { type: "Ready", status: "True" },
  ];
}

const notReady = (type: string, reason: string, message: string): Condition => ({ type, status: "False", reason, message });

const isSame = (a: Condition, b: Condition | undefined): boolean => a.status === b?.status && (a.reason ?? "") === (b.reason ?? "");

function containerStatus(name: string, image: string, runtime: PodRuntime): object {
  const started = kubernetesTime(runtime.startedAtMs ?? 0);
  const state =
    runtime.phase === "Running"
      ? { running: { startedAt: started } }
      : runtime.phase === "Pending"
        ? { waiting: { reason: "ContainerCreating" } }
        : { terminated: { exitCode: runtime.phase === "Failed" ? 1 : 0, reason: "Completed", startedAt: started } };
  return {
    name,
    image,
    imageID: image,
    restartCount: runtime.restarts,
    ready: runtime.containersReady,
    started: runtime.phase === "Running",
    state,
  };
}
