import assert from "node:assert/strict";
import { test } from "node:test";
import type { HealthCheck, HealthState, Slot } from "../../../coordinator/domain/load-balancer.ts";
import { Mirror } from "../../../coordinator/state/mirror.ts";
import { aListener, aLoadBalancer, aRule, aTarget } from "../../builders.ts";

const { listeners: _none, ...BARE } = aLoadBalancer();
const FACTS = { ...BARE, running: true };
const SLOT = { listenerId: "lbl-1", ip: "10.244.1.1", port: 8080 };
const KEY = "lbl-1 10.244.1.1:8080";
function filled(targets = [aTarget()], nowMs = 100) {
  const changed: string[] = [];
  const mirror = new Mirror((id) => void changed.push(id));
  mirror.fill(FACTS, [aListener({ targets })], nowMs);
  return { mirror, changed };
}

test("what was never read is not believed", () => {
  const mirror = new Mirror(() => undefined);
  assert.deepEqual([mirror.staleBecause("lb-1"), mirror.read("lb-1"), mirror.isGone("lb-1")], ["never read", undefined, false]);
  mirror.markStale("lb-1", "a doubt"); // nothing there to doubt
  assert.equal(mirror.staleBecause("lb-1"), "never read");
});

test("a doubt lasts until the next complete read, and tells why", () => {
  const { mirror } = filled();
  mirror.markStale("lb-1", "bind ended in doubt");
  mirror.fold("lb-1", { lane: "drain", weights: [{ ...SLOT, weight: 0 }] }, [], 110);
  assert.equal(mirror.staleBecause("lb-1"), "bind ended in doubt");
  mirror.fill(FACTS, [aListener()], 120);
  assert.deepEqual([mirror.staleBecause("lb-1"), mirror.readAtMs("lb-1")], [undefined, 120]);
});

test("dates binding and drain by the first read that shows them, and keeps the dates over later reads", () => {
  const { mirror } = filled();
  assert.equal(mirror.boundAtMs("lb-1", SLOT), 100);
  mirror.fold("lb-1", { lane: "drain", weights: [{ ...SLOT, weight: 0 }] }, [], 200);
  mirror.fill(FACTS, [aListener({ targets: [aTarget({ weight: 0 })] })], 300);
  assert.deepEqual([mirror.boundAtMs("lb-1", SLOT), mirror.drainedAtMs("lb-1", SLOT)], [100, 200]);
  mirror.fold("lb-1", { lane: "tune", weights: [{ ...SLOT, weight: 10 }] }, [], 400);
  assert.equal(mirror.drainedAtMs("lb-1", SLOT), undefined); // wanted again: a later drain begins anew
});

test("knows which addresses have a weight wherever they are bound, in rules as well, as the last read or write has it", () => {
  const { mirror } = filled([aTarget(), aTarget({ ip: "10.244.1.2", weight: 0 })]);
  const weighted = (): string[] => ["10.244.1.1", "10.244.1.2", "10.244.1.3"].filter((ip) => mirror.hasWeight("lb-1", ip));
  assert.deepEqual([weighted(), mirror.hasWeight("lb-2", "10.244.1.1")], [["10.244.1.1"], false]);
  mirror.fold("lb-1", { lane: "drain", weights: [{ ...SLOT, weight: 0 }] }, [], 200);
  assert.deepEqual(weighted(), []);
  mirror.fold("lb-1", { lane: "bind", weights: [{ ...SLOT, ip: "10.244.1.2", weight: 10 }] }, [], 300);
  assert.deepEqual(weighted(), ["10.244.1.2"]);
  const rules = [
    aRule({ locationId: "loc-1", targets: [aTarget({ ip: "10.244.1.1" }), aTarget({ ip: "10.244.1.3" })] }),
    aRule({ locationId: "loc-2", targets: [aTarget({ ip: "10.244.1.1", weight: 0 })] }),
  ];
  mirror.fill(FACTS, [aListener({ protocol: "HTTP", rules })], 400);
  assert.deepEqual(weighted(), ["10.244.1.3"]);
});

test("believes no health that was asked for before the target was bound", () => {
  const { mirror, changed } = filled();
  const before = changed.length;
  mirror.noteHealth("lb-1", new Map([[KEY, "Alive"]]), { askedMs: 99, nowMs: 150 });
  assert.deepEqual([mirror.health("lb-1", SLOT), changed.length], [undefined, before]);
  mirror.noteHealth("lb-1", new Map([[KEY, "Alive"]]), { askedMs: 100, nowMs: 150 });
  assert.deepEqual([mirror.health("lb-1", SLOT), changed.length], [{ state: "Alive", sinceMs: 150 }, before + 1]);
});

test("tells of a change of health once, with the time of the change", () => {
  const { mirror, changed } = filled();
  const before = changed.length;
  for (const nowMs of [150, 160, 170]) mirror.noteHealth("lb-1", new Map([[KEY, "Dead"]]), { askedMs: 140, nowMs });
  assert.deepEqual([mirror.health("lb-1", SLOT)?.sinceMs, changed.length], [150, before + 1]);
});

test("a slot that was unbound and bound again starts without health", () => {
  const { mirror } = filled();
  mirror.noteHealth("lb-1", new Map([[KEY, "Alive"]]), { askedMs: 110, nowMs: 120 });
  mirror.fold("lb-1", { lane: "conflict", slots: [SLOT] }, [], 130);
  mirror.fold("lb-1", { lane: "bind", targets: [{ ...SLOT, weight: 10, podUid: "pod-2" }] }, [], 140);
  assert.deepEqual([mirror.health("lb-1", SLOT), mirror.boundAtMs("lb-1", SLOT)], [undefined, 140]);
});

test("a target that we have bound is not believed alive before its check can have succeeded; dead it may be", () => {
  const rebound = (healthCheck: Partial<HealthCheck>) => {
    const mirror = new Mirror(() => undefined);
    const listener = aListener({ targets: [] });
    mirror.fill(FACTS, [{ ...listener, healthCheck: { ...listener.healthCheck, ...healthCheck } }], 100);
    mirror.fold("lb-1", { lane: "bind", targets: [{ ...SLOT, weight: 10, podUid: "pod-1" }] }, [], 1_000);
    return (state: HealthState, askedMs: number) => {
      mirror.noteHealth("lb-1", new Map([[KEY, state]]), { askedMs, nowMs: askedMs });
      return mirror.health("lb-1", SLOT)?.state;
    };
  };
  const hear = rebound({}); // 3 checks, one every 5 s
  assert.deepEqual(
    [hear("Alive", 10_999), hear("Dead", 10_999), hear("Alive", 10_999), hear("Alive", 11_000)],
    [undefined, "Dead", "Dead", "Alive"],
  );
  assert.deepEqual([hear("Dead", 12_000), hear("Alive", 12_100)], ["Dead", "Alive"]);
  assert.equal(rebound({ healthyCount: 1 })("Alive", 1_000), "Alive");
  assert.equal(rebound({ enabled: false })("Alive", 1_000), "Alive");
});

test("keeps the health that it knows when a read or an answer says nothing about it", () => {
  const { mirror } = filled();
  mirror.noteHealth("lb-1", new Map([[KEY, "Alive"]]), { askedMs: 110, nowMs: 120 });
  mirror.fill(FACTS, [aListener({ targets: [aTarget()] })], 130);
  mirror.noteHealth("lb-1", new Map(), { askedMs: 140, nowMs: 150 });
  assert.equal(mirror.health("lb-1", SLOT)?.state, "Alive");
});

test("tells a load balancer that is gone from one that it was told to drop", () => {
  const { mirror, changed } = filled();
  mirror.forget("lb-1");
  assert.deepEqual([mirror.isGone("lb-1"), mirror.read("lb-1"), changed.at(-1)], [true, undefined, "lb-1"]);
  mirror.fill(FACTS, [], 200);
  assert.equal(mirror.isGone("lb-1"), false);
  mirror.drop("lb-1");
  assert.deepEqual([mirror.isGone("lb-1"), mirror.ids], [false, []]);
});

test("a target that passed to another Pod is believed healthy only once its own check would have found it dead", () => {
  const { mirror } = filled();
  mirror.noteHealth("lb-1", new Map([[KEY, "Alive"]]), { askedMs: 100, nowMs: 100 });
  const before = mirror.read("lb-1")?.listeners[0];
  mirror.passOn("lb-1", new Set([SLOT.ip]), 1_000);
  assert.deepEqual([mirror.health("lb-1", SLOT), mirror.boundAtMs("lb-1", SLOT)], [undefined, 1_000]);
  assert.notEqual(mirror.read("lb-1")?.listeners[0], before); // another object: whoever remembers what it knew of it looks again
  for (const askedMs of [1_500, 17_999]) mirror.noteHealth("lb-1", new Map([[KEY, "Alive"]]), { askedMs, nowMs: askedMs });
  assert.equal(mirror.health("lb-1", SLOT), undefined);
  mirror.noteHealth("lb-1", new Map([[KEY, "Alive"]]), { askedMs: 18_000, nowMs: 18_100 }); // 3 checks every 5 s, 2 s for an answer
  assert.equal(mirror.health("lb-1", SLOT)?.state, "Alive");
  mirror.passOn("lb-1", new Set(["10.244.9.9"]), 20_000); // bound nowhere here
  assert.equal(mirror.health("lb-1", SLOT)?.state, "Alive");
});

/** The same address in the listener's two rules, and in a layer-4 listener. */
function filledWithRules() {
  const mirror = new Mirror(() => undefined);
  const rules = ["loc-1", "loc-2"].map((locationId) => aRule({ locationId, url: `/${locationId}`, targets: [aTarget()] }));
  const flat = aListener({ listenerId: "lbl-2", port: 81, targets: [aTarget()] });
  mirror.fill(FACTS, [aListener({ protocol: "HTTP", rules }), flat], 100);
  const inRule = (locationId: string) => ({ ...SLOT, locationId });
  const slots = { first: inRule("loc-1"), second: inRule("loc-2"), flat: { ...SLOT, listenerId: "lbl-2" } };
  const all = <T>(of: (slot: Slot) => T) => [slots.first, slots.second, slots.flat].map(of);
  const rulesNow = () => mirror.read("lb-1")?.listeners[0]?.rules ?? [];
  return { mirror, slots, all, rulesNow };
}

test("health of a target in a rule is told by that rule's slot key, and is no other place's", () => {
  const { mirror, slots, all, rulesNow } = filledWithRules();
  const health = (): unknown[] => all((slot) => mirror.health("lb-1", slot)?.state);
  const say = (state: HealthState, ...keys: string[]): void =>
    void mirror.noteHealth("lb-1", new Map(keys.map((key) => [key, state])), { askedMs: 100, nowMs: 150 });
  const [first, second] = rulesNow();
  say("Alive", "lbl-1/loc-2 10.244.1.1:8080", KEY); // the HTTP listener has no targets of its own
  assert.deepEqual(health(), [undefined, "Alive", undefined]);
  assert.equal(mirror.health("lb-1", SLOT), undefined);
  assert.deepEqual([rulesNow()[0] === first, rulesNow()[1] === second], [true, false]); // only that one has to be looked at again
  say("Dead", "lbl-1/loc-1 10.244.1.1:8080", "lbl-2 10.244.1.1:8080");
  assert.deepEqual(health(), ["Dead", "Alive", "Dead"]);
  mirror.fold("lb-1", { lane: "unbind", slots: [slots.second] }, [], 200);
  mirror.fold("lb-1", { lane: "bind", targets: [{ ...slots.second, weight: 10, podUid: "pod-2" }] }, [], 210);
  assert.deepEqual(health(), ["Dead", undefined, "Dead"]);
});

test("dates bindings and drains of a target rule by rule; a rule that is made anew begins anew", () => {
  const { mirror, slots, all } = filledWithRules();
  mirror.fold("lb-1", { lane: "drain", weights: [{ ...slots.second, weight: 0 }] }, [], 200);
  assert.deepEqual(
    all((slot) => [mirror.boundAtMs("lb-1", slot), mirror.drainedAtMs("lb-1", slot)]),
    [
      [100, undefined],
      [100, 200],
      [100, undefined],
    ],
  );
  const [listener, flat] = mirror.read("lb-1")?.listeners ?? [];
  assert.ok(listener !== undefined && flat !== undefined);
  mirror.fill(
    FACTS,
    [{ ...listener, rules: [aRule({ locationId: "loc-9", url: "/loc-2", targets: [aTarget({ weight: 0 })] })] }, flat],
    300,
  );
  assert.deepEqual(
    [mirror.drainedAtMs("lb-1", slots.second), mirror.drainedAtMs("lb-1", { ...SLOT, locationId: "loc-9" })],
    [undefined, 300],
  );
});

test("an address that passes to another Pod does so in every rule", () => {
  const { mirror, all } = filledWithRules();
  const keys = ["lbl-1/loc-1", "lbl-1/loc-2", "lbl-2"].map((place) => `${place} 10.244.1.1:8080`);
  mirror.noteHealth("lb-1", new Map(keys.map((key) => [key, "Alive"])), { askedMs: 100, nowMs: 100 });
  mirror.passOn("lb-1", new Set([SLOT.ip]), 1_000);
  assert.deepEqual(
    all((slot) => [mirror.health("lb-1", slot), mirror.boundAtMs("lb-1", slot)]),
    all(() => [undefined, 1_000]),
  );
});
