import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Call } from "../../../coordinator/domain/load-balancer.ts";
import { afterConflicts, inTurn, type Turn } from "../../../coordinator/domain/turns.ts";

const CALLS: readonly Call[] = [
  { lane: "conflict", slots: [] },
  { lane: "drain", weights: [] },
  { lane: "structure", create: { protocol: "TCP", healthCheck: {}, listeners: [] } },
  { lane: "bind", targets: [] },
  { lane: "unbind", slots: [] },
];
const lanes = (calls: readonly Call[]): string => calls.map(({ lane }) => lane).join(" ");

const LATE: Turn = { addWaitedMs: 90_000, drainWaitedMs: 0, writeMs: 500, last: "drain" };
const USUAL = "conflict drain structure bind unbind";
const ADDS_FIRST = "conflict structure bind drain unbind";

suite("drains go first, and what is added waits behind them; conflicts always go first", () => {
  const cases: readonly [what: string, turn: Turn, order: string][] = [
    ["nothing was written yet", { addWaitedMs: 0, drainWaitedMs: 0, writeMs: 500, last: undefined }, USUAL],
    ["after a bind", { addWaitedMs: 500, drainWaitedMs: 500, writeMs: 500, last: "bind" }, USUAL],
    ["after a drain, where writes are quick", { addWaitedMs: 500, drainWaitedMs: 500, writeMs: 500, last: "drain" }, ADDS_FIRST],
    ["the drains would be late", { addWaitedMs: 500, drainWaitedMs: 1_001, writeMs: 500, last: "drain" }, USUAL],
    ["after a drain, where writes are slow", { addWaitedMs: 3_800, drainWaitedMs: 0, writeMs: 3_800, last: "drain" }, USUAL],
    ["not yet ten writes", { addWaitedMs: 37_999, drainWaitedMs: 3_800, writeMs: 3_800, last: "drain" }, USUAL],
    ["ten writes", { addWaitedMs: 38_000, drainWaitedMs: 3_800, writeMs: 3_800, last: "drain" }, ADDS_FIRST],
  ];
  for (const [what, turn, order] of cases) test(what, () => assert.equal(lanes(inTurn(CALLS, turn)), order));
});

test("what makes room first is not overtaken", () => {
  const room = CALLS.toSorted((a, b) => Number(b.lane === "unbind") - Number(a.lane === "unbind"));
  assert.equal(lanes(inTurn(room, LATE)), lanes(room));
});

test("where nothing is to be added, drains go on", () => {
  const removing = CALLS.filter(({ lane }) => lane === "drain" || lane === "unbind");
  assert.equal(lanes(inTurn(removing, LATE)), "drain unbind");
});

test("an address that a conflict still holds is bound nowhere; its neighbours are", () => {
  const slot = (listenerId: string, ip: string) => ({ listenerId, ip, port: 80 });
  const bind = (...ips: string[]): Call => ({ lane: "bind", targets: ips.map((ip) => ({ ...slot("lbl-2", ip), weight: 10, podUid: ip })) });
  const conflict: Call = { lane: "conflict", slots: [slot("lbl-1", "10.0.0.1")] };
  assert.deepEqual(afterConflicts([conflict, bind("10.0.0.1"), bind("10.0.0.2", "10.0.0.1")]), [conflict, bind("10.0.0.2")]);
  const free = [bind("10.0.0.1"), ...CALLS];
  assert.deepEqual(afterConflicts(free), free);
});
