import assert from "node:assert/strict";
import { test } from "node:test";
import { listenerName } from "../../../common/names.ts";
import { changedCondition, notReady, readinessAt } from "../../../coordinator/owners/ready-condition.ts";
import { aListener, aLoadBalancer, anIntent, aService, CLUSTER } from "../../builders.ts";

const NOW = "2026-11-26T10:00:00Z";
const service = aService();
const at = (...names: string[]) =>
  readinessAt(CLUSTER, service, anIntent(service), aLoadBalancer({ listeners: names.map((name) => aListener({ name })) }));
const own = (protocol: string, port: number): string => listenerName(CLUSTER, service.uid, protocol, port);

test("ready when a listener stands for each port, and none of former ports is left", () => {
  assert.equal(at().status, "False");
  assert.deepEqual([at(own("TCP", 80)).status, at(own("TCP", 80)).reason], ["True", "Success"]);
  assert.equal(at(own("TCP", 80), own("TCP", 81)).status, "False");
  assert.equal(at(own("TCP", 80), "theirs").status, "True");
});

test("the reason is TKE's code where the message carries one, else ours", () => {
  const message = 'ServiceErrorCode{Code:"E4018",Message:"…",Retry:false}';
  assert.equal(notReady({ reason: "LoadBalancerNotFound", message }).reason, "E4018");
  assert.equal(notReady({ reason: "NotSupported", message: "no code" }).reason, "NotSupported");
});

test("it is written only when it says something else, for a new generation as well, and its time is that of the last transition", () => {
  const ready = { status: "True", reason: "Success", message: "m", observedGeneration: 1, since: "2026-01-01T00:00:00Z" };
  const wanted = { status: "True", reason: "Success", message: "m" } as const;
  assert.equal(changedCondition({ ready, generation: 1 }, wanted, NOW), undefined);
  assert.deepEqual(changedCondition({ ready, generation: 2 }, wanted, NOW), {
    type: "Ready",
    ...wanted,
    lastTransitionTime: ready.since,
    observedGeneration: 2,
  });
  const fallen = changedCondition({ ready, generation: 1 }, { ...wanted, status: "False" }, NOW);
  assert.equal(fallen && Reflect.get(fallen, "lastTransitionTime"), NOW);
  assert.notEqual(changedCondition({ ready: undefined, generation: undefined }, wanted, NOW), undefined);
});
