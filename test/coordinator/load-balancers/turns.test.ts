import assert from "node:assert/strict";
import { test } from "node:test";
import { RateLimit } from "../../../coordinator/cloud/rate-limit.ts";
import type { Call } from "../../../coordinator/domain/call.ts";
import { Turns } from "../../../coordinator/load-balancers/turns.ts";
import { aFakeClock } from "../pods.ts";

const START_MS = 1_790_000_000_000;
const BIND: Call = { lane: "bind", targets: [] };

test("a call tells how long its load balancer had calls to make and no turn, up to when the turn came", async () => {
  const clock = aFakeClock(START_MS);
  const came: string[] = [];
  const onTurn = (_action: string, id: string): void => void came.push(`${id} ${clock.now() - START_MS}`);
  const rateLimit = new RateLimit(clock, { perSecond: 2, pauseAfterThrottlingMs: 1_000 }, { onTurn });
  const turns = new Turns({ rateLimit, callsPerSecond: 2 });
  const { signal } = new AbortController();
  const first = (id: string) => turns.first(id, [BIND], clock.now());
  assert.deepEqual(first("lb-1"), { call: BIND });
  await rateLimit.take("BatchRegisterTargets", signal, "lb-1");
  await clock.advance(100);
  assert.equal(first("lb-2"), undefined);
  await clock.advance(50);
  assert.equal(first("lb-2"), undefined, "it still waits since 100");
  await clock.advance(500);
  assert.deepEqual(came, ["lb-2 500"]);
  assert.deepEqual(first("lb-2"), { call: BIND, waited: { fromMs: START_MS + 100, untilMs: START_MS + 500 } });
  assert.equal(turns.first("lb-2", [], clock.now()), undefined, "what has nothing to do waits for nothing");
});
