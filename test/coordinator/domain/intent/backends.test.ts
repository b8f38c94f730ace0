import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../../common/vocabulary.ts";
import { type PodStanding, standingProblems, standings } from "../../../../coordinator/domain/intent/backends.ts";
import type { IntentPort } from "../../../../coordinator/domain/intent/intent-port.ts";
import type { ServiceIntent } from "../../../../coordinator/domain/intent/service.ts";
import { anIntent, aPod, aService } from "../../../builders.ts";

const NUMBER: IntentPort = { protocol: "TCP", port: 80, targetPort: 8080 };
const NAMED: IntentPort = { protocol: "TCP", port: 80, targetPort: "http" };
const SERVICE = anIntent(aService()).service;
const stand = (change: Partial<PodFact>, port = NUMBER, intent: ServiceIntent = anIntent(aService())): PodStanding | undefined =>
  standings(intent, port, [aPod(change)])[0];
/** The backend as "ip:port", or the reason why there is none. */
const short = (standing: PodStanding | undefined): string => {
  if (standing === undefined) return "not selected";
  return "backend" in standing ? `${standing.backend.ip}:${standing.backend.port}` : standing.unbindable.reason;
};

const STANDINGS: readonly (readonly [title: string, pod: Partial<PodFact>, port: IntentPort, expected: string])[] = [
  ["a ready Pod, port by number", {}, NUMBER, "10.244.1.1:8080"],
  ["a number that the Pod does not declare", { ports: [] }, NUMBER, "10.244.1.1:8080"],
  ["port by name", {}, NAMED, "10.244.1.1:8080"],
  ["each Pod's own declaration of the name", { ports: [{ name: "http", port: 9090, protocol: "TCP" }] }, NAMED, "10.244.1.1:9090"],
  ["the name of another protocol", { ports: [{ name: "http", port: 8080, protocol: "UDP" }] }, NAMED, "PortNotDeclared"],
  [
    "one name for two protocols",
    {
      ports: [
        { name: "http", port: 53, protocol: "UDP" },
        { name: "http", port: 54, protocol: "TCP" },
      ],
    },
    NAMED,
    "10.244.1.1:54",
  ],
  ["a name that the Pod does not declare", { ports: [{ name: "web", port: 8080, protocol: "TCP" }] }, NAMED, "PortNotDeclared"],
  ["hostNetwork", { hostNetwork: true }, NUMBER, "PodHostNetwork"],
  ["no address", { ips: [] }, NUMBER, "NoAddress"],
  ["IPv6 only", { ips: ["fd00::1"] }, NUMBER, "AddressFamilyUnsupported"],
  ["IPv6 before IPv4", { ips: ["fd00::1", "10.244.1.1"] }, NUMBER, "10.244.1.1:8080"],
  ["a Pod that terminates", { deletionAtMs: 1 }, NUMBER, "Ending"],
  ["a Pod that terminates on the host's network", { deletionAtMs: 1, hostNetwork: true }, NUMBER, "Ending"],
  ["a Pod that succeeded", { phase: "Succeeded" }, NUMBER, "Ending"],
  ["a Pod that failed", { phase: "Failed" }, NUMBER, "Ending"],
  ["a label that does not match", { labels: { app: "api" } }, NUMBER, "not selected"],
  ["a Pod of another namespace", { namespace: "shop" }, NUMBER, "not selected"],
];

for (const [title, pod, port, expected] of STANDINGS)
  test(`where a Pod stands: ${title}`, () => assert.equal(short(stand(pod, port)), expected));

test("a Pod is bound anew only with ready containers", () => {
  for (const containersReady of [true, false]) {
    const standing = stand({ containersReady });
    assert.ok(standing !== undefined && "backend" in standing);
    assert.deepEqual(standing.backend, { podUid: "pod-1", ip: "10.244.1.1", port: 8080, weight: 10, bindable: containersReady });
  }
});

test("says which Pod, which port of which Service, and what to do", () => {
  const message = (pod: Partial<PodFact>): string => {
    const standing = stand(pod, NAMED);
    return standing !== undefined && "unbindable" in standing ? standing.unbindable.message : "";
  };
  for (const part of ["Pod demo/web-1", 'TCP containerPort named "http"', "port 80 of Service demo/web", "use a number as targetPort"])
    assert.ok(message({ ports: [] }).includes(part), part);
  for (const part of ["Pod demo/web-1", "hostNetwork: true", "Service demo/web", "take it out of the selector"])
    assert.ok(message({ hostNetwork: true }).includes(part), part);
});

test("tells what a person must mend: on each Pod, and once per reason on the Service", () => {
  const pods = [
    aPod({ uid: "a", name: "a", hostNetwork: true }),
    aPod({ uid: "b", name: "b", hostNetwork: true }),
    aPod({ uid: "c", name: "c", ports: [] }),
    aPod({ uid: "d", name: "d", ips: [] }), // mends itself
    aPod({ uid: "e", name: "e", deletionAtMs: 1 }),
    aPod({ uid: "f", name: "f" }),
  ];
  const told = standingProblems(SERVICE, standings(anIntent(aService()), NAMED, pods));
  assert.deepEqual(told.map(({ object, reason }) => `${object.kind} ${object.name} ${reason}`).toSorted(), [
    "Pod a PodHostNetwork",
    "Pod b PodHostNetwork",
    "Pod c PortNotDeclared",
    "Service web PodHostNetwork",
    "Service web PortNotDeclared",
  ]);
  // A Service's message names no Pod, so that it stays the same and is told once.
  for (const { object, message } of told) if (object.kind === "Service") assert.doesNotMatch(message, /Pod demo\//);
});

test("Pods that get no preStop hook because of their own form are told once on their owner", () => {
  const intent = anIntent(aService());
  const [port] = intent.ports;
  assert.ok(port);
  const pods = [
    aPod({ uid: "p1", drain: "none OwnPreStop" }),
    aPod({ uid: "p2", drain: "none OwnPreStop" }),
    aPod({ uid: "p3", drain: "hold" }),
    aPod({ uid: "p4", drain: "none HoldPortTaken" }),
  ];
  const told = standingProblems(intent.service, standings(intent, port, pods));
  assert.deepEqual(
    told.map(({ object, type, reason }) => [object.kind, type, reason]),
    [
      ["Service", "Normal", "OwnPreStop"],
      ["Service", "Normal", "HoldPortTaken"],
    ],
  );
});

test("Pods that get less than a hold on every node are told on their owner, once for each reason, with the reason", () => {
  const intent = anIntent(aService());
  const [port] = intent.ports;
  assert.ok(port);
  const because = "not proven on node-7 (connect ECONNREFUSED 10.0.0.7:15999)";
  const pods = [
    aPod({ uid: "p1", drain: "sleep", drainBecause: because }),
    aPod({ uid: "p2", drain: "sleep", drainBecause: because }),
    aPod({ uid: "p3", drain: "hold" }),
    aPod({ uid: "p4", drain: "none", drainBecause: "no node is known where it may land" }),
  ];
  const told = standingProblems(intent.service, standings(intent, port, pods));
  assert.deepEqual(
    told.map(({ object, type, reason }) => [object.kind, type, reason]),
    [
      ["Service", "Normal", "NotHeld"],
      ["Service", "Normal", "NotHeld"],
    ],
  );
  assert.match(told[0]?.message ?? "", /sleep before SIGTERM .*: not proven on node-7 \(connect ECONNREFUSED 10\.0\.0\.7:15999\)\./);
  assert.match(told[1]?.message ?? "", /get no preStop hook.*no node is known/);
});
