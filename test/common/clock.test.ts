import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { after, type Clock, makeClock } from "../../common/clock.ts";
import { standStill } from "../stand-still.ts";

test("begins at the wall clock's time", () => {
  assert.ok(Math.abs(makeClock().now() - Date.now()) < 1_000);
});

test("a scaled clock runs and sleeps that many times as fast", async () => {
  const clock = makeClock(50);
  const startedMs = performance.now();
  const before = clock.now();
  await clock.sleep(2_000);
  const realMs = performance.now() - startedMs;
  assert.ok(realMs > 35 && realMs < 1_000, `slept ${realMs} ms`);
  assert.ok(clock.now() - before >= 1_900, `only ${clock.now() - before} ms have passed`);
});

test("a sleep that is called off rejects with the signal's reason at once", async () => {
  const calledOff = new AbortController();
  const sleep = makeClock().sleep(60_000, calledOff.signal);
  calledOff.abort(new Error("stop"));
  await assert.rejects(sleep, /^Error: stop$/);
  await assert.rejects(makeClock().sleep(60_000, calledOff.signal), /^Error: stop$/);
});

const sleeping = (clock: Clock): Clock => ({ now: () => clock.now(), sleep: (ms, signal) => clock.sleep(ms, signal) });

for (const [what, clock] of [
  ["a clock", makeClock(50)],
  ["a clock that can only sleep", sleeping(makeClock(50))],
] as const)
  test(`${what} calls back when the time has come, in its own time, unless that is called off`, async () => {
    const rung: string[] = [];
    await new Promise<void>((resolve) => {
      const callOff = after(clock, 1_000, () => rung.push("called off"));
      after(clock, 500, () => rung.push("first"));
      after(clock, 2_000, resolve);
      callOff();
    });
    assert.deepEqual(rung, ["first"]);
  });

test("after a standstill, what has arrived is read before a limit is over", async (t) => {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const client = connect(port, "127.0.0.1");
  const [[accepted]] = await Promise.all([once(server, "connection"), once(client, "connect")]);
  t.after(() => client.destroy());
  const order: string[] = [];
  client.once("data", () => order.push("answer"));
  const limit = new Promise<void>((resolve) => {
    after(makeClock(), 10, () => {
      order.push("limit");
      resolve();
    });
  });
  const slept = makeClock()
    .sleep(10)
    .then(() => order.push("slept"));
  (accepted as Socket).end("answer");
  standStill(50); // the answer is there since long, and so is the limit
  await Promise.all([limit, slept]);
  assert.deepEqual(order, ["answer", "limit", "slept"]);
});

test("leaves no listener behind at a signal that many sleeps share", async () => {
  const { signal } = new AbortController();
  let listeners = 0;
  const counted = Object.assign(signal, {
    addEventListener: () => void (listeners += 1),
    removeEventListener: () => void (listeners -= 1),
  });
  await makeClock().sleep(1, counted);
  assert.equal(listeners, 0);
});

test("a sleep of months does not end at once", async () => {
  const calledOff = new AbortController();
  let over = false;
  const sleep = makeClock()
    .sleep(90 * 24 * 3_600_000, calledOff.signal)
    .then(
      () => (over = true),
      () => undefined,
    );
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(over, false);
  calledOff.abort();
  await sleep;
});

test("refuses a scale that stands still or runs backwards", () => {
  for (const scale of [0, -1, Number.NaN]) assert.throws(() => makeClock(scale), RangeError);
});
