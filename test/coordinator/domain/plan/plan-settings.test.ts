import assert from "node:assert/strict";
import { test } from "node:test";
import type { WantedListener } from "../../../../coordinator/domain/intent/desired-load-balancer.ts";
import type { LoadBalancerSettings } from "../../../../coordinator/domain/load-balancer.ts";
import { planLoadBalancer } from "../../../../coordinator/domain/plan/plan-load-balancer.ts";
import { aBackend, aDesired, aListener, aLoadBalancer, CLUSTER, LISTENER_NAME, SERVICE_UID } from "../../../builders.ts";

const wanted: WantedListener = {
  name: LISTENER_NAME,
  owner: { kind: "Service", namespace: "demo", name: "web", uid: SERVICE_UID },
  protocol: "TCP",
  port: 80,
  healthCheck: {},
  backends: [aBackend()],
  standings: [],
};
const calls = (settings: Partial<LoadBalancerSettings>, has: Partial<LoadBalancerSettings>, listens = false) =>
  planLoadBalancer({
    clusterId: CLUSTER,
    desired: aDesired({ listeners: [wanted], settings }),
    actual: aLoadBalancer({ settings: has, listeners: listens ? [aListener()] : [] }),
    holderOf: () => ({ kind: "live", podUid: "pod-1" }),
    serving: () => false,
    drained: () => false,
  }).calls.map((call) => ("loadBalancer" in call ? call.loadBalancer : "create" in call ? "create" : call.lane));

test("nothing listens before the load balancer has its security groups", () => {
  assert.deepEqual(calls({ securityGroups: ["sg-1"] }, { securityGroups: [] }), [{ securityGroups: ["sg-1"] }]);
  assert.deepEqual(calls({ securityGroups: ["sg-1"] }, { securityGroups: ["sg-1"] }), ["create"]);
});

test("what listens already goes on being served while its security groups change", () => {
  assert.deepEqual(calls({ securityGroups: ["sg-2"] }, { securityGroups: ["sg-1"] }, true), [{ securityGroups: ["sg-2"] }, "bind"]);
});

test("only what differs is changed, security groups in a call of their own, and their order counts", () => {
  const has = { securityGroups: ["sg-1", "sg-2"], passToTarget: false, deleteProtect: true };
  assert.deepEqual(calls({ securityGroups: ["sg-2", "sg-1"], passToTarget: true, deleteProtect: true }, has, true).slice(0, 2), [
    { securityGroups: ["sg-2", "sg-1"] },
    { passToTarget: true },
  ]);
});
