import { DEFAULT_GATE_TYPE } from "../common/names.ts";
import { NO_NETWORKS, NO_WEIGHTS, type PodFact } from "../common/vocabulary.ts";
import type { WantedBackend } from "../coordinator/domain/intent/backends.ts";
import type { DesiredLoadBalancer, WantedListener, WantedRule } from "../coordinator/domain/intent/desired-load-balancer.ts";
import type { OwnerIntent, OwnerStanding } from "../coordinator/domain/intent/owner-intent.ts";
import { readService, type ServiceIntent, type ServiceRecord, serviceRef } from "../coordinator/domain/intent/service.ts";
import { DEFAULT_HEALTH_CHECK, type Listener, type LoadBalancer, type Rule, type Target } from "../coordinator/domain/load-balancer.ts";

/** Valid by default; override what the test is about. */
export const aPod = (change: Partial<PodFact> = {}): PodFact => ({
  uid: "pod-1",
  resourceVersion: "1",
  namespace: "demo",
  name: "web-1",
  nodeName: "node-a",
  ips: ["10.244.1.1"],
  hostNetwork: false,
  phase: "Running",
  containersReady: true,
  containersReadyAtMs: 1_000,
  hasGate: true,
  gate: "absent",
  deletionAtMs: undefined,
  labels: { app: "web" },
  ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  startedAtMs: 1_000,
  restarts: 0,
  hostInterface: undefined,
  networks: NO_NETWORKS,
  networkNote: "",
  weights: NO_WEIGHTS,
  ...change,
});

/** The same as an API server gives it; `gateType` as of DEFAULT_GATE_TYPE. */
export function rawPod(pod: PodFact): object {
  const time = (ms: number | undefined): string | undefined => (ms === undefined ? undefined : new Date(ms).toISOString());
  const { uid, resourceVersion, namespace, name, labels } = pod;
  const ready = {
    type: "ContainersReady",
    status: pod.containersReady ? "True" : "False",
    lastTransitionTime: time(pod.containersReadyAtMs),
  };
  const gate = pod.gate === "absent" ? [] : [{ type: DEFAULT_GATE_TYPE, status: pod.gate }];
  const ports = pod.ports.map(({ port, ...same }) => ({ ...same, containerPort: port }));
  return {
    metadata: { uid, resourceVersion, namespace, name, labels, deletionTimestamp: time(pod.deletionAtMs) },
    spec: {
      nodeName: pod.nodeName,
      hostNetwork: pod.hostNetwork,
      readinessGates: pod.hasGate ? [{ conditionType: DEFAULT_GATE_TYPE }] : [],
      containers: [{ name: "main", ports }],
    },
    status: {
      phase: pod.phase,
      podIPs: pod.ips.map((ip) => ({ ip })),
      startTime: time(pod.startedAtMs),
      containerStatuses: pod.restarts === undefined ? [] : [{ name: "main", restartCount: pod.restarts }],
      conditions: [ready, ...gate],
    },
  };
}

export const CLUSTER = "c0ffee00";
export const SERVICE_UID = "5e21c0ff-ee12-0000-0000-000000000000";
export const LISTENER_NAME = `cd-${CLUSTER}-5e21c0ffee12-tcp80`;

export const aService = (change: Partial<ServiceRecord> = {}): ServiceRecord => ({
  uid: SERVICE_UID,
  resourceVersion: "1",
  namespace: "demo",
  name: "web",
  createdAt: "2026-01-02T03:04:05Z",
  type: "LoadBalancer",
  loadBalancerClass: undefined,
  annotations: { "service.cloud.tencent.com/direct-access": "true" },
  finalizers: [],
  selector: { app: "web" },
  ports: [{ name: "http", protocol: "TCP", port: 80, targetPort: 8080 }],
  deleting: false,
  ingress: [],
  ipModes: [],
  isHeadless: false,
  publishNotReady: false,
  generation: undefined,
  ready: undefined,
  sourceRanges: [],
  loadBalancerIp: "",
  sessionAffinity: "None",
  ...change,
});

export const aBackend = (change: Partial<WantedBackend> = {}): WantedBackend => ({
  podUid: "pod-1",
  ip: "10.244.1.1",
  port: 8080,
  weight: 10,
  bindable: true,
  ...change,
});

export const aTarget = (change: Partial<Target> = {}): Target => ({ ip: "10.244.1.1", port: 8080, weight: 10, ...change });

export const aListener = (change: Partial<Listener> = {}): Listener => ({
  listenerId: "lbl-1",
  name: LISTENER_NAME,
  protocol: "TCP",
  port: 80,
  healthCheck: DEFAULT_HEALTH_CHECK,
  scheduler: "WRR",
  targets: [],
  rules: [],
  ...change,
});

export const aRule = (change: Partial<Rule> = {}): Rule => ({
  listenerId: "lbl-1",
  locationId: "loc-1",
  domain: "example.com",
  url: "/",
  healthCheck: DEFAULT_HEALTH_CHECK,
  scheduler: "WRR",
  targets: [],
  ...change,
});

export const aLoadBalancer = (change: Partial<LoadBalancer> = {}): LoadBalancer => ({
  loadBalancerId: "lb-1",
  vips: ["198.18.0.1"],
  domain: undefined,
  tags: {},
  listeners: [],
  ...change,
});

/** What a valid Service asks for. */
export function anIntent(service: ServiceRecord = aService()): ServiceIntent {
  const { intent } = readService(service);
  if (intent === undefined) throw new Error(`Service ${service.name} cannot be read`);
  return intent;
}

/** Served by lb-1 unless told otherwise. */
export const anOwner = (service: ServiceRecord = aService(), standing?: OwnerStanding, order = "1"): OwnerIntent => ({
  ref: serviceRef(service),
  order,
  selector: service.selector,
  ...(standing ?? { state: "served", intent: anIntent(service), loadBalancerId: "lb-1" }),
});

export const aWantedRule = (change: Partial<WantedRule> = {}): WantedRule => ({
  domain: "example.com",
  url: "/",
  healthCheck: {},
  backends: [],
  standings: [],
  ...change,
});

/** An HTTP listener on port 80 with its rules, as somebody asks for it. */
export const aWantedHttpListener = (change: Partial<WantedListener> = {}): WantedListener => ({
  name: LISTENER_NAME.replace("tcp80", "http80"),
  owner: { kind: "Service", namespace: "demo", name: "web", uid: SERVICE_UID },
  protocol: "HTTP",
  port: 80,
  healthCheck: {},
  backends: [],
  standings: [],
  rules: [],
  ...change,
});

export const aDesired = (change: Partial<DesiredLoadBalancer> = {}): DesiredLoadBalancer => ({
  loadBalancerId: "lb-1",
  listeners: [],
  owners: [{ ref: { kind: "Service", namespace: "demo", name: "web", uid: SERVICE_UID }, state: "served" }],
  conflicts: [],
  ...change,
});
