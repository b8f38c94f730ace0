import assert from "node:assert/strict";
import { test } from "node:test";
import { loadBalancerOf, type OwnerIntent, type OwnerStanding } from "../../coordinator/domain/intent/owner-intent.ts";
import type { MirrorChange } from "../../coordinator/state/mirror.ts";
import type { PodChange } from "../../coordinator/state/pod-facts.ts";
import { WakeUps } from "../../coordinator/wake-ups.ts";
import { Worker } from "../../coordinator/workqueue/worker.ts";
import { anIntent, anOwner, aPod, aService } from "../builders.ts";
import { aFakeClock, silentLog } from "./pods.ts";

const CHECKS = { "service.cloud.tencent.com/direct-access": "true", "service.cloud.tencent.com/tke-service-config": "checks" };
const MADE = { "service.cloud.tencent.com/direct-access": "true", "service.cloud.tencent.com/tke-service-config-auto": "true" };
const owner = (uid: string, standing: (intent: ReturnType<typeof anIntent>) => OwnerStanding, change = {}): OwnerIntent => {
  const service = aService({ uid, name: uid, ...change });
  return anOwner(service, standing(anIntent(service)), uid);
};
const served =
  (loadBalancerId: string) =>
  (intent: ReturnType<typeof anIntent>): OwnerStanding => ({ state: "served", intent, loadBalancerId });

/** Services of two load balancers, one that has none yet, and "lb-left", whose owner vanished. */
const OWNERS: readonly OwnerIntent[] = [
  owner("web", served("lb-1"), { annotations: CHECKS }),
  owner("api", served("lb-1")),
  owner("blog", served("lb-2"), { annotations: CHECKS }),
  owner("news", served("lb-3"), { annotations: CHECKS, namespace: "shop" }),
  owner("made", served("lb-4"), { annotations: MADE }),
  owner("new", (intent) => ({ state: "waiting", intent, blocker: undefined }), { annotations: CHECKS }),
  owner("torn", () => ({ state: "held", loadBalancerId: "lb-2", blocker: undefined })),
];

/** Waiting Pods that an owner selects. */
const SELECTS: Readonly<Record<string, readonly string[]>> = { web: ["pod-8"], api: [], blog: ["pod-9"], new: ["pod-8", "pod-9"] };

/** Who has which address at lb-1, where 10.244.1.6 has no weight. A container of pod-5 is being stopped. */
const CLAIMS: Readonly<Record<string, string>> = {
  "10.244.1.1": "pod-1",
  "10.244.1.5": "pod-5",
  "10.244.1.6": "pod-6",
  "10.244.1.7": "pod-9",
  "fd00::1": "pod-1",
  "fd00::7": "pod-9",
};

/** Writes down who is woken, e.g. "owner web", "load balancer lb-1", "gate pod-1", "health", "plans at lb-1: pod-1 10.244.1.1". */
function aWorld({
  waiting = ["pod-8", "pod-9"],
  releases = [],
  facts = { complete: true },
  loadBalancers,
}: {
  waiting?: readonly string[];
  releases?: readonly string[];
  facts?: { complete: boolean };
  loadBalancers?: Pick<Worker, "add">;
} = {}) {
  const woken: string[] = [];
  const pods = new Map([
    ["10.244.1.8", aPod({ uid: "pod-8" })],
    ["10.244.1.1", aPod({ uid: "pod-open" })],
  ]);
  const queue = (name: string) => ({
    add: (key: string, delayMs = 0) => void woken.push(`${name} ${key}${delayMs > 0 ? ` in ${delayMs} ms` : ""}`),
    addFirst: (key: string) => void woken.push(`${name} ${key} first`),
  });
  const wakeUps = new WakeUps({
    intents: {
      all: OWNERS,
      get: (uid) => OWNERS.find(({ ref }) => ref.uid === uid),
      of: (id) => OWNERS.filter((one) => loadBalancerOf(one) === id),
      loadBalancerIds: new Set(["lb-1", "lb-2", "lb-3", "lb-4", "lb-left"]),
      shared: () => undefined,
      selections: {
        podJudged: () => undefined,
        ownersSelecting: () => [],
        waitingOf: (uid) => (SELECTS[uid] ?? []).filter((podUid) => waiting.includes(podUid)),
      },
    },
    pods: { waitingForGate: new Set(waiting), byIp: (ip) => pods.get(ip) },
    facts,
    isStopping: (podUid) => podUid === "pod-5",
    addressClaims: { podOf: (id, ip) => (id === "lb-1" ? CLAIMS[ip] : undefined) },
    mirror: { hasWeight: (id, ip) => id === "lb-1" && ip !== "10.244.1.6" },
    awaitedServices: { take: (uid) => (uid === "foreign" ? ["pod-9", "pod-gone"] : []) },
    ingressUses: { of: ({ name }) => new Set(name === "behind" ? ["ingress"] : []) },
    ingresses: () => ["ingress"],
    owners: queue("owner"),
    loadBalancers: loadBalancers ?? queue("load balancer"),
    gates: queue("gate"),
    networks: queue("network"),
    configs: queue("config"),
    health: { wake: (id) => void woken.push(`health of ${id}`) },
    plans: {
      podsChanged: (names, id) => void woken.push(`plans at ${id}: ${names.join(" ")}`),
      podsComplete: () => void woken.push("all plans"),
    },
    drains: { loadBalancerChanged: () => undefined, podChanged: () => undefined },
    releases: {
      releasesChanged: (id) => {
        woken.push(`releases of ${id}`);
        return releases.includes(id);
      },
    },
  });
  return { wakeUps, woken };
}

const podChanged =
  (change: Partial<PodChange>, ids: readonly string[] = []) =>
  (wakeUps: WakeUps): void =>
    wakeUps.podChanged({ change: { before: undefined, after: undefined, end: undefined, ...change }, loadBalancerIds: new Set(ids) });
const serviceChanged =
  (uid: string, annotations: Readonly<Record<string, string>> = {}) =>
  (wakeUps: WakeUps): void =>
    wakeUps.serviceChanged({ kind: "changed", record: aService({ uid, annotations }) });
const configChanged =
  (namespace: string, name: string) =>
  (wakeUps: WakeUps): void =>
    wakeUps.configChanged({
      kind: "changed",
      record: { uid: "c", resourceVersion: "1", namespace, name, wishes: new Map(), faults: [] },
    });

const OPEN = { gate: "True" } as const;
const plansAt = (id: string, names = "pod-1 10.244.1.1"): string => `plans at ${id}: ${names}`;
const intentOfOwner = (uid: string) => OWNERS.find(({ ref }) => ref.uid === uid) ?? owner(uid, served("lb-9"));
const targets = (...ips: readonly string[]): MirrorChange => ({ kind: "targets", ips: new Set(ips) });

for (const [title, change, expected] of [
  // a Pod
  [
    "a Pod that comes, and waits for its gate",
    podChanged({ after: aPod({ uid: "pod-1" }) }, ["lb-1"]),
    [plansAt("lb-1"), "load balancer lb-1", "health of lb-1", "gate pod-1", "network pod-1"],
  ],
  [
    "a Pod that two Services select",
    podChanged({ before: aPod(OPEN), after: aPod({ ...OPEN, containersReady: false }) }, ["lb-1", "lb-2"]),
    [
      plansAt("lb-1", "pod-1 10.244.1.1 10.244.1.1"),
      plansAt("lb-2", "pod-1 10.244.1.1 10.244.1.1"),
      "load balancer lb-1",
      "load balancer lb-2",
    ],
  ],
  ["a Pod that nobody selects, with an open gate", podChanged({ after: aPod(OPEN) }), []],
  [
    "a Pod that gets another address",
    podChanged({ before: aPod(OPEN), after: aPod({ ...OPEN, ips: ["10.244.1.2"] }) }, ["lb-1"]),
    [plansAt("lb-1", "pod-1 10.244.1.1 10.244.1.2"), "load balancer lb-1"],
  ],
  [
    "a Pod that is over",
    podChanged({ before: aPod(), end: "deleted" }, ["lb-1"]),
    [plansAt("lb-1"), "load balancer lb-1", "gate pod-1", "network pod-1"],
  ],
  ["a Pod with an open gate that is over", podChanged({ before: aPod(OPEN), end: "deleted" }), ["network pod-1"]],
  ["a Pod whose gate begins to wait", podChanged({ before: aPod(OPEN), after: aPod() }), ["gate pod-1", "network pod-1"]],
  ["a Pod whose gate waits still", podChanged({ before: aPod(), after: aPod({ gate: "False" }) }), ["gate pod-1", "network pod-1"]],
  ["a Pod whose gate has opened: its passes forget it", podChanged({ before: aPod(), after: aPod(OPEN) }), ["gate pod-1", "network pod-1"]],
  ["a Pod without gate", podChanged({ after: aPod({ hasGate: false }) }), []],
  ["a Pod that comes and ends already", podChanged({ after: aPod({ deletionAtMs: 1 }) }), []],
  ["a Pod at a load balancer that nobody has any more", podChanged({ after: aPod(OPEN) }, ["lb-9"]), [plansAt("lb-9")]],
  [
    "a Pod at a load balancer whose owner vanished",
    podChanged({ after: aPod(OPEN) }, ["lb-left"]),
    [plansAt("lb-left"), "load balancer lb-left"],
  ],
  ["a change that tells nothing", podChanged({}), []],
  // a Service
  ["a Service without another release", serviceChanged("web"), ["owner web", "releases of lb-1"]],
  ["a Service where a release was written", serviceChanged("blog"), ["owner blog", "releases of lb-2", "load balancer lb-2"]],
  [
    "a Service that cannot be read, where a release was written",
    serviceChanged("torn"),
    ["owner torn", "releases of lb-2", "load balancer lb-2"],
  ],
  ["a Service without load balancer", serviceChanged("new"), ["owner new"]],
  ["a Service that nobody knows", serviceChanged("unknown"), ["owner unknown"]],
  [
    "a Service whose annotation says that no verdict delays a bind",
    serviceChanged("web", { "clb-direct.io/verdict-delay": "false" }),
    ["owner web", "releases of lb-1", "gate pod-8", "network pod-8"],
  ],
  [
    "EndpointSlices of a Service: its load balancer's pass tells of addresses that are bound nowhere",
    (wakeUps) => wakeUps.referenceChanged("web"),
    ["owner web", "load balancer lb-1"],
  ],
  ["those of one without load balancer", (wakeUps) => wakeUps.referenceChanged("new"), ["owner new"]],
  ["a Service of another controller that a gate waits for", serviceChanged("foreign"), ["owner foreign", "gate pod-9"]],
  ["the first pass of a Service that a gate waits for", (wakeUps) => wakeUps.serviceRead("foreign"), ["gate pod-9"]],
  ["the first pass of one that nobody waits for", (wakeUps) => wakeUps.serviceRead("web"), []],
  // a TkeServiceConfig
  [
    "a TkeServiceConfig: load balancers of owners in its namespace that name it",
    configChanged("demo", "checks"),
    ["load balancer lb-1", "load balancer lb-2"],
  ],
  ["one of that name elsewhere", configChanged("shop", "checks"), ["load balancer lb-3"]],
  ["one that nobody names", configChanged("demo", "others"), []],
  ["one that is made for its owner", configChanged("demo", "made-auto-service-config"), ["config made", "load balancer lb-4"]],
  [
    "what an owner asks for whose TkeServiceConfig is made",
    (wakeUps) => wakeUps.intentChanged(intentOfOwner("made")),
    ["load balancer lb-4", "config made"],
  ],
  [
    "anything that is known of a load balancer of such a one",
    (wakeUps) => wakeUps.mirrorChanged("lb-4", { kind: "all" }),
    ["load balancer lb-4", "owner made", "config made", "health of lb-4"],
  ],
  // the others
  [
    "what an owner asks for",
    (wakeUps) => wakeUps.intentChanged(intentOfOwner("web")),
    ["load balancer lb-1", "gate pod-8", "network pod-8"],
  ],
  [
    "why an owner has no load balancer",
    (wakeUps) => wakeUps.intentChanged(intentOfOwner("new")),
    ["gate pod-8", "gate pod-9", "network pod-8", "network pod-9"],
  ],
  ["Pods that an owner selects no longer", (wakeUps) => wakeUps.podsDeselected(["pod-9", "pod-gone"]), ["gate pod-9"]],
  [
    "anything that is known of a load balancer",
    (wakeUps) => wakeUps.mirrorChanged("lb-1", { kind: "all" }),
    ["load balancer lb-1", "owner web", "owner api", "gate pod-8", "network pod-8", "health of lb-1"],
  ],
  [
    "targets of a load balancer",
    (wakeUps) => wakeUps.mirrorChanged("lb-1", targets("10.244.1.8", "10.244.1.7", "10.244.1.1", "10.244.9.9")),
    ["load balancer lb-1", "gate pod-8 first", "gate pod-9 first", "health of lb-1"],
  ],
  ["a read that finds nothing new", (wakeUps) => wakeUps.mirrorChanged("lb-1", targets()), ["load balancer lb-1", "health of lb-1"]],
  [
    "what is known of one that nobody has",
    (wakeUps) => wakeUps.mirrorChanged("lb-left", { kind: "all" }),
    ["load balancer lb-left", "health of lb-left"],
  ],
  [
    "addresses pass to other Pods",
    (wakeUps) => wakeUps.addressesClaimed("lb-1", ["10.244.1.8", "10.244.1.2"]),
    ["health of lb-1", plansAt("lb-1", "10.244.1.8 10.244.1.2"), "gate pod-8 first"],
  ],
  ["a bind is refused", (wakeUps) => wakeUps.bindRefused("lb-1"), ["gate pod-8"]],
  ["a load balancer comes into doubt", (wakeUps) => wakeUps.loadBalancerDue("lb-1"), ["load balancer lb-1"]],
  [
    "a quota is raised",
    (wakeUps) => wakeUps.quotasRaised(),
    ["lb-1", "lb-2", "lb-3", "lb-4", "lb-left"].map((id) => `load balancer ${id}`),
  ],
  [
    "every Node has told its Pods",
    (wakeUps) => wakeUps.podsComplete(),
    [...["lb-1", "lb-2", "lb-3", "lb-4", "lb-left"].map((id) => `load balancer ${id}`), "all plans"],
  ],
] as const satisfies readonly (readonly [string, (wakeUps: WakeUps) => void, readonly string[]])[])
  test(`${title}: ${expected.length === 0 ? "nobody" : expected.join(", ")}`, () => {
    const { wakeUps, woken } = aWorld({ releases: ["lb-2"] });
    change(wakeUps);
    assert.deepEqual(woken.toSorted(), [...expected].sort()); // in any order
  });

test("where no gate waits, nobody's gate is looked at", () => {
  const { wakeUps, woken } = aWorld({ waiting: [] });
  wakeUps.intentChanged(intentOfOwner("web"));
  wakeUps.mirrorChanged("lb-2", { kind: "all" });
  assert.deepEqual(
    woken.filter((line) => line.startsWith("gate")),
    [],
  );
});

const NOW = "load balancer lb-1";
const SOON = `${NOW} in 1000 ms`;
for (const [title, change, expected] of [
  ["one that serves as it is on record is taken in with others", { after: aPod({ uid: "pod-1", ...OPEN }) }, SOON],
  ["so is one with two addresses", { after: aPod({ uid: "pod-1", ips: ["10.244.1.1", "fd00::1"], ...OPEN }) }, SOON],
  ["and one without a gate", { after: aPod({ uid: "pod-1", hasGate: false }) }, SOON],
  ["one that is to be bound is not", { after: aPod({ uid: "pod-2", ips: ["10.244.1.2"], ...OPEN }) }, NOW],
  ["nor one whose address was bound for another Pod", { after: aPod({ uid: "pod-2", ips: ["10.244.1.7"], ...OPEN }) }, NOW],
  ["nor one whose other address was", { after: aPod({ uid: "pod-1", ips: ["10.244.1.1", "fd00::7"], ...OPEN }) }, NOW],
  ["nor one that waits for its gate", { after: aPod({ uid: "pod-1" }) }, NOW],
  ["nor one whose containers are not ready", { after: aPod({ uid: "pod-1", ...OPEN, containersReady: false }) }, NOW],
  ["nor one that is not bound in fact, or is to get its weight back", { after: aPod({ uid: "pod-6", ips: ["10.244.1.6"], ...OPEN }) }, NOW],
  ["nor one that its agent holds", { after: aPod({ uid: "pod-5", ips: ["10.244.1.5"], ...OPEN }) }, NOW],
  ["nor one that is being deleted", { after: aPod({ uid: "pod-1", ...OPEN, deletionAtMs: 1 }) }, NOW],
  ["nor one whose containers are over", { after: aPod({ uid: "pod-1", ...OPEN, phase: "Failed" }) }, NOW],
  ["nor one that was known already", { before: aPod({ uid: "pod-1" }), after: aPod({ uid: "pod-1", ...OPEN }) }, NOW],
  ["nor one that is gone", { before: aPod({ uid: "pod-1", ...OPEN }), end: "deleted" }, NOW],
] as const satisfies readonly (readonly [string, Partial<PodChange>, string])[]) {
  const passesOf = (complete: boolean): string[] => {
    const { wakeUps, woken } = aWorld({ facts: { complete } });
    podChanged(change, ["lb-1"])(wakeUps);
    assert.ok(woken.some((line) => line.startsWith("plans at lb-1"))); // whoever makes a pass meanwhile sees it
    return woken.filter((line) => line.startsWith("load balancer"));
  };
  test(`of Pods that come while Nodes have yet to tell theirs, ${title}`, () => assert.deepEqual(passesOf(false), [expected]));
  test(`where every Node has told its Pods, none waits for others: ${title}`, () => assert.deepEqual(passesOf(true), [NOW]));
}

test("what is on record at one load balancer says nothing of another one", () => {
  const { wakeUps, woken } = aWorld({ facts: { complete: false } });
  podChanged({ after: aPod({ uid: "pod-1", ...OPEN }) }, ["lb-1", "lb-2"])(wakeUps);
  assert.deepEqual(
    woken.filter((line) => line.startsWith("load balancer")),
    [SOON, "load balancer lb-2"],
  );
});

test("Pods that come one after the other make few passes until every Node has told its own, and none of them delays another change", async (t) => {
  const clock = aFakeClock(0);
  const passesMs: number[] = [];
  const reconcile = () => {
    passesMs.push(clock.now());
    return Promise.resolve({ kind: "again", afterMs: 60_000, because: "time" } as const);
  };
  const worker = new Worker({ name: "test", clock, log: silentLog, concurrency: 1, reconcile });
  const stop = new AbortController();
  const ended = worker.run(stop.signal, stop.signal);
  t.after(async () => {
    stop.abort();
    await clock.advance(1);
    await ended;
  });
  const facts = { complete: false };
  const { wakeUps } = aWorld({ facts, loadBalancers: worker });
  const known = aPod({ uid: "pod-1", ...OPEN });
  const come = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) {
      podChanged({ after: known }, ["lb-1"])(wakeUps);
      await clock.advance(50);
    }
  };
  worker.add("lb-1"); // the first pass of a leader
  await come(40);
  assert.deepEqual(passesMs.splice(0), [0, 1_050]);
  await come(4);
  podChanged({ before: known, after: aPod({ uid: "pod-1", ...OPEN, deletionAtMs: 1 }) }, ["lb-1"])(wakeUps);
  await clock.advance(900);
  assert.deepEqual(passesMs.splice(0), [2_050, 2_200]); // which has taken in the others as well
  facts.complete = true;
  await come(4);
  assert.deepEqual(passesMs.splice(0), [3_100, 3_150, 3_200, 3_250]);
});
