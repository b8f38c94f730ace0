import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodFact } from "../../../common/vocabulary.ts";
import type { Call } from "../../../coordinator/domain/call.ts";
import type { OwnerStanding } from "../../../coordinator/domain/intent/owner-intent.ts";
import type { Listener } from "../../../coordinator/domain/load-balancer.ts";
import { PodBindings, type PodBindingsDeps } from "../../../coordinator/gates/pod-bindings.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { Mirror } from "../../../coordinator/state/mirror.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { aListener, aLoadBalancer, anIntent, anOwner, aPod, aService, aTarget, CLUSTER } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";
import { aFakeClock } from "../pods.ts";
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
  const progress = { running: () => running.call, refusal: () => undefined };
  const { selections } = intents;
  const bindings = new PodBindings({ selections, mirror, progress, addressClaims, clock, clusterId: CLUSTER, ...(places && { places }) });
  const steps = (change: Partial<PodFact> = {}): string[] =>
    bindings.of(aPod(change)).map(({ listener, step }) => `${listener} ${"reason" in step ? step.reason : step.kind}`);
  return { clock, mirror, intents, running, addressClaims, bindings, steps };
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
