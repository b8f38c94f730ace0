/** A field of a Service's spec, everything that we do with it; docs/annotations.md is made of these. */
type ServiceField = {
  /** E.g. "loadBalancerSourceRanges". */
  readonly field: string;
  /** `not ours`: of kube-proxy, NodePorts or the cluster network, which direct access passes by. */
  readonly verdict: "honoured" | "refused" | "no effect" | "not ours";
  readonly does: string;
};

const NODE_PORTS = "Of NodePorts, which are not used";
const PROXY = "Of kube-proxy: it decides inside the cluster only";

/** Every field of a Service's spec. Source: the API of Kubernetes 1.36, core/v1. */
export const SERVICE_FIELDS: readonly ServiceField[] = [
  {
    field: "type",
    verdict: "honoured",
    does: "`LoadBalancer`. With direct access and any other type: Event `NotSupported` where the object is meant for us",
  },
  {
    field: "loadBalancerClass",
    verdict: "honoured",
    does: "`clb-direct.io/clb` is addressed to us; a foreign one is left alone with one Event `ForeignController`",
  },
  {
    field: "selector",
    verdict: "honoured",
    does: "The Pods. Without one: those that EndpointSlices of the Service name, see [Services without a selector](#services-without-a-selector); without both: Event `NoSelector`",
  },
  { field: "ports[].name", verdict: "not ours", does: "For people" },
  { field: "ports[].protocol", verdict: "honoured", does: "`TCP`, `UDP`; another one: Event `UnsupportedProtocol`, the other ports work" },
  { field: "ports[].port", verdict: "honoured", does: "The port of the listener" },
  {
    field: "ports[].targetPort",
    verdict: "honoured",
    does: "A number stands for itself; a name is looked up in each Pod's own `containerPort` declarations",
  },
  { field: "ports[].appProtocol", verdict: "not ours", does: "A hint for others" },
  { field: "ports[].nodePort", verdict: "not ours", does: NODE_PORTS },
  { field: "allocateLoadBalancerNodePorts", verdict: "not ours", does: NODE_PORTS },
  { field: "healthCheckNodePort", verdict: "not ours", does: NODE_PORTS },
  { field: "externalTrafficPolicy", verdict: "not ours", does: "Pods see the client's address in both" },
  { field: "internalTrafficPolicy", verdict: "not ours", does: PROXY },
  { field: "trafficDistribution", verdict: "not ours", does: PROXY },
  { field: "externalIPs", verdict: "not ours", does: PROXY },
  { field: "clusterIP", verdict: "honoured", does: "`None` (headless) with direct access: Event `NotSupported`" },
  { field: "clusterIPs", verdict: "not ours", does: "Of the cluster network" },
  {
    field: "ipFamilies",
    verdict: "honoured",
    does: "With `IPv6` first, what is created is IPv6 from end to end (`AddressIPVersion` `IPv6FullChain`), and the Pods' IPv6 addresses are bound; that needs `SubnetId` in `service.kubernetes.io/service.extensiveParameters`, else Event `NotSupported`. `AddressIPVersion` there goes before this field. A load balancer of yours says itself what it is; one of another family: Event `NotHonoured`",
  },
  {
    field: "ipFamilyPolicy",
    verdict: "honoured",
    does: "A load balancer has addresses of one family. `PreferDualStack`: it is that of the first of `ipFamilies`, and Event `NoEffect` says so where there are two. `RequireDualStack`: refused (Event `NotSupported`) unless a load balancer of yours is named",
  },
  { field: "externalName", verdict: "refused", does: "There is nothing to bind: Event `NotSupported`" },
  {
    field: "loadBalancerIP",
    verdict: "refused",
    does: "An address cannot be chosen that way: create a load balancer with that address and name it by `service.kubernetes.io/tke-existed-lbid`",
  },
  {
    field: "loadBalancerSourceRanges",
    verdict: "refused",
    does: "Security groups are never written by us, and without them everybody could come in: bind a security group to a load balancer of yours, name that one, and remove the field",
  },
  {
    field: "publishNotReadyAddresses",
    verdict: "honoured",
    does: "Pods are bound as soon as they have an address, before their containers are ready; they keep their weight whatever their readiness, and the load balancer's health check decides",
  },
  {
    field: "sessionAffinity",
    verdict: "no effect",
    does: "`ClientIP` is kube-proxy's; at the load balancer persistence is set in a TkeServiceConfig, `l4Listeners[].session`",
  },
  { field: "sessionAffinityConfig", verdict: "no effect", does: "See `sessionAffinity`" },
];
