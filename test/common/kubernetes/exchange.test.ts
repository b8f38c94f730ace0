import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Agent } from "undici";
import { Exchange } from "../../../common/kubernetes/exchange.ts";

test("requests that ended while they waited for a connection cost none: whoever lives gets the next turn", {
  timeout: 10_000,
}, async (t) => {
  const waiting: (() => void)[] = [];
  let seen = 0;
  let connections = 0;
  const server = createServer((_question, answer) => {
    seen += 1;
    if (seen <= 2) waiting.push(() => answer.end("first"));
    else answer.end("next");
  }).on("connection", () => void (connections += 1));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const agent = new Agent({ connections: 2, allowH2: false });
  t.after(async () => {
    await agent.destroy();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ask = (): Exchange => {
    const exchange = new Exchange("GET /");
    exchange.send(agent, { origin, path: "/", method: "GET" });
    return exchange;
  };
  const running = [ask(), ask()];
  while (waiting.length < running.length) await once(server, "request");
  const ended = Array.from({ length: 50 }, ask);
  const calledOff = ended.map(({ answer }) => assert.rejects(answer, /called off/));
  for (const one of ended) one.end(new Error("called off"));
  const alive = ask();
  for (const answer of waiting) answer();
  assert.deepEqual(await Promise.all([...running, alive].map(async ({ answer }) => (await answer).text)), ["first", "first", "next"]);
  await Promise.all(calledOff);
  assert.deepEqual({ seen, connections }, { seen: 3, connections: 2 });
});
