import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../common/vocabulary.ts";
import { desiredLoadBalancer } from "../../../coordinator/domain/intent/desire.ts";
import type { DesiredLoadBalancer } from "../../../coordinator/domain/intent/desired-load-balancer.ts";
import { type ServiceRecord, serviceRef } from "../../../coordinator/domain/intent/service.ts";
import type { Finding } from "../../../coordinator/domain/plan/plan-load-balancer.ts";
import type { ObjectRef, Problem } from "../../../coordinator/domain/problem.ts";
import { makeReport, tellParked } from "../../../coordinator/events/findings.ts";
import type { ConfigRecord } from "../../../coordinator/state/config-objects.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { ListenerOwners } from "../../../coordinator/state/listener-owners.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { aListener, aLoadBalancer, anOwner, aPod, aService, aTarget, CLUSTER } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";
import { silentLog } from "../pods.ts";
import { anHttpListener, cartRule, desiredInRules } from "../rules.ts";

/** `asks`: what is asked for instead of what the Services say. */
type Options = {
  readonly config?: ConfigRecord;
  readonly former?: readonly ObjectRef[];
  readonly asks?: (desired: DesiredLoadBalancer) => DesiredLoadBalancer;
  readonly pods?: readonly PodFact[];
  /** When passes are made. */
  readonly atMs?: readonly number[];
};

/** What is told about these Services on one load balancer, as "kind name reason". */
function report(
  services: readonly ServiceRecord[],
  findings: readonly Finding[],
  { config, former = [], pods = [], atMs = [0], asks = (desired) => desired }: Options = {},
) {
  const known = somePodFacts(aPod(), aPod({ uid: "pod-2", name: "web-2", hostNetwork: true }), ...pods);
  const index = makePodIndex(known.facts);
  const intents = new Intents({ clusterId: CLUSTER, pods: index, wishes: () => new Map() });
  for (const [n, service] of services.entries()) {
    intents.set(anOwner(service, undefined, String(n)));
  }
  const told: Problem[] = [];
  const logged: string[] = [];
  let nowMs = 0;
  const tell = (problem: Problem): void => void told.push(problem);
  const mirror = { read: () => undefined };
  const listenerOwners = new ListenerOwners({ intents, mirror, clusterId: CLUSTER });
  for (const ref of former) listenerOwners.remember(ref);
  const run = makeReport({
    intents,
    config: () => config,
    listenerOwners,
    mirror,
    facts: known.facts,
    tell,
    clock: { now: () => nowMs },
    log: { ...silentLog, warn: (...args: unknown[]) => void logged.push(String(args.at(-1))) },
  });
  const none = desiredLoadBalancer({ loadBalancerId: "lb-1", clusterId: CLUSTER, owners: [], podsOf: () => [] });
  for (nowMs of atMs) run(services.length === 0 ? none : asks(intents.desired("lb-1")), { calls: [], findings });
  return { told, run, none, logged, lines: told.map(({ object, reason }) => `${object.kind} ${object.name} ${reason}`) };
}
const plain = aService({ selector: { app: "none" } });
const configured = aService({
  selector: { app: "none" },
  annotations: { "service.cloud.tencent.com/direct-access": "true", "service.cloud.tencent.com/tke-service-config": "checks" },
});
const aConfig = (faults: readonly string[]): ConfigRecord => ({
  uid: "c",
  resourceVersion: "1",
  namespace: "demo",
  name: "checks",
  wishes: new Map(),
  faults,
});

test("what a pass finds is logged when it is news: not again while it lasts, again when it comes back", () => {
  const finding: Finding = { kind: "foreign-target", listener: anHttpListener(), target: aTarget() };
  const { run, none, logged } = report([], [finding, finding]);
  run(none, { calls: [], findings: [finding] });
  assert.equal(logged.length, 1);
  run(none, { calls: [], findings: [] });
  run(none, { calls: [], findings: [finding] });
  assert.equal(logged.length, 2);
});

test("tells nothing where all is well", () => assert.deepEqual(report([plain], []).lines, []));

test("tells of Pods that cannot be bound, on the Pod and on the Service", () => {
  assert.deepEqual(report([aService()], []).lines, ["Pod web-2 PodHostNetwork", "Service web PodHostNetwork"]);
});

test("tells of Pods that cannot be bound in a rule, on the Pod and on the owner of its listener", () => {
  const { lines } = report([aService()], [], { asks: desiredInRules });
  assert.deepEqual(lines, ["Pod web-2 PodHostNetwork", "Service web PodHostNetwork"]);
  const inBoth = (desired: DesiredLoadBalancer): DesiredLoadBalancer => {
    const { listeners, ...rest } = desiredInRules(desired);
    return {
      ...rest,
      listeners: listeners.map(({ rules = [], ...listener }) => ({
        ...listener,
        rules: rules.map((rule) => ({ ...rule, standings: rules[0]?.standings ?? [] })),
      })),
    };
  };
  const { told } = report([aService()], [], { asks: inBoth });
  assert.equal(new Set(told.map(({ message }) => message)).size, 2); // the recorder tells the same message once
});

test("a Pod that only another rule asks for is not told of", () => {
  const onlyFront = (desired: DesiredLoadBalancer): DesiredLoadBalancer => {
    const { listeners, ...rest } = desiredInRules(desired);
    return { ...rest, listeners: listeners.map(({ rules = [], ...listener }) => ({ ...listener, rules: rules.slice(1) })) };
  };
  assert.deepEqual(report([aService()], [], { asks: onlyFront }).lines, []);
});

test("tells of a foreign backend in a rule, and names the rule", () => {
  const listener = anHttpListener(cartRule({ targets: [aTarget()] }));
  const [rule] = listener.rules;
  assert.ok(rule !== undefined);
  const { lines, told } = report([plain], [{ kind: "foreign-target", listener, rule, target: aTarget() }], { asks: desiredInRules });
  assert.deepEqual(lines, ["Service web ForeignBackend"]);
  assert.match(told[0]?.message ?? "", /target 10\.244\.1\.1:8080 of rule shop\.example\.com\/cart of listener lbl-1 was not bound by us/);
});

test("tells of a removal that is parked in a rule, at the owner of its listener", () => {
  const told: Problem[] = [];
  const mirror = { read: () => aLoadBalancer({ listeners: [anHttpListener(cartRule())] }) };
  const listenerOwners = new ListenerOwners({ intents: { of: () => [anOwner()], shared: () => undefined }, mirror, clusterId: CLUSTER });
  const parked = { id: "r-1", place: "lbl-1/loc-1", slots: [], staying: 0, floor: 1 };
  tellParked({ listenerOwners, mirror, tell: (problem) => void told.push(problem) }, "lb-1", parked, []);
  assert.deepEqual([told[0]?.object.name, told[0]?.reason], ["web", "RemovalParked"]);
  assert.match(told[0]?.message ?? "", /load balancer lb-1, lbl-1\/loc-1: removal r-1/);
});

test("tells of a Pod that has only IPv6 addresses, on the Pod and on the Service", () => {
  const { lines, told } = report([aService()], [], { pods: [aPod({ uid: "pod-6", name: "web-6", ips: ["2001:db8::7"] })] });
  const six = told.filter(({ reason }) => reason === "AddressFamilyUnsupported");
  assert.deepEqual(
    lines.filter((line) => line.endsWith("AddressFamilyUnsupported")),
    ["Pod web-6 AddressFamilyUnsupported", "Service web AddressFamilyUnsupported"],
  );
  assert.match(six[0]?.message ?? "", /2001:db8::7.*IPv4/);
});

test("tells of a selector that has matched no Pod for minutes, and of none that matches", () => {
  assert.deepEqual(report([plain], [], { atMs: [0, 60_000, 170_000] }).lines, []);
  const { lines, told } = report([plain], [], { atMs: [0, 60_000, 180_000] });
  assert.deepEqual(lines, ["Service web NoBackends"]);
  assert.match(told[0]?.message ?? "", /^Service demo\/web: no Pod has matched its selector app=none for minutes/);
  assert.ok(!report([aService()], [], { atMs: [0, 180_000] }).lines.includes("Service web NoBackends"));
});

test("tells the younger Service who has its port", () => {
  const younger = aService({ uid: "younger-0000", name: "younger", selector: { app: "none" } });
  const { lines, told } = report([plain, younger], []);
  assert.deepEqual(lines, ["Service younger ListenerConflict"]);
  for (const part of ["TCP:80", "lb-1", "Service demo/web", "use another port"]) assert.ok(told[0]?.message.includes(part), part);
});

test("tells of a TkeServiceConfig that is missing or faulty, with its faults", () => {
  const missing = report([configured], []);
  assert.deepEqual(missing.lines, ["Service web ServiceConfigMissing"]);
  for (const part of ["E4043", '"checks"', "namespace demo"]) assert.ok(missing.told[0]?.message.includes(part), part);
  const faulty = report([configured], [], { config: aConfig(["fault 1", "fault 2"]) });
  assert.deepEqual(
    faulty.told.map(({ reason, message }) => [reason, message]),
    [
      ["InvalidServiceConfig", "fault 1"],
      ["InvalidServiceConfig", "fault 2"],
    ],
  );
  assert.deepEqual(report([configured], [], { config: aConfig([]) }).lines, []);
});

test("tells nothing of a TkeServiceConfig that is being made, nor of sections that are about to be taken out of it", () => {
  const AUTO = { "service.cloud.tencent.com/direct-access": "true", "service.cloud.tencent.com/tke-service-config-auto": "true" };
  const made = aService({ annotations: AUTO, selector: { app: "none" } });
  assert.deepEqual(report([made], []).lines, []);
  const wishes = new Map([
    ["TCP/80", {}],
    ["TCP/81", {}],
    ["TCP/82", {}],
  ]);
  const auto = { isOurs: true, isDeleting: false, owners: [], spec: {}, inStep: ["TCP/80", "TCP/81"] };
  const config = { ...aConfig([]), name: "web-auto-service-config", wishes };
  const toldOf = (one: ConfigRecord): (string | undefined)[] =>
    report([made], [], { config: one }).told.map(({ reason, message }) => `${reason} ${/section (.*?) of/.exec(message)?.[1]}`);
  assert.deepEqual(toldOf({ ...config, auto }), ["NoEffect l4Listeners TCP/82"]);
  assert.deepEqual(toldOf({ ...config, auto: { ...auto, isOurs: false } }), ["NoEffect l4Listeners TCP/81", "NoEffect l4Listeners TCP/82"]);
});

test("tells of a foreign listener on the port, of a foreign backend, and not of what merely waits", () => {
  const [wanted] = desiredOf(plain).listeners;
  assert.ok(wanted !== undefined);
  const listener = aListener();
  const { lines, told } = report(
    [plain],
    [
      { kind: "port-taken", wanted, by: aListener({ name: "by hand", listenerId: "lbl-9" }) },
      { kind: "foreign-target", listener, target: aTarget() },
      { kind: "waiting", listener, target: aTarget() },
    ],
  );
  assert.deepEqual(lines, ["Service web ListenerPortTaken", "Service web ForeignBackend"]);
  for (const part of ["lb-1", "TCP:80", "lbl-9", "Remove that listener"]) assert.ok(told[0]?.message.includes(part), part);
});

test("tells the former owner of a listener that was left behind; without one there is nobody to tell", () => {
  const orphaned: Finding = { kind: "orphaned", listener: aListener() };
  assert.deepEqual(report([], [orphaned], { former: [serviceRef(aService())] }).lines, ["Service web OrphanedListener"]);
  assert.deepEqual(report([], [orphaned]).lines, []);
});

function desiredOf(service: ServiceRecord) {
  return desiredLoadBalancer({
    loadBalancerId: "lb-1",
    clusterId: CLUSTER,
    owners: [{ owner: anOwner(service), wishes: new Map() }],
    podsOf: () => [],
  });
}
