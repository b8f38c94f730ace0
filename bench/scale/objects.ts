/** What the cluster of the benchmark is made of, as the API server stores it: without kind and apiVersion. */
import { randomUUID } from "node:crypto";
import { decodePod } from "../../common/kubernetes/node-pods.ts";
import {
  AGENT_SERVICE_ACCOUNT,
  DEFAULT_GATE_TYPE,
  DEFAULT_NAMESPACE,
  DIRECT_ACCESS,
  EXISTING_LOAD_BALANCER,
  SERVICE_CONFIG,
} from "../../common/names.ts";
import type { HostInterface } from "../../common/vocabulary.ts";
import { READY_CONDITION } from "../../coordinator/domain/intent/ready-condition.ts";
import type { PodReport } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { toPodReport } from "../../proto/wire.ts";
import * as kinds from "../../test/cluster/embedded/kinds.ts";
import { type KubeObject, secondsOf } from "../../test/cluster/embedded/objects.ts";

export const NAMESPACE = "bench";
const PORT = 8080;
/** Listeners of one load balancer: the default quota. Source: clb-api.md §2.5. */
export const PER_LOAD_BALANCER = 50;
const FIRST_LISTENER = 8_001;
const CONFIG = "no-checks";

/** E.g. "node-0007". */
export const nodeName = (index: number): string => `node-${String(index).padStart(4, "0")}`;

/** Out of 10.64.0.0/10, which nothing else here uses, e.g. "10.64.0.7". */
export const POD_RANGE = "10.64.0.0/10";
const addressOf = (n: number): string => `10.${64 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;

const identity = (name: string, namespace?: string) => ({
  name,
  ...(namespace !== undefined && { namespace }),
  uid: randomUUID() as string,
  resourceVersion: "",
  creationTimestamp: secondsOf(Date.now()),
});

export const aNode = (index: number): KubeObject => ({ metadata: identity(nodeName(index)), spec: {}, status: {} });

const condition = (type: string, status: boolean, nowMs: number) => ({
  type,
  status: status ? "True" : "False",
  lastProbeTime: null,
  lastTransitionTime: secondsOf(nowMs),
});

/** Pods of a node have one spec, as those of a Deployment have: 150 000 of them are to fit into the memory. */
const specs = new Map<string, KubeObject["spec"] & object>();
function specOf(node: string, gated: boolean): KubeObject["spec"] & object {
  const key = `${node} ${gated}`;
  const known = specs.get(key);
  if (known !== undefined) return known;
  const spec = {
    nodeName: node,
    serviceAccountName: "default",
    containers: [{ name: "main", image: "registry.example.com/web:1", ports: [{ name: "http", containerPort: PORT, protocol: "TCP" }] }],
    ...(gated && { readinessGates: [{ conditionType: DEFAULT_GATE_TYPE }] }),
  };
  specs.set(key, defaulted(kinds.pod, spec));
  return spec;
}

/** Filled up in place as the API server would have: a patch of the status must not look like a change of the spec. */
function defaulted<Spec extends object>(rules: Partial<kinds.Rules>, spec: Spec): Spec {
  kinds.fill({ spec }, { spec: rules.defaults?.["spec"] ?? {} });
  return spec;
}

export type PodWish = {
  readonly node: string;
  /** Also its address; never used twice. */
  readonly number: number;
  /** The Service that selects it, and whose gate it has; undefined: none. */
  readonly service: number | undefined;
  readonly ready: boolean;
  /** Its gate is True already, as of a Pod that serves for long. */
  readonly gateOpen: boolean;
};

export function aPod({ node, number, service, ready, gateOpen }: PodWish): KubeObject {
  const name = service === undefined ? `idle-${number}` : `${serviceName(service)}-${number}`;
  const app = service === undefined ? `idle-${number % 500}` : serviceName(service);
  const ip = addressOf(number);
  const nowMs = Date.now();
  const conditions = [
    condition("PodScheduled", true, nowMs),
    condition("Initialized", true, nowMs),
    condition("ContainersReady", ready, nowMs),
    condition("Ready", ready && (service === undefined || gateOpen), nowMs),
    ...(gateOpen && service !== undefined ? [condition(DEFAULT_GATE_TYPE, true, nowMs)] : []),
  ];
  const status = { phase: "Running", podIP: ip, podIPs: [{ ip }], startTime: secondsOf(nowMs), conditions };
  const labels = { app, "app.kubernetes.io/part-of": "bench", "pod-template-hash": "5d9c7f8b6" };
  return { metadata: { ...identity(name, NAMESPACE), labels, generation: 1 }, spec: specOf(node, service !== undefined), status };
}

/** By which every address of a node is carried. */
export const carrierOf = (node: string): HostInterface => {
  const mac = `20:90:6f:${node.slice(-4, -2)}:${node.slice(-2)}:01`;
  return { name: "eth1", mac, kind: "eni", table: 4_002 };
};

/** What the agent of that node reports where none of its Pods belongs to a Service. */
export function snapshotOf(index: number, pods: number): PodReport[] {
  const node = nodeName(index);
  const hostInterface = carrierOf(node);
  return Array.from({ length: pods }, (_, slot) => {
    const number = index * pods + slot;
    const pod = aPod({ node, number, service: undefined, ready: true, gateOpen: false });
    pod.metadata.resourceVersion = String(number + 1);
    return toPodReport({ ...decodePod(pod, DEFAULT_GATE_TYPE), hostInterface });
  });
}

/** The Pod that an agent's token is bound to. */
export function anAgentPod(node: string, number: number): KubeObject {
  const nowMs = Date.now();
  const ip = addressOf(number);
  const spec = {
    nodeName: node,
    hostNetwork: true,
    serviceAccountName: AGENT_SERVICE_ACCOUNT,
    containers: [{ name: "agent", image: "registry.example.com/clb-direct:1" }],
  };
  defaulted(kinds.pod, spec);
  const conditions = [condition("ContainersReady", true, nowMs), condition("Ready", true, nowMs)];
  const status = { phase: "Running", podIP: ip, podIPs: [{ ip }], startTime: secondsOf(nowMs), conditions };
  const labels = { app: AGENT_SERVICE_ACCOUNT };
  return { metadata: { ...identity(`clb-direct-agent-${node}`, DEFAULT_NAMESPACE), labels, generation: 1 }, spec, status };
}

const serviceName = (index: number): string => `s${String(index).padStart(4, "0")}`;
const listenerPort = (index: number): number => FIRST_LISTENER + (index % PER_LOAD_BALANCER);

/** Service number `index`, which shares its load balancer with up to 49 others. */
export function aService(index: number, loadBalancerId: string): KubeObject {
  const annotations = { [DIRECT_ACCESS]: "true", [EXISTING_LOAD_BALANCER]: loadBalancerId, [SERVICE_CONFIG]: CONFIG };
  const spec = {
    type: "LoadBalancer",
    selector: { app: serviceName(index) },
    ports: [{ name: "http", protocol: "TCP", port: listenerPort(index), targetPort: PORT }],
  };
  defaulted(kinds.service, spec);
  // A Service's selector is a plain map, a workload's has matchLabels; the type of the store names the latter.
  return { metadata: { ...identity(serviceName(index), NAMESPACE), annotations }, spec: spec as KubeObject["spec"] & object, status: {} };
}

/** No health checks: a bound backend serves at once, so that all time is ours. */
export function aConfig(): KubeObject {
  const l4Listeners = Array.from({ length: PER_LOAD_BALANCER }, (_, index) => ({
    protocol: "TCP",
    port: FIRST_LISTENER + index,
    healthCheck: { enable: false },
  }));
  return { metadata: identity(CONFIG, NAMESPACE), spec: { loadBalancer: { l4Listeners } } as KubeObject["spec"] & object };
}

export const isGateOpen = ({ status }: KubeObject): boolean => conditionOf(status, DEFAULT_GATE_TYPE) === "True";

/** Of a Service: it has its address, and listens on every port. */
export const isReady = ({ status }: KubeObject): boolean => conditionOf(status, READY_CONDITION) === "True";

type Condition = ReturnType<typeof condition>;
const conditionsOf = (status: KubeObject["status"]): readonly Condition[] => (status?.conditions ?? []) as unknown as readonly Condition[]; // made here, or by the coordinator with the same fields
const conditionOf = (status: KubeObject["status"], wanted: string): string | undefined =>
  conditionsOf(status).find(({ type }) => type === wanted)?.status;

/** The Pod with its containers ready or not; the gate stays what it is. */
export function withReadiness(pod: KubeObject, ready: boolean): KubeObject {
  const nowMs = Date.now();
  const changed = new Set(["ContainersReady", "Ready"]);
  const conditions = conditionsOf(pod.status).map((one) => (changed.has(one.type) ? condition(one.type, ready, nowMs) : one));
  return { ...pod, status: { ...pod.status, conditions } };
}

/** The Pod with an annotation that concerns nobody here. */
export function touched(pod: KubeObject, mark: number): KubeObject {
  const annotations = { ...pod.metadata.annotations, "bench.example.com/mark": String(mark) };
  return { ...pod, metadata: { ...pod.metadata, annotations } };
}

export function terminating(pod: KubeObject, graceSeconds: number): KubeObject {
  const deletionTimestamp = secondsOf(Date.now() + graceSeconds * 1_000);
  return { ...pod, metadata: { ...pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: graceSeconds } };
}
