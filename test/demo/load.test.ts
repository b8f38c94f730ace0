import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startLoad } from "./load.ts";
import { Pace } from "./pace.ts";
import { type Summary, summaryText } from "./summary.ts";

/** Asks every 5 ms from one time to another; how many were due in all. */
function run(pace: Pace, fromMs: number, toMs: number, inFlight = 0): number {
  let sum = 0;
  for (let ms = fromMs; ms <= toMs; ms += 5) sum += pace.take(ms, inFlight);
  return sum;
}

suite("the pace of the load", () => {
  test("is even, and what a short pause held up is made up for", () => {
    const pace = new Pace(300, 1_000);
    assert.equal(run(pace, 1_005, 2_000), 300);
    assert.equal(pace.take(2_200, 0), 60);
    assert.deepEqual({ unsent: pace.unsent, pausedMs: pace.pausedMs }, { unsent: 0, pausedMs: 0 });
  });

  test("after a long pause half a second's worth goes at once, the rest never", () => {
    const pace = new Pace(300, 0);
    run(pace, 5, 1_000);
    assert.equal(pace.take(5_000, 0), 150);
    assert.deepEqual({ unsent: pace.unsent, pausedMs: pace.pausedMs }, { unsent: 4 * 300 - 150, pausedMs: 3_500 });
    assert.equal(run(pace, 5_005, 6_000), 300, "and then as before");
  });

  test("a rate below four a second comes through", () => assert.equal(run(new Pace(1, 0), 5, 10_000), 10));

  test("no more than 4000 are in flight", () => {
    const pace = new Pace(2_000, 0);
    assert.equal(pace.take(100, 3_990), 10);
    assert.equal(run(pace, 105, 1_000, 4_000), 0);
    assert.equal(pace.unsent, 1_990);
  });
});

test("a process that stands still sends no flood afterwards, counts no request of before as lost, and its lowest rate says so", async (t) => {
  const answered: number[] = [];
  const server = createServer((_request, response) => {
    answered.push(performance.now());
    setTimeout(() => response.writeHead(200, { "x-pod": "web-1" }).end(), 20);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const load = startLoad({ host: "127.0.0.1", port: address.port, rate: 200, localAddress: undefined, timeoutMs: 1_000 });
  await sleep(500);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_600); // nothing of this process runs meanwhile
  const wokenMs = performance.now();
  await sleep(1_000);
  const { requests, unsent, minRate, failures } = await load.stop();
  assert.deepEqual(failures, []);
  assert.equal(minRate, 0, "the second in which it stood still");
  assert.ok(unsent >= 150, `${unsent} not sent`);
  assert.ok(requests + unsent >= 550, `${requests} sent`);
  const soon = answered.filter((ms) => ms > wokenMs && ms < wokenMs + 150).length;
  assert.ok(soon <= 100 + 30 + 10, `${soon} within 150 ms`);
});

suite("the summary", () => {
  const summary: Summary = {
    requests: 1_000,
    unsent: 0,
    failed: 0,
    causes: {},
    minRate: 10,
    rolloutSeconds: 9,
    ownMsP50: 1,
    ownMsP99: 1,
    ownParts: { ours: [1, 1], poll: [0, 0], api: [0, 0] },
    pods: [],
    calls: {},
    writeMs: 1,
  };
  const SLOW = "this machine is too slow for the rate";

  for (const [unsent, isTold, isSlow] of [
    [0, false, false],
    [1_000, true, false],
    [1_001, true, true],
  ] as const)
    test(`of 1000 requests sent and ${unsent} not sent ${isSlow ? "it blames the machine" : isTold ? "it tells" : "it is silent"}`, () => {
      const text = summaryText({ ...summary, unsent });
      assert.deepEqual({ isTold: /not sent/.test(text), isSlow: text.includes(SLOW) }, { isTold, isSlow });
    });
});
