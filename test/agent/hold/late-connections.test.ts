import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { makeLateConnections } from "../../../agent/hold/late-connections.ts";
import { aFakeClock } from "../../coordinator/pods.ts";

function someCounts({ isCounted = true } = {}) {
  const counts = new Map([["10.0.3.7", 5]]);
  const clock = aFakeClock(0);
  const over = new AbortController();
  const counted: number[] = [];
  const sets: (readonly string[])[] = [];
  const taken = new Set<string>();
  const answered = makeLateConnections({
    rule: { setAnswered: (addresses) => void sets.push([...addresses]), late: () => Promise.resolve(isCounted ? counts : undefined) },
    isTaken: (address) => taken.has(address),
    onCounted: (connections) => void counted.push(connections),
    clock,
    log: pino({ level: "silent" }),
    over: over.signal,
  });
  return { clock, over, counts, counted, sets, taken, answered };
}
const turns = async (): Promise<void> => {
  for (let n = 0; n < 20; n++) await Promise.resolve();
};

test("what came since the answer counts, not what the address had before; then nobody counts for it any more", async () => {
  const { clock, counts, counted, sets, answered } = someCounts();
  answered(["10.0.3.7", "fd00::7"]);
  await turns();
  assert.deepEqual(sets, [["10.0.3.7", "fd00::7"]]);
  counts.set("10.0.3.7", 7).set("fd00::7", 1);
  await clock.advance(3_000);
  await turns();
  assert.deepEqual([counted, sets.at(-1)], [[3], []]);
});

test("an address that another Pod has got meanwhile says nothing", async () => {
  const { clock, counts, counted, taken, answered } = someCounts();
  answered(["10.0.3.7"]);
  await turns();
  taken.add("10.0.3.7");
  counts.set("10.0.3.7", 70);
  await clock.advance(3_000);
  await turns();
  assert.deepEqual(counted, []);
});

test("where the kernel does not count, or the Pod lives on, nothing is asked for", async () => {
  for (const [isCounted, addresses] of [
    [false, ["10.0.3.7"]],
    [true, []],
  ] as const) {
    const { sets, answered } = someCounts({ isCounted });
    answered(addresses);
    await turns();
    assert.deepEqual(sets, []);
  }
});
