import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Call } from "../../../../coordinator/domain/call.ts";
import { afterConflicts, inLaneOrder, type LaneTimes } from "../../../../coordinator/domain/plan/lane-order.ts";

const CALLS: readonly Call[] = [
  { lane: "conflict", slots: [] },
  { lane: "drain", weights: [] },
  { lane: "structure", create: { protocol: "TCP", healthCheck: {}, listeners: [] } },
  { lane: "bind", targets: [] },
  { lane: "unbind", slots: [] },
];
const lanes = (calls: readonly Call[]): string => calls.map(({ lane }) => lane).join(" ");

type Figures = { readonly waited?: number; readonly add?: number; readonly drain?: number; readonly last?: Call["lane"] };
const aTurn = ({ waited = 0, add = 5_000, drain = 5_000, last }: Figures): LaneTimes => ({
  waitedMs: (lane) => (lane === "structure" ? waited : 0),
  tookMs: (lane) => (lane === "drain" ? drain : add),
  last,
});
const LATE = aTurn({ waited: 90_000, last: "drain" });
const USUAL = "conflict drain structure bind unbind";
const ADDS_FIRST = "conflict structure bind drain unbind";

suite("drains go first, and what is added waits behind them; conflicts always go first", () => {
  const cases: readonly [what: string, figures: Figures, order: string][] = [
    ["nothing was written yet", {}, USUAL],
    ["after a drain, where adding is quick", { add: 1_000, last: "drain" }, ADDS_FIRST],
    ["only one at a time", { add: 1_000, last: "bind" }, USUAL],
    ["after a drain, where adding is slow", { add: 1_001, last: "drain" }, USUAL],
    ["not yet ten drains", { waited: 37_999, drain: 3_800, last: "drain" }, USUAL],
    ["ten drains", { waited: 38_000, drain: 3_800, last: "bind" }, ADDS_FIRST],
  ];
  for (const [what, figures, order] of cases) test(what, () => assert.equal(lanes(inLaneOrder(CALLS, aTurn(figures))), order));
});

test("what makes room first is not overtaken", () => {
  const room = CALLS.toSorted((a, b) => Number(b.lane === "unbind") - Number(a.lane === "unbind"));
  assert.equal(lanes(inLaneOrder(room, LATE)), lanes(room));
});

test("where nothing is to be added, drains go on", () => {
  const removing = CALLS.filter(({ lane }) => lane === "drain" || lane === "unbind");
  assert.equal(lanes(inLaneOrder(removing, LATE)), "drain unbind");
});

test("an address that a conflict still holds is bound nowhere; its neighbours are", () => {
  const slot = (listenerId: string, ip: string) => ({ listenerId, ip, port: 80 });
  const bind = (...ips: string[]): Call => ({ lane: "bind", targets: ips.map((ip) => ({ ...slot("lbl-2", ip), weight: 10, podUid: ip })) });
  const conflict: Call = { lane: "conflict", slots: [slot("lbl-1", "10.0.0.1")] };
  assert.deepEqual(afterConflicts([conflict, bind("10.0.0.1"), bind("10.0.0.2", "10.0.0.1")]), [conflict, bind("10.0.0.2")]);
  const free = [bind("10.0.0.1"), ...CALLS];
  assert.deepEqual(afterConflicts(free), free);
});
