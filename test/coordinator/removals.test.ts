import assert from "node:assert/strict";
import { test } from "node:test";
import { Mirror } from "../../coordinator/cloud/mirror.ts";
import type { Parked } from "../../coordinator/domain/brake.ts";
import { type Call, slotKey } from "../../coordinator/domain/load-balancer.ts";
import { makePodIndex } from "../../coordinator/pod-index.ts";
import { Removals } from "../../coordinator/removals.ts";
import { aListener, aLoadBalancer, aPod } from "../builders.ts";
import { somePodFacts } from "./pod-facts.ts";
import { aMemoryJournal } from "./stage.ts";
import { aFakeClock } from "./stream/pods.ts";

const POD_COUNT = 8;
const pods = Array.from({ length: POD_COUNT }, (_, n) => aPod({ uid: `pod-${n}`, name: `web-${n}`, ips: [`10.244.1.${n + 1}`] }));
const targets = pods.map(({ ips }) => ({ ip: ips[0] ?? "", port: 8080, weight: 10 }));
const slotsOf = (count: number) => targets.slice(0, count).map(({ ip, port }) => ({ listenerId: "lbl-1", ip, port }));
const conflict = (count: number): Call => ({ lane: "conflict", slots: slotsOf(count) });

/** Eight Pods, bound and alive, and what the brake makes of calls that take some of them away. */
async function aPlace() {
  const clock = aFakeClock();
  const known = somePodFacts(...pods);
  const mirror = new Mirror(() => undefined);
  const journal = aMemoryJournal();
  await journal.claim("lb-1", new Map(pods.map(({ uid, ips }) => [ips[0] ?? "", uid])), new AbortController().signal);
  const released = new Set<string>();
  const parked: Parked[] = [];
  const asked = { byService: true };
  const removals = new Removals({
    mirror,
    journal,
    facts: known.facts,
    pods: makePodIndex(known.facts),
    ledger: { hasAskedFor: () => asked.byService },
    clock,
    released: () => released,
    onParked: (_id, one) => void parked.push(one),
  });
  const alive = (): void => {
    mirror.noteHealth("lb-1", new Map(slotsOf(POD_COUNT).map((slot) => [slotKey(slot), "Alive"])), {
      askedMs: clock.now(),
      nowMs: clock.now(),
    });
    removals.healthRead(["lb-1"]);
  };
  mirror.fill({ ...aLoadBalancer(), running: true }, [aListener({ targets })], clock.now());
  const hold = (calls: readonly Call[]): number => {
    const actual = mirror.read("lb-1");
    assert.ok(actual !== undefined);
    return removals.hold(actual, calls).flatMap((call) => ("slots" in call ? call.slots : "weights" in call ? call.weights : [])).length;
  };
  return { clock, known, removals, asked, released, parked, alive, hold };
}

test("Pods that are merely missing stay when they are most of a place, told once; a person can let them go", async () => {
  const { alive, hold, known, parked, released, removals } = await aPlace();
  alive();
  for (let n = 0; n < 6; n++) known.end(`pod-${n}`, "absent");
  assert.equal(hold([conflict(6)]), 0);
  assert.equal(hold([conflict(6)]), 0);
  assert.deepEqual([parked.length, removals.parkedCount, parked[0]?.staying, parked[0]?.floor], [1, 1, 2, 4]);
  released.add(parked[0]?.id ?? "");
  assert.equal(hold([conflict(6)]), 6);
  assert.equal(removals.parkedCount, 0);
});

test("what a person let go goes to its end, although a call takes only a part of it; what else is doubted waits", async () => {
  const { alive, hold, known, parked, released, removals } = await aPlace();
  alive();
  for (let n = 0; n < 7; n++) known.end(`pod-${n}`, "absent");
  hold([conflict(6)]);
  released.add(parked[0]?.id ?? "");
  assert.equal(hold([conflict(6)]), 6);
  assert.equal(hold([conflict(5)]), 5);
  assert.equal(hold([conflict(7)]), 5); // the sixth was taken back meanwhile: it is doubted anew, with the seventh
  assert.equal(removals.parked("lb-1")[0]?.slots.length, 2);
});

test("Pods whose deletion was seen go, however many", async () => {
  const { alive, hold, known, removals } = await aPlace();
  alive();
  for (const { uid } of pods) known.end(uid, "deleted");
  assert.equal(hold([conflict(POD_COUNT)]), POD_COUNT);
  assert.equal(removals.evidence("lb-1", "10.244.1.1"), "Pod pod-0 was deleted");
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
  const { alive, hold, removals } = await aPlace();
  alive();
  const drain: Call = { lane: "drain", weights: slotsOf(6).map((slot) => ({ ...slot, weight: 0 })) };
  assert.equal(hold([drain]), 6);
  for (const pod of pods) removals.podChanged({ before: pod, after: { ...pod, labels: {} }, end: undefined }, true, false);
  assert.equal(hold([drain]), 0);
  for (const pod of pods) removals.podChanged({ before: pod, after: pod, end: undefined }, false, true);
  assert.equal(hold([drain]), 6);
});

test("after a restart nobody knows who was relabelled: Pods that no Service is known to have asked for are doubted", async () => {
  const { alive, hold, asked } = await aPlace();
  alive();
  asked.byService = false;
  assert.equal(hold([{ lane: "drain", weights: slotsOf(6).map((slot) => ({ ...slot, weight: 0 })) }]), 0);
});

test("a Pod's name outlives it, and an address that passed on is evidence", async () => {
  const { removals, known } = await aPlace();
  const [first] = pods;
  assert.ok(first !== undefined);
  removals.podChanged({ before: first, after: undefined, end: "deleted" }, true, false);
  known.end("pod-0", "deleted");
  assert.equal(removals.evidence("lb-1", "10.244.1.1"), "Pod demo/web-0 was deleted");
  known.set(aPod({ uid: "heir", name: "heir", ips: ["10.244.1.2"], startedAtMs: 9_000 }));
  known.end("pod-1", "absent");
  assert.equal(removals.evidence("lb-1", "10.244.1.2"), "10.244.1.2 belongs to Pod demo/heir now");
});
