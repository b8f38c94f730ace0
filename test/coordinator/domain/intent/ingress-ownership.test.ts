import assert from "node:assert/strict";
import { test } from "node:test";
import { type IngressClasses, ingressOwnership, isOfTke } from "../../../../coordinator/domain/intent/ingress-ownership.ts";
import type { IngressRecord } from "../../../../coordinator/domain/intent/ingress-record.ts";
import { anIngress } from "./ingress-builders.ts";

const ACCESS = "ingress.cloud.tencent.com/direct-access";
const CLASS = "kubernetes.io/ingress.class";
const FINALIZER = "clb-direct.io/load-balancer";
const classes: IngressClasses = {
  mode: "annotation",
  tke: ["qcloud"],
  classless: false,
  isOurs: (name) => name === "clb-direct",
  isOthers: (name) => name === "nginx",
};
const kind = (change: Partial<IngressRecord>, other: Partial<IngressClasses> = {}, served = false): string =>
  ingressOwnership({ ...anIngress(), ...change }, { ...classes, ...other }, served).kind;
const byAnnotation = (name: string, access = "true") => ({ className: undefined, annotations: { [CLASS]: name, [ACCESS]: access } });

test("with OWNERSHIP=annotation Ingresses of TKE's class with direct access are ours, however the class is written", () => {
  assert.equal(kind({}), "ours");
  assert.equal(kind(byAnnotation("qcloud")), "ours");
  assert.equal(kind({ annotations: {} }), "none");
  assert.equal(kind({ annotations: { [ACCESS]: "false" } }), "none");
  assert.equal(kind({}, { mode: "class" }), "none");
  assert.equal(kind({ className: "nginx" }), "none");
  assert.equal(kind({ annotations: { [ACCESS]: "yes" } }), "ours", "a bad value is told");
});

test("without a class only where that is switched on", () => {
  const bare = { className: undefined };
  assert.equal(kind(bare), "none");
  assert.equal(kind(bare, { classless: true }), "ours");
  assert.equal(kind(bare, { classless: true, mode: "class" }), "none");
});

test("an IngressClass of our controller needs no other word, and the take-over marker is one", () => {
  assert.equal(kind({ className: "clb-direct", annotations: {} }, { mode: "class" }), "ours");
  assert.equal(kind({ className: undefined, annotations: { [CLASS]: "clb-direct" } }, { mode: "class" }), "ours");
  assert.equal(kind({ annotations: { [ACCESS]: "true", "clb-direct.io/managed": "true" } }, { mode: "class" }), "ours");
});

test("what is ours stays ours until it is deleted or given another controller's class, whatever becomes of the IngressClass", () => {
  const held = { finalizers: [FINALIZER] };
  assert.equal(kind({ ...held, annotations: {} }), "ours");
  const given = (servedClass?: string) => ingressOwnership({ ...anIngress(), ...held, className: "nginx" }, classes, true, servedClass);
  assert.equal(given("qcloud").kind, "deleted", "a person gave it another class");
  assert.equal(given("").kind, "deleted", "it had none");
  for (const servedClass of ["nginx", undefined])
    assert.match(
      JSON.stringify(given(servedClass)),
      /"kind":"ours","isLeft":true,.*another controller's now/,
      "the class was made anew, or nobody knows",
    );
  assert.equal(kind({ ...held, className: "unheard-of" }), "ours", "a class that is merely missing says nothing");
  assert.equal(kind({ ...held, className: undefined }), "ours");
  assert.equal(kind(held, { mode: "class" }), "ours", "OWNERSHIP was changed: no load balancer goes for that");
  assert.equal(kind(held, { mode: "class", isOthers: () => true }, true), "ours", "also where TKE has an IngressClass of that name");
  assert.match(
    JSON.stringify(ingressOwnership({ ...anIngress(), ...held }, { ...classes, mode: "class" })),
    /is TKE's as this coordinator/,
  );
  assert.equal(kind({ ...held, deleting: true }), "deleted");
  assert.equal(kind({ deleting: true }), "none");
  assert.equal(kind({ deleting: true }, {}, true), "deleted");
});

test("another controller's load balancer, and a person's word, are left alone", () => {
  const annotations = { [ACCESS]: "true", "kubernetes.io/ingress.qcloud-loadbalance-id": "lb-1" };
  assert.equal(kind({ annotations }), "foreign");
  assert.equal(kind({ annotations, finalizers: [FINALIZER] }), "ours");
  assert.equal(kind({ annotations: { [ACCESS]: "true", "ingress.cloud.tencent.com/mode": "skip" } }), "skip");
});

test("TKE serves its own class and what has none", () => {
  assert.deepEqual(
    [{}, { className: undefined }, { className: "nginx" }, { annotations: {} }].map((change) =>
      isOfTke({ ...anIngress(), ...change }, classes),
    ),
    [true, true, false, false],
  );
});
