/** Real sockets, TLS and HTTP/2 in this process; keepalive of 300 + 200 ms. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { makeClock } from "../../../common/clock.ts";
import { makeKeepalive } from "../../../coordinator/stream/keepalive.ts";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";

const TIMES = { timeMs: 300, timeoutMs: 200 };

/** Keeps every stream open. */
async function aServer(t: TestContext) {
  const authority = await issueAuthority(Date.now());
  const { certPem: cert, keyPem: key } = await issueServing(authority, ["localhost"], [], Date.now());
  const keepalive = makeKeepalive(TIMES, makeClock());
  t.after(() => keepalive.stop());
  const http2 = createServer().on("stream", (stream) => {
    stream.on("error", () => undefined).respond({ ":status": 200 });
  });
  const server = createTlsServer({ cert, key, ALPNProtocols: ["h2"] }, (socket) => {
    keepalive.watch(socket);
    http2.emit("connection", socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const accepted = (once(server, "secureConnection") as Promise<[TLSSocket]>).then(([socket]) => socket);
  return { accepted, port: (server.address() as AddressInfo).port, ca: authority.certPem };
}

/** A client with a stream; `pings`: how many of the server's it has had. */
async function aConnection(t: TestContext) {
  const { accepted, port, ca } = await aServer(t);
  const client = connect(`https://localhost:${port}`, { ca });
  t.after(() => client.destroy());
  const seen = { pings: 0 };
  client.on("error", () => undefined).on("ping", () => void (seen.pings += 1));
  const stream = client.request({ ":path": "/" }, { endStream: false });
  await once(
    stream.on("error", () => undefined),
    "response",
  );
  return { client, socket: await accepted, seen };
}

test("a peer that only listens is pinged, answers and stays", async (t) => {
  const { socket, seen } = await aConnection(t);
  await sleep(2_000);
  assert.equal(socket.destroyed, false);
  assert.ok(seen.pings >= 3 && seen.pings <= 2_000 / TIMES.timeMs, `${seen.pings} pings in 2 s`);
});

test("a peer that pings by itself is not pinged", async (t) => {
  const { client, socket, seen } = await aConnection(t);
  const pinging = setInterval(() => client.ping(() => undefined), 100);
  t.after(() => clearInterval(pinging));
  await sleep(2_000);
  assert.equal(socket.destroyed, false);
  assert.ok(seen.pings <= 1, `${seen.pings} pings`); // one at most: this process may have stood still
});

test("a peer that says nothing at all is cut off, by us", async (t) => {
  const { accepted, port, ca } = await aServer(t);
  const silent = connectTls({ port, host: "localhost", ca, ALPNProtocols: ["h2"] }).on("error", () => undefined);
  t.after(() => silent.destroy());
  const socket = await accepted;
  const closed = once(socket, "close");
  await Promise.race([closed, sleep(5_000).then(() => assert.fail("it is still connected after 5 s"))]);
  assert.equal(socket.readableEnded, false);
});
