import * as z from "zod";
import { isHoldToken } from "../holds.ts";
import { DRAIN, DRAIN_BECAUSE, GATE_WISH, HOLD_PORT, HOLD_TOKEN, POD_NETWORKS, POD_NETWORKS_STATUS, POD_WEIGHT } from "../names.ts";
import {
  type ContainerPort,
  DRAIN_MARKS,
  type GateStatus,
  NO_WEIGHTS,
  type PodFact,
  type PodPhase,
  type PodWeights,
} from "../vocabulary.ts";
import { member } from "./json-member.ts";
import { type Change, type ListWatchDeps, makeListWatch, type WatchedSet } from "./list-watch.ts";
import { readNetworks } from "./pod-networks.ts";

/** `nodeName` e.g. "node-a"; `gateType` is the condition type of our ReadinessGate (names.ts: DEFAULT_GATE_TYPE). The rest as in list-watch.ts. */
export type NodePodsOptions = {
  readonly nodeName: string;
  readonly gateType: string;
  /** With what the preStop hold of a Pod goes by, which only its node's agent has to know. Default: without. */
  readonly withHolds?: boolean;
  readonly onChange: (change: Change<PodFact>) => void;
  readonly onSynced?: () => void;
  readonly onDenied?: () => void;
};

/** The Pods of one node, as a watched set; `hostInterface` is left to the agent. */
export function makeNodePods(
  deps: ListWatchDeps,
  { nodeName, gateType, withHolds = false, ...callbacks }: NodePodsOptions,
): WatchedSet<PodFact> {
  return makeListWatch(deps, {
    path: "/api/v1/pods",
    query: { fieldSelector: `spec.nodeName=${nodeName}` },
    decode: (raw) => (withHolds ? withHold(decodePod(raw, gateType), raw) : decodePod(raw, gateType)),
    ...callbacks,
  });
}

/**
 * The Pods of many nodes, read with those of all others, which are left unread: one list and watch costs the API server less than a
 * thousand. `nodes` by name; `keep` may share parts of a Pod with others.
 */
export function makePodsOfNodes(
  deps: ListWatchDeps,
  {
    nodes,
    gateType,
    keep,
    ...callbacks
  }: Omit<NodePodsOptions, "nodeName"> & { readonly nodes: ReadonlySet<string>; readonly keep: (pod: PodFact) => PodFact },
): WatchedSet<PodFact> {
  return makeListWatch(deps, {
    path: "/api/v1/pods",
    gentle: true,
    wanted: (raw) => nodes.has(String(member(member(raw, "spec"), "nodeName"))),
    decode: (raw) => keep(decodePod(raw, gateType)),
    ...callbacks,
  });
}

/** What the API server leaves out when it is empty, some writers of test objects send as null. */
const list = <T extends z.ZodType>(of: T) => z.array(of).nullish();
const Port = z.object({ name: z.string().default(""), containerPort: z.int().min(1).max(65_535), protocol: z.string().default("TCP") });
const Container = z.object({ ports: list(Port), restartPolicy: z.string().nullish() });
const ContainerStatus = z.object({ restartCount: z.int().min(0).catch(0) });
const Condition = z.object({ type: z.string(), status: z.string(), lastTransitionTime: z.string().nullish() });
const Pod = z.object({
  metadata: z.object({
    uid: z.string().min(1),
    resourceVersion: z.string().min(1),
    namespace: z.string().min(1),
    name: z.string().min(1),
    labels: z.record(z.string(), z.string()).nullish(),
    annotations: z.record(z.string(), z.unknown()).nullish(),
    deletionTimestamp: z.string().nullish(),
  }),
  spec: z.object({
    nodeName: z.string().default(""),
    hostNetwork: z.boolean().nullish(),
    readinessGates: list(z.object({ conditionType: z.string() })),
    containers: list(Container),
    initContainers: list(Container),
  }),
  status: z
    .object({
      phase: z.string().default(""),
      podIP: z.string().nullish(),
      podIPs: list(z.object({ ip: z.string().default("") })),
      startTime: z.string().nullish(),
      conditions: list(Condition),
      containerStatuses: list(ContainerStatus),
      initContainerStatuses: list(ContainerStatus),
    })
    .prefault({}),
});

/** Of what people wrote there; what is longer is no word of ours. */
const MOST_WISH = 64;
/** As the webhook writes it (drain-hook.ts). */
const MOST_BECAUSE = 512;

/** A Pod as JSON, listed or watched, as a fact. Throws z.ZodError naming the field where it is no Pod. */
export function decodePod(raw: unknown, gateType: string): PodFact {
  const { metadata, spec, status } = Pod.parse(raw);
  const drain = DRAIN_MARKS.find((mark) => mark === metadata.annotations?.[DRAIN]);
  const conditions = new Map((status.conditions ?? []).map((condition) => [condition.type, condition]));
  const containersReady = conditions.get("ContainersReady");
  const gateWish = metadata.annotations?.[GATE_WISH];
  const because = metadata.annotations?.[DRAIN_BECAUSE];
  return {
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    namespace: metadata.namespace,
    name: metadata.name,
    nodeName: spec.nodeName,
    ips: ipsOf(status),
    hostNetwork: spec.hostNetwork ?? false,
    phase: phaseOf(status.phase),
    containersReady: containersReady?.status === "True",
    containersReadyAtMs: timeOf(containersReady?.lastTransitionTime),
    hasGate: (spec.readinessGates ?? []).some(({ conditionType }) => conditionType === gateType),
    gate: gateOf(conditions.get(gateType)?.status),
    deletionAtMs: timeOf(metadata.deletionTimestamp),
    labels: metadata.labels ?? {},
    ports: portsOf(spec),
    startedAtMs: timeOf(status.startTime),
    restarts: restartsOf(status),
    hostInterface: undefined,
    networks: readNetworks(metadata.annotations?.[POD_NETWORKS], metadata.annotations?.[POD_NETWORKS_STATUS]),
    networkNote: "",
    weights: weightsOf(metadata.annotations ?? {}),
    ...(typeof gateWish === "string" && { gateWish: gateWish.slice(0, MOST_WISH) }),
    ...(drain !== undefined && { drain }),
    ...(typeof because === "string" && { drainBecause: because.slice(0, MOST_BECAUSE) }),
  };
}

function weightsOf(annotations: Readonly<Record<string, unknown>>): PodWeights {
  const text = (key: string): string => {
    const value = annotations[key];
    return typeof value === "string" ? value : "";
  };
  const [service, ingress] = [text(POD_WEIGHT.service), text(POD_WEIGHT.ingress)];
  return service === "" && ingress === "" ? NO_WEIGHTS : { service, ingress };
}

const KillingProbe = z.object({ terminationGracePeriodSeconds: z.number().nullish() }).nullish();
const Probed = z.object({ livenessProbe: KillingProbe, startupProbe: KillingProbe });
const HeldPod = z.object({
  metadata: z.object({
    annotations: z.record(z.string(), z.unknown()).nullish(),
    deletionGracePeriodSeconds: z.number().nullish(),
  }),
  spec: z.object({
    terminationGracePeriodSeconds: z.number().nullish(),
    containers: z.array(Probed).nullish(),
    initContainers: z.array(Probed).nullish(),
  }),
});
/** What the API server fills in. */
const DEFAULT_GRACE_SECONDS = 30;

/**
 * A Pod that serves on the hold port itself gets no calls of ours, and its address must not be redirected. Whoever creates Pods can write
 * anything into the annotation, of any size.
 */
export function withHold(pod: PodFact, raw: unknown): PodFact {
  const { metadata, spec } = HeldPod.parse(raw);
  const token = metadata.annotations?.[HOLD_TOKEN];
  if (typeof token !== "string" || !isHoldToken(token) || pod.hostNetwork || pod.ports.some(({ port }) => port === HOLD_PORT)) return pod;
  const graceSeconds = spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
  const probes = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].flatMap((one) => [one.livenessProbe, one.startupProbe]);
  const longestGraceSeconds = Math.max(graceSeconds, ...probes.map((probe) => probe?.terminationGracePeriodSeconds ?? 0));
  const deletionGraceSeconds = metadata.deletionGracePeriodSeconds ?? undefined;
  return { ...pod, hold: { token, graceSeconds, longestGraceSeconds, deletionGraceSeconds } };
}

/** Init containers that stay (sidecars) count, after the others: so does Kubernetes when it looks for a named port. */
function portsOf({ containers, initContainers }: z.infer<typeof Pod>["spec"]): readonly ContainerPort[] {
  const sidecars = (initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  return [...(containers ?? []), ...sidecars].flatMap(({ ports }) =>
    (ports ?? []).map(({ name, containerPort, protocol }) => ({ name, port: containerPort, protocol })),
  );
}

function ipsOf({ podIP, podIPs }: z.infer<typeof Pod>["status"]): readonly string[] {
  const ips = (podIPs ?? []).map(({ ip }) => ip).filter((ip) => ip !== "");
  return ips.length === 0 && podIP !== null && podIP !== undefined && podIP !== "" ? [podIP] : [...ips]; // what grew has room for 17
}

/** Sidecars are init containers. Only compared, so that it may begin anew above 32 bits. */
function restartsOf({ containerStatuses, initContainerStatuses }: z.infer<typeof Pod>["status"]): number | undefined {
  const all = [...(containerStatuses ?? []), ...(initContainerStatuses ?? [])];
  return all.length === 0 ? undefined : all.reduce((sum, { restartCount }) => (sum + restartCount) >>> 0, 0);
}

function phaseOf(phase: string): PodPhase {
  switch (phase) {
    case "Pending":
    case "Running":
    case "Succeeded":
    case "Failed":
      return phase;
    default:
      return "Unknown";
  }
}

function gateOf(status: string | undefined): GateStatus {
  if (status === undefined) return "absent";
  return status === "True" || status === "False" ? status : "Unknown";
}

/** RFC 3339, e.g. "2026-01-02T03:04:05Z", as milliseconds since the epoch; undefined where it is missing or no time. */
function timeOf(text: string | null | undefined): number | undefined {
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? undefined : ms;
}
