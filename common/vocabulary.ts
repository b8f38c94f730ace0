/**
 * Domain types that both processes speak, and the words that this project adds to those of Kubernetes and of the CLB. One word, one
 * meaning; docs/architecture.md says which file does what.
 *
 * Pods
 * - Pod fact: what is known of one Pod, from its node's agent or from the coordinator's own watch of that node.
 * - report: what an agent says of a Pod. It is held until the coordinator has read that Pod from the API server, and refused where the two
 *   contradict each other.
 * - end: why a Pod no longer counts (`PodEnd`): its deletion was seen, a complete list lacks it, or its Node object is gone.
 * - proof of an end: its deletion was seen, or the API server, asked for it, has no Pod of that name and UID. Absence from a list or from an
 *   agent's snapshot and a deleted Node are signs: nothing is unbound for them.
 * - evidence of an end: what makes it certain that a backend may go: its Pod was deleted or is being deleted, its containers are over, its
 *   address passed to another Pod, or its owner asks for other Pods. A Pod that is merely missing has none.
 * - gate: the ReadinessGate condition of a Pod that says its load balancers send to it.
 *
 * Networks
 * - network mode: how a Pod got its address: by an ENI (shared, exclusive or sub-ENI), GlobalRouter, hostNetwork, an overlay.
 * - carrier: the interface over which a node's kernel reaches a Pod's address, or why that is not known.
 * - task: what the coordinator asks a node's agent to find out of a Pod.
 * - verdict: what the agent found: `probe` (it connected to the port) and `security-group` (it evaluated the groups for a set of senders).
 * - hindrance: why a load balancer will not reach a Pod; it may hold a bind back for a time, and never takes anything away.
 *
 * Owners
 * - owner: an object that owns listeners of a load balancer, so far a Service. A deletion is its end.
 * - intent: what an owner asks for: which load balancer, which Pods, which ports.
 * - standing: of an owner: waiting for its load balancer, served, held or deleted; of a Pod: the backend that one port of an owner makes of
 *   it, or why it makes none.
 * - record: what is stored of a load balancer in our Namespace and outlives a leader: what its owners have, and for which Pods its addresses
 *   are bound.
 * - vanished: of an owner whose object is gone although nobody saw its deletion: what it has stays, and only ends of Pods count, until an
 *   object of the same name takes it over.
 * - held: of an owner that cannot be read, and no earlier intent of it is known: what it has stays as it is, and only ends of Pods count.
 * - selection: the Pods that one port of an owner selects, with their standings.
 *
 * Load balancers
 * - place: where targets are bound: a listener of layer 4, or a rule of a listener of layer 7.
 * - slot: a place, an address and a port: what the cloud tells apart.
 * - backend: a Pod in a slot. The cloud's word is target; it knows no Pods.
 * - address claim: the entry of the record that names the Pod for which a load balancer has an address bound. Written before the bind, it survives restarts; an
 *   address that is bound nowhere any more is forgotten.
 * - adoption: the address claim for a wanted target that somebody else has bound.
 * - foreign: of a listener whose name is not ours, and of a target without an address claim whose address no Pod has: left alone.
 * - former, leaving: of a listener or rule that its owner asks for no more: looked after until what is asked for instead serves.
 * - orphaned: of a listener of ours whose owner nobody knows: it stays.
 * - mirror: what each load balancer looks like as far as is known: filled by reads, kept by our own writes that the cloud has confirmed.
 * - in doubt, stale: of a mirror after an answer that did not say what has happened: it is read before the next decision.
 * - drift: what somebody else changed in a listener of ours.
 *
 * Work
 * - pass: one run of a reconciler for one key: an owner, a load balancer or a Pod's gate.
 * - wake-up: a change makes the pass of a key due.
 * - call: one request to the cloud's API. In a plan: one write with its items.
 * - read, write: a call that changes nothing, and one that does; one write at a time per load balancer.
 * - item: a target, weight, listener or rule in a call: what the cloud may refuse by itself.
 * - batch: a write of the API's Batch… actions, which bind and unbind up to 500 targets and answer when they are done.
 * - lane: the kind of a write, which decides its order: conflict, drain, structure, bind, unbind, tune, delete.
 * - conflict: the lane that unbinds at once, because the address passed to another Pod or nothing of the Pod runs any more.
 * - drain: weight 0 for a backend that leaves, and the time from then on until it is unbound.
 * - follow-up: a bind that becomes possible when a listener or rule has been created.
 * - finding: what a plan sees and does not touch, but a person should know.
 * - resync: the periodic re-read of every load balancer, to notice drift.
 * - poller: asks the cloud again and again (health, quotas). A watch is one of Kubernetes, never this.
 * - read batcher: makes one read of what many callers ask at the same time.
 * - write log: the last writes, with what caused each.
 * - dry run: reads everything, prints what would be done and writes nothing (`--once --observe`).
 * - reign: the time for which one replica leads. The fence refuses writes when the Lease may be another's.
 *
 * Safety
 * - removal: a backend that a plan takes away, or all of one place that go together, under an id.
 * - brake: parks removals without evidence of an end that would leave a place too few backends.
 * - park: to keep a removal waiting; the brake holds it.
 * - release: a person's word, by an annotation, that lets a parked removal go, once. Never a deletion, nor the forgetting of an address.
 * - policy: which calls are made at all: enforce, no-unbind, observe.
 *
 * Gates
 * - binding: where one Pod stands in one place that asks for it. Its steps: pending (a person or the Pod must act first), bindable (waits
 *   for a write), binding (the bind runs), checking (bound, the health check runs), healthy; draining when the Pod ends.
 */

export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";
/** Present value of our condition on the Pod; "absent" when the Pod has none yet. */
export type GateStatus = "absent" | "True" | "False" | "Unknown";

/** A port as a container declares it, e.g. { name: "http", port: 8080, protocol: "TCP" }. */
export type ContainerPort = { readonly name: string; readonly port: number; readonly protocol: string };

/**
 * How a node's kernel reaches a Pod's address. "eni": a rule for the address leads to this interface; "sub-eni": the same, and it is a VLAN of
 * a trunk ENI; "pod": the ENI is in the Pod's own network namespace, as multus wrote; "bridge": over a bridge of the node; "overlay": over
 * Cilium's devices; "node": the address is one of the node's own; "route": over some other route; "unknown": an agent of an older version.
 */
export const INTERFACE_KINDS = ["eni", "sub-eni", "pod", "bridge", "overlay", "node", "route", "unknown"] as const;
export type InterfaceKind = (typeof INTERFACE_KINDS)[number];

/** The interface that carries a Pod's address, e.g. { name: "eth1", mac: "20:90:6f:01:02:03", kind: "eni", table: 4002 }; table 0: none of its own. */
export type HostInterface = { readonly name: string; readonly mac: string; readonly kind: InterfaceKind; readonly table: number };

/** What a Pod's annotations say of its networks. */
export type PodNetworks = {
  /** `tke.cloud.tencent.com/networks`, e.g. ["tke-route-eni"]; empty where the Pod asks for none. */
  readonly asked: readonly string[];
  /** The default network of `networks-status`, as multus wrote it, e.g. "tke-direct-eni"; "" where it wrote nothing. */
  readonly statusName: string;
  /** MAC of the Pod's interface in that network. */
  readonly statusMac: string;
  /** Why an annotation counts as absent; "" where none does. */
  readonly fault: string;
};

/** What the preStop hold of a Pod goes by; seconds, as the Pod's object has them. */
export type PodHold = {
  /** In the path of its preStop calls. */
  readonly token: string;
  /** spec.terminationGracePeriodSeconds */
  readonly graceSeconds: number;
  /** The longest that the kubelet gives one of its containers to stop: the grace of its liveness and startup probes counts as well. */
  readonly longestGraceSeconds: number;
  /** metadata.deletionGracePeriodSeconds; undefined while it is not being deleted. */
  readonly deletionGraceSeconds: number | undefined;
};

/** What a Pod's annotations `custom-weight` say at Services and at Ingresses, as they are written, e.g. { service: "50", ingress: "" }. */
export type PodWeights = { readonly service: string; readonly ingress: string };

export const NO_WEIGHTS: PodWeights = { service: "", ingress: "" };
/** How a Pod is kept from SIGTERM, or why not: its own form decides that. */
export const DRAIN_MARKS = ["hold", "sleep", "none", "none OwnPreStop", "none HoldPortTaken"] as const;
export type DrainMark = (typeof DRAIN_MARKS)[number];

export const NO_NETWORKS: PodNetworks = { asked: [], statusName: "", statusMac: "", fault: "" };

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
  /** How often its containers have been started anew, all together; undefined: nobody has said. */
  readonly restarts?: number | undefined;
  /** As the agent sees it in the kernel; undefined where no agent looked or nothing carries the address. */
  readonly hostInterface: HostInterface | undefined;
  readonly networks: PodNetworks;
  /** What an agent could not find out of the Pod's network and why; "" where nothing is missing or no agent looked. */
  readonly networkNote: string;
  /** Undefined: an agent of a former version tells of none. */
  readonly weights?: PodWeights | undefined;
  /** Annotation `clb-direct.io/gate`, where the Pod has it. */
  readonly gateWish?: string;
  /** What the webhook says of its preStop hook in annotation `clb-direct.io/drain`; as the coordinator has read it, absent where it says nothing. */
  readonly drain?: DrainMark;
  /** Annotation `clb-direct.io/drain-because`: why it gets less than a hold on every node. */
  readonly drainBecause?: string;
  /**
   * Services without a selector whose EndpointSlices name an address of it, and its ports there by the Service's protocol and port name, e.g.
   * { db: { "TCP/sql": 5432 } }. Only at the coordinator.
   */
  readonly endpoints?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Only on the agent of its node, of Pods whose preStop calls come to it. */
  readonly hold?: PodHold;
};

/** How we know that a Pod is over: its deletion was seen, a complete list lacks it, or its Node object is gone. */
export type PodEnd = "deleted" | "absent" | "node-deleted";

/** E.g. "demo/web-5d9c-x7k2p". */
export const podName = (pod: { readonly namespace: string; readonly name: string }): string => `${pod.namespace}/${pod.name}`;

/** The Pod will take no traffic any more by its own account: it terminates or its containers are over. */
export const isEnding = (pod: PodFact): boolean => pod.deletionAtMs !== undefined || isOver(pod);

/** Nothing of the Pod runs any more. */
export const isOver = (pod: PodFact): boolean => pod.phase === "Succeeded" || pod.phase === "Failed";
