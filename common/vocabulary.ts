/**
 * Domain types that both processes speak.
 *
 * - Pod fact: what is known of one Pod, from its node's agent or from the coordinator's own watch of that node.
 * - End: why a Pod no longer counts; only a known end (or being selected no longer) removes a backend.
 * - Gate: the ReadinessGate condition of a Pod that says its load balancers send to it.
 */

export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";
/** Present value of our condition on the Pod; "absent" when the Pod has none yet. */
export type GateStatus = "absent" | "True" | "False" | "Unknown";

/** A port as a container declares it, e.g. { name: "http", port: 8080, protocol: "TCP" }. */
export type ContainerPort = { readonly name: string; readonly port: number; readonly protocol: string };

/** The host's interface that carries a Pod's address, e.g. { name: "eth1", mac: "20:90:6f:01:02:03" }. */
export type HostInterface = { readonly name: string; readonly mac: string };

/** One Pod as its node sees it. Times are milliseconds since the epoch; undefined where the Pod has none. */
export type PodFact = {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly namespace: string;
  readonly name: string;
  readonly nodeName: string;
  /** In the order of status.podIPs, e.g. ["10.0.3.7"]; empty before the network is set up. */
  readonly ips: readonly string[];
  readonly hostNetwork: boolean;
  readonly phase: PodPhase;
  readonly containersReady: boolean;
  /** lastTransitionTime of ContainersReady, whole seconds. */
  readonly containersReadyAtMs: number | undefined;
  /** The Pod lists our gate in spec.readinessGates. */
  readonly hasGate: boolean;
  readonly gate: GateStatus;
  readonly deletionAtMs: number | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly ContainerPort[];
  readonly startedAtMs: number | undefined;
  /** As the agent sees it in the kernel; undefined where no agent looked or nothing carries the address. */
  readonly hostInterface: HostInterface | undefined;
};

/** Evidence that a Pod is over: its deletion was seen, a complete list lacks it, or its Node object is gone. */
export type PodEnd = "deleted" | "absent" | "node-deleted";

/** E.g. "demo/web-5d9c-x7k2p". */
export const podName = (pod: { readonly namespace: string; readonly name: string }): string => `${pod.namespace}/${pod.name}`;

/** The Pod will take no traffic any more by its own account: it terminates or its containers are over. */
export const isEnding = (pod: PodFact): boolean => pod.deletionAtMs !== undefined || isOver(pod);

/** Nothing of the Pod runs any more. */
export const isOver = (pod: PodFact): boolean => pod.phase === "Succeeded" || pod.phase === "Failed";
