/** What is remembered of what a load balancer should be: the same objects as long as nothing has changed, and what ends that. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { OwnAddress } from "../../../coordinator/domain/intent/former-rules.ts";
import type { OwnerRecord } from "../../../coordinator/domain/intent/owner-record.ts";
import type { ServiceIntent } from "../../../coordinator/domain/intent/service.ts";
import type { Certificate, Listener, LoadBalancerOrder } from "../../../coordinator/domain/load-balancer.ts";
import { DEFAULT_HEALTH_CHECK } from "../../../coordinator/domain/load-balancer.ts";
import { Intents, type IntentsDeps } from "../../../coordinator/state/intents.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { aListener, anIntent, anOwner, aPod, aRule, aService, aTarget, CLUSTER, LISTENER_NAME, SERVICE_UID } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";

const OTHER_UID = "6e21c0ff-ee12-0000-0000-000000000000";
const otherName = LISTENER_NAME.replace("5e21", "6e21");
const ipOf = (n: number): string => `10.244.1.${n}`;

/** A Service with two Pods, and anything that decides what its load balancer should be. */
function aWorld(intent: ServiceIntent = anIntent(), present: readonly Listener[] = [aListener()]) {
  const known = somePodFacts(aPod({ ips: [ipOf(1)] }), aPod({ uid: "pod-2", ips: [ipOf(2)] }));
  const index = makePodIndex(known.facts);
  const world = {
    present,
    configs: 0,
    interval: 5,
    records: 0,
    record: undefined as OwnerRecord | undefined,
    certificate: { certIds: ["cert-1"] } as Certificate | undefined,
    address: { vips: ["198.18.0.1"], domain: undefined } as OwnAddress & { readonly order?: LoadBalancerOrder },
    held: new Set<string>(),
    wishes: new Map([["TCP/80", { intervalSeconds: 5 }]]),
  };
  const deps: Omit<IntentsDeps, "pods"> = {
    clusterId: CLUSTER,
    listenersAt: () => world.present,
    addressAt: () => world.address,
    isHeldBack: (uid) => world.held.has(uid),
    wishes: () => world.wishes,
    configsVersion: () => world.configs,
    recorded: (_id, uid) => (uid === SERVICE_UID ? world.record : undefined),
    recordsVersion: () => world.records,
    certificateOf: () => world.certificate,
  };
  const intents = new Intents({ ...deps, pods: index });
  const named = { ...intent, configName: "checks" };
  intents.set(anOwner(aService(), { state: "served", intent: named, loadBalancerId: "lb-1" }));
  /** As it is remembered, after a comparison with what is found by somebody who remembers nothing. */
  const desired = () => {
    const fresh = new Intents({ ...deps, pods: makePodIndex(known.facts) });
    for (const owner of intents.all) fresh.set(owner);
    const now = intents.desired("lb-1");
    const text = (one: object): string =>
      JSON.stringify(one, (key, value: unknown) => (key === "backends" || key === "standings" ? sorted(value) : value));
    assert.equal(text(now), text(fresh.desired("lb-1")));
    return now;
  };
  return { world, known, intents, desired, named };
}
const sorted = (value: unknown): unknown => (Array.isArray(value) ? value.map((one) => JSON.stringify(one)).sort() : value);

const record = (change: Partial<OwnerRecord["listeners"][string]> = {}): OwnerRecord => {
  const { ref, order } = anOwner();
  const listener = { id: "lbl-1", healthCheck: DEFAULT_HEALTH_CHECK, scheduler: "WRR" as const, ...change };
  return { ref, order, intent: anIntent(), formerSelectors: [], listeners: { "TCP/80": listener, "HTTP/80": listener } };
};

test("is the same object while nothing has changed, and keeps the listeners that a change does not concern", () => {
  const { intents, known, desired } = aWorld();
  const other = aService({
    uid: OTHER_UID,
    name: "other",
    selector: { app: "other" },
    ports: [{ name: "", protocol: "TCP", port: 81, targetPort: 8080 }],
  });
  intents.set(anOwner(other, undefined, "2"));
  const before = desired();
  assert.equal(desired(), before);
  known.set(aPod({ uid: "pod-2", ips: [ipOf(2)], containersReady: false }));
  const after = desired();
  assert.deepEqual(
    after.listeners.map((one, at) => one === before.listeners[at]),
    [false, true],
  );
  assert.equal(after.owners, before.owners);
});

const changes: Readonly<Record<string, (from: ReturnType<typeof aWorld>) => void>> = {
  "a Pod is not ready": ({ known }) => known.set(aPod({ ips: [ipOf(1)], containersReady: false })),
  "a Pod terminates": ({ known }) => known.set(aPod({ ips: [ipOf(1)], deletionAtMs: 1 })),
  "a Pod is over": ({ known }) => known.end("pod-2"),
  "a Pod is new": ({ known }) => known.set(aPod({ uid: "pod-3", ips: [ipOf(3)] })),
  "a Pod has other labels": ({ known }) => known.set(aPod({ ips: [ipOf(1)], labels: { app: "other" } })),
  "a Pod has another address": ({ known }) => known.set(aPod({ ips: [ipOf(9)] })),
  "only a Pod's gate has changed": ({ known }) => known.set(aPod({ ips: [ipOf(1)], gate: "True", resourceVersion: "7" })),
  "a Pod is held back": ({ world, intents }) => {
    world.held.add("pod-1");
    intents.selections.podJudged(aPod());
  },
  "the TkeServiceConfig has changed": ({ world }) => {
    world.wishes = new Map([["TCP/80", { intervalSeconds: 9 }]]);
    world.configs += 1;
  },
  "what is on record has changed": ({ world }) => {
    world.record = record({ scheduler: "LEAST_CONN" });
    world.records += 1;
  },
  "the owner asks for another port": ({ intents, named }) => {
    const ports = [{ protocol: "TCP", port: 81, targetPort: 8080 } as const];
    intents.set(anOwner(aService(), { state: "served", intent: { ...named, ports }, loadBalancerId: "lb-1" }));
  },
  "the owner is deleted": ({ intents, named }) =>
    void intents.set(anOwner(aService(), { state: "deleted", intent: named, loadBalancerId: "lb-1" })),
  "the owner is gone": ({ intents }) => intents.remove(SERVICE_UID),
  "another owner comes": ({ intents }) => void intents.set(anOwner(aService({ uid: OTHER_UID, name: "other" }), undefined, "2")),
};
for (const [what, change] of Object.entries(changes))
  test(`is another one when ${what}`, () => {
    const from = aWorld();
    const before = from.desired();
    change(from);
    assert.notEqual(from.desired(), before);
  });

test("gives a port to whoever listens there, when another one does that from now on", () => {
  const { world, intents, desired } = aWorld();
  intents.set(anOwner(aService({ uid: OTHER_UID, name: "other" }), undefined, "2"));
  assert.deepEqual(
    desired().conflicts.map(({ owner }) => owner.name),
    ["other"],
  );
  world.present = [aListener({ name: otherName })];
  assert.deepEqual(
    desired().conflicts.map(({ owner }) => owner.name),
    ["web"],
  );
});

test("looks anew at a listener that is asked for no more, for what is bound there decides what it serves until it goes", () => {
  const left = (port: number): Listener =>
    aListener({ listenerId: "lbl-2", name: LISTENER_NAME.replace("tcp80", "tcp99"), port: 99, targets: [aTarget({ port })] });
  const { world, desired } = aWorld(anIntent(), [aListener(), left(8080)]);
  assert.equal(desired().listeners[1]?.backends[0]?.port, 8080);
  world.present = [aListener(), left(9090)];
  assert.equal(desired().listeners[1]?.backends[0]?.port, 9090);
});

const HTTP = { protocol: "HTTP", port: 80, targetPort: 8080, rules: [{ domain: "shop.example.com", url: "/" }] } as const;
const httpName = LISTENER_NAME.replace("tcp80", "http80");
const withRule = (change: Parameters<typeof aRule>[0], ...more: Parameters<typeof aRule>[0][]): Listener =>
  aListener({ name: httpName, protocol: "HTTP", rules: [change, ...more].map((one) => aRule({ domain: "shop.example.com", ...one })) });

test("looks anew at rules that are asked for no more", () => {
  const left = (n: number) => withRule({}, { locationId: "loc-2", url: "/old", targets: [aTarget({ ip: ipOf(n) })] });
  const { world, desired } = aWorld({ ...anIntent(), ports: [HTTP] }, [left(1)]);
  assert.equal(desired().listeners[0]?.formerRules?.length, 1); // most of its targets are the Service's
  world.present = [left(77)];
  assert.equal(desired().listeners[0]?.formerRules, undefined); // of whom nobody can tell anything
});

test("sees a check that somebody switches off by hand, and targets that come and go make no difference", () => {
  const { world, desired } = aWorld({ ...anIntent(), ports: [HTTP] }, [withRule({})]);
  world.record = record();
  world.records += 1;
  const before = desired();
  world.present = [withRule({ targets: [aTarget()] })];
  assert.equal(desired().listeners[0], before.listeners[0]);
  world.present = [withRule({ healthCheck: { ...DEFAULT_HEALTH_CHECK, enabled: false } })];
  assert.equal(desired().listeners[0]?.rules?.[0]?.healthCheck.enabled, true);
});

test("knows the rule of the load balancer's own address by the name that this has now", () => {
  const own = { ...HTTP, rules: [{ domain: "", url: "/" }] };
  const { world, desired } = aWorld({ ...anIntent(), ports: [own] }, [withRule({ domain: "lb.example.com" })]);
  world.address = { vips: [], domain: "lb.example.com" };
  assert.equal(desired().listeners[0]?.formerRules, undefined);
  world.address = { vips: [], domain: "other.example.com" };
  assert.equal(desired().listeners[0]?.formerRules, undefined); // whose it is nobody can tell
  world.present = [withRule({ domain: "other.example.com", targets: [aTarget({ ip: ipOf(1) })] })];
  assert.equal(desired().listeners[0]?.formerRules, undefined);
  world.address = { vips: [], domain: "lb.example.com" };
  assert.equal(desired().listeners[0]?.formerRules?.length, 1);
});

test("wishes what the kind of its load balancer can have, once that is known", () => {
  const { world, desired } = aWorld();
  world.wishes = new Map([["TCP/80", { intervalSeconds: 2 }]]);
  world.configs += 1;
  assert.equal(desired().listeners[0]?.healthCheck.intervalSeconds, 2);
  world.address = { ...world.address, order: { AddressIPVersion: "IPv6FullChain" } };
  assert.equal(desired().listeners[0]?.healthCheck.intervalSeconds, 5);
});

test("has another certificate as soon as its Secret says so", () => {
  const { world, desired } = aWorld(
    { ...anIntent(), ports: [{ protocol: "TCP_SSL", port: 443, targetPort: 8080, certificate: { secret: "tls" } }] },
    [],
  );
  assert.deepEqual(desired().listeners[0]?.certificate, { certIds: ["cert-1"] });
  world.certificate = { certIds: ["cert-2"] };
  assert.deepEqual(desired().listeners[0]?.certificate, { certIds: ["cert-2"] });
  world.certificate = undefined;
  assert.equal(desired().listeners[0]?.lacksCertificate, true);
});
