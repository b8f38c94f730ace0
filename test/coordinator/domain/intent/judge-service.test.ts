import assert from "node:assert/strict";
import { test } from "node:test";
import { nearestKey } from "../../../../coordinator/domain/intent/annotations.ts";
import { ownershipOf, readService, type ServiceRecord } from "../../../../coordinator/domain/intent/service.ts";
import { ANNOTATIONS } from "../../../../coordinator/domain/intent/service-annotations.ts";
import { aService } from "../../../builders.ts";

const asked = { "service.cloud.tencent.com/direct-access": "true" };
const withKeys = (annotations: Readonly<Record<string, string>>): ServiceRecord => aService({ annotations: { ...asked, ...annotations } });
const told = (service: ServiceRecord): string[] => readService(service).warnings.map(({ type, reason }) => `${type} ${reason}`);

test("each known key is told by its verdict, and none is without a word", () => {
  const silent = ANNOTATIONS.flatMap((one) => {
    if (one.on === "Service" && (one.verdict === "honoured" || one.verdict === "written")) return [];
    const { intent, warnings } = readService(withKeys({ [one.key]: one.fault?.("true") === undefined ? "true" : "1" }));
    const isHeard = warnings.some(({ message }) => message.includes(one.key) && message.includes("demo/web"));
    const isRefusal = one.on === "Service" && one.verdict === "refused";
    return isHeard && (intent === undefined || !isRefusal) ? [] : one.key;
  });
  assert.deepEqual(silent, []);
});

test("a key that nobody knows is told with the nearest known spelling; one of others is nobody's business", () => {
  const [warning] = readService(withKeys({ "service.cloud.tencent.com/secuirty-groups": "sg-1" })).warnings;
  assert.equal(warning?.reason, "UnknownAnnotation");
  assert.match(warning.message, /secuirty-groups is not known and has no effect: is service\.cloud\.tencent\.com\/security-groups meant\?/);
  const known = ANNOTATIONS.map(({ key }) => key);
  assert.equal(nearestKey("service.kubernetes.io/tke-existed-lb-id", known), "service.kubernetes.io/tke-existed-lbid");
  assert.equal(nearestKey("service.cloud.tencent.com/tke-existed-lbid", known), "service.kubernetes.io/tke-existed-lbid");
  assert.equal(nearestKey("service.cloud.tencent.com/entirely-different-thing", known), undefined);
});

test("what can never be kept is refused by name, and what is refused has no intent", () => {
  const refused: readonly Partial<ServiceRecord>[] = [
    { sourceRanges: ["10.0.0.0/8"] },
    { loadBalancerIp: "198.18.0.9" },
    { annotations: { ...asked, "service.cloud.tencent.com/target-groups": "[]" } },
    { annotations: { ...asked, "service.cloud.tencent.com/cross-region-id": "ap-beijing" } },
    { annotations: { ...asked, "service.cloud.tencent.com/hybrid-type": "CCN" } },
    { annotations: { ...asked, "service.kubernetes.io/loadbalance-type": "classic" } },
  ];
  for (const change of refused) {
    const reading = readService(aService(change));
    assert.equal(reading.intent, undefined);
    assert.equal(reading.fault?.reason, "NotSupported");
    assert.match(reading.fault.message, /Service demo\/web: .* is refused, and so the Service is not served/);
  }
  assert.notEqual(readService(withKeys({ "service.kubernetes.io/loadbalance-type": "yunapiv3_forward_clb" })).intent, undefined);
});

test("a bad value names key, value and fix, with TKE's code, and keeps the Service from being read", () => {
  const { intent, fault } = readService(withKeys({ "service.kubernetes.io/qcloud-loadbalancer-internet-max-bandwidth-out": "4096" }));
  assert.equal(intent, undefined);
  assert.equal(fault?.reason, "InvalidAnnotation");
  assert.match(fault.message, /Code:"E4046".*max-bandwidth-out is "4096": use a whole number from 1 to 2048/);
});

test("mode skip stands down, unless our marker says that it is addressed to TKE; it holds for one that is being deleted as well", () => {
  const skip = { "service.cloud.tencent.com/mode": "skip" };
  const finalizers = ["clb-direct.io/load-balancer"];
  assert.equal(ownershipOf(withKeys(skip), "annotation").kind, "skip");
  assert.equal(ownershipOf({ ...withKeys(skip), finalizers, deleting: true }, "class").kind, "skip");
  assert.equal(ownershipOf(withKeys(skip), "class").kind, "none");
  const ours = withKeys({ ...skip, "clb-direct.io/managed": "true" });
  assert.equal(ownershipOf(ours, "class").kind, "ours");
  assert.deepEqual(told(ours), []);
});

test("a Service that can never have a load balancer is told so where it asks or is meant", () => {
  const kind = (change: Partial<ServiceRecord>): string => ownershipOf(aService(change), "annotation").kind;
  assert.equal(kind({ type: "ExternalName" }), "type");
  assert.equal(kind({ type: "ClusterIP", isHeadless: true }), "type");
  assert.equal(kind({ type: "ClusterIP" }), "none"); // an Ingress may use it
  assert.equal(kind({ type: "ClusterIP", annotations: { ...asked, "clb-direct.io/managed": "true" } }), "type");
  assert.equal(kind({ type: "ExternalName", annotations: {} }), "none");
});

test("persistence that kube-proxy alone would keep is told", () => {
  assert.deepEqual(told(aService({ sessionAffinity: "ClientIP" })), ["Normal NoEffect"]);
});
