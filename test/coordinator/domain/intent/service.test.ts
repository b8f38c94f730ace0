import assert from "node:assert/strict";
import { test } from "node:test";
import { ownershipOf, readService, type ServiceRecord, selects } from "../../../../coordinator/domain/intent/service.ts";
import { aService } from "../../../builders.ts";

const ACCESS = "service.cloud.tencent.com/direct-access";
const MANAGED = { "clb-direct.io/managed": "true" };
const OURS = ["clb-direct.io/load-balancer"];
const TKE = ["service.k8s.tencent/resources"];
const OUR_CLASS = "clb-direct.io/clb";
const asked = { [ACCESS]: "true" };

const OWNERS: readonly (readonly [title: string, change: Partial<ServiceRecord>, byClass: string, byAnnotation: string])[] = [
  ["the annotation alone", { annotations: asked }, "none", "ours"],
  ["no annotation", { annotations: {} }, "none", "none"],
  ["the annotation set to false", { annotations: { [ACCESS]: "false" } }, "none", "none"],
  ["a malformed annotation", { annotations: { [ACCESS]: "yes" } }, "none", "ours"],
  ["our class", { loadBalancerClass: OUR_CLASS }, "ours", "ours"],
  ["our class without the annotation", { loadBalancerClass: OUR_CLASS, annotations: {} }, "type", "type"],
  ["our class, and the annotation set to false", { loadBalancerClass: OUR_CLASS, annotations: { [ACCESS]: "false" } }, "type", "type"],
  ["another's class", { loadBalancerClass: "example.com/lb" }, "none", "foreign"],
  ["the take-over marker", { annotations: { ...asked, ...MANAGED } }, "ours", "ours"],
  ["a take-over marker that is not true", { annotations: { ...asked, "clb-direct.io/managed": "no" } }, "none", "ours"],
  ["another type", { type: "ClusterIP" }, "none", "none"],
  ["a Service that is being deleted and never was ours", { deleting: true }, "none", "none"],
  ["our finalizer", { finalizers: OURS, annotations: {} }, "ours", "ours"],
  ["our finalizer on one that is being deleted", { finalizers: OURS, deleting: true }, "deleted", "deleted"],
  ["our finalizer on one that is no LoadBalancer any more", { finalizers: OURS, type: "ClusterIP" }, "deleted", "deleted"],
  ["our finalizer beside TKE's", { finalizers: [...TKE, ...OURS] }, "ours", "ours"],
  ["TKE's finalizer", { finalizers: TKE, loadBalancerClass: OUR_CLASS }, "foreign", "foreign"],
  ["TKE's finalizer on one that we do not want", { finalizers: TKE, annotations: {} }, "none", "none"],
  [
    "a load balancer's id that somebody else wrote",
    { loadBalancerClass: OUR_CLASS, annotations: { ...asked, "service.kubernetes.io/loadbalance-id": "lb-1" } },
    "foreign",
    "foreign",
  ],
];

for (const [title, change, byClass, byAnnotation] of OWNERS)
  test(`whose Service: ${title}`, () => {
    assert.equal(ownershipOf(aService(change), "class").kind, byClass);
    assert.equal(ownershipOf(aService(change), "annotation").kind, byAnnotation);
  });

test("says by which mark another controller has the Service", () => {
  const because = (change: Partial<ServiceRecord>): string => {
    const owner = ownershipOf(aService(change), "annotation");
    return owner.kind === "foreign" ? owner.because : "";
  };
  assert.match(because({ finalizers: TKE }), /service\.k8s\.tencent\/resources/);
  assert.match(
    because({ annotations: { ...asked, "service.kubernetes.io/loadbalance-id": "lb-1" } }),
    /service\.kubernetes\.io\/loadbalance-id/,
  );
});

test("reads what a valid Service asks for", () => {
  const service = aService({
    annotations: { ...asked, "service.cloud.tencent.com/tke-service-config": "checks" },
    ports: [
      { name: "http", protocol: "TCP", port: 80, targetPort: "http" },
      { name: "dns", protocol: "UDP", port: 53, targetPort: 5353 },
    ],
  });
  assert.deepEqual(readService(service), {
    intent: {
      service: { kind: "Service", namespace: "demo", name: "web", uid: service.uid },
      source: { kind: "create", subnetId: undefined },
      selector: { app: "web" },
      ports: [
        { protocol: "TCP", port: 80, targetPort: "http" },
        { protocol: "UDP", port: 53, targetPort: 5353 },
      ],
      unserved: [],
      configName: "checks",
    },
    warnings: [],
  });
});

test("reads where the load balancer comes from", () => {
  const source = (annotations: Record<string, string>) =>
    readService(aService({ annotations: { ...asked, ...annotations } })).intent?.source;
  const subnet = { "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid": "subnet-1" };
  assert.deepEqual(source(subnet), { kind: "create", subnetId: "subnet-1" });
  assert.deepEqual(source({ ...subnet, "service.kubernetes.io/tke-existed-lbid": "lb-1a2b3c4d" }), {
    kind: "existing",
    loadBalancerId: "lb-1a2b3c4d",
  });
});

/** Every message names the object, the field, the value where there is one, and the fix. */
const FAULTS: readonly (readonly [
  title: string,
  change: Partial<ServiceRecord>,
  reason: string,
  served: boolean,
  says: readonly string[],
])[] = [
  [
    "a malformed annotation",
    { annotations: { [ACCESS]: "yes" } },
    "InvalidDirectAccess",
    false,
    ["demo/web", ACCESS, '"yes"', 'use "true" or "false"', "E4037"],
  ],
  ["an empty annotation", { annotations: { [ACCESS]: "" } }, "InvalidDirectAccess", false, [ACCESS, '""']],
  [
    "the annotation taken away",
    { annotations: {} },
    "DirectAccessRemoved",
    true,
    ["demo/web", ACCESS, "gone", "stay bound", "delete the Service"],
  ],
  [
    "the annotation set to false",
    { annotations: { [ACCESS]: "false" } },
    "DirectAccessRemoved",
    true,
    ["demo/web", ACCESS, '"false"', 'set it to "true"'],
  ],
  ["no selector", { selector: {} }, "NoSelector", false, ["demo/web", "spec.selector", "add a selector"]],
  ...["lb_1", "LB-1", "lb-", "lb-1 ", "1a2b3c4d", ""].map(
    (value) =>
      [
        `"${value}" as the id of a load balancer`,
        { annotations: { ...asked, "service.kubernetes.io/tke-existed-lbid": value } },
        "InvalidLoadBalancerId",
        false,
        ["demo/web", "service.kubernetes.io/tke-existed-lbid", `"${value}"`, "lb-1a2b3c4d", "E4018"],
      ] as const,
  ),
  [
    "a Service of which nothing can be served",
    { ports: [{ name: "", protocol: "SCTP", port: 132, targetPort: 132 }] },
    "NotServed",
    false,
    ["demo/web", "port 132", "SCTP", "use TCP or UDP"],
  ],
];

for (const [title, change, reason, served, says] of FAULTS)
  test(`tells of ${title}`, () => {
    const { intent, warnings } = readService(aService(change));
    assert.deepEqual(
      warnings.map((warning) => [warning.type, warning.reason, warning.object.kind]),
      [["Warning", reason, "Service"]],
    );
    for (const part of says) assert.ok(warnings[0]?.message.includes(part), `"${warnings[0]?.message}" lacks ${part}`);
    assert.equal(intent !== undefined, served);
  });

test("a port that cannot be served does not keep the others from being served", () => {
  const ports = [
    { name: "a", protocol: "SCTP", port: 132, targetPort: 132 },
    { name: "b", protocol: "TCP", port: 80, targetPort: 8080 },
  ];
  const { intent, warnings } = readService(aService({ ports }));
  assert.deepEqual(intent?.ports, [{ protocol: "TCP", port: 80, targetPort: 8080 }]);
  assert.deepEqual(
    warnings.map(({ reason }) => reason),
    ["UnsupportedProtocol"],
  );
});

test("tells both of a removed annotation and of a missing selector; the fault is what keeps it from being served", () => {
  const { warnings, fault } = readService(aService({ annotations: {}, selector: {} }));
  assert.deepEqual(
    warnings.map(({ reason }) => reason),
    ["DirectAccessRemoved", "NoSelector"],
  );
  assert.deepEqual(fault, { reason: "NoSelector", message: warnings[1]?.message });
});

test("a selector matches a Pod that has every label; an empty one matches none", () => {
  assert.equal(selects({ app: "web" }, { app: "web", tier: "front" }), true);
  assert.equal(selects({ app: "web", tier: "back" }, { app: "web", tier: "front" }), false);
  assert.equal(selects({ app: "web" }, {}), false);
  assert.equal(selects({}, { app: "web" }), false);
});

test("a Service that this process serves stays ours although our finalizer was removed by hand", () => {
  const bare = aService({
    annotations: { "service.cloud.tencent.com/direct-access": "true", "service.kubernetes.io/loadbalance-id": "lb-1" },
  });
  assert.equal(ownershipOf(bare, "annotation").kind, "foreign");
  assert.equal(ownershipOf(bare, "annotation", true).kind, "ours");
  assert.equal(ownershipOf({ ...bare, deleting: true }, "annotation", true).kind, "deleted");
});
