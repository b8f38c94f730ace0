import {
  DIRECT_ACCESS,
  DRAIN_MODE,
  EXISTING_LOAD_BALANCER,
  GATE_OPEN,
  GATE_WISH,
  INTERNAL_SUBNET,
  LOAD_BALANCER_ID,
  MANAGED_ANNOTATION,
  POD_WEIGHT,
  RELEASE,
  SERVICE_CONFIG,
  VERDICT_DELAY,
} from "../../../common/names.ts";
import { DRAIN_WISHES } from "../admission/drain-mode.ts";
import { KEYS, KUBERNETES, TKE } from "./annotation-keys.ts";
import { type Annotation, bool, idList, oneOf, wholeNumber } from "./annotations.ts";
import { configNameFault } from "./auto-config-name.ts";
import { INGRESS_ANNOTATIONS } from "./ingress-annotations.ts";
import { extensiveFault } from "./order.ts";
import { specifyFault } from "./specify-protocol.ts";
import { weightsFault } from "./weights.ts";

const LIVE = { on: "Service", verdict: "honoured", takes: "live" } as const;
const CREATION = { on: "Service", verdict: "honoured", takes: "creation", group: "L C" } as const;
const NO_EFFECT = { on: "Service", verdict: "no effect", takes: "never", group: "–", syntax: "any" } as const;
const REFUSED = { on: "Service", verdict: "refused", takes: "never", group: "–" } as const;
const WRITTEN = { on: "Service", verdict: "written", takes: "never", group: "–", syntax: "–" } as const;
const NOT_YET = { on: "Service", verdict: "not yet", takes: "never" } as const;
const BOOL = { syntax: '`"true"`, `"false"`', fault: bool } as const;
const CHARGE_TYPES = oneOf("TRAFFIC_POSTPAID_BY_HOUR", "BANDWIDTH_POSTPAID_BY_HOUR");
const CHARGE = { syntax: "`TRAFFIC_POSTPAID_BY_HOUR`, `BANDWIDTH_POSTPAID_BY_HOUR`", code: "E4045", fault: CHARGE_TYPES } as const;
const BANDWIDTH = { syntax: "1–2048, Mbit/s", code: "E4046", fault: wholeNumber(1, 2048) } as const;
const OLDER = "The older key; the newer one goes first, and where both disagree Event `NoEffect` says so";
const NODES = "Chooses or weighs nodes in NodePort mode; Pods are bound by their own addresses";
const OTHER_NETWORK = "Backends of another network are of another kind, without health by Pod and without an automatic end: remove it";

const BINDING: readonly Annotation[] = [
  {
    ...LIVE,
    ...BOOL,
    key: DIRECT_ACCESS,
    group: "B",
    code: "E4037",
    reason: "InvalidDirectAccess",
    does: 'Binds its Pods to a load balancer by their own addresses. `"false"` or removed later: the Pods stay bound, because there is no NodePort mode to go back to, and an Event says so',
  },
  {
    ...LIVE,
    key: SERVICE_CONFIG,
    syntax: "a name, same namespace",
    group: "B",
    code: "E4043",
    valueCode: "E4051",
    fault: configNameFault,
    does: "A TkeServiceConfig that tunes its listeners, see below. Its name must not end in `-auto-service-config` or `-auto-ingress-config`",
  },
  {
    ...LIVE,
    ...BOOL,
    key: KEYS.configAuto,
    group: "B",
    code: "E4050",
    does: "Makes TkeServiceConfig `<name>-auto-service-config` and keeps it in step with the ports, see below. Not together with `tke-service-config`",
  },
  {
    ...LIVE,
    key: KEYS.specifyProtocol,
    syntax:
      'JSON, e.g. `{"53":{"protocol":["TCP","UDP"]},"80":{"protocol":["TCP_SSL"],"tls":"s1"},"443":{"protocol":["HTTPS"],"hosts":{"a.example.com":{"tls":"s2"}}}}`',
    group: "B",
    fault: specifyFault,
    does: "Listeners of these protocols in place of the port's own: one of `TCP`, `TCP_SSL`, `HTTP`, `HTTPS` and one of `UDP`, `QUIC` may share a port. `tls`: an Opaque Secret of the Namespace with the key `qcloud_cert_id` (one id, or two by comma: one RSA, one ECC) and for mutual TLS `qcloud_ca_cert_id`. `HTTP` and `HTTPS` need `hosts`; `\"\"` stands for the load balancer's address; a host's own `tls` goes before that of the port. What lacks its certificate is not made (Event `CertificateUnavailable`), the rest is",
  },
  {
    ...LIVE,
    key: KEYS.weights,
    syntax:
      'JSON: `{"defaultWeight":10,"groups":[{"key":{"proto":"TCP","port":80},"statefulSets":[{"name":"web","weights":[{"weight":0,"podIndexes":[0]}]}]}]}`',
    default: "10",
    group: "B",
    fault: weightsFault,
    does: "Weights of backends, 0–100: of a StatefulSet's Pod at a port of the Service, else `defaultWeight`; each Pod once per listener. A Pod that ends has weight 0 all the same",
  },
  {
    ...LIVE,
    on: "Pod",
    key: POD_WEIGHT.service,
    syntax: "0–100",
    default: "that of the Service",
    group: "B",
    does: "The weight of this Pod at Services: goes before `defaultWeight`, an entry of its StatefulSet goes before it. A Pod that ends has weight 0 all the same; a bad value is told on the Pod and counts as none",
  },
  {
    ...NO_EFFECT,
    key: `${TKE}enable-grace-shutdown`,
    does: "Always on: a Pod that is deleted gets weight 0 first",
  },
  { ...NO_EFFECT, key: `${TKE}enable-grace-shutdown-tkex`, does: "Always on, see `enable-grace-shutdown`" },
  { ...NO_EFFECT, key: `${TKE}enable-grace-deletion`, does: "Always on where an agent holds the Pod's end" },
];

const LIFE: readonly Annotation[] = [
  {
    ...LIVE,
    key: EXISTING_LOAD_BALANCER,
    syntax: "`lb-…`",
    group: "L B",
    code: "E4018",
    reason: "InvalidLoadBalancerId",
    fault: (value) => (/^lb-[0-9a-z]+$/.test(value) ? undefined : "use the id of a load balancer, e.g. lb-1a2b3c4d"),
    does: "Uses this load balancer. Several Services may share one that you created, if their protocol and port differ. It gets no tags from us and is never deleted. Cannot be changed in place",
  },
  {
    ...CREATION,
    key: INTERNAL_SUBNET,
    syntax: "`subnet-…`",
    code: "E4091",
    fault: (value) => (/^subnet-[0-9a-z]+$/.test(value) ? undefined : "use the id of a subnet, e.g. subnet-1a2b3c4d"),
    does: "Creates a private load balancer there (needs `VPC_ID` at the coordinator)",
  },
  { ...CREATION, ...CHARGE, key: KEYS.chargeType, does: "How the traffic of a public load balancer is paid for" },
  {
    ...CREATION,
    ...BANDWIDTH,
    key: KEYS.bandwidth,
    does: "The most that a public load balancer sends; while it lives: `internetMaxBandwidthOut` of a TkeServiceConfig",
  },
  { ...CREATION, ...CHARGE, key: KEYS.oldChargeType, does: OLDER },
  { ...CREATION, ...BANDWIDTH, key: KEYS.oldBandwidth, does: OLDER },
  {
    ...CREATION,
    key: KEYS.extensive,
    syntax: 'JSON object, e.g. `{"AddressIPVersion":"IPV6","SlaType":"clb.c2.medium"}`',
    code: "E4026",
    fault: extensiveFault,
    does: "Merged into the order: `AddressIPVersion`, `BandwidthPackageId`, `DynamicVip`, `InternetAccessible`, `LoadBalancerName`, `LoadBalancerPassToTarget`, `MasterZoneId`, `ProjectId`, `SlaType`, `SlaveZoneId`, `SnatPro`, `SubnetId`, `Tags`, `Vip`, `VipIsp`, `VpcId`, `ZoneId`. A key of its own goes before the same field here; where both disagree Event `NoEffect` says so. `VpcId` is that of the coordinator (`VPC_ID`); tags that say whose a load balancer is (`clb-direct.io/…`, `tke-…`) are refused",
  },
  {
    ...LIVE,
    key: KEYS.securityGroups,
    syntax: 'at most 5 ids by comma; `""` unbinds all',
    group: "L",
    fault: idList("sg", 5),
    does: "Security groups of the load balancer, in their order; nothing listens before it has them. Of Services that share one, the oldest wish counts (Event `SettingConflict`)",
  },
  {
    ...LIVE,
    ...BOOL,
    key: KEYS.passToTarget,
    group: "B",
    does: 'Traffic passes the backends\' security groups. On a load balancer of yours a difference is only told. One that is IPv6 from end to end passes always: `"false"` there gets Event `NotHonoured`',
  },
  {
    ...LIVE,
    ...BOOL,
    key: KEYS.preventLoopback,
    group: "B",
    does: "`ipMode: Proxy` in the status, so that kube-proxy sends what comes from inside the cluster to the load balancer as well; health checks come from 100.64.0.0/10 unless a TkeServiceConfig says otherwise, or the load balancer is IPv6 from end to end (Event `NotHonoured`)",
  },
  {
    ...NOT_YET,
    ...BOOL,
    key: KEYS.modificationProtection,
    group: "L",
    does: "The public API has no such switch: set it in the console",
  },
  {
    ...LIVE,
    ...BOOL,
    key: KEYS.deletionProtection,
    group: "L",
    does: "The cloud refuses to delete the load balancer: it is then kept when its Service goes (Event `LoadBalancerKept`)",
  },
  {
    ...LIVE,
    ...BOOL,
    key: KEYS.retain,
    group: "L",
    does: "What we create for the Service stays with its address when the Service goes; only the listeners go. Another Service takes it up by `tke-existed-lbid`",
  },
  {
    ...LIVE,
    key: KEYS.mixTargetPrefer,
    syntax: "`ipv4`, `ipv6`",
    default: "that of the load balancer",
    group: "B",
    fault: oneOf("ipv4", "ipv6"),
    does: "Which address of a Pod is bound where it has both",
  },
  {
    ...NO_EFFECT,
    key: `${KUBERNETES}qcloud-share-existed-lb`,
    does: "Sharing a load balancer of yours is always allowed",
  },
];

const REFUSALS: readonly Annotation[] = [
  {
    ...LIVE,
    key: KEYS.mode,
    syntax: "`skip`",
    group: "L B",
    fault: oneOf("skip"),
    does: `We stand down: nothing is changed for the object, and what it has stays when it is deleted; unless \`${MANAGED_ANNOTATION}\` says that the key is addressed to TKE`,
  },
  {
    ...REFUSED,
    key: `${KUBERNETES}loadbalance-type`,
    syntax: "`classic`, `yunapi_clb`",
    code: "E4030",
    isRefused: (value) => value !== "yunapiv3_forward_clb",
    does: "A classic load balancer cannot have Pods as backends: remove it",
  },
  {
    ...REFUSED,
    key: `${TKE}target-groups`,
    syntax: "JSON",
    does: "A Service with target groups is TKE's, and there is no way back from them: remove it, or leave the Service to TKE",
  },
  {
    ...REFUSED,
    key: "service.beta.kubernetes.io/load-balancer-source-ranges",
    syntax: "addresses with lengths, by comma",
    does: "The older way to write `loadBalancerSourceRanges`. Security groups are never written by us, and without them everybody could come in: bind a security group to a load balancer of yours, name that one, and remove the annotation",
  },
  { ...REFUSED, key: `${TKE}cross-region-id`, syntax: "a region", does: OTHER_NETWORK },
  { ...REFUSED, key: `${TKE}cross-vpc-id`, syntax: "`vpc-…`", does: OTHER_NETWORK },
  { ...REFUSED, key: `${TKE}hybrid-type`, syntax: "`CCN`", does: OTHER_NETWORK },
  { ...REFUSED, key: `${TKE}snat-pro-info`, syntax: "JSON", does: OTHER_NETWORK },
  {
    ...REFUSED,
    key: `${TKE}loadbalancer-source-endpoints`,
    syntax: "JSON",
    does: "Its backends come from another object, which TKE's controller reads: leave the Service to TKE",
  },
];

const OTHERS: readonly Annotation[] = [
  { ...NO_EFFECT, key: `${KUBERNETES}qcloud-loadbalancer-backends-label`, does: NODES },
  { ...NO_EFFECT, key: `${KUBERNETES}local-svc-only-bind-node-with-pod`, does: NODES },
  { ...NO_EFFECT, key: `${TKE}local-svc-weighted-balance`, does: NODES },
  { ...NO_EFFECT, key: `${KUBERNETES}topology-mode`, does: "It is kube-proxy's" },
  { ...NO_EFFECT, key: `${KUBERNETES}topology-aware-hints`, does: "It is kube-proxy's" },
  {
    ...LIVE,
    onIngress: true,
    key: MANAGED_ANNOTATION,
    ...BOOL,
    group: "–",
    does: "Take-over marker, see whose Service it is",
  },
  {
    ...LIVE,
    onIngress: true,
    key: RELEASE,
    syntax: "removal ids, by comma, semicolon or blank",
    group: "–",
    does: "Lets removals go that the brake holds, once: see [the brake](operations.md#the-brake)",
  },
  {
    ...LIVE,
    key: GATE_WISH,
    syntax: "`open`",
    fault: oneOf(GATE_OPEN),
    group: "B",
    does: "Gates of its Pods open without waiting for it, with an Event: see [a gate that must open](operations.md#a-gate-that-must-open). On a Pod: its own gate",
  },
  {
    ...LIVE,
    ...BOOL,
    onIngress: true,
    key: VERDICT_DELAY,
    group: "B",
    does: '`"false"`: a negative verdict on reachability is told and delays no bind; else it may, for at most 30 s: see [networking](networking.md)',
  },
  {
    ...LIVE,
    key: DRAIN_MODE,
    syntax: "`auto`, `hold`, `sleep`, `none`",
    fault: oneOf(...DRAIN_WISHES),
    group: "B",
    does: "How new Pods of the Service are kept from SIGTERM until nothing is sent to them; default: `DRAIN_MODE` of the coordinator, see [operations](operations.md#how-pods-are-drained)",
  },
  { ...WRITTEN, key: LOAD_BALANCER_ID, does: "The load balancer in use: tools read it" },
  {
    ...WRITTEN,
    key: KEYS.natIpv6,
    does: "The address of a load balancer of `AddressIPVersion` `IPV6` (NAT64), besides the status: tools read it",
  },
  { ...WRITTEN, key: `${TKE}client-token`, does: "TKE's, for its orders" },
  { ...WRITTEN, key: `${TKE}sync-begin-time`, does: "TKE's, at each of its passes" },
  { ...WRITTEN, key: `${TKE}sync-end-time`, does: "TKE's, at each of its passes" },
];

/** Every annotation that we know, in the order of the page. */
export const ANNOTATIONS: readonly Annotation[] = [...BINDING, ...LIFE, ...REFUSALS, ...OTHERS, ...INGRESS_ANNOTATIONS];

const BY_KEY = new Map(ANNOTATIONS.map((annotation) => [annotation.key, annotation]));
export const annotationOf = (key: string): Annotation | undefined => BY_KEY.get(key);

/** Keys with these prefixes are ours or TKE's: one that is not in the table is a mistake. */
const PREFIXES =
  /^(service\.cloud\.tencent\.com|ingress\.cloud\.tencent\.com|service\.kubernetes\.io|clb-direct\.io)\/|^kubernetes\.io\/(service|ingress)\./;

/** Whether an annotation is kept of what the API server says: the rest of an object may be large and changes often. */
export const isOfInterest = (key: string): boolean => PREFIXES.test(key) || BY_KEY.has(key);
