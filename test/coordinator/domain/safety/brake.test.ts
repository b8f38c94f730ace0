import assert from "node:assert/strict";
import { test } from "node:test";
import { type Call, itemsOf } from "../../../../coordinator/domain/call.ts";
import { type Slot, slotKey } from "../../../../coordinator/domain/load-balancer.ts";
import {
  brake,
  type Level,
  noteLevel,
  type PlaceLoad,
  type Removal,
  removedSlots,
  withoutParked,
} from "../../../../coordinator/domain/safety/brake.ts";

const MINUTE = 60_000;
const slot = (n: number, listenerId = "lbl-1"): Slot => ({ listenerId, ip: `10.244.1.${n}`, port: 8080 });
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1);
/** A place whose backends 1 to `count` serve, and did so until now. */
const load = (count: number, history: readonly Level[] = [{ stable: count, untilMs: 0 }], listenerId = "lbl-1"): Map<string, PlaceLoad> =>
  new Map([[listenerId, { history, stable: new Set(range(count).map((n) => slotKey(slot(n, listenerId)))) }]]);
const missing = (ns: readonly number[], listenerId = "lbl-1"): Removal[] =>
  ns.map((n) => ({ slot: slot(n, listenerId), podUid: `pod-${n}`, confirmed: undefined }));
const confirmed = (ns: readonly number[]): Removal[] =>
  ns.map((n) => ({ slot: slot(n), podUid: `pod-${n}`, confirmed: "Pod shop/web-1 was deleted" }));
const parkedSlots = (...from: Parameters<typeof brake>): number => brake(...from).reduce((sum, { slots }) => sum + slots.length, 0);

const CASES: readonly [title: string, backends: number, removals: readonly Removal[], parked: number][] = [
  ["half of ten may be missing", 10, missing(range(5)), 0],
  ["six of ten may not", 10, missing(range(6)), 6],
  ["an agent that suddenly reports no Pods takes nothing away", 8, missing(range(8)), 8],
  ["all that are confirmed go, down to nothing", 8, confirmed(range(8)), 0],
  ["confirmed ones go while doubtful ones wait", 10, [...confirmed([1, 2, 3, 4, 5]), ...missing([6])], 1],
  ["the last one stays", 1, missing([1]), 1],
  ["one of two may be missing", 2, missing([1]), 0],
  ["two of three may not", 3, missing([1, 2]), 2],
  ["one that does not serve anyway may go", 4, missing([9]), 0],
];
for (const [title, backends, removals, parked] of CASES) test(title, () => assert.equal(parkedSlots(load(backends), removals, 0), parked));

test("removals one after the other get no further than all at once", () => {
  const history = noteLevel(load(10).get("lbl-1")?.history ?? [], 5, MINUTE);
  assert.equal(parkedSlots(load(5, history), missing([1]), 2 * MINUTE), 1);
});

test("what was stable ten minutes ago is forgotten", () => {
  const history = noteLevel([{ stable: 10, untilMs: 0 }], 2, MINUTE);
  assert.equal(parkedSlots(load(2, history), missing([1]), 5 * MINUTE), 1);
  const later = noteLevel(history, 2, 12 * MINUTE);
  assert.equal(parkedSlots(load(2, later), missing([1]), 12 * MINUTE), 0);
});

test("nothing was stable for ten minutes: there is nothing to protect", () => {
  assert.equal(parkedSlots(load(0), missing([1, 2]), 0), 0);
});

test("before health was read nothing doubtful goes", () => {
  assert.equal(parkedSlots(new Map(), missing([1]), 0), 1);
  assert.equal(parkedSlots(new Map(), confirmed([1]), 0), 0);
});

test("one place's trouble is not another's", () => {
  const loads = new Map([...load(4), ...load(4, undefined, "lbl-2")]);
  const parked = brake(loads, [...missing(range(4)), ...missing([1], "lbl-2")], 0);
  assert.deepEqual(
    parked.map(({ place, staying, floor }) => [place, staying, floor]),
    [["lbl-1", 0, 2]],
  );
});

test("the id of a removal does not depend on the order; other removals have other ids", () => {
  const [first] = brake(load(4), missing([1, 2, 3]), 0);
  const [again] = brake(load(4), missing([3, 1, 2]), 0);
  const [other] = brake(load(4), missing([1, 2, 3, 4]), 0);
  assert.match(first?.id ?? "", /^r-[0-9a-f]{8}$/);
  assert.equal(first?.id, again?.id);
  assert.notEqual(first?.id, other?.id);
});

test("other Pods in the same slots have another id: addresses are used again", () => {
  const heirs = missing([1, 2, 3]).map((removal) => ({ ...removal, podUid: "heir" }));
  assert.notEqual(brake(load(4), missing([1, 2, 3]), 0)[0]?.id, brake(load(4), heirs, 0)[0]?.id);
});

test("a place is counted only if something in it is doubted", () => {
  const asked: string[] = [];
  const loads = { get: (place: string) => void asked.push(place) };
  brake(loads, [...confirmed(range(4)), ...missing([1], "lbl-2")], 0);
  assert.deepEqual(asked, ["lbl-2"]);
});

test("the history keeps what was highest of what follows, with the time at which it ended", () => {
  let history: readonly Level[] = [];
  for (const [stable, atMs] of [
    [3, 0],
    [10, 1_000],
    [8, 2_000],
    [4, 3_000],
    [6, 4_000],
  ] as const)
    history = noteLevel(history, stable, atMs);
  assert.deepEqual(history, [
    { stable: 10, untilMs: 2_000 },
    { stable: 8, untilMs: 3_000 },
    { stable: 6, untilMs: 4_000 },
  ]);
});

test("only what carries weight is a removal, and parked slots leave their calls", () => {
  const calls: Call[] = [
    { lane: "conflict", slots: [slot(1), slot(2)] },
    { lane: "drain", weights: [{ ...slot(3), weight: 0 }] },
    { lane: "bind", targets: [{ ...slot(9), weight: 10, podUid: "pod-9" }] },
    { lane: "unbind", slots: [slot(4)] },
    { lane: "delete", listenerIds: ["lbl-2", "lbl-3"] },
    { lane: "delete", rules: { listenerId: "lbl-4", locationIds: ["loc-1", "loc-2"] } },
  ];
  const bound = [
    { ...slot(5), listenerId: "lbl-2" },
    { ...slot(4), listenerId: "lbl-3" },
    { ...slot(6), listenerId: "lbl-4", locationId: "loc-1" },
    { ...slot(7), listenerId: "lbl-4", locationId: "loc-9" },
  ];
  const removed = removedSlots(
    calls,
    ({ ip }) => (ip === "10.244.1.4" ? 0 : 10),
    (listenerId, locationIds) =>
      bound.filter((one) => one.listenerId === listenerId && (locationIds?.includes(String(Reflect.get(one, "locationId"))) ?? true)),
  );
  assert.deepEqual(
    removed.map(({ ip }) => ip),
    ["10.244.1.1", "10.244.1.2", "10.244.1.3", "10.244.1.5", "10.244.1.6"],
  );
  const parked = [
    { id: "r-1", place: "lbl-1", slots: [slot(2), slot(3)], staying: 0, floor: 1 },
    { id: "r-2", place: "lbl-2", slots: [{ ...slot(5), listenerId: "lbl-2" }], staying: 0, floor: 1 },
    { id: "r-3", place: "lbl-4/loc-1", slots: [{ ...slot(6), listenerId: "lbl-4", locationId: "loc-1" }], staying: 0, floor: 1 },
  ];
  assert.deepEqual(
    withoutParked(calls, parked).map((call) => [call.lane, itemsOf(call)]),
    [
      ["conflict", 1],
      ["bind", 1],
      ["unbind", 1],
      ["delete", 1],
      ["delete", 1],
    ],
  );
});
