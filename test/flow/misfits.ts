/** Objects of users who got something wrong, each on a load balancer of its own where it does not say otherwise. */
import {
  DEFAULT_GATE_TYPE,
  DIRECT_ACCESS,
  EXISTING_LOAD_BALANCER,
  LOAD_BALANCER_ID,
  SERVICE_CONFIG,
  TKE_FINALIZER,
} from "../../common/names.ts";
import type { Manifest } from "../cluster/manifests.ts";

const NAMESPACE = "demo";

/** A Pod with a gate on a node of our choice; `app` is its label. */
export function aPod(name: string, app: string, over: { node?: string; port?: string; hostNetwork?: boolean } = {}): Manifest {
  const { node = "node-a", port = "http", hostNetwork = false } = over;
  const container = {
    name: "main",
    image: "registry.example.com/web:1",
    ports: [{ name: port, containerPort: 8080 }],
    env: [{ name: "STARTUP_SECONDS", value: "0.2" }],
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: NAMESPACE, labels: { app } },
    spec: { nodeName: node, hostNetwork, readinessGates: [{ conditionType: DEFAULT_GATE_TYPE }], containers: [container] },
  };
}

/** A Service for the Pods labelled with its name, on that load balancer. */
export function aService(
  name: string,
  loadBalancerId: string,
  over: { annotations?: Record<string, string>; finalizers?: string[]; selector?: Record<string, string> | null; ports?: number[] } = {},
): Manifest {
  const { annotations, finalizers = [], selector = { app: name }, ports = [80] } = over;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name,
      namespace: NAMESPACE,
      finalizers,
      annotations: { [DIRECT_ACCESS]: "true", [EXISTING_LOAD_BALANCER]: loadBalancerId, ...annotations },
    },
    spec: {
      type: "LoadBalancer",
      allocateLoadBalancerNodePorts: false,
      ...(selector && { selector }),
      ports: ports.map((port) => ({ name: `p${port}`, protocol: "TCP", port, targetPort: "http" })),
    },
  };
}

/** Port 80 is checked too often, port 81 well: every 3 s. */
const HALF_BAD_CONFIG: Manifest = {
  apiVersion: "cloud.tencent.com/v1alpha1",
  kind: "TkeServiceConfig",
  metadata: { name: "half-bad", namespace: NAMESPACE },
  spec: {
    loadBalancer: {
      l4Listeners: [
        { protocol: "TCP", port: 80, healthCheck: { enable: true, intervalTime: 1 } },
        { protocol: "TCP", port: 81, healthCheck: { enable: true, intervalTime: 3, healthNum: 2 } },
      ],
    },
  },
};

/** `ids` makes a load balancer as a user would have it, by the name of the Service that it is for. */
export function misfits(ids: (service: string) => string): readonly Manifest[] {
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
    HALF_BAD_CONFIG,
    aService("good", ids("good")),
    aPod("good-1", "good"),
    aService("no-selector", ids("no-selector"), { selector: null }),
    aService("unknown-id", "lb-00000000"),
    aService("typo", ids("typo"), { annotations: { [DIRECT_ACCESS]: "yes" } }),
    aPod("typo-1", "typo"),
    aService("turned", ids("turned")),
    aPod("turned-1", "turned"),
    aService("named", ids("named")),
    aPod("named-well", "named"),
    aPod("named-badly", "named", { port: "web" }),
    aService("mixed", ids("mixed")),
    aPod("mixed-net", "mixed"),
    aPod("mixed-host", "mixed", { hostNetwork: true }),
    aService("refused", ids("refused")),
    aPod("refused-not", "refused"),
    aPod("refused-one", "refused", { node: "node-b" }),
    aService("half-configured", ids("half-configured"), { annotations: { [SERVICE_CONFIG]: "half-bad" }, ports: [80, 81] }),
    aPod("half-configured-1", "half-configured"),
    aService("unconfigured", ids("unconfigured"), { annotations: { [SERVICE_CONFIG]: "nowhere" } }),
    aPod("unconfigured-1", "unconfigured"),
    aService("taken", ids("taken"), { ports: [80, 81] }),
    aPod("taken-1", "taken"),
    aService("older", ids("shared")),
    aPod("older-1", "older"),
    aService("tke-finalized", ids("tke-finalized"), { finalizers: [TKE_FINALIZER] }),
    aPod("tke-finalized-1", "tke-finalized"),
    aService("tke-identified", ids("tke-identified"), { annotations: { [LOAD_BALANCER_ID]: "lb-tketketk" } }),
    aPod("tke-identified-1", "tke-identified"),
  ];
}

/** What must be told: object, reason, and the fix that the message must name. One Event each. */
export const TOLD: readonly (readonly [object: string, reason: string, fix: RegExp])[] = [
  ["Pod/mixed-host", "PodHostNetwork", /give it a Pod network or take it out of the selector of Service demo\/mixed/],
  ["Pod/named-badly", "PortNotDeclared", /containerPort named "http".*name the containerPort or use a number as targetPort/],
  ["Pod/refused-one", "BindRefused", /refused to bind .*:8080.*no attached ENI/],
  [
    "Service/half-configured",
    "InvalidServiceConfig",
    /half-bad.*l4Listeners\[0\]\.healthCheck\.intervalTime is 1: use a number from 2 to 300/,
  ],
  ["Service/mixed", "PodHostNetwork", /see the Events of those Pods/],
  ["Service/named", "PortNotDeclared", /see the Events of those Pods/],
  ["Service/no-selector", "NoSelector", /add a selector/],
  ["Service/refused", "BindRefused", /E5009.*refused to bind some of its Pods.*See the Events of those Pods/],
  ["Service/taken", "ListenerPortTaken", /Remove that listener or use another port/],
  ["Service/tke-finalized", "ForeignController", /left alone.*finalizer service\.k8s\.tencent\/resources/],
  ["Service/tke-finalized", "ForeignGate", /TKE's service controller has to open the gate of its Pods/],
  ["Service/tke-identified", "ForeignController", /left alone.*annotation service\.kubernetes\.io\/loadbalance-id/],
  ["Service/tke-identified", "ForeignGate", /TKE's service controller has to open the gate of its Pods/],
  ["Service/turned", "InvalidDirectAccess", /E4037.*"yes": use "true" or "false"/],
  ["Service/typo", "InvalidDirectAccess", /E4037.*"yes": use "true" or "false"/],
  ["Service/unconfigured", "ServiceConfigMissing", /E4043.*"nowhere".*create it or correct the name/],
  ["Service/unknown-id", "LoadBalancerNotFound", /E4018.*lb-00000000.*correct the annotation/],
  ["Service/younger", "ListenerConflict", /belongs to Service demo\/older: use another port or another load balancer/],
];
