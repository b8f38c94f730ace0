import assert from "node:assert/strict";
import { test } from "node:test";
import { readIngress } from "../../../../coordinator/domain/intent/ingress.ts";
import type { IngressRecord } from "../../../../coordinator/domain/intent/ingress-record.ts";
import type { CertificateSource } from "../../../../coordinator/domain/intent/intent-port.ts";
import type { ServiceIntent } from "../../../../coordinator/domain/intent/service.ts";
import { anIngress, rule, services } from "./ingress-builders.ts";

const OLD = "kubernetes.io/ingress.";
const TKE = "ingress.cloud.tencent.com/";

const read = (change: Partial<IngressRecord>, former?: ServiceIntent) => readIngress(anIngress(change), { service: services, former });
const certificateText = (source: CertificateSource | undefined): string =>
  source === undefined ? "" : ` (${"secret" in source ? source.secret : source.certIds.join("+")})`;
/** E.g. ["HTTP:80 shop.example.com/ -> shop 8080"]. */
const rulesOf = (intent: ServiceIntent | undefined): string[] =>
  (intent?.ports ?? []).flatMap(({ protocol, port, rules = [] }) =>
    rules.map(
      ({ domain, url, backend, certificate }) =>
        `${protocol}:${port} ${domain}${url} -> ${backend?.selector?.["app"] ?? "?"} ${backend?.targetPort ?? "?"}${certificateText(certificate)}`,
    ),
  );
const reasonsOf = ({ warnings }: ReturnType<typeof readIngress>): string[] =>
  warnings.map(({ reason, message }) => `${reason} ${/Code:"(E\d+)"/.exec(message)?.[1] ?? ""}`.trim());

const WITH_TLS = { tls: [{ hosts: [], secretName: "cert" }] };
const TWO = { rules: [rule("a.example.com", ["/", "shop"]), rule("b.example.com", ["/", "cart"])] };
const listed = (host: string, service: string, port: string | number = "80") => ({
  host,
  path: "/",
  backend: { serviceName: service, servicePort: port },
});

const RULES: readonly (readonly [name: string, change: Partial<IngressRecord>, rules: readonly string[], reasons?: readonly string[]])[] = [
  ["without TLS all rules are served over HTTP", {}, ["HTTP:80 shop.example.com/ -> shop 8080"]],
  ["with TLS over HTTPS", WITH_TLS, ["HTTPS:443 shop.example.com/ -> shop 8080 (cert)"]],
  ["without a host at the load balancer's address", { rules: [rule("", ["/", "shop"])] }, ["HTTP:80 / -> shop 8080"]],
  ["a wildcard host", { rules: [rule("*.example.com", ["/", "shop"])] }, ["HTTP:80 *.example.com/ -> shop 8080"]],
  [
    "an empty path is /",
    { rules: [rule("a.example.com", ["", "shop", 80, "ImplementationSpecific"])] },
    ["HTTP:80 a.example.com/ -> shop 8080"],
  ],
  [
    "a prefix is passed on word for word",
    { rules: [rule("a.example.com", ["/api/", "shop"])] },
    ["HTTP:80 a.example.com/api/ -> shop 8080"],
  ],
  ["an exact path", { rules: [rule("a.example.com", ["/login", "shop", 80, "Exact"])] }, ["HTTP:80 a.example.com=/login -> shop 8080"]],
  ["a port by its name", { rules: [rule("a.example.com", ["/", "shop", "http"])] }, ["HTTP:80 a.example.com/ -> shop 8080"]],
  ["a named target port", { rules: [rule("a.example.com", ["/", "named"])] }, ["HTTP:80 a.example.com/ -> named web"]],
  [
    "several Services behind one host",
    { rules: [rule("a.example.com", ["/", "shop"], ["/cart", "cart"])] },
    ["HTTP:80 a.example.com/ -> shop 8080", "HTTP:80 a.example.com/cart -> cart 8080"],
  ],
  [
    "a Service that does not exist",
    { rules: [rule("a.example.com", ["/", "shop"], ["/x", "gone"])] },
    ["HTTP:80 a.example.com/ -> shop 8080"],
    ["RuleRefused E4041"],
  ],
  [
    "a port that does not exist",
    { rules: [rule("a.example.com", ["/", "shop"], ["/x", "cart", 81])] },
    ["HTTP:80 a.example.com/ -> shop 8080"],
    ["RuleRefused E4042"],
  ],
  [
    "a Service without selector",
    { rules: [rule("a.example.com", ["/", "shop"], ["/x", "bare"])] },
    ["HTTP:80 a.example.com/ -> shop 8080"],
    ["RuleRefused"],
  ],
  [
    "a backend that is no Service",
    {
      rules: [
        rule("a.example.com", ["/", "shop"]),
        { host: "b.example.com", paths: [{ path: "/", pathType: "Prefix", backend: { service: undefined, port: 0 } }] },
      ],
    },
    ["HTTP:80 a.example.com/ -> shop 8080"],
    ["RuleRefused"],
  ],
  [
    "a rule without paths",
    { rules: [rule("a.example.com", ["/", "shop"]), { host: "b.example.com", paths: undefined }] },
    ["HTTP:80 a.example.com/ -> shop 8080"],
    ["RuleRefused E4013"],
  ],
  [
    "a path that is too long",
    { rules: [rule("a.example.com", ["/", "shop"], [`/${"x".repeat(200)}`, "shop"])] },
    ["HTTP:80 a.example.com/ -> shop 8080"],
    ["RuleRefused E4031"],
  ],
  [
    "paths with a blank, and with what is no visible ASCII",
    { rules: [rule("a.example.com", ["/", "shop"], ["/a b", "shop"], ["/\u00fc", "shop"], ["/\u0007", "shop"])] },
    ["HTTP:80 a.example.com/ -> shop 8080"],
    ["RuleRefused E4031", "RuleRefused E4031", "RuleRefused E4031"],
  ],
  [
    "a host that is too long",
    { rules: [rule("a.example.com", ["/", "shop"]), rule(`${"x".repeat(40)}.${"y".repeat(40)}`, ["/", "shop"])] },
    ["HTTP:80 a.example.com/ -> shop 8080"],
    ["RuleRefused E4052"],
  ],
  [
    "a type of path that nobody knows",
    { rules: [rule("a.example.com", ["/", "shop"], ["/x", "shop", 80, "Regex"])] },
    ["HTTP:80 a.example.com/ -> shop 8080"],
    ["RuleRefused E4031"],
  ],
  [
    "the same rule twice: the first one counts",
    { rules: [rule("a.example.com", ["/", "shop"], ["/", "cart"])] },
    ["HTTP:80 a.example.com/ -> shop 8080"],
    ["RuleRefused"],
  ],
  ["a default backend alone", { rules: [], defaultBackend: { service: "shop", port: 80 } }, ["HTTP:80 / -> shop 8080"]],
  [
    "a default backend gets what no rule has",
    { rules: [rule("a.example.com", ["/cart", "cart"])], defaultBackend: { service: "shop", port: 80 } },
    ["HTTP:80 a.example.com/cart -> cart 8080", "HTTP:80 / -> shop 8080", "HTTP:80 a.example.com/ -> shop 8080"],
  ],
  [
    "a default backend takes nothing that a rule has",
    { rules: [rule("a.example.com", ["/", "cart"])], defaultBackend: { service: "shop", port: 80 } },
    ["HTTP:80 a.example.com/ -> cart 8080", "HTTP:80 / -> shop 8080"],
  ],
  [
    "listeners by listen-ports",
    { annotations: { [`${TKE}listen-ports`]: '[{"HTTP":8080},{"HTTP":80}]' } },
    ["HTTP:8080 shop.example.com/ -> shop 8080", "HTTP:80 shop.example.com/ -> shop 8080"],
  ],
  [
    "both protocols by listen-ports",
    { ...WITH_TLS, annotations: { [`${TKE}listen-ports`]: '[{"HTTP":80},{"HTTPS":8443}]' } },
    ["HTTP:80 shop.example.com/ -> shop 8080", "HTTPS:8443 shop.example.com/ -> shop 8080 (cert)"],
  ],
  [
    "HTTPS by listen-ports without a certificate",
    { annotations: { [`${TKE}listen-ports`]: '[{"HTTP":80},{"HTTPS":443}]' } },
    ["HTTP:80 shop.example.com/ -> shop 8080"],
    ["RuleRefused E4040"],
  ],
  [
    "every rule at both",
    { ...WITH_TLS, annotations: { [`${OLD}rule-mix-both`]: "true" } },
    ["HTTP:80 shop.example.com/ -> shop 8080", "HTTPS:443 shop.example.com/ -> shop 8080 (cert)"],
  ],
  [
    "mixed by lists",
    {
      ...TWO,
      ...WITH_TLS,
      annotations: {
        [`${OLD}rule-mix`]: "true",
        [`${OLD}http-rules`]: JSON.stringify([listed("a.example.com", "shop")]),
        [`${OLD}https-rules`]: JSON.stringify([listed("b.example.com", "cart", 80)]),
      },
    },
    ["HTTP:80 a.example.com/ -> shop 8080", "HTTPS:443 b.example.com/ -> cart 8080 (cert)"],
  ],
  [
    "mixed: a rule in both lists",
    {
      ...WITH_TLS,
      annotations: {
        [`${OLD}rule-mix`]: "true",
        [`${OLD}http-rules`]: JSON.stringify([listed("shop.example.com", "shop")]),
        [`${OLD}https-rules`]: JSON.stringify([listed("shop.example.com", "shop")]),
      },
    },
    ["HTTP:80 shop.example.com/ -> shop 8080", "HTTPS:443 shop.example.com/ -> shop 8080 (cert)"],
  ],
  [
    "mixed: a rule in neither list is served over HTTPS",
    { ...WITH_TLS, annotations: { [`${OLD}rule-mix`]: "true", [`${OLD}http-rules`]: "null", [`${OLD}https-rules`]: "null" } },
    ["HTTPS:443 shop.example.com/ -> shop 8080 (cert)"],
  ],
  [
    "mixed: host inside of the backend, for HTTP",
    {
      ...WITH_TLS,
      annotations: {
        [`${OLD}rule-mix`]: "true",
        [`${OLD}http-rules`]: '[{"path":"/","backend":{"host":"shop.example.com","serviceName":"shop","servicePort":"80"}}]',
      },
    },
    ["HTTPS:443 shop.example.com/ -> shop 8080 (cert)"],
    ["RuleRefused"],
  ],
  [
    "mixed: host inside of the backend, as in an official sample",
    {
      ...WITH_TLS,
      annotations: {
        [`${OLD}rule-mix`]: "true",
        [`${OLD}https-rules`]: '[{"path":"/","backend":{"host":"shop.example.com","serviceName":"shop","servicePort":"80"}}]',
      },
    },
    ["HTTPS:443 shop.example.com/ -> shop 8080 (cert)"],
  ],
  [
    "lists without rule-mix do not count",
    {
      annotations: {
        [`${OLD}rule-mix`]: "false",
        [`${OLD}http-rules`]: "null",
        [`${OLD}https-rules`]: JSON.stringify([listed("shop.example.com", "shop")]),
      },
    },
    ["HTTP:80 shop.example.com/ -> shop 8080"],
  ],
  [
    "a certificate for each host",
    {
      ...TWO,
      tls: [
        { hosts: ["a.example.com"], secretName: "one" },
        { hosts: ["b.example.com"], secretName: "two" },
      ],
    },
    ["HTTPS:443 a.example.com/ -> shop 8080 (one)", "HTTPS:443 b.example.com/ -> cart 8080 (two)"],
  ],
  [
    "a certificate of a wildcard",
    {
      ...TWO,
      tls: [
        { hosts: ["*.example.com"], secretName: "wild" },
        { hosts: ["b.example.com"], secretName: "two" },
      ],
    },
    ["HTTPS:443 a.example.com/ -> shop 8080 (wild)", "HTTPS:443 b.example.com/ -> cart 8080 (two)"],
  ],
  [
    "a host without certificate",
    { ...TWO, tls: [{ hosts: ["a.example.com"], secretName: "one" }] },
    ["HTTPS:443 a.example.com/ -> shop 8080 (one)"],
    ["RuleRefused E4040"],
  ],
  [
    "two certificates for one host",
    {
      tls: [
        { hosts: ["shop.example.com"], secretName: "one" },
        { hosts: ["shop.example.com"], secretName: "two" },
      ],
    },
    ["HTTPS:443 shop.example.com/ -> shop 8080 (one)"],
    ["RuleRefused E4049"],
  ],
  [
    "two certificates for all hosts",
    {
      tls: [
        { hosts: [], secretName: "one" },
        { hosts: [], secretName: "two" },
      ],
    },
    ["HTTPS:443 shop.example.com/ -> shop 8080 (one)"],
    ["RuleRefused E4048"],
  ],
  [
    "no name of a Secret",
    {
      tls: [
        { hosts: ["shop.example.com"], secretName: "" },
        { hosts: [], secretName: "two" },
      ],
    },
    ["HTTPS:443 shop.example.com/ -> shop 8080 (two)"],
    ["RuleRefused E4009"],
  ],
  [
    "certificates by their ids",
    { annotations: { [`${TKE}certificate`]: '[{"hosts":["shop.example.com"],"qcloud_cert_id":["abcd1234","efgh5678"]}]' } },
    ["HTTPS:443 shop.example.com/ -> shop 8080 (abcd1234+efgh5678)"],
  ],
];

for (const [name, change, rules, reasons = []] of RULES)
  test(`rules: ${name}`, () => {
    const reading = read(change);
    assert.deepEqual(rulesOf(reading.intent), rules);
    assert.deepEqual(reasonsOf(reading), reasons);
  });

const FAULTS: readonly (readonly [name: string, change: Partial<IngressRecord>, reason: string, words: RegExp])[] = [
  ["direct-access", { annotations: { [`${TKE}direct-access`]: "yes" } }, "InvalidDirectAccess", /IngressErrorCode\{Code:"E4037"/],
  ["rule-mix", { annotations: { [`${OLD}rule-mix`]: "1" } }, "InvalidAnnotation", /E4044/],
  ["http-rules", { annotations: { [`${OLD}http-rules`]: "[{]" } }, "InvalidAnnotation", /E4022/],
  ["https-rules", { annotations: { [`${OLD}https-rules`]: '[{"host":1}]' } }, "InvalidAnnotation", /E4023/],
  [
    "https-rules without backend",
    { annotations: { [`${OLD}https-rules`]: '[{"host":"a"}]' } },
    "InvalidAnnotation",
    /neither backend nor rewrite/,
  ],
  ["listen-ports", { annotations: { [`${TKE}listen-ports`]: '[{"TCP":80}]' } }, "InvalidAnnotation", /use \{"HTTP":port\}/],
  ["listen-ports, twice", { annotations: { [`${TKE}listen-ports`]: '[{"HTTP":80},{"HTTPS":80}]' } }, "InvalidAnnotation", /there twice/],
  ["existLbId", { annotations: { [`${OLD}existLbId`]: "mine" } }, "InvalidLoadBalancerId", /E4018/],
  ["certificate", { annotations: { [`${TKE}certificate`]: "[]" } }, "InvalidAnnotation", /use a JSON array/],
  [
    "certificate and TLS",
    { ...WITH_TLS, annotations: { [`${TKE}certificate`]: '[{"qcloud_cert_id":["abcd1234"]}]' } },
    "InvalidAnnotation",
    /exclude each other/,
  ],
  [
    "rule-mix and rule-mix-both",
    { annotations: { [`${OLD}rule-mix`]: "true", [`${OLD}rule-mix-both`]: "true" } },
    "InvalidAnnotation",
    /exclude each other/,
  ],
  [
    "cross-region-id",
    { annotations: { [`${TKE}cross-region-id`]: "ap-chengdu" } },
    "NotSupported",
    /is refused, and so the Ingress is not served/,
  ],
  ["nothing to serve", { rules: [] }, "NotServed", /no rules and no defaultBackend/],
  ["nothing that can be served", { rules: [rule("a.example.com", ["/", "gone"])] }, "NotServed", /its other Events say why/],
];
for (const [name, change, reason, words] of FAULTS)
  test(`fault: ${name}`, () => {
    const { intent, fault } = read(change);
    assert.equal(intent, undefined);
    assert.equal(fault?.reason, reason);
    assert.match(fault?.message ?? "", words);
  });

test("a rule whose Service is missing keeps the backends that it has, and says so", () => {
  const { intent: former } = read({});
  const later = readIngress(anIngress(), { service: () => undefined, former });
  assert.deepEqual(rulesOf(later.intent), ["HTTP:80 shop.example.com/ -> shop 8080"]);
  assert.match(later.warnings[0]?.message ?? "", /E4041.*keeps the backends/);
});

test("what it asks of its load balancer", () => {
  const { intent } = read({
    annotations: {
      [`${OLD}existLbId`]: "lb-user",
      [`${TKE}security-groups`]: "sg-1,sg-2",
      [`${TKE}pass-to-target`]: "true",
      [`${TKE}loadbalance-retain`]: "true",
      [`${TKE}tke-service-config`]: "shop",
      [`${TKE}lb-rs-weight`]: '{"defaultWeight":20,"groups":[{"key":{"proto":"HTTP","port":80},"statefulSets":[]}]}',
    },
  });
  assert.deepEqual(intent?.source, { kind: "existing", loadBalancerId: "lb-user" });
  assert.deepEqual(intent?.settings, { securityGroups: ["sg-1", "sg-2"], passToTarget: true });
  assert.deepEqual([intent?.retain, intent?.configName, intent?.weights?.byDefault], [true, "shop", 20]);
});

test("keys of Services and unknown ones are told, and it is served", () => {
  const { intent, warnings } = read({ annotations: { "service.cloud.tencent.com/direct-access": "true", [`${TKE}direct-acces`]: "true" } });
  assert.ok(intent);
  assert.deepEqual(
    warnings.map(({ type, reason }) => `${type} ${reason}`),
    ["Normal NoEffect", "Warning UnknownAnnotation"],
  );
});
