import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../coordinator/domain/load-balancer.ts";
import { afterConflicts, inTurn } from "../../../coordinator/domain/turns.ts";

const CALLS: readonly Call[] = [
  { lane: "conflict", slots: [] },
  { lane: "drain", weights: [] },
  { lane: "structure", create: { protocol: "TCP", healthCheck: {}, listeners: [] } },
  { lane: "bind", targets: [] },
  { lane: "unbind", slots: [] },
];
const lanes = (calls: readonly Call[]): string => calls.map(({ lane }) => lane).join(" ");

test("what is added waits behind the drains, but not for more than ten writes; conflicts always go first", () => {
  for (const [waitedMs, writeMs] of [
    [0, 500],
    [4_999, 500],
    [30_000, 3_800],
  ] as const)
    assert.equal(lanes(inTurn(CALLS, waitedMs, writeMs)), "conflict drain structure bind unbind");
  assert.equal(lanes(inTurn(CALLS, 5_000, 500)), "conflict structure bind drain unbind");
});

test("what makes room first is not overtaken", () => {
  const room = CALLS.toSorted((a, b) => Number(b.lane === "unbind") - Number(a.lane === "unbind"));
  assert.equal(lanes(inTurn(room, 90_000, 500)), lanes(room));
});

test("where nothing is to be added, drains go on", () => {
  const removing = CALLS.filter(({ lane }) => lane === "drain" || lane === "unbind");
  assert.equal(lanes(inTurn(removing, 90_000, 500)), "drain unbind");
});

test("an address that a conflict still holds is bound nowhere; its neighbours are", () => {
  const slot = (listenerId: string, ip: string) => ({ listenerId, ip, port: 80 });
  const bind = (...ips: string[]): Call => ({ lane: "bind", targets: ips.map((ip) => ({ ...slot("lbl-2", ip), weight: 10, podUid: ip })) });
  const conflict: Call = { lane: "conflict", slots: [slot("lbl-1", "10.0.0.1")] };
  assert.deepEqual(afterConflicts([conflict, bind("10.0.0.1"), bind("10.0.0.2", "10.0.0.1")]), [conflict, bind("10.0.0.2")]);
  const free = [bind("10.0.0.1"), ...CALLS];
  assert.deepEqual(afterConflicts(free), free);
});
