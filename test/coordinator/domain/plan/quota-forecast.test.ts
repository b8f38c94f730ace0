import assert from "node:assert/strict";
import { test } from "node:test";
import { type Quotas, quotaShortages } from "../../../../coordinator/domain/plan/quota-forecast.ts";
import { aBackend, aDesired, aListener, aLoadBalancer, aWantedHttpListener, aWantedRule } from "../../../builders.ts";

const NONE: Quotas = { listenersPerLoadBalancer: undefined, rulesPerListener: undefined, targetsPerPlace: undefined };
const backends = (count: number) => Array.from({ length: count }, (_, n) => aBackend({ ip: `10.244.1.${n}` }));
const rules = [0, 1, 2].map((n) => aWantedRule({ url: `/${n}`, backends: backends(n + 1) }));
const flat = aWantedHttpListener({ name: "flat", protocol: "TCP", port: 81, backends: backends(3) });
const desired = aDesired({ listeners: [aWantedHttpListener({ rules }), flat] });
const actual = aLoadBalancer({ listeners: [aListener({ name: "by hand", port: 9_000 }), aListener({ name: "flat", port: 81 })] });
const told = (quotas: Partial<Quotas>): string[] =>
  quotaShortages(desired, actual, { ...NONE, ...quotas }).map(({ quota, where, needed, limit }) => `${quota} ${where} ${needed}/${limit}`);

test("names each place that wants more targets than one may have", () => {
  assert.deepEqual(told({ targetsPerPlace: 3 }), []);
  assert.deepEqual(told({ targetsPerPlace: 2 }), [
    "TOTAL_TARGET_BIND_QUOTA rule example.com/2 of HTTP:80 3/2",
    "TOTAL_TARGET_BIND_QUOTA TCP:81 3/2",
  ]);
});

test("counts rules per listener, and listeners with those of others", () => {
  assert.deepEqual(told({ rulesPerListener: 3, listenersPerLoadBalancer: 3 }), []);
  assert.deepEqual(told({ rulesPerListener: 2 }), ["TOTAL_LISTENER_RULE_QUOTA HTTP:80 3/2"]);
  assert.deepEqual(told({ listenersPerLoadBalancer: 2 }), ["TOTAL_LISTENER_QUOTA the load balancer 3/2"]);
});

test("forecasts nothing from quotas that the cloud does not tell", () => {
  assert.deepEqual(told({}), []);
});
