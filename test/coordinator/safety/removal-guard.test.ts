import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../coordinator/domain/call.ts";
import type { OwnerIntent } from "../../../coordinator/domain/intent/owner-intent.ts";
import { type HealthState, placesOf, slotKey, slotOf } from "../../../coordinator/domain/load-balancer.ts";
import type { Parked } from "../../../coordinator/domain/safety/brake.ts";
import { EndEvidence } from "../../../coordinator/safety/end-evidence.ts";
import { RemovalGuard } from "../../../coordinator/safety/removal-guard.ts";
import { Mirror } from "../../../coordinator/state/mirror.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { aListener, aLoadBalancer, anOwner, aPod, aService } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";
import { aFakeClock } from "../pods.ts";
import { anHttpListener, cartRule, homeRule } from "../rules.ts";
import { memoryClaims } from "../stage.ts";

const POD_COUNT = 8;
const pods = Array.from({ length: POD_COUNT }, (_, n) => aPod({ uid: `pod-${n}`, name: `web-${n}`, ips: [`10.244.1.${n + 1}`] }));
const targets = pods.map(({ ips }) => ({ ip: ips[0] ?? "", port: 8080, weight: 10 }));
const slotsOf = (count: number) => targets.slice(0, count).map(({ ip, port }) => ({ listenerId: "lbl-1", ip, port }));
const slotOfPod = (n: number, listenerId = "lbl-1") => ({ listenerId, ip: `10.244.1.${n}`, port: 8080 });
const conflict = (count: number): Call => ({ lane: "conflict", slots: slotsOf(count) });

const selected = { selecting: ["service-1"], left: [] };
const unselected = { selecting: [], left: ["service-1"] };

/** Eight Pods, bound and alive, and what the brake makes of calls that take some of them away. */
async function aPlace(listener = aListener({ targets })) {
  const clock = aFakeClock();
  const known = somePodFacts(...pods);
  const mirror = new Mirror(() => undefined);
  const addressClaims = memoryClaims();
  await addressClaims.claim("lb-1", new Map(pods.map(({ uid, ips }) => [ips[0] ?? "", uid])), new AbortController().signal);
  const released = new Set<string>();
  const parked: Parked[] = [];
  /** By UID of the Service. */
  const asked = new Set(["service-1"]);
  const owners = new Map<string, OwnerIntent>();
  const evidence = new EndEvidence({
    addressClaims,
    facts: known.facts,
    pods: makePodIndex(known.facts),
    intents: { hasAskedFor: (serviceUid) => asked.has(serviceUid), get: (serviceUid) => owners.get(serviceUid) },
    ownerOf: (_id, { listenerId }) => listenerId.replace("lbl", "service"),
  });
  const removals = new RemovalGuard({
    mirror,
    addressClaims,
    evidence,
    clock,
    released: () => released,
    onParked: (_id, one) => void parked.push(one),
  });
  const alive = (): void => {
    const slots = placesOf({ listeners: [listener] }).flatMap((place) => place.targets.map((target) => slotOf(place, target)));
    mirror.noteHealth("lb-1", new Map(slots.map((slot) => [slotKey(slot), "Alive"])), { askedMs: clock.now(), nowMs: clock.now() });
    removals.healthRead(["lb-1"]);
  };
  mirror.fill({ ...aLoadBalancer(), running: true }, [listener], clock.now());
  const say = (locationId: string, state: HealthState): void => {
    const states = new Map(inRule(locationId, POD_COUNT).map((slot) => [slotKey(slot), state]));
    mirror.noteHealth("lb-1", states, { askedMs: clock.now(), nowMs: clock.now() });
  };
  const hold = (calls: readonly Call[], acting = true): number => {
    const actual = mirror.read("lb-1");
    assert.ok(actual !== undefined);
    const going = removals.hold(actual, calls, acting);
    return going.flatMap((call) => ("slots" in call ? call.slots : "weights" in call ? call.weights : [])).length;
  };
  /** The removal of six is parked, and a person releases it. */
  const letSixGo = (): void => {
    hold([conflict(6)]);
    released.add(parked[0]?.id ?? "");
    assert.equal(hold([conflict(6)]), 6);
  };
  const carryOut = (call: Call): void => mirror.fold("lb-1", call, [], clock.now());
  return { clock, known, evidence, removals, asked, owners, released, parked, alive, say, hold, letSixGo, carryOut };
}

test("Pods that are merely missing stay when they are most of a place, told once; a person can let them go", async () => {
  const { alive, hold, known, parked, released, removals } = await aPlace();
  alive();
  for (let n = 0; n < 6; n++) known.end(`pod-${n}`, "absent");
  assert.equal(hold([conflict(6)]), 0);
  assert.equal(hold([conflict(6)]), 0);
  assert.deepEqual([parked.length, removals.parkedCount, parked[0]?.staying, parked[0]?.floor], [1, 1, 2, 4]);
  assert.equal(removals.cause("lb-1", slotOfPod(1)), undefined);
  released.add(parked[0]?.id ?? "");
  assert.equal(hold([conflict(6)]), 6);
  assert.equal(removals.parkedCount, 0);
  assert.match(removals.cause("lb-1", slotOfPod(1)) ?? "", /^Pod pod-0: a person released removal r-[0-9a-f]{8}$/);
});

test("what a person let go goes to its end, although a call takes only a part of it; what else is doubted waits", async () => {
  const { alive, hold, known, letSixGo, removals } = await aPlace();
  alive();
  for (let n = 0; n < 7; n++) known.end(`pod-${n}`, "absent");
  letSixGo();
  assert.equal(hold([conflict(5)]), 5);
  assert.equal(hold([conflict(7)]), 5); // the sixth was taken back meanwhile: it is doubted anew, with the seventh
  assert.equal(removals.parked("lb-1")[0]?.slots.length, 2);
});

test("the deletion of a listener is a removal of what serves there: it needs evidence like any other, or its owner's own deletion", async () => {
  const { alive, known, owners, parked, removals } = await aPlace();
  const deletes: Call[] = [{ lane: "delete", listenerIds: ["lbl-1"] }];
  const goes = (): number => removals.hold(aLoadBalancer({ listeners: [aListener({ targets })] }), deletes).length;
  alive();
  assert.equal(goes(), 1); // the Service asks for other places
  for (let n = 0; n < 6; n++) known.end(`pod-${n}`, "absent");
  assert.deepEqual([goes(), parked.length, parked[0]?.slots.length], [0, 1, 6]);
  const anOwnerThatGoes = anOwner(aService({ uid: "service-1" }), { state: "deleted", intent: undefined, loadBalancerId: "lb-1" });
  owners.set("service-1", anOwnerThatGoes);
  assert.equal(goes(), 1);
  assert.equal(removals.cause("lb-1", slotOfPod(1)), "Service demo/web was deleted");
});

test("Pods whose deletion was seen go, however many", async () => {
  const { alive, hold, known, evidence } = await aPlace();
  alive();
  for (const { uid } of pods) known.end(uid, "deleted");
  assert.equal(hold([conflict(POD_COUNT)]), POD_COUNT);
  assert.equal(evidence.of("lb-1", slotOfPod(1)), "Pod pod-0 was deleted");
});

test("before health was read what is doubtful waits without a word", async () => {
  const { alive, hold, known, parked } = await aPlace();
  known.end("pod-0", "absent");
  assert.equal(hold([conflict(1)]), 0);
  assert.equal(parked.length, 0);
  alive();
  assert.equal(hold([conflict(1)]), 1);
});

test("Pods that are as they were leave because the Service asks for others; Pods that were relabelled are doubted", async () => {
  const { alive, hold, evidence } = await aPlace();
  alive();
  const drain: Call = { lane: "drain", weights: slotsOf(6).map((slot) => ({ ...slot, weight: 0 })) };
  assert.equal(hold([drain]), 6);
  for (const pod of pods) evidence.podChanged({ change: { before: pod, after: { ...pod, labels: {} }, end: undefined }, ...unselected });
  assert.equal(hold([drain]), 0);
  for (const pod of pods) evidence.podChanged({ change: { before: pod, after: pod, end: undefined }, ...selected });
  assert.equal(hold([drain]), 6);
});

test("after a restart nobody knows who was relabelled: Pods that no Service is known to have asked for are doubted", async () => {
  const { alive, hold, asked } = await aPlace();
  alive();
  asked.clear();
  assert.equal(hold([{ lane: "drain", weights: slotsOf(6).map((slot) => ({ ...slot, weight: 0 })) }]), 0);
});

test("a Pod's name outlives it, and an address that passed on is evidence", async () => {
  const { known, evidence } = await aPlace();
  const [first] = pods;
  assert.ok(first !== undefined);
  evidence.podChanged({ change: { before: first, after: undefined, end: "deleted" }, ...unselected });
  known.end("pod-0", "deleted");
  assert.equal(evidence.of("lb-1", slotOfPod(1)), "Pod demo/web-0 was deleted");
  known.set(aPod({ uid: "heir", name: "heir", ips: ["10.244.1.2"], startedAtMs: 9_000 }));
  known.end("pod-1", "absent");
  assert.equal(evidence.of("lb-1", slotOfPod(2)), "10.244.1.2 belongs to Pod demo/heir now");
});

test("a release is used up with its removal: the same Pods that are missed again are parked again, and the message says why", async () => {
  const { alive, hold, carryOut, known, parked, released, removals } = await aPlace();
  const miss = (): void => pods.slice(0, 6).forEach(({ uid }) => known.end(uid, "absent"));
  alive();
  miss();
  hold([conflict(6)]);
  const id = parked[0]?.id ?? "";
  released.add(id);
  assert.equal(hold([conflict(6)]), 6);
  assert.equal(hold([conflict(6)]), 6); // the lock was not free: it is not over yet
  carryOut(conflict(6));
  assert.equal(hold([]), 0);
  carryOut({ lane: "bind", targets: slotsOf(6).map((slot, n) => ({ ...slot, weight: 10, podUid: `pod-${n}` })) });
  alive();
  assert.equal(hold([conflict(6)]), 0);
  assert.deepEqual(
    parked.map((one) => [one.id, one.spent]),
    [
      [id, undefined],
      [id, "used"],
    ],
  );
  released.clear();
  assert.equal(removals.releasesChanged("lb-1"), true);
  released.add(id); // within a moment
  assert.equal(hold([conflict(6)]), 6);
});

test("a released removal that has to wait once more before anything of it is done is released still", async () => {
  const { alive, hold, known, letSixGo } = await aPlace();
  alive();
  for (let n = 0; n < 6; n++) known.end(`pod-${n}`, "absent");
  letSixGo();
  assert.equal(hold([conflict(6)]), 6);
  hold([]); // what replaces them does not serve for a moment: they stay bound
  assert.equal(hold([conflict(6)]), 6);
});

test("a release that stood there long before its removal lets nothing go", async () => {
  const { alive, clock, hold, known, parked, released } = await aPlace();
  alive();
  for (let n = 0; n < 6; n++) known.end(`pod-${n}`, "absent");
  hold([conflict(6)]);
  released.add(parked[0]?.id ?? "");
  hold([]); // they are back
  await clock.advance(400_000);
  assert.equal(hold([conflict(6)]), 0);
  assert.deepEqual(
    parked.map(({ spent }) => spent),
    [undefined, "late"],
  );
});

test("half of a released removal that is done, and another coordinator: the other half is another removal", async () => {
  const { alive, hold, carryOut, known, parked, letSixGo } = await aPlace();
  alive();
  for (let n = 0; n < 7; n++) known.end(`pod-${n}`, "absent");
  letSixGo();
  carryOut(conflict(3));
  const other: Call = { lane: "conflict", slots: slotsOf(6).slice(3) };
  assert.equal(hold([other]), 3); // the same coordinator goes on, although the release is used
  const anew = await aPlace();
  anew.alive();
  for (let n = 0; n < 7; n++) anew.known.end(`pod-${n}`, "absent");
  anew.released.add(parked[0]?.id ?? "");
  assert.equal(anew.hold([conflict(6)]), 6); // nothing was done yet: the id is the same in every process
  anew.released.clear();
  anew.released.add("r-00000000");
  assert.equal(anew.hold([conflict(7)]), 6);
});

test("what is parked at a load balancer that is gone waits for nobody any more", async () => {
  const { alive, hold, known, removals } = await aPlace();
  alive();
  for (let n = 0; n < 6; n++) known.end(`pod-${n}`, "absent");
  hold([conflict(6)]);
  removals.forget("lb-1");
  assert.deepEqual([removals.parkedCount, removals.isHealthRead("lb-1")], [0, false]);
});

test("who only asks what comes after a running write changes nothing of what a person let go", async () => {
  const { alive, hold, known, letSixGo } = await aPlace();
  alive();
  for (let n = 0; n < 6; n++) known.end(`pod-${n}`, "absent");
  letSixGo();
  assert.equal(hold([], false), 0); // all six are under way
  assert.equal(hold([conflict(5)]), 5);
});

test("what one Service asks for is no evidence in the listener of another, although both are on one load balancer", async () => {
  const { asked, evidence } = await aPlace();
  asked.clear();
  asked.add("service-2"); // selects the Pods still; service-1 never asked for anything else
  assert.equal(evidence.of("lb-1", slotOfPod(1)), undefined);
  assert.equal(evidence.of("lb-1", slotOfPod(1, "lbl-2")), "Pod demo/web-0 is not asked for any more");
});

test("a Pod whose labels took it out of one Service is doubted there, although another Service selects it still", async () => {
  const { asked, evidence } = await aPlace();
  asked.add("service-2");
  const [pod] = pods;
  assert.ok(pod !== undefined);
  const elsewhere = { selecting: ["service-2"], left: ["service-1"] };
  evidence.podChanged({ change: { before: pod, after: pod, end: undefined }, ...elsewhere });
  evidence.podChanged({ change: { before: pod, after: pod, end: undefined }, selecting: ["service-2"], left: [] }); // any later change
  assert.equal(evidence.of("lb-1", slotOfPod(1)), undefined);
  assert.notEqual(evidence.of("lb-1", slotOfPod(1, "lbl-2")), undefined);
  evidence.podChanged({ change: { before: pod, after: pod, end: undefined }, selecting: ["service-1", "service-2"], left: [] });
  assert.notEqual(evidence.of("lb-1", slotOfPod(1)), undefined);
});

test("a Pod that is suddenly told without its address is doubted: nobody asked for that", async () => {
  const { known, evidence } = await aPlace();
  known.set(aPod({ uid: "pod-0", name: "web-0", ips: [] }));
  assert.equal(evidence.of("lb-1", slotOfPod(1)), undefined);
});

test("an address has passed on once a Pod that lives has it, and not by one that ends", async () => {
  const { known, evidence } = await aPlace();
  known.state.complete = false;
  known.end("pod-0", "absent");
  const other = aPod({ uid: "other", name: "other", ips: ["10.244.1.1"] });
  known.set({ ...other, deletionAtMs: 1 });
  assert.equal(evidence.of("lb-1", slotOfPod(1)), undefined);
  known.set(other);
  assert.equal(evidence.of("lb-1", slotOfPod(1)), "10.244.1.1 belongs to Pod demo/other now");
});

/** The same eight Pods in two rules of one listener. */
const aPlaceOfRules = () => aPlace(anHttpListener(cartRule({ targets }), homeRule({ targets })));
const inRule = (locationId: string, count: number) => slotsOf(count).map((slot) => ({ ...slot, locationId }));
const conflictIn = (locationId: string, count: number): Call => ({ lane: "conflict", slots: inRule(locationId, count) });

test("a rule is a place of its own: most of its backends are parked, and the other rule of the listener is not held up", async () => {
  const { alive, hold, known, parked, removals } = await aPlaceOfRules();
  alive();
  for (let n = 0; n < 6; n++) known.end(`pod-${n}`, "absent");
  assert.equal(hold([conflictIn("loc-1", 6), conflictIn("loc-2", 4)]), 4);
  assert.deepEqual(
    removals.parked("lb-1").map(({ place, slots, staying, floor }) => [place, slots.length, staying, floor]),
    [["lbl-1/loc-1", 6, 2, 4]],
  );
  assert.equal(parked.length, 1);
});

test("a call that takes from two rules is held in one of them only", async () => {
  const { alive, hold, known, removals } = await aPlaceOfRules();
  alive();
  for (let n = 0; n < 6; n++) known.end(`pod-${n}`, "absent");
  const drain: Call = { lane: "drain", weights: [...inRule("loc-1", 6), ...inRule("loc-2", 2)].map((slot) => ({ ...slot, weight: 0 })) };
  assert.equal(hold([drain]), 2);
  assert.deepEqual(
    removals.parked("lb-1").map(({ place }) => place),
    ["lbl-1/loc-1"],
  );
});

test("the same Pods in two rules are two removals: what a person releases of one stays held in the other, and is used up there only", async () => {
  const { alive, hold, carryOut, known, parked, released, removals } = await aPlaceOfRules();
  alive();
  for (let n = 0; n < 6; n++) known.end(`pod-${n}`, "absent");
  const both = [conflictIn("loc-1", 6), conflictIn("loc-2", 6)];
  assert.equal(hold(both), 0);
  assert.deepEqual(
    parked.map(({ place }) => place),
    ["lbl-1/loc-1", "lbl-1/loc-2"],
  );
  assert.notEqual(parked[0]?.id, parked[1]?.id);
  released.add(parked[0]?.id ?? "");
  assert.equal(hold(both), 6);
  assert.match(removals.cause("lb-1", { ...slotOfPod(1), locationId: "loc-1" }) ?? "", /a person released removal/);
  assert.equal(removals.cause("lb-1", { ...slotOfPod(1), locationId: "loc-2" }), undefined);
  carryOut(conflictIn("loc-1", 6));
  assert.equal(hold([conflictIn("loc-2", 6)]), 0);
  released.add(parked[1]?.id ?? "");
  assert.equal(hold([conflictIn("loc-2", 6)]), 6);
});

test("what serves in one rule is no reason to empty another: a rule whose own backends are dead has nothing to protect", async () => {
  const { hold, known, removals, say } = await aPlaceOfRules();
  say("loc-2", "Alive");
  say("loc-1", "Dead");
  removals.healthRead(["lb-1"]);
  hold([]);
  for (let n = 0; n < 8; n++) known.end(`pod-${n}`, "absent");
  assert.equal(hold([conflictIn("loc-1", 8)]), 8);
  assert.equal(hold([conflictIn("loc-2", 8)]), 0);
  assert.equal(hold([conflictIn("loc-2", 4)]), 4);
});
