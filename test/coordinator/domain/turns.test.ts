import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../coordinator/domain/load-balancer.ts";
import { inTurn } from "../../../coordinator/domain/turns.ts";

const CALLS: readonly Call[] = [
  { lane: "conflict", slots: [] },
  { lane: "drain", weights: [] },
  { lane: "structure", create: { protocol: "TCP", healthCheck: {}, listeners: [] } },
  { lane: "bind", targets: [] },
  { lane: "unbind", slots: [] },
];
const lanes = (calls: readonly Call[]): string => calls.map(({ lane }) => lane).join(" ");

test("drains go before what is added, but not for ever; conflicts always go first", () => {
  for (const few of [0, 1]) assert.equal(lanes(inTurn(CALLS, few)), "conflict drain structure bind unbind");
  for (const many of [2, 7]) assert.equal(lanes(inTurn(CALLS, many)), "conflict structure bind drain unbind");
});

test("where nothing is to be added, drains go on", () => {
  const removing = CALLS.filter(({ lane }) => lane === "drain" || lane === "unbind");
  assert.equal(lanes(inTurn(removing, 9)), "drain unbind");
});
