import assert from "node:assert/strict";
import { test } from "node:test";
import { readServiceConfig } from "../../../../coordinator/domain/intent/service-config.ts";

const AT = "TkeServiceConfig demo/checks: spec.loadBalancer.l4Listeners";
const read = (...l4Listeners: unknown[]) => readServiceConfig("demo/checks", { loadBalancer: { l4Listeners } });
const checking = (healthCheck: unknown, port = 80) => ({ protocol: "TCP", port, healthCheck });

test("reads the health check of a listener", () => {
  const { wishes, faults } = read(checking({ enable: true, intervalTime: 10, timeout: 3, healthNum: 2, unHealthNum: 4 }));
  assert.deepEqual(faults, []);
  assert.deepEqual(
    [...wishes],
    [["TCP/80", { enabled: true, intervalSeconds: 10, timeoutSeconds: 3, healthyCount: 2, unhealthyCount: 4 }]],
  );
});

test("an absent field leaves what the load balancer has", () => {
  assert.deepEqual([...read(checking({ enable: false })).wishes], [["TCP/80", { enabled: false }]]);
  assert.deepEqual([...read(checking({})).wishes], [["TCP/80", {}]]);
  assert.deepEqual([...read({ protocol: "UDP", port: 53 }).wishes], [["UDP/53", {}]]);
});

test("a configuration without listeners wishes nothing", () => {
  for (const spec of [undefined, null, {}, "text", { loadBalancer: {} }, { loadBalancer: { l7Listeners: [] } }])
    assert.deepEqual(readServiceConfig("demo/checks", spec), { wishes: new Map(), settings: new Map(), faults: [] });
});

const RANGES: readonly (readonly [field: string, min: number, max: number])[] = [
  ["intervalTime", 2, 300],
  ["timeout", 2, 60],
  ["healthNum", 2, 10],
  ["unHealthNum", 2, 10],
];

for (const [field, min, max] of RANGES) {
  for (const value of [min, max]) test(`${field} may be ${value}`, () => assert.deepEqual(read(checking({ [field]: value })).faults, []));
  for (const value of [min - 1, max + 1, min + 0.5, String(min), null])
    test(`${field} may not be ${JSON.stringify(value)}`, () => {
      const { wishes, faults } = read(checking({ [field]: value }));
      assert.equal(wishes.size, 0);
      assert.deepEqual(faults, [`${AT}[0].healthCheck.${field} is ${JSON.stringify(value)}: use a number from ${min} to ${max}`]);
    });
}

test("a timeout may be as long as the interval, not longer", () => {
  assert.deepEqual(read(checking({ intervalTime: 5, timeout: 5 })).faults, []);
  assert.deepEqual(read(checking({ intervalTime: 5, timeout: 6 })).faults, [
    `${AT}[0].healthCheck.timeout is 6: it must not be above intervalTime (5)`,
  ]);
});

const MALFORMED: readonly (readonly [section: unknown, fault: string])[] = [
  [{ port: 80 }, '[0].protocol is missing: use "TCP" or "UDP" or "TCP_SSL" or "QUIC"'],
  [{ protocol: "tcp", port: 80 }, '[0].protocol is "tcp": use "TCP" or "UDP" or "TCP_SSL" or "QUIC"'],
  [{ protocol: "TCP" }, "[0].port is missing: use a number from 1 to 65535"],
  [{ protocol: "TCP", port: 0 }, "[0].port is 0: use a number from 1 to 65535"],
  [{ protocol: "TCP", port: 65_536 }, "[0].port is 65536: use a number from 1 to 65535"],
  [{ protocol: "TCP", port: "80" }, '[0].port is "80": use a number from 1 to 65535'],
  ["TCP:80", '[0].protocol is missing: use "TCP" or "UDP" or "TCP_SSL" or "QUIC"'],
  [null, '[0].protocol is missing: use "TCP" or "UDP" or "TCP_SSL" or "QUIC"'],
  [checking("on"), '[0].healthCheck must be an object, e.g. {"enable": true}'],
  [checking([]), '[0].healthCheck must be an object, e.g. {"enable": true}'],
  [checking(null), '[0].healthCheck must be an object, e.g. {"enable": true}'],
  [checking({ enable: "true" }), '[0].healthCheck.enable is "true": use true or false'],
];

for (const [section, fault] of MALFORMED)
  test(`names what is wrong with ${JSON.stringify(section)}`, () => assert.deepEqual(read(section).faults, [AT + fault]));

test("takes the highest port", () => assert.equal(read({ protocol: "TCP", port: 65_535 }).wishes.size, 1));

test("leaves out a bad section whole, and applies the others", () => {
  const { wishes, faults } = read(
    checking({ intervalTime: 10 }),
    checking({ healthNum: 3, timeout: 1 }, 81),
    checking({ healthNum: 4 }, 82),
  );
  assert.deepEqual(
    [...wishes],
    [
      ["TCP/80", { intervalSeconds: 10 }],
      ["TCP/82", { healthyCount: 4 }],
    ],
  );
  assert.deepEqual(faults, [`${AT}[1].healthCheck.timeout is 1: use a number from 2 to 60`]);
});

test("keeps the first of two sections for the same listener", () => {
  const { wishes, faults } = read(checking({ healthNum: 3 }), checking({ healthNum: 4 }));
  assert.deepEqual([...wishes], [["TCP/80", { healthyCount: 3 }]]);
  assert.deepEqual(faults, [`${AT}[1] repeats TCP/80: keep one section per protocol and port`]);
});

test("tells when the listeners are no list", () => {
  const { wishes, faults } = readServiceConfig("demo/checks", { loadBalancer: { l4Listeners: { port: 80 } } });
  assert.deepEqual([wishes.size, faults], [0, [`${AT} must be a list`]]);
});
