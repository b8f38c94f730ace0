import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect as dial, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";
import { makeClock } from "../../../common/clock.ts";
import { type ConnectionLimits, type Connections, makeConnections } from "../../../coordinator/stream/connections.ts";
import { addressOf, peerOf } from "../../../coordinator/stream/peer.ts";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import type { Serving } from "../../../coordinator/tls/serving.ts";
import { until } from "../../agent/until.ts";
import { silentLog } from "../pods.ts";

const authority = await issueAuthority(Date.now());
const leaf = { ...(await issueServing(authority, ["localhost"], [], Date.now())), caBundlePem: authority.certPem };

const closed = (socket: Socket | undefined): Promise<void> => new Promise((resolve) => socket?.once("close", () => resolve()));

async function aPort(t: TestContext, limits: Partial<ConnectionLimits> = {}) {
  const secure: TLSSocket[] = [];
  const state = { most: 100, begun: new Set<string>(), refused: 0, barred: "", endsMakeRoom: true };
  const renewals = new Set<(serving: Serving) => void>();
  const connections = makeConnections({
    serving: {
      current: leaf,
      subscribe: (listener) => {
        renewals.add(listener);
        return () => void renewals.delete(listener);
      },
    },
    onSecure: (socket) => void secure.push(socket.on("error", () => undefined)),
    mayBegin: (peer) => {
      if (state.begun.size >= state.most || addressOf(peer) === state.barred) return false;
      state.begun.add(peer);
      return true;
    },
    mayAnother: () => state.begun.size < state.most,
    onEnd: (peer) => {
      state.begun.delete(peer);
      if (state.endsMakeRoom) connections.resume();
    },
    onRefused: () => state.refused++,
    clock: makeClock(),
    log: silentLog,
    limits,
  });
  const port = await connections.listen("127.0.0.1", 0);
  const clients: Socket[] = [];
  t.after(async () => {
    for (const client of clients) client.destroy();
    connections.close();
    connections.destroy();
    await connections.drained();
  });
  const kept = <S extends Socket>(socket: S): S => {
    clients.push(socket);
    return socket.on("error", () => undefined);
  };
  const dialFrom = (localAddress: string): Socket => kept(dial({ port, host: "127.0.0.1", localAddress }));
  /** Says a whole handshake, or nothing. */
  const client = (localAddress = "127.0.0.1"): TLSSocket =>
    kept(connect({ socket: dialFrom(localAddress), servername: "localhost", ca: authority.certPem, ALPNProtocols: ["h2"] }));
  const silent = (localAddress = "127.0.0.1"): Socket => dialFrom(localAddress);
  const renew = (serving: Serving): void => renewals.forEach((listener) => listener(serving));
  return { connections, secure, state, client, silent, port, renew };
}

/** Over that connection an agent has a stream, until it is aborted. */
function aStream(connections: Connections, socket: TLSSocket, agent: string): AbortController {
  const stream = new AbortController();
  connections.admitted({ peer: peerOf(socket), agent, over: stream.signal });
  return stream;
}

test("a connection that says nothing is closed, and so is one that never ends its handshake", async (t) => {
  const { connections, silent, secure } = await aPort(t, { silentMs: 50 });
  const [mute, babbler] = [silent(), silent()];
  babbler.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00])); // the head of a record of 512 bytes that never come
  await Promise.all([closed(mute), closed(babbler)]);
  await until(() => connections.counts.open === 0);
  assert.deepEqual(secure, []);
});

for (const [title, isRenewed] of [
  ["a handshake takes the exchange that costs least, and nothing but HTTP/2 is spoken", false],
  ["so it is with a renewed certificate", true],
] as const)
  test(title, async (t) => {
    const { client, secure, port, renew } = await aPort(t);
    if (isRenewed) renew({ ...(await issueServing(authority, ["localhost"], [], Date.now())), caBundlePem: authority.certPem });
    const ours = client();
    await until(() => secure.length === 1);
    assert.equal(ours.getPeerX509Certificate()?.serialNumber === new X509Certificate(leaf.certPem).serialNumber, !isRenewed);
    assert.equal(secure[0]?.alpnProtocol, "h2");
    const exchange = ours.getEphemeralKeyInfo();
    assert.ok(exchange !== null && "name" in exchange);
    assert.equal(exchange.name, "X25519");
    const other = connect({ port, host: "127.0.0.1", servername: "localhost", ca: authority.certPem, ALPNProtocols: ["http/1.1"] });
    const [error] = await once(other, "error");
    assert.match(String(error), /no.application.protocol/i);
    assert.equal(secure.length, 1);
  });

test("no more handshakes are begun than may be; the next begins when one has ended", async (t) => {
  const { connections, client, silent, secure, state } = await aPort(t);
  state.most = 1;
  const slow = silent();
  slow.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]));
  await until(() => state.begun.size === 1);
  client();
  client();
  await until(() => connections.counts.waiting === 2);
  assert.equal(secure.length, 0);
  slow.destroy();
  await until(() => secure.length === 1 && connections.counts.waiting === 1);
  assert.equal(secure[0]?.alpnProtocol, "h2");
  state.most = 2;
  connections.resume();
  await until(() => secure.length === 2);
  assert.deepEqual(new Set(secure.map(({ remoteAddress, remotePort }) => `${remoteAddress}:${remotePort}`)), state.begun);
});

test("handshakes begin by turns of the addresses; one address that may not keeps no other waiting", async (t) => {
  const { connections, client, secure, state } = await aPort(t);
  const from = (): (string | undefined)[] => secure.map(({ remoteAddress }) => remoteAddress);
  state.most = 0;
  for (const address of ["127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.4"]) {
    const waiting = connections.counts.waiting;
    client(address);
    await until(() => connections.counts.waiting === waiting + 1);
  }
  for (const [most, address] of ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.2"].entries()) {
    state.most = most + 1;
    connections.resume();
    await until(() => secure.length === most + 1);
    assert.equal(from().at(-1), address);
  }
  state.barred = "127.0.0.2";
  client("127.0.0.3");
  await until(() => connections.counts.waiting === 2);
  state.most = 100;
  connections.resume();
  await until(() => secure.length === 5);
  assert.deepEqual([from().at(-1), connections.counts.waiting], ["127.0.0.3", 1]);
});

test("who leaves while it waits, or says too much, is forgotten without a handshake", async (t) => {
  const { connections, client, silent, state } = await aPort(t);
  state.most = 0;
  const [leaves, babbles] = [client(), silent()];
  await until(() => connections.counts.waiting === 1);
  leaves.destroy();
  await until(() => connections.counts.open === 1);
  babbles.write(Buffer.alloc(100_000));
  await closed(babbles);
  await until(() => connections.counts.open === 0 && connections.counts.waiting === 0);
  assert.equal(state.begun.size, 0);
});

test("many connections are taken in one turn of the event loop", async (t) => {
  const { connections, silent } = await aPort(t);
  const sockets = Array.from({ length: 96 }, () => silent());
  let turns = 0;
  for (; connections.counts.open < sockets.length; turns++) {
    assert.ok(turns < 60, `${connections.counts.open} taken in ${turns} turns`); // one by one these would be 96 at least
    await nextTurn();
  }
});

test("a connection above the limit is refused at once; one that ends makes room", async (t) => {
  const { connections, client, silent, secure, state } = await aPort(t, { connections: 2 });
  const [first] = [silent(), silent()];
  await until(() => connections.counts.open === 2);
  const refused = silent();
  await closed(refused);
  assert.equal(state.refused, 1);
  first?.destroy();
  await until(() => connections.counts.open === 1);
  client();
  await until(() => secure.length === 1);
});

test("above the limit an address with many connections that have not begun makes way for another one", async (t) => {
  const { connections, client, silent, secure, state } = await aPort(t, { connections: 40, kept: 5 });
  state.barred = "127.0.0.2";
  const strangers = Array.from({ length: 40 }, () => silent("127.0.0.2"));
  for (const socket of strangers.slice(20)) socket.write(Buffer.from([0x16])); // some wait for their turn
  await until(() => connections.counts.open === 40 && connections.counts.waiting === 20);
  await closed(silent("127.0.0.2"));
  assert.deepEqual([state.refused, connections.counts.open], [1, 40], "it is refused itself");
  client();
  await until(() => secure.length === 1);
  assert.deepEqual([state.refused, connections.counts.open], [21, 21], "half of them are cut off");
  await until(() => strangers.filter(({ destroyed }) => destroyed).length === 20);
});

test("above the limit so does one with many connections that ended their handshake and are no agents; those of its agents stay", async (t) => {
  const { connections, client, secure, state } = await aPort(t, { connections: 12, kept: 5 });
  const strangers = Array.from({ length: 12 }, () => client("127.0.0.2"));
  await until(() => secure.length === 12);
  const agents = secure.slice(0, 2);
  for (const agent of agents) aStream(connections, agent, peerOf(agent));
  await closed(client("127.0.0.2"));
  assert.deepEqual([state.refused, connections.counts.open], [1, 12], "it is refused itself");
  client();
  await until(() => secure.length === 13);
  assert.deepEqual([state.refused, connections.counts.open], [6, 8], "half of them are cut off");
  await until(() => strangers.filter(({ destroyed }) => destroyed).length === 5);
  assert.ok(agents.every(({ destroyed }) => !destroyed));
  await until(() => state.begun.size === 8);
});

test("so many that no agent has a stream over have their handshake: an address with many lets its own wait, and makes way for another one", async (t) => {
  const { connections, client, secure, state } = await aPort(t, { strangers: 6, kept: 3 });
  state.endsMakeRoom = false; // none of them has a place any more
  const agent = client("127.0.0.4");
  await until(() => secure.length === 1);
  const [its] = secure;
  assert.ok(its);
  aStream(connections, its, "a");
  const strangers = Array.from({ length: 9 }, () => client("127.0.0.2"));
  await until(() => secure.length === 7 && connections.counts.waiting === 3);
  client("127.0.0.3");
  await until(() => secure.length === 8);
  await until(() => strangers.filter(({ destroyed }) => destroyed).length === 1);
  assert.deepEqual([connections.counts.waiting, state.refused], [3, 1], "one of them made way");
  const stranger = secure[3];
  assert.ok(stranger);
  aStream(connections, stranger, "b");
  await until(() => secure.length === 9 && connections.counts.waiting === 2);
  secure.at(4)?.destroy();
  await until(() => secure.length === 10 && connections.counts.waiting === 1);
  assert.equal(agent.destroyed, false);
});

test("so many of several addresses, each with many, throw out nobody: those that come wait", async (t) => {
  const { connections, client, secure, state } = await aPort(t, { strangers: 6, kept: 3 });
  for (let n = 0; n < 12; n++) {
    client(`127.0.0.${2 + (n % 2)}`);
    await until(() => secure.length + connections.counts.waiting === n + 1);
  }
  assert.deepEqual([secure.length, state.refused], [6, 0]);
  client("127.0.0.4");
  await until(() => secure.length === 7);
  assert.deepEqual([connections.counts, state.refused], [{ open: 13, waiting: 6 }, 0], "each has few enough to be in nobody's way");
  secure[0]?.destroy();
  secure[1]?.destroy();
  await until(() => secure.length === 9 && connections.counts.waiting === 4);
  assert.equal(state.refused, 0);
});

test("strangers of many addresses, each with few, are not too many: agents whose tokens cannot be reviewed now", async (t) => {
  const { client, secure, state } = await aPort(t, { strangers: 6, kept: 3 });
  for (let n = 0; n < 12; n++) client(`127.0.0.${2 + (n % 6)}`);
  await until(() => secure.length === 12);
  assert.equal(state.refused, 0);
});

test("a connection is an agent's while a stream of it lasts; of one agent the newest two are", async (t) => {
  const { connections, client, secure } = await aPort(t, { connections: 7, kept: 3 });
  for (let n = 0; n < 7; n++) {
    client("127.0.0.2");
    await until(() => secure.length === n + 1);
  }
  const streams = secure.map((socket, n) => aStream(connections, socket, n < 3 ? `node-${n}` : "node-x"));
  const [first = assert.fail(), second = assert.fail()] = secure;
  const another = aStream(connections, second, "node-1");
  await closed(client());
  assert.equal(connections.counts.open, 7, "two are no agents' any more, which is few enough to stay");
  for (const n of [0, 1]) streams[n]?.abort();
  assert.ok(!first.destroyed);
  await closed(client());
  another.abort();
  client();
  await until(() => secure.length === 8);
  assert.equal(connections.counts.open, 6, "half of four are cut off");
  const left = secure.slice(0, 7).map(({ destroyed }) => !destroyed);
  assert.deepEqual([left[2], left[5], left[6]], [true, true, true], "none that an agent has a stream over");
});

test("closing drops who has said nothing and who waits, and leaves the others alone", async (t) => {
  const { connections, client, silent, secure, state } = await aPort(t);
  const served = client();
  await until(() => secure.length === 1);
  state.most = 1;
  const [mute, waits] = [silent(), client()];
  await until(() => connections.counts.open === 3 && connections.counts.waiting === 1);
  connections.close();
  await Promise.all([closed(mute), closed(waits)]);
  assert.equal(served.destroyed, false);
  const drained = connections.drained();
  served.destroy();
  await drained;
});
