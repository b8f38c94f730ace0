import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { makePortProbe } from "../../../agent/adapters/port-probe.ts";
import type { Clock } from "../../../common/clock.ts";
import { makeClock } from "../../../common/clock.ts";

const never = new AbortController().signal;
const probe = makePortProbe(makeClock());

test("a port that listens is open, one that does not is refused; UDP is not tried", async (t) => {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const close = () => new Promise<void>((resolve) => server.close(() => resolve()));
  t.after(close);
  assert.deepEqual(await probe({ ip: "127.0.0.1", port, protocol: "TCP" }, never), { result: "open", text: "" });
  await close();
  const refused = await probe({ ip: "127.0.0.1", port, protocol: "TCP" }, never);
  assert.deepEqual(refused, { result: "refused", text: `connect ECONNREFUSED 127.0.0.1:${port}` });
  assert.equal((await probe({ ip: "127.0.0.1", port: 53, protocol: "UDP" }, never)).result, "not-checked");
});

test("a network that says no is unreachable", async () => {
  // 255.255.255.255 takes no TCP: the kernel answers at once, whatever the routes are
  const { result, text } = await probe({ ip: "255.255.255.255", port: 80, protocol: "TCP" }, never);
  assert.equal(result, "unreachable");
  assert.match(text, /E[A-Z]+/);
});

test("no answer in time is timed out; who no longer asks gets none", async () => {
  const soon: Clock = { now: () => 0, sleep: () => Promise.resolve() };
  const { result, text } = await makePortProbe(soon)({ ip: "127.0.0.1", port: 1, protocol: "TCP" }, never);
  assert.deepEqual([result, text], ["timed-out", "no answer from 127.0.0.1:1 within 1.5 s"]);
  await assert.rejects(probe({ ip: "127.0.0.1", port: 1, protocol: "TCP" }, AbortSignal.abort()), { name: "AbortError" });
});
