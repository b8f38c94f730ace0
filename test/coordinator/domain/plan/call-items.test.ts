import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../../coordinator/domain/call.ts";
import type { HealthCheck } from "../../../../coordinator/domain/load-balancer.ts";
import { callItems, emptiedBy, withItems } from "../../../../coordinator/domain/plan/call-items.ts";

const slot = (n: number) => ({ listenerId: "lbl-1", locationId: `loc-${n}`, ip: `10.0.0.${n}`, port: 80 });
const CHECK: HealthCheck = { enabled: true, intervalSeconds: 5, timeoutSeconds: 2, healthyCount: 3, unhealthyCount: 3 };
const rule = (url: string) => ({ domain: "example.com", url, healthCheck: {} });
/** A call of three items in every form. */
const CALLS: readonly Call[] = [
  { lane: "conflict", slots: [slot(1), slot(2), slot(3)] },
  { lane: "unbind", slots: [slot(1), slot(2), slot(3)] },
  { lane: "drain", weights: [1, 2, 3].map((n) => ({ ...slot(n), weight: 0 })) },
  { lane: "tune", weights: [1, 2, 3].map((n) => ({ ...slot(n), weight: 7 })) },
  { lane: "bind", targets: [1, 2, 3].map((n) => ({ ...slot(n), weight: 7, podUid: `pod-${n}` })) },
  { lane: "structure", create: { protocol: "TCP", healthCheck: {}, listeners: [80, 81, 82].map((port) => ({ name: `l${port}`, port })) } },
  { lane: "structure", createRules: { listenerId: "lbl-1", rules: [rule("/a"), rule("/b"), rule("/c")] } },
  { lane: "delete", listenerIds: ["lbl-1", "lbl-2", "lbl-3"] },
  { lane: "delete", rules: { listenerId: "lbl-1", locationIds: ["loc-1", "loc-2", "loc-3"] } },
];

for (const call of CALLS) {
  const form = Object.keys(call).find((key) => key !== "lane") ?? "";
  test(`${call.lane} by ${form}: a part of the call has the same items, and nothing of the others`, () => {
    const keys = callItems(call).map(({ key }) => key);
    assert.equal(new Set(keys).size, 3);
    for (const part of [[0], [1], [0, 2], [0, 1, 2]])
      assert.deepEqual(
        callItems(withItems(call, part)).map(({ key }) => key),
        part.map((at) => keys[at]),
      );
    assert.deepEqual(withItems(call, [0, 1, 2]), call);
  });
}

test("the settings of one place are one item; a wish that was corrected is another one", () => {
  const tune: Call = { lane: "tune", listenerId: "lbl-1", healthCheck: CHECK };
  assert.equal(withItems(tune, [0]), tune);
  const [before] = callItems(tune);
  const [after] = callItems({ ...tune, healthCheck: { ...CHECK, intervalSeconds: 9 } });
  assert.notEqual(before?.key, after?.key);
  const rules = (healthCheck: Partial<HealthCheck>): Call => ({
    lane: "structure",
    createRules: { listenerId: "lbl-1", rules: [{ ...rule("/a"), healthCheck }] },
  });
  assert.notEqual(callItems(rules({}))[0]?.key, callItems(rules({ httpPath: "/x" }))[0]?.key);
  const listener = (healthCheck: Partial<HealthCheck>): Call => ({
    lane: "structure",
    create: { protocol: "TCP", healthCheck, listeners: [{ name: "l80", port: 80 }] },
  });
  assert.notEqual(callItems(listener({}))[0]?.key, callItems(listener({ intervalSeconds: 9 }))[0]?.key);
});

test("a bind for another Pod is another item, and fills its own place", () => {
  const bind = (podUid: string): Call => ({ lane: "bind", targets: [{ ...slot(1), weight: 7, podUid }] });
  assert.notEqual(callItems(bind("a"))[0]?.key, callItems(bind("b"))[0]?.key);
  assert.equal(callItems(bind("a"))[0]?.fills, "targets of lbl-1/loc-1");
});

test("what a removal makes room in is what additions fill", () => {
  const fills = (call: Call): (string | undefined)[] => callItems(call).map((one) => one.fills);
  const [conflict, unbind, drain, , bind, listeners, rules, noListeners, noRules] = CALLS;
  assert.ok(conflict && unbind && drain && bind && listeners && rules && noListeners && noRules);
  assert.deepEqual(emptiedBy(unbind), fills(bind));
  assert.deepEqual(emptiedBy(conflict), fills(bind));
  assert.deepEqual([...new Set(fills(listeners))], emptiedBy(noListeners));
  assert.deepEqual([...new Set(fills(rules))], emptiedBy(noRules));
  assert.deepEqual([emptiedBy(drain), emptiedBy(bind)], [[], []]);
});
