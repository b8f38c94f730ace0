import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_NETWORKS } from "../../../common/vocabulary.ts";
import { makeSharing } from "../../../coordinator/nodes/shared-values.ts";
import { aPod } from "../pods.ts";

const workload = () => ({
  labels: { app: "web", tier: "front" },
  ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  hostInterface: { name: "eth1", mac: "20:90:6f:00:00:01", kind: "eni", table: 4002 } as const,
  networks: { asked: ["tke-route-eni"], statusName: "tke-route-eni", statusMac: "", fault: "" },
});

test("equal labels, ports and interfaces of different Pods are one object; each Pod stays as it was told", () => {
  const share = makeSharing();
  const [one, other] = [aPod("p1", workload()), aPod("p2", workload())];
  const [first, second] = [share(one), share(other)];
  assert.deepEqual([first, second], [one, other]);
  for (const part of ["labels", "ports", "hostInterface", "networks"] as const) assert.equal(first[part], second[part], part);
});

test("that nothing was told of networks is known by the object that says so", () => {
  const share = makeSharing();
  const none = { ...NO_NETWORKS };
  share(aPod("p1", { networks: none }));
  assert.equal(share(aPod("p2", { networks: NO_NETWORKS })).networks, NO_NETWORKS);
  const told = share(aPod("p3", { networks: { ...NO_NETWORKS } })).networks;
  assert.equal(told, none, "told that there is none");
});

test("what differs in one word is kept apart", () => {
  const share = makeSharing();
  const first = share(aPod("p1", workload()));
  const changes = [
    { labels: { app: "web", tier: "back" } },
    { labels: { app: "web" } },
    { labels: { ...workload().labels, zone: "b" } },
    { labels: { app: "web", zone: "front" } },
    { labels: { app: "web,tier=front" } },
    { labels: { "app=web,tier": "front" } },
    { labels: { ...workload().labels, constructor: "b" } },
    { labels: {} },
    { ports: [{ name: "http", port: 8081, protocol: "TCP" }] },
    { ports: [] },
    { ports: [{ name: "http 8080 TCP,m", port: 90, protocol: "TCP" }] },
    {
      ports: [
        { name: "http", port: 8080, protocol: "TCP" },
        { name: "m", port: 90, protocol: "TCP" },
      ],
    },
    { ports: [...workload().ports, { name: "", port: 8080, protocol: "TCP" }] },
    { hostInterface: { ...workload().hostInterface, table: 4003 } },
    { hostInterface: undefined },
    { networks: { ...workload().networks, asked: ["tke-route-eni", "other"] } },
    { networks: { ...workload().networks, asked: ["other"] } },
    { networks: { ...workload().networks, statusName: "tke-bridge" } },
    { networks: { ...workload().networks, statusMac: "20:90:6f:00:00:02" } },
    { networks: { ...workload().networks, fault: "annotation cannot be read" } },
  ];
  for (const change of changes) {
    const pod = aPod("p2", { ...workload(), ...change });
    assert.deepEqual(share(pod), pod);
  }
  assert.deepEqual(first, aPod("p1", workload()));
});

test("not more is kept for sharing than was said, and what was forgotten is right all the same", () => {
  const share = makeSharing(2);
  for (let n = 0; n < 10; n++) {
    const pod = aPod(`p${n}`, { ...workload(), labels: { app: `web-${n % 3}` } });
    assert.deepEqual(share(pod), pod);
  }
});

test("what is too large for a workload of thousands of Pods is not kept", () => {
  const share = makeSharing();
  const large = () => ({ labels: { app: "web", note: "x".repeat(10_000) } });
  const [first, second] = [share(aPod("p1", large())), share(aPod("p2", large()))];
  assert.deepEqual(second.labels, first.labels);
  assert.notEqual(second.labels, first.labels);
});
