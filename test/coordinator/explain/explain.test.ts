import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedListenerName } from "../../../common/names.ts";
import type { Call } from "../../../coordinator/domain/call.ts";
import { serviceRef } from "../../../coordinator/domain/intent/service.ts";
import type { Listener } from "../../../coordinator/domain/load-balancer.ts";
import type { Plan } from "../../../coordinator/domain/plan/plan-load-balancer.ts";
import { foreignGateText } from "../../../coordinator/domain/readiness/foreign-gate.ts";
import type { GateStages } from "../../../coordinator/domain/readiness/gate-condition.ts";
import type { Parked } from "../../../coordinator/domain/safety/brake.ts";
import type { Policy } from "../../../coordinator/domain/safety/policy.ts";
import { describeFinding } from "../../../coordinator/events/wording.ts";
import { Explain } from "../../../coordinator/explain/explain.ts";
import { loadBalancerText, podText } from "../../../coordinator/explain/text.ts";
import { PodBindings } from "../../../coordinator/gates/pod-bindings.ts";
import type { Writer } from "../../../coordinator/load-balancers/writer.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { ListenerOwners } from "../../../coordinator/state/listener-owners.ts";
import { Mirror } from "../../../coordinator/state/mirror.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { RefusedCalls } from "../../../coordinator/state/refused-calls.ts";
import {
  aListener,
  aLoadBalancer,
  anIntent,
  anOwner,
  aPod,
  aRule,
  aService,
  aTarget,
  aWantedHttpListener,
  CLUSTER,
  LISTENER_NAME,
} from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";
import { aFakeClock } from "../pods.ts";
import { anHttpListener, cartRule, homeRule, placesInRules } from "../rules.ts";
import { memoryClaims } from "../stage.ts";

const SLOT = "lbl-1 10.244.1.1:8080";
const BIND: Call = { lane: "bind", targets: [{ listenerId: "lbl-1", ip: "10.244.1.1", port: 8080, weight: 10, podUid: "pod-1" }] };
const NOTHING: Plan = { calls: [], findings: [] };

function aWorld(targets = [aTarget()], plan: Plan = NOTHING, inRules?: readonly Listener[], planned: () => unknown = () => undefined) {
  const clock = aFakeClock();
  const known = somePodFacts(aPod());
  const mirror = new Mirror(() => undefined);
  mirror.fill({ ...aLoadBalancer(), running: true }, inRules ?? [aListener({ targets })], clock.now());
  const intents = new Intents({ clusterId: CLUSTER, pods: makePodIndex(known.facts), wishes: () => new Map() });
  const service = aService();
  intents.set(anOwner(service));
  const running: { call: Call | undefined } = { call: undefined };
  const writer = { running: () => running.call } as unknown as Writer;
  const addressClaims = memoryClaims();
  const shared = { intents, mirror, writer, addressClaims, clock };
  const progress = { running: () => running.call, refusal: () => undefined };
  const places = inRules && { places: placesInRules };
  const podBindings = new PodBindings({ ...shared, selections: intents.selections, progress, clusterId: CLUSTER, ...places });
  const held: Parked[] = [];
  const elsewhere: string[] = [];
  const strays: string[] = [];
  const stages = new Map<string, GateStages>();
  const policy: { is: Policy } = { is: "enforce" };
  const explain = new Explain({
    ...shared,
    facts: known.facts,
    podBindings,
    ownShare: { stagesOf: (uid) => stages.get(uid) },
    services: { foreignGates: () => elsewhere },
    planner: {
      plan: () => {
        planned();
        return plan;
      },
      unboundFromMs: (id, slot) => {
        const zeroSinceMs = mirror.drainedAtMs(id, slot);
        return zeroSinceMs === undefined ? undefined : zeroSinceMs + 30_000;
      },
    },
    refusedCalls: new RefusedCalls(clock),
    listenerOwners: new ListenerOwners({ intents, mirror, clusterId: CLUSTER }),
    guard: { parked: () => held, strayReleases: () => strays },
    get policy() {
      return policy.is;
    },
  });
  const text = (): string => {
    const pod = explain.pod("demo/web-1");
    return pod === undefined ? "" : podText(pod);
  };
  return { clock, known, mirror, elsewhere, addressClaims, intents, running, held, strays, stages, policy, explain, text };
}

test("tells who has to open the gate of a Pod that only another controller's Service selects", () => {
  const { elsewhere, explain, intents, text } = aWorld();
  intents.remove(aService().uid);
  assert.match(text(), /no Service with direct access selects it/);
  elsewhere.push(foreignGateText(aService({ name: "theirs" })));
  assert.match(text(), /Service demo\/theirs is not served by clb-direct: TKE's service controller has to open the gate/);
  assert.equal(explain.podsOf("demo").length, 1);
});

test("tells of a Pod that waits: step, since when, what is awaited, from whom, and the next call with its reason", async () => {
  const { clock, text } = aWorld([], { calls: [BIND], findings: [] });
  text();
  await clock.advance(4_000);
  assert.equal(
    text(),
    [
      "Pod demo/web-1 on node-a (facts from: agent), address 10.244.1.1 on interface unknown",
      "  containers ready: yes, gate: absent",
      "  Service demo/web at lb-1 TCP:80: bindable for at least 4 s",
      "    awaited: waits for the load balancer's next write (from the coordinator)",
      "    next call: bind 1: Pods that are ready",
      "",
    ].join("\n"),
  );
});

test("an ENI inside of the Pod has no name on its node, and that is said", () => {
  const pod = aWorld([]).explain.pod("demo/web-1");
  assert.ok(pod !== undefined);
  assert.match(podText({ ...pod, hostInterface: "" }), /address 10\.244\.1\.1 on an interface of its own, which the node does not show\n/);
});

test("tells of the call that runs, of the check, of its failing, and of nothing more to wait for", () => {
  const { clock, mirror, running, text } = aWorld([]);
  running.call = BIND;
  assert.match(text(), /: binding\n {4}awaited: the bind that runs \(from the cloud\)\n {4}running call: bind 1: Pods that are ready/);
  running.call = undefined;
  mirror.fold("lb-1", BIND, [], clock.now());
  assert.match(text(), /: checking for 0 s\n {4}awaited: the load balancer's health check \(from the cloud\)/);
  const hear = (state: "Dead" | "Alive") =>
    mirror.noteHealth("lb-1", new Map([[SLOT, state]]), { askedMs: clock.now() + 10_000, nowMs: clock.now() });
  hear("Dead");
  assert.match(text(), /health check fails: port, path or security group \(from you\)/);
  hear("Alive");
  assert.match(text(), /: healthy for 0 s\n {4}awaited: nothing: bound and healthy\n$/);
});

test("tells how long each stage took on the way to a gate that this leader opened", () => {
  const { explain, stages, text } = aWorld();
  assert.doesNotMatch(text(), /gate opened/);
  stages.set("pod-1", { wait: 0.11, bind: 1.2, check: 4.44, patch: 0.05 });
  assert.match(
    text(),
    /\n {2}gate opened 5\.8 s after its containers were ready: 0\.1 s until the bind was called, 1\.2 s the bind, 4\.4 s until it was known to serve, 0\.1 s the patch\n/,
  );
  assert.equal(explain.pod("demo/web-1")?.stages?.bind, 1.2);
});

test("tells who must act on a Pod that cannot be bound", () => {
  const { known, text } = aWorld([]);
  known.set(aPod({ containersReady: false }));
  assert.match(text(), /containers ready: no[^]*awaited: its containers are not ready[^]*\(from the Pod\)/);
  known.set(aPod({ hostNetwork: true }));
  assert.match(text(), /awaited: Pod demo\/web-1 has hostNetwork: true[^]*\(from you\)/);
  known.set(aPod({ deletionAtMs: 1 }));
  assert.match(text(), /terminating\n[^]*: draining for [^]*awaited: weight 0, then the end of the drain time/);
  known.set(aPod({ labels: {}, hasGate: false }));
  assert.match(text(), /gate: no gate\n {2}no Service with direct access selects it\n$/);
});

test("of Pods that bore the same name explains the youngest; an unknown one not at all", () => {
  const { known, explain } = aWorld();
  known.set(aPod({ uid: "pod-2", startedAtMs: 2_000 }));
  assert.deepEqual([explain.pod("demo/web-1")?.uid, explain.pod("demo/web-9"), explain.pod("web-1")], ["pod-2", undefined, undefined]);
});

test("lists the Pods of a namespace that are selected, by name", () => {
  const { known, explain } = aWorld();
  known.set(aPod({ uid: "b", name: "b" }));
  known.set(aPod({ uid: "a", name: "a" }));
  known.set(aPod({ uid: "c", name: "c", labels: {} }));
  known.set(aPod({ uid: "d", name: "d", namespace: "shop" }));
  assert.deepEqual(
    explain.podsOf("demo").map(({ pod }) => pod),
    ["demo/a", "demo/b", "demo/web-1"],
  );
});

test("tells of a load balancer: owners, listeners, who is behind each target, what is planned and found", async () => {
  const targets = [1, 2, 3, 4].map((n) => aTarget({ ip: `10.244.1.${n}` }));
  const finding = { kind: "orphaned", listener: aListener() } as const;
  const { clock, known, mirror, addressClaims, explain } = aWorld(targets, { calls: [BIND], findings: [finding] });
  const claims = new Map([1, 2, 3].map((n) => [`10.244.1.${n}`, `pod-${n}`]));
  await addressClaims.claim("lb-1", claims, new AbortController().signal);
  known.end("pod-2");
  mirror.noteHealth("lb-1", new Map([[SLOT, "Alive"]]), { askedMs: clock.now(), nowMs: clock.now() });
  mirror.markStale("lb-1", "bind ended in doubt");
  await clock.advance(9_000);
  const one = explain.loadBalancer("lb-1");
  assert.ok(one !== undefined);
  assert.equal(
    loadBalancerText(one),
    [
      "Load balancer lb-1 (198.18.0.1), read 9 s ago, in doubt: bind ended in doubt",
      "  owners: Service demo/web (served)",
      `  TCP:80 lbl-1 ${LISTENER_NAME}`,
      "    10.244.1.1:8080 weight 10 Alive demo/web-1",
      "    10.244.1.2:8080 weight 10 no data UID pod-2 (deleted)",
      "    10.244.1.3:8080 weight 10 no data UID pod-3 (unknown)",
      "    10.244.1.4:8080 weight 10 no data not bound by us",
      "  running call: none",
      "  planned: bind 1: Pods that are ready",
      `  found: listener lbl-1 (${LISTENER_NAME}) is ours, but its owner is unknown: kept`,
      "",
    ].join("\n"),
  );
  assert.equal(explain.loadBalancer("lb-9"), undefined);
});

test("says when a drained target is unbound, unless it gets its weight back, waits, or nothing is taken away", async () => {
  const targets = [1, 2, 3].map((n) => aTarget({ ip: `10.244.1.${n}`, weight: 0 }));
  const tune: Call = { lane: "tune", weights: [{ listenerId: "lbl-1", ip: "10.244.1.2", port: 8080, weight: 10 }] };
  const waiting = { kind: "waiting", listener: aListener(), target: aTarget({ ip: "10.244.1.3" }) } as const;
  const { clock, addressClaims, explain, policy } = aWorld(targets, { calls: [tune], findings: [waiting] });
  const claims = new Map([1, 2, 3].map((n) => [`10.244.1.${n}`, `pod-${n}`]));
  await addressClaims.claim("lb-1", claims, new AbortController().signal);
  const seconds = (): unknown[] =>
    (explain.loadBalancer("lb-1")?.listeners[0]?.targets ?? []).map(({ unboundInSeconds }) => unboundInSeconds);
  await clock.advance(9_500);
  assert.deepEqual(seconds(), [21, undefined, undefined]);
  const one = explain.loadBalancer("lb-1");
  assert.ok(one !== undefined);
  assert.match(loadBalancerText(one), /10\.244\.1\.1:8080 weight 0 no data demo\/web-1, draining: unbound in 21 s\n/);
  policy.is = "no-unbind";
  assert.deepEqual(seconds(), [undefined, undefined, undefined]);
  policy.is = "enforce";
  await clock.advance(21_000);
  assert.deepEqual(seconds(), [undefined, undefined, undefined]); // its unbind is planned, or made
});

test("describes what it found and does not touch", () => {
  const listener = aListener();
  const target = aTarget();
  const wanted = {
    name: "n",
    owner: serviceRef(aService()),
    protocol: "TCP",
    port: 80,
    healthCheck: {},
    backends: [],
    standings: [],
  } as const;
  const by = { ...listener, name: "by hand" };
  const taken = "port TCP:80 is taken by";
  assert.equal(describeFinding({ kind: "port-taken", wanted, by }), `${taken} foreign listener lbl-1 ("by hand")`);
  assert.equal(describeFinding({ kind: "port-taken", wanted, by }, wanted.owner), `${taken} listener lbl-1 of Service demo/web`);
  assert.equal(
    describeFinding({ kind: "foreign-target", listener, target }),
    "target 10.244.1.1:8080 of listener lbl-1 was not bound by us: kept",
  );
  assert.match(describeFinding({ kind: "waiting", listener, target }), /stays until what replaces it serves/);
});

test("tells which removals are parked, and how a person lets one go", () => {
  const { held, explain } = aWorld();
  held.push({ id: "r-5e21c0ff", place: "lbl-1", slots: [{ listenerId: "lbl-1", ip: "10.244.1.1", port: 8080 }], staying: 0, floor: 1 });
  held.push({ id: "r-2", place: "lbl-9", slots: [], staying: 0, floor: 1 });
  const one = explain.loadBalancer("lb-1");
  const line =
    "removal r-5e21c0ff of 1 backends of lbl-1: 0 would stay, 1 must. If it is right, annotate Service demo/web with clb-direct.io/release: r-5e21c0ff";
  assert.equal(one?.parked[0], line);
  assert.match(one.parked[1] ?? "", /annotate its Service with clb-direct.io\/release: r-2$/); // nobody remembers whose listener it was
  assert.ok(loadBalancerText(one).includes(`  parked: ${line}\n`));
});

test("of a release that was used up or stood there for long, says that it has to be set again", () => {
  const { held, explain } = aWorld();
  const parked: Parked = { id: "r-1", place: "lbl-1", slots: [], staying: 0, floor: 1 };
  held.push({ ...parked, spent: "used" }, { ...parked, spent: "late" });
  const [used, late] = explain.loadBalancer("lb-1")?.parked ?? [];
  assert.match(used ?? "", /stands clb-direct.io\/release: r-1 from the last time, .*take the annotation away and set it again$/);
  assert.match(late ?? "", /since long before, .*take the annotation away and set it again$/);
});

test("names the ids in the annotation that no removal has, a few of them", () => {
  const { held, strays, explain } = aWorld();
  held.push({ id: "r-1", place: "lbl-1", slots: [], staying: 0, floor: 1 });
  const end = (): string => explain.loadBalancer("lb-1")?.parked[0]?.split("release: r-1")[1] ?? "";
  assert.equal(end(), "");
  strays.push("r-wrong");
  assert.equal(end(), ". What stands in clb-direct.io/release now, r-wrong, names nothing that is parked here");
  strays.push("r-b", "r-c", "r-d", "r-e");
  assert.match(end(), /now, r-wrong, r-b, r-c and 2 more, name nothing/);
});

test("what the policy does not allow is planned, but not made, and nobody's next call", () => {
  const conflict: Call = { lane: "conflict", slots: [{ listenerId: "lbl-1", ip: "10.244.1.9", port: 8080 }] };
  const { explain, policy } = aWorld([], { calls: [conflict, BIND], findings: [] });
  const planned = (): readonly (string | undefined)[] => [
    ...(explain.loadBalancer("lb-1")?.plannedCalls ?? []).map((call) => /\(.*\)$/.exec(call)?.[0]),
    explain.pod("demo/web-1")?.bindings[0]?.nextCall,
  ];
  assert.deepEqual(planned(), [undefined, undefined, "conflict 1: their addresses belong to other Pods now, or their Pods are over"]);
  policy.is = "no-unbind";
  assert.deepEqual(planned(), ["(not made: POLICY is no-unbind)", undefined, "bind 1: Pods that are ready"]);
  policy.is = "observe";
  const not = "(not made: POLICY is observe)";
  const next = `conflict 1: their addresses belong to other Pods now, or their Pods are over ${not}`;
  assert.deepEqual(planned(), [not, not, next]);
});

test("tells weight and health of a Pod in each of its rules, and of none where it is not bound", () => {
  const { clock, known, mirror, explain } = aWorld([], NOTHING, [
    anHttpListener(cartRule({ targets: [aTarget({ weight: 7 })] }), homeRule()),
  ]);
  known.set(aPod({ labels: { app: "web", tier: "front" } }));
  const brief = (): unknown[] =>
    (explain.pod("demo/web-1")?.bindings ?? []).map(({ listener, step, weight, health }) => [listener, step, weight, health]);
  const home = ["HTTP:80 /", "bindable", undefined, undefined];
  assert.deepEqual(brief(), [["HTTP:80 Shop.example.com/cart", "checking", 7, "no data"], home]);
  const say = (place: string): void =>
    void mirror.noteHealth("lb-1", new Map([[`${place} 10.244.1.1:8080`, "Dead"]]), { askedMs: clock.now(), nowMs: clock.now() });
  say("lbl-1");
  say("lbl-1/loc-2");
  assert.deepEqual(brief(), [["HTTP:80 Shop.example.com/cart", "checking", 7, "no data"], home]);
  say("lbl-1/loc-1");
  assert.deepEqual(brief(), [["HTTP:80 Shop.example.com/cart", "checking", 7, "Dead"], home]);
  known.set(aPod());
  assert.deepEqual(brief().length, 1); // "/" does not ask for it any more
});

test("names the rule that a Pod waits for, in words", () => {
  const { text, known } = aWorld([], NOTHING, [anHttpListener(homeRule())]);
  known.set(aPod({ labels: { app: "web", tier: "front" } }));
  assert.match(text(), /at lb-1 HTTP:80 Shop\.example\.com\/cart: bindable\n {4}awaited: the rule has to be created first/);
  assert.match(text(), /at lb-1 HTTP:80 \/: bindable\n {4}awaited: waits for the load balancer's next write/);
});

test("tells the targets of a load balancer with rules, rule by rule, with the health of each", async () => {
  const rules = [cartRule({ targets: [aTarget(), aTarget({ ip: "10.244.1.2", weight: 0 })] }), homeRule({ targets: [aTarget()] })];
  const { clock, mirror, addressClaims, explain } = aWorld([], NOTHING, [anHttpListener(...rules)]);
  await addressClaims.claim("lb-1", new Map([["10.244.1.1", "pod-1"]]), new AbortController().signal);
  mirror.noteHealth("lb-1", new Map([["lbl-1/loc-2 10.244.1.1:8080", "Alive"]]), { askedMs: clock.now(), nowMs: clock.now() });
  const one = explain.loadBalancer("lb-1");
  assert.ok(one !== undefined);
  assert.deepEqual(loadBalancerText(one).split("\n").slice(2, 6), [
    `  HTTP:80 lbl-1 ${aWantedHttpListener().name}`,
    "    loc-1 shop.example.com/cart 10.244.1.1:8080 weight 10 no data demo/web-1",
    "    loc-1 shop.example.com/cart 10.244.1.2:8080 weight 0 no data not bound by us",
    "    loc-2 198.18.0.1/ 10.244.1.1:8080 weight 10 Alive demo/web-1",
  ]);
});

test("tells where a rule sends its clients", () => {
  const to = aRule({ listenerId: "lbl-2", locationId: "loc-9", domain: "shop.example.com", url: "/" });
  const https = anHttpListener(to);
  const listeners = [
    anHttpListener(cartRule({ redirect: { listenerId: "lbl-2", locationId: "loc-9", code: 302 } }), homeRule()),
    { ...https, listenerId: "lbl-2", name: "other", protocol: "HTTPS", port: 443 },
  ];
  const one = aWorld([], NOTHING, listeners).explain.loadBalancer("lb-1");
  assert.ok(one !== undefined);
  assert.match(
    loadBalancerText(one),
    /\n {4}loc-1 shop\.example\.com\/cart sends its clients to loc-9 shop\.example\.com\/ of HTTPS:443 by 302\n/,
  );
});

test("names the owner of a removal that is parked in a rule", () => {
  const { held, explain } = aWorld([], NOTHING, [anHttpListener(cartRule())]);
  held.push({ id: "r-1", place: "lbl-1/loc-1", slots: [], staying: 0, floor: 1 });
  assert.match(explain.loadBalancer("lb-1")?.parked[0] ?? "", /backends of lbl-1\/loc-1: .*annotate Service demo\/web with/);
});

test("of many places of a Pod that stand alike one is told for all, and those that stand otherwise for themselves", () => {
  const { explain } = aWorld();
  const pod = explain.pod("demo/web-1");
  const [first] = pod?.bindings ?? [];
  assert.ok(pod !== undefined && first !== undefined);
  const rules = Array.from({ length: 50 }, (_, at) => ({ ...first, listener: `HTTP:80 a.example.com/p${at}`, sinceSeconds: at }));
  const dead = { ...first, listener: "HTTP:80 a.example.com/dead", step: "checking", health: "Dead" } as const;
  const lines = podText({ ...pod, bindings: [...rules, dead] }).split("\n");
  assert.equal(lines.filter((line) => line.includes("a.example.com")).length, 2, lines.join("\n"));
  assert.ok(
    lines.some((line) => line.includes("HTTP:80 a.example.com/p49 and 49 more places alike: checking")),
    lines.join("\n"),
  );
  assert.ok(lines.some((line) => line.includes("a.example.com/dead: checking")));
});

test("a Pod in many places that waits costs one plan of its load balancer, not one for each place", () => {
  let plans = 0;
  const world = aWorld([], { calls: [BIND], findings: [] }, undefined, () => plans++);
  world.intents.set(anOwner(aService({ name: "second", uid: "00000000-0000-4000-8000-00000000000b" })));
  assert.equal(world.explain.pod("demo/web-1")?.bindings.length, 2);
  assert.equal(plans, 1);
});

test("in a listener that a group shares each rule says whose it is", () => {
  const listener = { ...anHttpListener(cartRule({ targets: [aTarget()] }), redirecting()), name: sharedListenerName(CLUSTER, "HTTP", 80) };
  const { explain, intents } = aWorld([], NOTHING, [listener]);
  const intent = { ...anIntent(), group: true as const, ports: [{ name: "", protocol: "HTTP" as const, port: 80, targetPort: 8080 }] };
  intents.set(anOwner(aService(), { state: "served", intent, loadBalancerId: "lb-1" }));
  const one = explain.loadBalancer("lb-1");
  assert.ok(one !== undefined);
  assert.deepEqual(loadBalancerText(one).split("\n").slice(2, 5), [
    `  HTTP:80 lbl-1 cd-${CLUSTER}-group-http80`,
    "    loc-3 old.example.com/ of Service demo/web sends its clients to loc-1 shop.example.com/cart of HTTP:80 by 301",
    "    loc-1 shop.example.com/cart of Service demo/web 10.244.1.1:8080 weight 10 no data not bound by us",
  ]);
});

const redirecting = () =>
  aRule({
    locationId: "loc-3",
    domain: "old.example.com",
    url: "/",
    redirect: { listenerId: "lbl-1", locationId: "loc-1", code: 301 },
  });
