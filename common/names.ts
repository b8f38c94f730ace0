/**
 * Every name that we give to things in the cluster and in the cloud (docs/annotations.md explains them to users).
 * Names that TKE gave and that we honour are grouped at the end.
 */

/** The ReadinessGate's condition type; TKE's own, configurable as GATE_TYPE. */
export const DEFAULT_GATE_TYPE = "cloud.tencent.com/load-balancer-backendgroup-ready";

export const FINALIZER = "clb-direct.io/load-balancer";
export const LOAD_BALANCER_CLASS = "clb-direct.io/clb";
/** Take-over marker on Services and Ingresses, value "true"; on a TkeServiceConfig: we keep it in step. */
export const MANAGED_ANNOTATION = "clb-direct.io/managed";
/** On a TkeServiceConfig that we keep in step: the listeners and rules that it was last brought in step with, a JSON list of their names. */
export const IN_STEP = "clb-direct.io/in-step";
/** On an owner: ids of parked removals that may go, comma list. */
export const RELEASE = "clb-direct.io/release";
/** Annotation of a Service or Pod; value `open`: waiting gates open without the load balancer. */
export const GATE_WISH = "clb-direct.io/gate";
export const GATE_OPEN = "open";
/** On a Service, value "false": negative verdicts on reachability delay no bind of its Pods. */
export const VERDICT_DELAY = "clb-direct.io/verdict-delay";
export const FIELD_MANAGER = "clb-direct";

/** Tags on load balancers that we created; a user's load balancer gets none. */
export const CLUSTER_TAG = "clb-direct.io/cluster";
export const OWNER_TAG = "clb-direct.io/owner";

export const CA_SECRET = "clb-direct-ca";
export const SERVING_SECRET = "clb-direct-serving";
export const CA_BUNDLE_CONFIG_MAP = "clb-direct-ca-bundle";
/** Key of the ConfigMap above; the agents mount it as a file of this name. */
export const CA_BUNDLE_KEY = "ca.crt";
/** ConfigMap in our Namespace, key `rules`: which Namespaces may use which load balancers. */
export const ACCESS_CONFIG_MAP = "clb-direct-access";
export const LEADER_LEASE = "clb-direct-leader";
/** ConfigMaps `clb-direct-record-<load balancer id>-<n>`: what its owners have, and for which Pods its addresses are bound. */
export const RECORD_PREFIX = "clb-direct-record-";
/** In place of a load balancer's id: the UIDs of the cluster's Nodes. */
export const NODES_SCOPE = "nodes";
/** Annotation of the first ConfigMap of the Nodes, by which a person says that this cluster is the one whose records these are, and no copy. */
export const ORIGINAL_CLUSTER = "clb-direct.io/original";
/** On these ConfigMaps; the value is the identity of the cluster whose record it is. */
export const RECORD_LABEL = "clb-direct.io/record";
/** The records of former versions, one ConfigMap per load balancer: address -> UID of a Pod. Read where there is no record. */
export const FORMER_RECORD_PREFIX = "clb-direct-journal-";

export const AGENT_SERVICE_ACCOUNT = "clb-direct-agent";
export const COORDINATOR_SERVICE_ACCOUNT = "clb-direct-coordinator";
/** Whose tokens show everything at the explain port. */
export const READER_SERVICE_ACCOUNT = "clb-direct-reader";
/** The API server's proxy strips Authorization and passes this one on. */
export const EXPLAIN_TOKEN_HEADER = "x-clb-direct-token";
export const COORDINATOR_SERVICE = "clb-direct-coordinator";
export const WEBHOOK_SERVICE = "clb-direct-webhook";
/** Name of the MutatingWebhookConfiguration. */
export const WEBHOOK_CONFIGURATION = "clb-direct";
/** Namespace of the admission check: Pods are created there as a dry run only. */
export const CANARY_NAMESPACE = "clb-direct-canary";
/** On a Namespace or a Pod: `enabled` injects whatever selects the Pod, `disabled` never. */
export const INJECT_LABEL = "clb-direct.io/inject";
/** On a Pod: the token in its preStop calls. */
export const HOLD_TOKEN = "clb-direct.io/hold";
/** On a Pod that was injected: "hold", "sleep" or "none", with why not where its own form decides, e.g. "none OwnPreStop". */
export const DRAIN = "clb-direct.io/drain";
/** On a Pod that gets less than a hold on every node, which nobody asked for: why, e.g. "not proven on node-7 (connect ECONNREFUSED 10.0.0.7:15999)". */
export const DRAIN_BECAUSE = "clb-direct.io/drain-because";
/** On a Service: how its Pods are kept from SIGTERM until nothing is sent to them, see `DRAIN_MODE`. */
export const DRAIN_MODE = "clb-direct.io/drain-mode";
/** A preStop call asks for this path with the token behind it, e.g. "/hold/Jq3xw0…". */
export const HOLD_PATH = "/hold/";
/** Label of the coordinator's Pods, by which the Services find them. */
export const COORDINATOR_APP = "clb-direct-coordinator";
export const TOKEN_AUDIENCE = "clb-direct";
export const DEFAULT_NAMESPACE = "clb-direct";

export const STREAM_PORT = 9443;
export const WEBHOOK_PORT = 8443;
export const OPS_PORT = 9090;
export const HEALTH_PORT = 9091;
export const EXPLAIN_PORT = 9092;
/** Where the kubelet's preStop calls go: the Pod's own address, from where the node's rule leads them to the hold server. */
export const HOLD_PORT = 15_999;
export const METRIC_PREFIX = "clb_direct_";

/** Names in grpc.health.v1 besides "" (this process is fit). */
/** Of both processes: it may be asked; what makes it so is each one's own. */
export const READY_HEALTH = "ready";
export const STREAM_HEALTH = "clb.direct.v1.NodeStreamService";
export const LEADER_HEALTH = "leader";

/** TKE's annotations on Services that we honour. */
export const DIRECT_ACCESS = "service.cloud.tencent.com/direct-access";
export const EXISTING_LOAD_BALANCER = "service.kubernetes.io/tke-existed-lbid";
export const SERVICE_CONFIG = "service.cloud.tencent.com/tke-service-config";
/** Ends of the names of TkeServiceConfigs that are made for their owner, e.g. "web-auto-service-config"; nobody else may name theirs so. */
export const AUTO_CONFIG_SUFFIXES = { Service: "-auto-service-config", Ingress: "-auto-ingress-config" } as const;
export const INTERNAL_SUBNET = "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid";
/** What TKE writes on an object it manages; we write the first as well, because tools read it, and never use it as input. */
export const LOAD_BALANCER_ID = "service.kubernetes.io/loadbalance-id";
/** Label that TKE writes on a Service, and we as well: `OPEN` or `INTERNAL`. Source: tke-contract.md §2. */
export const LOAD_BALANCE_TYPE = "service.cloud.tencent.com/loadbalance-type";
/** "yes" on load balancers that TKE created for one of its objects. */
export const TKE_CREATED_TAG = "tke-createdBy-flag";
export const TKE_FINALIZER = "service.k8s.tencent/resources";

/** Controller that an IngressClass names to address us. */
export const INGRESS_CONTROLLER = "clb-direct.io/ingress";
/** The old way to say whose an Ingress is, an annotation; TKE's class is `qcloud`. */
export const INGRESS_CLASS = "kubernetes.io/ingress.class";
export const TKE_INGRESS_CLASS = "qcloud";
/** TKE's annotations on Ingresses: the load balancer in use, and its condition, which an Ingress has no field for. */
export const INGRESS_LOAD_BALANCER_ID = "kubernetes.io/ingress.qcloud-loadbalance-id";
export const INGRESS_CONDITIONS = "ingress.cloud.tencent.com/status.conditions";
/** TKE's annotations on Pods: the weight at Services and at Ingresses. Source: tke-contract.md §2. */
export const POD_WEIGHT = {
  service: "service.cloud.tencent.com/custom-weight",
  ingress: "ingress.cloud.tencent.com/custom-weight",
} as const;
/** TKE's annotations on Pods: the networks that a Pod asks for, and what multus gave it. Source: tke-contract.md R7, §9. */
export const POD_NETWORKS = "tke.cloud.tencent.com/networks";
export const POD_NETWORKS_STATUS = "tke.cloud.tencent.com/networks-status";

/** First 8 hex digits of an UID: the default cluster identity from Namespace kube-system, e.g. "1f0c9a2b". */
export const clusterIdOf = (kubeSystemUid: string): string => hexDigits(kubeSystemUid).slice(0, 8);

/** Labels of Nodes that are no machines: TKE's super nodes, and what the virtual-kubelet project gives its own. No DaemonSet runs there. */
export const VIRTUAL_NODE_LABELS: readonly (readonly [key: string, value: string])[] = [
  ["node.kubernetes.io/instance-type", "eklet"],
  ["type", "virtual-kubelet"],
];

/** Mark of the owner in a listener's name: 12 hex digits of its UID, e.g. "5e21c0ffee12". */
export const ownerMark = (ownerUid: string): string => hexDigits(ownerUid).slice(0, 12);

const hexDigits = (uid: string): string => uid.replaceAll("-", "").toLowerCase();

/** E.g. "cd-1f0c9a2b-5e21c0ffee12-tcp80"; within the 80 characters that the cloud allows. Ours only if cluster and owner match. */
export const listenerName = (clusterId: string, ownerUid: string, protocol: string, port: number): string =>
  `cd-${clusterId}-${ownerMark(ownerUid)}-${protocol.toLowerCase()}${port}`;

/** Stands for the owner's mark in the name of a listener that the Ingresses of a group share; no owner has it. */
export const GROUP_MARK = "group";

/** E.g. "cd-1f0c9a2b-group-http80": a load balancer has one group of a cluster at most. */
export const sharedListenerName = (clusterId: string, protocol: string, port: number): string =>
  `cd-${clusterId}-${GROUP_MARK}-${protocol.toLowerCase()}${port}`;

/** The owner's mark, or that of a group, if the name was given by this cluster, else undefined: the listener is foreign. */
export function ownerMarkOf(name: string, clusterId: string): string | undefined {
  const prefix = `cd-${clusterId}-`;
  if (!name.startsWith(prefix)) return undefined;
  return /^([0-9a-f]{1,12}|group)-(?:tcp|udp|tcp_ssl|quic|https?)\d{1,5}$/.exec(name.slice(prefix.length))?.[1];
}

/** Says of a listener by its name whether it belongs to this owner in this cluster: made once for all the listeners of a load balancer. */
export function ownListeners(clusterId: string, ownerUid: string): (listener: { readonly name: string }) => boolean {
  const mark = ownerMark(ownerUid);
  const prefix = `cd-${clusterId}-${mark}-`;
  return ({ name }) => name.startsWith(prefix) && ownerMarkOf(name, clusterId) === mark;
}
