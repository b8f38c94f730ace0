import assert from "node:assert/strict";
import { test } from "node:test";
import { desiredLoadBalancer } from "../../../../coordinator/domain/intent/desire.ts";
import type { IntentPort, IntentRule } from "../../../../coordinator/domain/intent/intent-port.ts";
import type { OwnerWishes } from "../../../../coordinator/domain/intent/owner-intent.ts";
import { aListener, anOwner, aPod, aService, CLUSTER, LISTENER_NAME } from "../../../builders.ts";

const claim = (change: Partial<Parameters<typeof aService>[0]> = {}, over: Partial<OwnerWishes> = {}): OwnerWishes => ({
  owner: anOwner(aService(change)),
  wishes: new Map(),
  ...over,
});
const held = ({ owner, wishes }: OwnerWishes): OwnerWishes => ({
  owner: { ...owner, state: "held", blocker: undefined, loadBalancerId: "lb-1" },
  wishes,
});
const deleted = ({ owner, wishes }: OwnerWishes): OwnerWishes => ({
  owner: { ...owner, state: "deleted", intent: undefined, loadBalancerId: "lb-1" },
  wishes,
});
const OLDER = claim({ uid: "aaaaaaaa-aaaa-0000", name: "older" });
const YOUNGER = claim({ uid: "bbbbbbbb-bbbb-0000", name: "younger", selector: { app: "api" } });
const desire = (owners: readonly OwnerWishes[], pods = [aPod()], listening: readonly string[] = []) =>
  desiredLoadBalancer({
    loadBalancerId: "lb-1",
    clusterId: CLUSTER,
    owners,
    present: listening.map((name) => aListener({ name })),
    podsOf: ({ namespace }) => pods.filter((pod) => pod.namespace === namespace),
  });

test("one listener per port, named after its owner, with the Pods that stand for it", () => {
  const pods = [aPod(), aPod({ uid: "pod-2", ips: [] }), aPod({ uid: "pod-3", namespace: "shop" })];
  const { listeners, owners, conflicts } = desire([claim()], pods);
  assert.deepEqual(
    listeners.map(({ name, protocol, port, backends, standings }) => [
      name,
      protocol,
      port,
      backends.map(({ podUid }) => podUid),
      standings.length,
    ]),
    [[LISTENER_NAME, "TCP", 80, ["pod-1"], 2]],
  );
  assert.deepEqual([owners.map(({ state }) => state), conflicts], [["served"], []]);
});

test("takes the wish of exactly that protocol and port", () => {
  const ports = ["TCP", "UDP"].map((protocol) => ({ name: protocol, protocol, port: 80, targetPort: 8080 }));
  const wishes = new Map([
    ["UDP/80", { intervalSeconds: 7 }],
    ["TCP/81", { intervalSeconds: 9 }],
  ]);
  const { listeners, conflicts } = desire([claim({ ports }, { wishes })]);
  assert.deepEqual(
    listeners.map(({ protocol, healthCheck }) => [protocol, healthCheck]),
    [
      ["TCP", {}],
      ["UDP", { intervalSeconds: 7 }],
    ],
  );
  assert.deepEqual(conflicts, []);
});

test("a port that two Services ask for goes to the older one; the younger one is told who has it", () => {
  const { listeners, owners, conflicts } = desire([OLDER, YOUNGER]);
  assert.deepEqual(
    listeners.map(({ owner }) => owner.name),
    ["older"],
  );
  assert.deepEqual(conflicts, [{ owner: YOUNGER.owner.ref, holder: OLDER.owner.ref, protocol: "TCP", port: 80 }]);
  assert.deepEqual(
    owners.map(({ ref, state }) => `${ref.name} ${state}`),
    ["older served", "younger served"],
  );
});

test("an older Service that asks for a port late takes it from nobody who listens there", () => {
  const [first] = desire([YOUNGER]).listeners;
  const { listeners, conflicts } = desire([OLDER, YOUNGER], [], [first?.name ?? ""]);
  assert.deepEqual(
    listeners.map(({ owner }) => owner.name),
    ["younger"],
  );
  assert.deepEqual(conflicts, [{ owner: OLDER.owner.ref, holder: YOUNGER.owner.ref, protocol: "TCP", port: 80 }]);
  assert.equal(desire([OLDER, deleted(YOUNGER)], [], [first?.name ?? ""]).listeners[0]?.owner.name, "older");
});

test("the port passes on when the older Service is deleted", () => {
  const { listeners, owners, conflicts } = desire([deleted(OLDER), YOUNGER]);
  assert.deepEqual(
    listeners.map(({ owner }) => owner.name),
    ["younger"],
  );
  assert.deepEqual([conflicts, owners.map(({ state }) => state)], [[], ["deleted", "served"]]);
});

test("an owner that cannot be read is held: nothing is wanted for it, and nothing of it is given up", () => {
  const { listeners, owners } = desire([held(OLDER)]);
  assert.deepEqual([listeners, owners.map(({ state }) => state)], [[], ["held"]]);
});

test("a deleted owner that cannot be read is deleted", () => {
  assert.deepEqual(
    desire([deleted(OLDER)]).owners.map(({ state }) => state),
    ["deleted"],
  );
});

test("rules select by their own backends or the port's, have the wishes of their place and the certificate of their domain or the port", () => {
  const { owner } = claim();
  assert.ok(owner.state === "served");
  const source = { secret: "tls" };
  const rules: IntentRule[] = [
    { domain: "Shop.example.com", url: "/cart" },
    { domain: "", url: "/", certificate: { certIds: ["b"] }, backend: { targetPort: 9090, selector: { app: "api" } } },
    { domain: "late.example.com", url: "/", certificate: { secret: "missing" } },
  ];
  const port: IntentPort = { protocol: "HTTPS", port: 443, targetPort: 8080, certificate: source, rules };
  const { listeners } = desiredLoadBalancer({
    loadBalancerId: "lb-1",
    clusterId: CLUSTER,
    owners: [
      {
        owner: { ...owner, intent: { ...owner.intent, ports: [port] } },
        wishes: new Map(),
        listeners: new Map([["HTTPS/443", { keepalive: true }]]),
        rules: new Map([["HTTPS/443 shop.example.com /cart", { healthCheck: { httpPath: "/ok" }, http2: true }]]),
      },
    ],
    podsOf: () => [aPod(), aPod({ uid: "pod-2", labels: { app: "api" }, ips: ["10.244.1.2"] })],
    certificateOf: (namespace, from) => {
      if (from === undefined || !("secret" in from)) return from;
      return from.secret === "tls" ? { certIds: [`${namespace}-a`] } : undefined;
    },
  });
  assert.deepEqual(
    listeners.map(({ name, keepalive, backends }) => [name, keepalive, backends]),
    [[LISTENER_NAME.replace("tcp80", "https443"), true, []]],
  );
  assert.deepEqual(
    listeners[0]?.rules?.map(({ standings, backends, ...rule }) => ({
      ...rule,
      selected: standings.length,
      at: backends.map(({ podUid, port: at }) => `${podUid}:${at}`),
    })),
    [
      {
        domain: "Shop.example.com",
        url: "/cart",
        healthCheck: { httpPath: "/ok" },
        http2: true,
        certificate: { certIds: ["demo-a"] },
        selected: 1,
        at: ["pod-1:8080"],
      },
      { domain: "", url: "/", healthCheck: {}, certificate: { certIds: ["b"] }, selected: 1, at: ["pod-2:9090"] },
      { domain: "late.example.com", url: "/", healthCheck: {}, lacksCertificate: true, selected: 1, at: ["pod-1:8080"] },
    ],
  );
});
