import type { Annotation } from "./annotations.ts";

const TKE = "ingress.cloud.tencent.com/";
const OLD = "kubernetes.io/ingress.";

const NOT_YET = { on: "Ingress", verdict: "not yet", takes: "never" } as const;
const BOOL = '`"true"`, `"false"`';
const WRITTEN = { on: "Ingress", verdict: "written", takes: "never", group: "–", syntax: "–" } as const;

/** Keys on Ingresses, which are not served yet. Sources: tke-contract.md §2.4 to §2.6. */
export const INGRESS_ANNOTATIONS: readonly Annotation[] = [
  { ...NOT_YET, key: `${TKE}direct-access`, syntax: BOOL, group: "B", code: "E4037", does: "Binds Pods" },
  { ...NOT_YET, key: `${OLD}existLbId`, syntax: "`lb-…`", group: "L C", code: "E4018", does: "Uses this load balancer" },
  { ...NOT_YET, key: `${OLD}subnetId`, syntax: "`subnet-…`", group: "L C", does: "A private load balancer" },
  { ...NOT_YET, key: `${OLD}internetChargeType`, syntax: "as for a Service", group: "L C", code: "E4045", does: "How traffic is paid for" },
  { ...NOT_YET, key: `${OLD}internetMaxBandwidthOut`, syntax: "1–2048", group: "L C", code: "E4046", does: "Mbit/s" },
  { ...NOT_YET, key: `${OLD}extensiveParameters`, syntax: "JSON object", group: "L C", code: "E4026", does: "Parameters of the order" },
  { ...NOT_YET, key: `${OLD}rule-mix`, syntax: BOOL, group: "B", code: "E4044", does: "Splits rules between HTTP and HTTPS" },
  { ...NOT_YET, key: `${OLD}http-rules`, syntax: "JSON array", group: "B", code: "E4022", does: "Rules of the HTTP listener" },
  { ...NOT_YET, key: `${OLD}https-rules`, syntax: "JSON array", group: "B", code: "E4023", does: "Rules of the HTTPS listener" },
  { ...NOT_YET, key: `${OLD}rule-mix-both`, syntax: BOOL, group: "B", does: "Every rule at both listeners" },
  { ...NOT_YET, key: `${TKE}listen-ports`, syntax: '`[{"HTTP":80}]`', group: "B", does: "Ports of its own" },
  { ...NOT_YET, key: `${TKE}tke-service-config`, syntax: "a name", group: "B", code: "E4043", does: "Tunes listeners" },
  { ...NOT_YET, key: `${TKE}tke-service-config-auto`, syntax: BOOL, group: "B", code: "E4050", does: "The same, made by the controller" },
  { ...NOT_YET, key: `${TKE}pass-to-target`, syntax: BOOL, group: "B", does: "Traffic passes the backends' security groups" },
  { ...NOT_YET, key: `${TKE}security-groups`, syntax: "at most 5 ids", group: "L", does: "Security groups of the load balancer" },
  { ...NOT_YET, key: `${TKE}enable-grace-shutdown`, syntax: BOOL, group: "B", does: "Always on" },
  { ...NOT_YET, key: `${TKE}enable-grace-shutdown-tkex`, syntax: BOOL, group: "B", does: "Always on" },
  { ...NOT_YET, key: `${TKE}enable-grace-deletion`, syntax: BOOL, group: "B", does: "Always on where an agent holds the Pod's end" },
  { ...NOT_YET, key: `${TKE}lb-rs-weight`, syntax: "JSON", group: "B", does: "Weights of backends" },
  { ...NOT_YET, key: `${TKE}custom-weight`, on: "Pod", syntax: "0–100", group: "B", does: "Weight of this Pod at Ingresses" },
  { ...NOT_YET, key: `${TKE}mix-target-prefer`, syntax: "`ipv4`, `ipv6`", group: "B", does: "Family of the Pods' addresses" },
  { ...NOT_YET, key: `${TKE}certificate`, syntax: "JSON array", group: "L", does: "Certificates instead of `spec.tls`" },
  { ...NOT_YET, key: `${TKE}enable-group`, syntax: BOOL, group: "B", does: "Several Ingresses at one load balancer" },
  { ...NOT_YET, key: `${TKE}modification-protection`, syntax: BOOL, group: "L", does: "Locks the load balancer's settings" },
  { ...NOT_YET, key: `${TKE}deletion-protection`, syntax: BOOL, group: "L", does: "Refuses its deletion" },
  { ...NOT_YET, key: `${TKE}loadbalance-retain`, syntax: BOOL, group: "L", does: "Keeps it when the Ingress goes" },
  { ...NOT_YET, key: `${TKE}mode`, syntax: "`skip`", group: "L B", does: "The object is left alone" },
  { ...NOT_YET, key: `${TKE}auto-rewrite`, syntax: BOOL, group: "–", does: "Redirects to HTTPS" },
  { ...NOT_YET, key: `${TKE}rewrite-support`, syntax: BOOL, group: "–", does: "Redirects by rule" },
  { ...NOT_YET, key: `${TKE}auto-rewrite-code`, syntax: "JSON", group: "–", does: "Codes of redirects" },
  { ...NOT_YET, key: `${TKE}cross-region-id`, syntax: "a region", group: "–", does: "Backends of another region" },
  { ...NOT_YET, key: `${TKE}cross-vpc-id`, syntax: "`vpc-…`", group: "–", does: "Backends of another VPC" },
  { ...NOT_YET, key: `${TKE}hybrid-type`, syntax: "`CCN`", group: "–", does: "Backends elsewhere" },
  { ...NOT_YET, key: `${TKE}snat-pro-info`, syntax: "JSON", group: "–", does: "Backends elsewhere" },
  { ...WRITTEN, key: `${OLD}qcloud-loadbalance-id`, does: "The load balancer in use" },
  { ...WRITTEN, key: `${OLD}class`, does: "Whose Ingress it is, on Ingresses of the old form" },
  { ...WRITTEN, key: `${TKE}loadbalance-nat-ipv6`, does: "The IPv6 address in use" },
  { ...WRITTEN, key: `${TKE}loadbalance-ipv6`, does: "The IPv6 address in use" },
  { ...WRITTEN, key: `${TKE}status.conditions`, does: "TKE's condition of the Ingress" },
  { ...WRITTEN, key: `${TKE}client-token`, does: "TKE's, for its orders" },
  { ...WRITTEN, key: `${TKE}sync-begin-time`, does: "TKE's, at each of its passes" },
  { ...WRITTEN, key: `${TKE}sync-end-time`, does: "TKE's, at each of its passes" },
];
