import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_GATE_TYPE } from "../../../common/names.ts";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { Call } from "../../../coordinator/domain/call.ts";
import type { OwnerStanding } from "../../../coordinator/domain/intent/owner-intent.ts";
import type { Listener } from "../../../coordinator/domain/load-balancer.ts";
import type { GateCondition } from "../../../coordinator/domain/readiness/gate-condition.ts";
import { PodBindings, type PodBindingsDeps } from "../../../coordinator/gates/pod-bindings.ts";
import { makePodGateReconciler } from "../../../coordinator/gates/reconcile.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { Mirror } from "../../../coordinator/state/mirror.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { aListener, aLoadBalancer, anIntent, anOwner, aPod, aService, aTarget, CLUSTER } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";
import { aFakeClock, silentLog } from "../pods.ts";
import { anHttpListener, cartRule, homeRule, placesInRules } from "../rules.ts";
import { memoryClaims } from "../stage.ts";

const SLOT = "lbl-1 10.244.1.1:8080";
const service = aService();

/** One Service on lb-1 as the mirror shows it; `running` is the call that is under way. */
function aWorld(listeners: readonly Listener[] = [aListener()], standing?: OwnerStanding, places?: PodBindingsDeps["places"]) {
  const clock = aFakeClock();
  const mirror = new Mirror(() => undefined);
  mirror.fill({ ...aLoadBalancer(), running: true }, listeners, clock.now());
  const intents = new Intents({ clusterId: CLUSTER, pods: makePodIndex(somePodFacts().facts), wishes: () => new Map() });
  intents.set(anOwner(service, standing));
  const running: { call: Call | undefined } = { call: undefined };
  const addressClaims = memoryClaims();
  /** By slot key. */
  const refused = new Map<string, string>();
  const progress = { running: () => running.call, refusal: (_id: string, slot: string) => refused.get(slot) };
  const { selections } = intents;
  const bindings = new PodBindings({ selections, mirror, progress, addressClaims, clock, clusterId: CLUSTER, ...(places && { places }) });
  const steps = (change: Partial<PodFact> = {}): string[] =>
    bindings.of(aPod(change)).map(({ listener, step }) => `${listener} ${"reason" in step ? step.reason : step.kind}`);
  return { clock, mirror, intents, running, refused, addressClaims, bindings, steps };
}
const bound = [aListener({ targets: [aTarget()] })];

test("a binding goes from bindable over binding and checking to healthy", () => {
  const { clock, mirror, running, steps } = aWorld();
  assert.deepEqual(steps(), ["TCP:80 bindable"]);
  const call: Call = { lane: "bind", targets: [{ listenerId: "lbl-1", ip: "10.244.1.1", port: 8080, weight: 10, podUid: "pod-1" }] };
  running.call = call;
  assert.deepEqual(steps(), ["TCP:80 binding"]);
  assert.deepEqual(steps({ ips: ["10.244.1.2"] }), ["TCP:80 bindable"]); // another Pod is not in that call
  running.call = undefined;
  mirror.fold("lb-1", call, [], clock.now());
  assert.deepEqual(steps(), ["TCP:80 checking"]);
  const checkedMs = clock.now() + 10_000; // three checks, one every 5 s
  mirror.noteHealth("lb-1", new Map([[SLOT, "Alive"]]), { askedMs: checkedMs, nowMs: checkedMs });
  assert.deepEqual(steps(), ["TCP:80 healthy"]);
});

test("tells since when a step has been the same", async () => {
  const { clock, mirror, bindings } = aWorld(bound);
  const since = (): number => clock.now() - (bindings.of(aPod())[0]?.sinceMs ?? 0);
  since();
  await clock.advance(700);
  assert.equal(since(), 700);
  mirror.noteHealth("lb-1", new Map([[SLOT, "Alive"]]), { askedMs: clock.now(), nowMs: clock.now() });
  assert.equal(since(), 0);
});

test("knows when a step began only where it has seen another one before, of a Pod whose gate waits", () => {
  const { clock, mirror, running, bindings } = aWorld(bound);
  const seen = (change: Partial<PodFact> = {}): string[] =>
    bindings.of(aPod(change)).map(({ step, isBeginSeen }) => `${step.kind} ${isBeginSeen}`);
  const turn = (state: "Alive" | "Dead"): void => {
    const nowMs = clock.now() + 60_000;
    mirror.noteHealth("lb-1", new Map([[SLOT, state]]), { askedMs: nowMs, nowMs });
  };
  assert.deepEqual(seen(), ["checking false"]); // it may have been so for hours, before this process began
  turn("Alive");
  assert.deepEqual(seen(), ["healthy true"]);
  assert.deepEqual(seen({ gate: "True" }), ["healthy true"]);
  turn("Dead");
  assert.deepEqual(seen({ gate: "True" }), ["checking false"]); // nobody has looked since the gate opened
  turn("Alive");
  assert.deepEqual(seen({ hasGate: false }), ["healthy false"]);
  mirror.fill({ ...aLoadBalancer(), running: true }, [aListener()], clock.now());
  assert.deepEqual(seen(), ["bindable true"]);
  running.call = { lane: "bind", targets: [{ listenerId: "lbl-1", ip: "10.244.1.1", port: 8080, weight: 10, podUid: "pod-1" }] };
  assert.deepEqual(seen(), ["binding false"]);
});

test("an address that is still bound for a former Pod does not count for the new one", async () => {
  const { clock, mirror, addressClaims, steps } = aWorld(bound);
  mirror.noteHealth("lb-1", new Map([[SLOT, "Alive"]]), { askedMs: clock.now(), nowMs: clock.now() });
  await addressClaims.claim("lb-1", new Map([["10.244.1.1", "former-pod"]]), new AbortController().signal);
  assert.deepEqual(steps(), ["TCP:80 bindable"]);
  await addressClaims.claim("lb-1", new Map([["10.244.1.1", "pod-1"]]), new AbortController().signal);
  assert.deepEqual(steps(), ["TCP:80 healthy"]);
});

test("a Pod that no Service selects has no bindings: wrong labels, another namespace, a deleted Service", () => {
  const { steps } = aWorld();
  assert.deepEqual([steps({ labels: { app: "api" } }), steps({ namespace: "shop" })], [[], []]);
  assert.deepEqual(aWorld([aListener()], { state: "deleted", intent: anIntent(), loadBalancerId: "lb-1" }).steps(), []);
});

test("a Service without load balancer keeps its Pods waiting, and says why", () => {
  const waiting = { state: "waiting", intent: anIntent() } as const;
  assert.deepEqual(aWorld([], { ...waiting, blocker: undefined }).steps(), ["(none yet) bindable"]);
  const blocker = { reason: "LoadBalancerNotFound" as const, message: "correct the annotation" } as const;
  assert.deepEqual(aWorld([], { ...waiting, blocker }).steps(), ["(none yet) LoadBalancerNotFound"]);
  // One that cannot be read still selects its Pods: their gates must not open.
  assert.deepEqual(aWorld([], { state: "held", loadBalancerId: undefined, blocker }).steps(), ["(none yet) LoadBalancerNotFound"]);
});

test("one binding for each port of each Service", () => {
  const world = aWorld();
  const other = aService({
    uid: "other-0000-0000",
    name: "other",
    ports: [81, 82].map((port) => ({ name: "", protocol: "TCP", port, targetPort: 1 })),
  });
  world.intents.set(anOwner(other, undefined, "2"));
  assert.deepEqual(world.steps(), ["TCP:80 bindable", "TCP:81 bindable", "TCP:82 bindable"]);
});

for (const [protocol, expected] of [
  ["TCP", "TCP:80 ListenerPortTaken"],
  ["HTTP", "TCP:80 ListenerPortTaken"],
  ["TCP_SSL", "TCP:80 ListenerPortTaken"],
  ["UDP", "TCP:80 bindable"],
  ["QUIC", "TCP:80 bindable"],
] as const)
  test(`another's ${protocol} listener on the same port: ${expected}`, () => {
    assert.deepEqual(aWorld([aListener({ name: "by hand", protocol })]).steps(), [expected]);
  });

const aRuleWorld = (...listeners: readonly Listener[]) => aWorld(listeners, undefined, placesInRules);
const FRONT: Partial<PodFact> = { labels: { app: "web", tier: "front" } };
const CART = "HTTP:80 Shop.example.com/cart";
const HOME = "HTTP:80 /";

test("in a rule a binding waits for the listener, then for the rule, then goes over binding and checking to healthy", () => {
  const { clock, mirror, running, bindings, steps } = aRuleWorld();
  const because = (): string =>
    bindings
      .of(aPod())
      .map(({ step }) => ("because" in step ? step.because : step.kind))
      .join();
  assert.equal(because(), "the listener has to be created first");
  mirror.fill({ ...aLoadBalancer(), running: true }, [anHttpListener()], clock.now());
  assert.equal(because(), "the rule has to be created first");
  const rules = [{ domain: "shop.example.com", url: "/cart", healthCheck: {} }];
  mirror.fold("lb-1", { lane: "structure", createRules: { listenerId: "lbl-1", rules } }, ["loc-1"], clock.now());
  assert.equal(because(), "waits for the load balancer's next write");
  const at = { listenerId: "lbl-1", locationId: "loc-1" };
  assert.deepEqual(bindings.of(aPod())[0]?.at, mirror.read("lb-1")?.listeners[0]?.rules[0]);
  const call: Call = { lane: "bind", targets: [{ ...at, ip: "10.244.1.1", port: 8080, weight: 10, podUid: "pod-1" }] };
  running.call = call;
  assert.deepEqual(steps(), [`${CART} binding`]);
  running.call = undefined;
  mirror.fold("lb-1", call, [], clock.now());
  assert.deepEqual(steps(), [`${CART} checking`]);
  const checkedMs = clock.now() + 10_000;
  const say = (place: string): void =>
    void mirror.noteHealth("lb-1", new Map([[`${place} 10.244.1.1:8080`, "Alive"]]), { askedMs: checkedMs, nowMs: checkedMs });
  say("lbl-1"); // the same Pod, but in the listener: that is no answer about the rule
  assert.deepEqual(steps(), [`${CART} checking`]);
  say("lbl-1/loc-1");
  assert.deepEqual(steps(), [`${CART} healthy`]);
});

test("two rules of one listener are two bindings, each with its own step and its own time", async () => {
  const { clock, mirror, running, bindings, steps } = aRuleWorld(anHttpListener(cartRule({ targets: [aTarget()] }), homeRule()));
  assert.deepEqual(steps(FRONT), [`${CART} checking`, `${HOME} bindable`]);
  await clock.advance(700);
  const slot = { listenerId: "lbl-1", locationId: "loc-2", ip: "10.244.1.1", port: 8080, weight: 10, podUid: "pod-1" };
  running.call = { lane: "bind", targets: [slot] };
  assert.deepEqual(steps(FRONT), [`${CART} checking`, `${HOME} binding`]);
  assert.deepEqual(
    bindings.of(aPod(FRONT)).map(({ sinceMs }) => clock.now() - sinceMs),
    [700, 0],
  );
  mirror.noteHealth("lb-1", new Map([["lbl-1/loc-1 10.244.1.1:8080", "Alive"]]), { askedMs: clock.now(), nowMs: clock.now() });
  assert.deepEqual(steps(FRONT), [`${CART} healthy`, `${HOME} binding`]);
});

test("a Pod that a rule does not ask for has no binding there", () => {
  const { steps } = aRuleWorld(anHttpListener(cartRule(), homeRule()));
  assert.deepEqual([steps(), steps({ labels: { app: "api" } })], [[`${CART} bindable`], []]);
});

for (const [title, domain, vips, expected] of [
  ["the load balancer's address", "198.18.0.1", ["198.18.0.1"], "bindable checking"],
  ["the first of its addresses", "198.18.0.1", ["198.18.0.1", "198.18.0.2"], "bindable checking"],
  ["another address", "198.18.0.9", ["198.18.0.1"], "bindable bindable"],
  ["a domain", "shop.example.com", ["198.18.0.1"], "bindable bindable"],
] as const satisfies readonly (readonly [string, string, readonly string[], string])[])
  test(`a rule without domain, where the cloud has one of ${title}: ${expected}`, () => {
    const { clock, mirror, bindings } = aRuleWorld();
    const rule = homeRule({ domain, targets: [aTarget()] });
    mirror.fill({ ...aLoadBalancer({ vips }), running: true }, [anHttpListener(rule)], clock.now());
    assert.equal(
      bindings
        .of(aPod(FRONT))
        .map(({ step }) => step.kind)
        .join(" "),
      expected,
    );
  });

test("a Pod that cannot be bound, one that ends, and one whose address is bound for a former Pod, in a rule", async () => {
  const { addressClaims, steps } = aRuleWorld(anHttpListener(cartRule({ targets: [aTarget()] })));
  assert.deepEqual(steps({ hostNetwork: true }), [`${CART} PodHostNetwork`]);
  assert.deepEqual(steps({ deletionAtMs: 1 }), [`${CART} draining`]);
  await addressClaims.claim("lb-1", new Map([["10.244.1.1", "former-pod"]]), new AbortController().signal);
  assert.deepEqual(steps(), [`${CART} bindable`]);
});

test("a bind that runs or was refused in one rule says nothing of the other", () => {
  const { steps, refused, running } = aRuleWorld(anHttpListener(cartRule(), homeRule()));
  const slot = { listenerId: "lbl-1", locationId: "loc-2", ip: "10.244.1.1", port: 8080, weight: 10, podUid: "pod-1" };
  running.call = { lane: "bind", targets: [slot] };
  assert.deepEqual(steps(FRONT), [`${CART} bindable`, `${HOME} binding`]);
  running.call = undefined;
  refused.set("lbl-1/loc-2 10.244.1.1:8080", "no attached ENI");
  assert.deepEqual(steps(FRONT), [`${CART} bindable`, `${HOME} BindRefused`]);
});

test("all rules of a listener wait while another's listener has the port", () => {
  const { steps } = aRuleWorld(aListener({ name: "by hand" }));
  assert.deepEqual(steps(FRONT), [`${CART} ListenerPortTaken`, `${HOME} ListenerPortTaken`]);
  assert.deepEqual(aRuleWorld(aListener({ name: "by hand", protocol: "UDP" })).steps(), [`${CART} bindable`]);
});

test("the gate opens when every rule that asks for the Pod finds it healthy, and names the one that is waited for", async () => {
  const { clock, mirror, bindings } = aRuleWorld(anHttpListener(cartRule({ targets: [aTarget()] }), homeRule({ targets: [aTarget()] })));
  const known = somePodFacts(aPod(FRONT));
  const stored: { condition?: GateCondition } = {};
  const patch = (_path: string, body: object): Promise<never> => {
    [stored.condition] = (body as { status: { conditions: [GateCondition] } }).status.conditions; // oxlint-disable-line typescript/no-unsafe-type-assertion -- our own request
    return Promise.resolve({} as never);
  };
  const reconcile = makePodGateReconciler({
    client: { patch },
    facts: known.facts,
    podBindings: bindings,
    tell: () => undefined,
    services: { known: () => "known", servedElsewhere: () => [], forget: () => undefined },
    clock,
    log: silentLog,
    gateType: DEFAULT_GATE_TYPE,
  });
  const pass = async (): Promise<GateCondition | undefined> => {
    await reconcile("pod-1", new AbortController().signal);
    await clock.advance(1_000); // a cause is written when it has lasted
    await reconcile("pod-1", new AbortController().signal);
    return stored.condition;
  };
  const say = (place: string): void =>
    void mirror.noteHealth("lb-1", new Map([[`${place} 10.244.1.1:8080`, "Alive"]]), { askedMs: clock.now(), nowMs: clock.now() });
  assert.match((await pass())?.message ?? "", /CLB lb-1, listener HTTP:80 Shop\.example\.com\/cart: bound, waiting for/);
  say("lbl-1/loc-1");
  const half = await pass();
  assert.deepEqual([half?.status, half?.reason], ["False", "HealthChecking"]);
  assert.match(half?.message ?? "", /listener HTTP:80 \/: bound, waiting for/);
  say("lbl-1/loc-2");
  assert.deepEqual([(await pass())?.status, stored.condition?.reason], ["True", "LoadBalancerNetworkGroupReady"]);
});
