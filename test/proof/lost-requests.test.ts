import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { LostRequest } from "./clients.ts";
import { lostRequests } from "./lost-requests.ts";

const AT_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const lost = (change: Partial<LostRequest>): LostRequest => ({
  atMs: AT_MS,
  cause: "ECONNRESET",
  connection: "new",
  localPort: 40_312,
  pod: undefined,
  clientAddress: "10.244.3.204",
  ...change,
});

test("lost requests are told by second, cause and backend; a port that was used again since says nothing", async (t) => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    const used = request.url?.includes("clientPort=40312") === true;
    const soon = { backend: "10.245.3.67:8080", openedMs: AT_MS + 1_003 }; // by its own clock
    const old = { backend: "10.245.3.66:8080", openedMs: AT_MS - 24_000 };
    const again = { backend: "10.245.3.70:8080", openedMs: AT_MS + 2_000 };
    const others = request.url?.includes("clientPort=40314") === true ? [soon] : [again, old];
    response.end(JSON.stringify({ connections: used ? [again, { backend: "10.245.3.65:8080", openedMs: AT_MS - 9_000 }] : others }));
  }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const failures = [
    lost({}),
    lost({}),
    lost({ connection: "kept", pod: "web-1" }),
    lost({ atMs: AT_MS + 1_000, localPort: 40_313 }),
    lost({ atMs: AT_MS + 1_000, localPort: 40_313, connection: "kept", pod: "web-2" }),
    lost({ atMs: AT_MS + 1_000, localPort: 40_314 }),
    lost({ atMs: AT_MS + 1_000, localPort: undefined, cause: "EADDRNOTAVAIL" }),
  ];
  const told = await lostRequests(`http://127.0.0.1:${port}`, failures);
  const to = "to 10.245.3.65:8080, which the load balancer accepted 9 s before";
  assert.deepEqual(told, [
    { at: "03:04:05", count: 2, what: `ECONNRESET on new connections ${to}` },
    { at: "03:04:05", count: 1, what: `ECONNRESET on kept connections ${to} (web-1)` },
    { at: "03:04:06", count: 1, what: "ECONNRESET on new connections that the load balancer did not accept" },
    {
      at: "03:04:06",
      count: 1,
      what: "ECONNRESET on kept connections to 10.245.3.66:8080, which the load balancer accepted 25 s before (web-2)",
    },
    {
      at: "03:04:06",
      count: 1,
      what: "ECONNRESET on new connections to 10.245.3.67:8080, which the load balancer accepted 0 s before",
    },
    { at: "03:04:06", count: 1, what: "EADDRNOTAVAIL on new connections that have no port" },
  ]);
  assert.equal(asked[0], "/connections?clientPort=40312&clientAddress=10.244.3.204");
});
