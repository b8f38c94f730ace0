import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { byAddress, byLoad, byWeight } from "../../cloud/data-plane/balance.ts";
import { requestHeaders, responseHeaders } from "../../cloud/data-plane/forwarded-headers.ts";
import { makePassiveCheck } from "../../cloud/data-plane/passive-check.ts";
import { proxyHeader } from "../../cloud/data-plane/proxy-protocol.ts";
import { cookieValue, setCookie, targetOfCookie } from "../../cloud/data-plane/session-cookie.ts";
import { makeSessions } from "../../cloud/data-plane/sessions.ts";

type Target = { ip: string; port: number; weight: number; credit: number };

/** Targets 10.0.0.1, 10.0.0.2, … of these weights. */
const targetsOf = (...weights: number[]): Target[] =>
  weights.map((weight, index) => ({ ip: `10.0.0.${index + 1}`, port: 80, weight, credit: 0 }));

const last = (target: Target | undefined): string => target?.ip.slice("10.0.0.".length) ?? "-";
const row = (count: number, pick: (turn: number) => Target | undefined): string =>
  Array.from({ length: count }, (_, turn) => last(pick(turn))).join("");

suite("schedulers", () => {
  const weighted: readonly [weights: number[], picks: string][] = [
    [[5, 1, 1], "1121311"],
    [[1, 1, 1], "123123"],
    [[10, 30], "21222122"],
    [[7], "111"],
    [[], "--"],
  ];
  for (const [weights, picks] of weighted)
    test(`WRR of ${weights.join(":")} spreads as ${picks}`, () => {
      const targets = targetsOf(...weights);
      assert.equal(
        row(picks.length, () => byWeight(targets)),
        picks,
      );
    });

  test("a weight that changes counts from the next pick on", () => {
    const targets = targetsOf(10, 10);
    byWeight(targets);
    const [, second] = targets;
    assert.ok(second);
    second.weight = 90;
    const picks = row(10, () => byWeight(targets));
    assert.equal(picks.replaceAll("1", "").length, 9, picks);
  });

  const loaded: readonly [weights: number[], open: number[], picks: string][] = [
    [[10, 10], [3, 1], "2"],
    [[10, 30], [1, 2], "2"],
    [[10, 30], [1, 4], "1"],
    [[10, 10, 10], [1, 0, 0], "23"],
    [[1], [1000], "1"],
    [[], [], "-"],
  ];
  for (const [weights, open, picks] of loaded)
    test(`LEAST_CONN of ${weights.join(":")} with ${open.join(", ")} open picks ${picks}`, () => {
      const targets = targetsOf(...weights);
      assert.equal(
        row(picks.length, () => byLoad(targets, (target) => open[targets.indexOf(target)] ?? 0)),
        picks,
      );
    });

  test("IP_HASH keeps a client's backend, shares by weight, and moves only the clients of a backend that goes", () => {
    const targets = targetsOf(10, 10, 20);
    const clients = Array.from({ length: 4000 }, (_, index) => `192.0.2.${index % 256}.${index}`);
    const before = new Map(clients.map((client) => [client, last(byAddress(targets, client))]));
    for (const client of clients) assert.equal(last(byAddress(targets, client)), before.get(client));
    const third = [...before.values()].filter((target) => target === "3").length;
    assert.ok(third > 1850 && third < 2150, `${third} of 4000 for half of the weight`);
    const moved = clients.filter((client) => last(byAddress(targets.slice(0, 2), client)) !== before.get(client));
    assert.equal(moved.length, third);
    assert.equal(byAddress([], "192.0.2.1"), undefined);
  });
});

suite("sessions", () => {
  test("a session lasts from its last connection on, and ends", () => {
    const sessions = makeSessions<string>();
    sessions.keep("client", "a", 30_000);
    assert.equal(sessions.find("client", 29_999), "a");
    sessions.keep("client", "a", 59_999);
    assert.equal(sessions.find("client", 59_998), "a");
    assert.equal(sessions.find("client", 59_999), undefined);
    assert.equal(sessions.find("other", 0), undefined);
    assert.equal(sessions.size, 0);
  });

  test("a cookie names a backend without giving its address away; a strange one names none", () => {
    const targets = targetsOf(1, 1);
    const [, second] = targets;
    assert.ok(second);
    const cookie = `theme=dark; route=${cookieValue(second)}; x=y`;
    assert.equal(targetOfCookie(targets, cookie, "route"), second);
    for (const header of [undefined, "", "route=", "route=10.0.0.2", cookie.replace("route", "router")])
      assert.equal(targetOfCookie(targets, header, "route"), undefined, header);
    assert.equal(targetOfCookie(targets.slice(0, 1), cookie, "route"), undefined, "not bound any more");
    assert.match(setCookie("route", second, 60), /^route=[0-9a-f]{32}; Path=\/; Max-Age=60; HttpOnly$/);
  });
});

test("three failures block a backend for ten seconds, one success forgets them, and if all are blocked none is", () => {
  const passive = makePassiveCheck<Target>();
  const [one, two] = targetsOf(1, 1);
  assert.ok(one && two);
  const allowed = (nowMs: number): string => passive.allowed([one, two], nowMs).map(last).join("");
  passive.failed(one, 0);
  passive.failed(one, 0);
  passive.succeeded(one);
  passive.failed(one, 0);
  passive.failed(one, 0);
  assert.equal(allowed(1), "12");
  passive.failed(one, 1);
  assert.equal(allowed(2), "2");
  for (let turn = 0; turn < 3; turn++) passive.failed(two, 5_000);
  assert.equal(allowed(5_001), "12", "all are blocked");
  assert.equal(allowed(10_001), "1");
  assert.equal(allowed(15_000), "12");
});

suite("headers", () => {
  const hop = { clientAddress: "192.0.2.7", scheme: "https", httpVersion: "1.1", keepAlive: false } as const;
  const OWN = ["X-Real-IP", "192.0.2.7", "X-Client-Proto", "https", "X-Client-Proto-Ver", "HTTP/1.1", "Connection", "close"];

  test("the backend learns the client's address and protocol; a client's own claims are not passed on", () => {
    const given = ["Host", "e.com", "X-Real-IP", "1.1.1.1", "x-client-proto", "ftp", "Connection", "keep-alive, x", "Accept", "a"];
    assert.deepEqual(requestHeaders(given, hop), ["Host", "e.com", "Accept", "a", "X-Forwarded-For", "192.0.2.7", ...OWN]);
  });

  test("an address is appended to the X-Forwarded-For that came", () => {
    const [, chain] = requestHeaders(["x-forwarded-for", "1.1.1.1, 2.2.2.2"], hop);
    assert.equal(chain, "1.1.1.1, 2.2.2.2, 192.0.2.7");
  });

  test("an upgrade keeps what makes it one", () => {
    assert.deepEqual(requestHeaders(["Upgrade", "websocket", "Connection", "Upgrade"], hop, "websocket").slice(-4), [
      "Connection",
      "upgrade",
      "Upgrade",
      "websocket",
    ]);
  });

  test("answers keep repeated headers, lose those of the connection, and gain the cookie", () => {
    const given = ["Set-Cookie", "a=1", "Connection", "close", "Transfer-Encoding", "chunked", "Set-Cookie", "b=2"];
    assert.deepEqual(responseHeaders(given, "c=3"), ["Set-Cookie", "a=1", "Set-Cookie", "b=2", "Set-Cookie", "c=3"]);
  });

  test("PROXY protocol, version 1", () => {
    const vip = { address: "198.18.0.1", port: 443 };
    assert.equal(proxyHeader({ address: "10.0.0.9", port: 51034 }, vip), "PROXY TCP4 10.0.0.9 198.18.0.1 51034 443\r\n");
  });
});
