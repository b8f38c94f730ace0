import { INGRESS_KEYS, TKE_INGRESS } from "./annotation-keys.ts";
import { type Annotation, bool, idList, oneOf, wholeNumber } from "./annotations.ts";
import { configNameFault } from "./auto-config-name.ts";
import { listenPortsFault } from "./ingress-listen-ports.ts";
import { rewriteCodeFault } from "./ingress-redirects.ts";
import { ruleListFault } from "./ingress-rule-lists.ts";
import { certificateFault } from "./ingress-tls.ts";
import { extensiveFault } from "./order.ts";
import { weightsFault } from "./weights.ts";

const LIVE = { on: "Ingress", verdict: "honoured", takes: "live" } as const;
const CREATION = { on: "Ingress", verdict: "honoured", takes: "creation", group: "L C" } as const;
const NOT_YET = { on: "Ingress", verdict: "not yet", takes: "never" } as const;
const NO_EFFECT = { on: "Ingress", verdict: "no effect", takes: "never", group: "–", syntax: "any" } as const;
const REFUSED = { on: "Ingress", verdict: "refused", takes: "never", group: "–" } as const;
const WRITTEN = { on: "Ingress", verdict: "written", takes: "never", group: "–", syntax: "–" } as const;
const BOOL = { syntax: '`"true"`, `"false"`', fault: bool } as const;
const OTHER_NETWORK = "Backends of another network are of another kind, without health by Pod and without an automatic end: remove it";
const CHARGE_TYPES = "`TRAFFIC_POSTPAID_BY_HOUR`, `BANDWIDTH_POSTPAID_BY_HOUR`";

const RULES: readonly Annotation[] = [
  {
    ...LIVE,
    ...BOOL,
    key: INGRESS_KEYS.directAccess,
    group: "B",
    code: "E4037",
    reason: "InvalidDirectAccess",
    does: 'Binds the Pods behind its rules by their own addresses. An Ingress of our own class needs no such word. `"false"` or removed later: the Pods stay bound, because there is no NodePort mode to go back to, and an Event says so',
  },
  {
    ...LIVE,
    ...BOOL,
    key: INGRESS_KEYS.ruleMix,
    group: "B",
    code: "E4044",
    does: "Rules are spread over HTTP and HTTPS as `http-rules` and `https-rules` say; a rule in neither list is served over HTTPS",
  },
  {
    ...LIVE,
    key: INGRESS_KEYS.httpRules,
    syntax: 'JSON array: `[{"host":"shop.example.com","path":"/","backend":{"serviceName":"shop","servicePort":"80"}}]`, or `null`',
    group: "B",
    code: "E4022",
    fault: ruleListFault,
    does: "Which rules of `spec.rules` the HTTP listeners have, by host, path, Service and port. Counts with `rule-mix`",
  },
  {
    ...LIVE,
    key: INGRESS_KEYS.httpsRules,
    syntax: 'as "http-rules"',
    group: "B",
    code: "E4023",
    fault: ruleListFault,
    does: "The same for the HTTPS listeners",
  },
  {
    ...LIVE,
    ...BOOL,
    key: INGRESS_KEYS.ruleMixBoth,
    group: "B",
    does: "Every rule at HTTP and at HTTPS. Not together with `rule-mix`, `rewrite-support` or `auto-rewrite`",
  },
  {
    ...LIVE,
    key: INGRESS_KEYS.listenPorts,
    syntax: '`[{"HTTP":80},{"HTTPS":443},{"HTTP":8080}]`',
    default: "`HTTP:80` without TLS, `HTTPS:443` with TLS, both where rules are mixed",
    group: "B",
    fault: listenPortsFault,
    does: "The listeners. Each gets the rules of its protocol, without `rule-mix` all of them",
  },
  {
    ...LIVE,
    key: INGRESS_KEYS.certificate,
    syntax: '`[{"hosts":["shop.example.com"],"qcloud_cert_id":["abcd1234"]}]`',
    group: "L",
    fault: certificateFault,
    does: "Certificates by their ids, instead of `spec.tls`; never both",
  },
  {
    ...CREATION,
    ...BOOL,
    key: INGRESS_KEYS.group,
    group: "B",
    does: "Shares the listeners of the load balancer of `existLbId`, which it needs, with other Ingresses, also of other Namespaces: each has its own rules there. A host and path that another one has is refused (`RuleConflict`). Redirects come straight from the rule lists",
  },
  {
    ...LIVE,
    ...BOOL,
    key: INGRESS_KEYS.autoRewrite,
    group: "B",
    does: "HTTP:80 redirects to HTTPS:443, for every host and path that is served there. Not together with `rule-mix-both`",
  },
  {
    ...LIVE,
    ...BOOL,
    key: INGRESS_KEYS.rewriteSupport,
    group: "B",
    does: 'Redirects by `rewrite` of an entry of `http-rules` or `https-rules`. `"false"`: redirects of its rules end. Where neither this key nor `auto-rewrite` is there, redirects stay as they are',
  },
  {
    ...LIVE,
    key: INGRESS_KEYS.autoRewriteCode,
    syntax: '`{"defaultRewriteCode":302,"rewriteCodeInfos":[{"host":"shop.example.com","rewriteCode":307}]}`',
    default: "301",
    group: "B",
    fault: rewriteCodeFault,
    does: "The status of the redirects of `auto-rewrite`: 301, 302 or 307",
  },
];

const LIFE: readonly Annotation[] = [
  {
    ...LIVE,
    key: INGRESS_KEYS.existing,
    syntax: "`lb-…`",
    group: "L C",
    code: "E4018",
    reason: "InvalidLoadBalancerId",
    fault: (value) => (/^lb-[0-9a-z]+$/.test(value) ? undefined : "use the id of a load balancer, e.g. lb-1a2b3c4d"),
    does: "Uses this load balancer, which you created. It gets no tags from us and is never deleted; foreign listeners stay as they are. Cannot be changed in place",
  },
  {
    ...CREATION,
    key: INGRESS_KEYS.subnet,
    syntax: "`subnet-…`",
    code: "E4091",
    fault: (value) => (/^subnet-[0-9a-z]+$/.test(value) ? undefined : "use the id of a subnet, e.g. subnet-1a2b3c4d"),
    does: "Creates a private load balancer there (needs `VPC_ID` at the coordinator)",
  },
  {
    ...CREATION,
    key: INGRESS_KEYS.chargeType,
    syntax: CHARGE_TYPES,
    code: "E4045",
    fault: oneOf("TRAFFIC_POSTPAID_BY_HOUR", "BANDWIDTH_POSTPAID_BY_HOUR"),
    does: "How the traffic of a public load balancer is paid for",
  },
  {
    ...CREATION,
    key: INGRESS_KEYS.bandwidth,
    syntax: "1–2048, Mbit/s",
    code: "E4046",
    fault: wholeNumber(1, 2048),
    does: "The most that a public load balancer sends",
  },
  {
    ...CREATION,
    key: INGRESS_KEYS.extensive,
    syntax: "JSON object",
    code: "E4026",
    fault: extensiveFault,
    does: "Merged into the order, as for a Service",
  },
  {
    ...LIVE,
    key: INGRESS_KEYS.config,
    syntax: "a name, same namespace",
    group: "B",
    code: "E4043",
    valueCode: "E4051",
    fault: configNameFault,
    does: "A TkeServiceConfig that tunes its listeners and rules (`l7Listeners`). Its name must not end in `-auto-service-config` or `-auto-ingress-config`",
  },
  {
    ...LIVE,
    ...BOOL,
    key: INGRESS_KEYS.configAuto,
    group: "B",
    code: "E4050",
    does: "Makes TkeServiceConfig `<name>-auto-ingress-config` and keeps it in step with listeners and rules. Not together with `tke-service-config`",
  },
  {
    ...LIVE,
    ...BOOL,
    key: INGRESS_KEYS.passToTarget,
    group: "B",
    does: "Traffic passes the backends' security groups. On a load balancer of yours a difference is only told",
  },
  {
    ...LIVE,
    key: INGRESS_KEYS.securityGroups,
    syntax: 'at most 5 ids by comma; `""` unbinds all',
    group: "L",
    fault: idList("sg", 5),
    does: "Security groups of the load balancer, in their order; nothing listens before it has them",
  },
  {
    ...LIVE,
    key: INGRESS_KEYS.weights,
    syntax:
      'JSON, as for a Service: `{"defaultWeight":10,"groups":[{"key":{"proto":"HTTPS","port":443},"statefulSets":[{"name":"web","weights":[{"weight":0,"podIndexes":[0]}]}]}]}`. "proto" is HTTP, HTTPS or TCP, "port" that of the listener',
    default: "10",
    group: "B",
    fault: weightsFault,
    does: "Weights of backends, 0–100",
  },
  {
    ...LIVE,
    on: "Pod",
    key: INGRESS_KEYS.customWeight,
    syntax: "0–100",
    default: "that of the Ingress",
    group: "B",
    does: "The weight of this Pod at Ingresses, as its key for Services",
  },
  {
    ...LIVE,
    key: INGRESS_KEYS.mixTargetPrefer,
    syntax: "`ipv4`, `ipv6`",
    default: "that of the load balancer",
    group: "B",
    fault: oneOf("ipv4", "ipv6"),
    does: "Which address of a Pod is bound where it has both",
  },
  {
    ...NOT_YET,
    ...BOOL,
    key: INGRESS_KEYS.modificationProtection,
    group: "L",
    does: "The public API has no such switch: set it in the console",
  },
  {
    ...LIVE,
    ...BOOL,
    key: INGRESS_KEYS.deletionProtection,
    group: "L",
    does: "The cloud refuses to delete the load balancer: it is then kept when its Ingress goes (Event `LoadBalancerKept`)",
  },
  {
    ...LIVE,
    ...BOOL,
    key: INGRESS_KEYS.retain,
    group: "L",
    does: "What we create for the Ingress stays with its address when the Ingress goes; only the listeners go",
  },
  {
    ...LIVE,
    key: INGRESS_KEYS.mode,
    syntax: "`skip`",
    group: "L B",
    fault: oneOf("skip"),
    does: "We stand down, as for a Service: nothing is changed for the object, and what it has stays when it is deleted",
  },
];

const OTHERS: readonly Annotation[] = [
  { ...NO_EFFECT, key: `${TKE_INGRESS}enable-grace-shutdown`, does: "Always on: a Pod that is deleted gets weight 0 first" },
  { ...NO_EFFECT, key: `${TKE_INGRESS}enable-grace-shutdown-tkex`, does: "Always on, see `enable-grace-shutdown`" },
  { ...NO_EFFECT, key: `${TKE_INGRESS}enable-grace-deletion`, does: "Always on where an agent holds the Pod's end" },
  { ...REFUSED, key: `${TKE_INGRESS}cross-region-id`, syntax: "a region", does: OTHER_NETWORK },
  { ...REFUSED, key: `${TKE_INGRESS}cross-vpc-id`, syntax: "`vpc-…`", does: OTHER_NETWORK },
  { ...REFUSED, key: `${TKE_INGRESS}hybrid-type`, syntax: "`CCN`", does: OTHER_NETWORK },
  { ...REFUSED, key: `${TKE_INGRESS}snat-pro-info`, syntax: "JSON", does: OTHER_NETWORK },
  { ...WRITTEN, key: INGRESS_KEYS.loadBalancerId, does: "The load balancer in use: tools read it" },
  {
    ...WRITTEN,
    key: INGRESS_KEYS.class,
    syntax: "`qcloud`, or a class of ours",
    does: "Whose Ingress it is, the older way to write `spec.ingressClassName`",
  },
  {
    ...WRITTEN,
    key: INGRESS_KEYS.natIpv6,
    does: "The address of a load balancer of `AddressIPVersion` `IPV6` (NAT64), besides the status: tools read it",
  },
  { ...WRITTEN, key: INGRESS_KEYS.ipv6, does: "The address of a load balancer of `AddressIPVersion` `IPv6FullChain`, besides the status" },
  {
    ...WRITTEN,
    key: INGRESS_KEYS.conditions,
    does: "The condition `Ready`, for which an Ingress has no field: a JSON text as TKE writes it",
  },
  { ...WRITTEN, key: `${TKE_INGRESS}client-token`, does: "TKE's, for its orders" },
  { ...WRITTEN, key: `${TKE_INGRESS}sync-begin-time`, does: "TKE's, at each of its passes" },
  { ...WRITTEN, key: `${TKE_INGRESS}sync-end-time`, does: "TKE's, at each of its passes" },
];

/** Keys on Ingresses. Sources: tke-contract.md §2.4 to §2.6. */
export const INGRESS_ANNOTATIONS: readonly Annotation[] = [...RULES, ...LIFE, ...OTHERS];
