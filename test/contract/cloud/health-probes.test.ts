import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { createServer } from "node:net";
import { suite, type TestContext, test } from "node:test";
import { issueAuthority, issueServing } from "../../../coordinator/tls/certificate.ts";
import type { HealthSettings } from "../../cloud/model/account.ts";
import { DEFAULT_CHECK } from "../../cloud/runtime/health.ts";
import { makeNetworkProbe } from "../../cloud/runtime/probe.ts";
import { expectedBytes, grpcCodes, httpVerdict, replyVerdict, sentBytes } from "../../cloud/runtime/probe-messages.ts";
import { portOf } from "./traffic-fixture.ts";

const IP = "127.244.5.1";
/** Real time in which an answer must come. */
const TIMEOUT_MS = 150;

const probe = makeNetworkProbe();
const isWell = (protocol: string, port: number, check: Partial<HealthSettings>, source?: string): Promise<boolean> =>
  probe({ protocol, ip: IP, port, check: { ...DEFAULT_CHECK, ...check }, source }, AbortSignal.timeout(TIMEOUT_MS));

type Listening = { listen(port: number, host: string, done: () => void): unknown; close(): unknown; address(): unknown };

async function started(t: TestContext, server: Listening): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, IP, resolve));
  t.after(() => void server.close());
  return portOf(server);
}

suite("what means well", () => {
  const httpRows: readonly [mask: number, answer: string, well: boolean | undefined][] = [
    [2, "HTTP/1.1 200 OK\r\n", true],
    [2, "HTTP/1.0 204 No Content\r\n", true],
    [2, "HTTP/1.1 302 Found\r\n", false],
    [6, "HTTP/1.1 302 Found\r\n", true],
    [1, "HTTP/1.1 100 Continue\r\n", true],
    [15, "HTTP/1.1 503 Busy\r\n", false],
    [31, "HTTP/1.1 503 Busy\r\n", true],
    [31, "HTTP/1.1 20", undefined],
    [31, "SSH-2.0-OpenSSH_9.6\r\n", false],
  ];
  for (const [mask, answer, well] of httpRows)
    test(`HTTP code mask ${mask}: ${answer.trim()} is ${well}`, () => {
      assert.equal(httpVerdict({ ...DEFAULT_CHECK, HttpCode: mask })(Buffer.from(answer)), well);
    });

  test("an expected answer may come in pieces and be followed by more, but not be another one", () => {
    const verdict = replyVerdict(Buffer.from("PONG"));
    const rows = [
      ["PO", undefined],
      ["PONG", true],
      ["PONG and more", true],
      ["PANG", false],
      ["", undefined],
    ] as const;
    for (const [answer, well] of rows) assert.equal(verdict(Buffer.from(answer)), well, answer);
  });

  test("contexts are text or hexadecimal", () => {
    const hex = { ...DEFAULT_CHECK, ContextType: "HEX", SendContext: "0A0B", RecvContext: "FF" };
    assert.deepEqual([[...sentBytes(hex)], [...expectedBytes(hex)]], [[10, 11], [255]]);
    assert.equal(sentBytes({ ...hex, ContextType: "TEXT" }).toString(), "0A0B");
  });

  test("gRPC codes are numbers and ranges", () => {
    assert.deepEqual([grpcCodes(), grpcCodes("0"), grpcCodes("0-2,12")], [[12], [0], [0, 1, 2, 12]]);
  });
});

suite("TCP", () => {
  test("an accepted connection is enough, and it is reset before a byte is sent", async (t) => {
    const seen: string[] = [];
    const server = createServer((socket) => {
      socket.on("data", () => seen.push("data")).on("error", (error: NodeJS.ErrnoException) => seen.push(error.code ?? ""));
    });
    const port = await started(t, server);
    assert.equal(await isWell("TCP", port, {}), true);
    await new Promise<void>((resolve) => void setTimeout(resolve, 20));
    assert.deepEqual(
      seen.filter((what) => what === "data"),
      [],
    );
    assert.equal(await isWell("TCP", 1, {}), false, "refused");
  });

  test("the source is the given address where that is local, else the system's", async (t) => {
    const sources: (string | undefined)[] = [];
    const server = createServer((socket) => {
      sources.push(socket.remoteAddress);
      socket.on("error", () => undefined);
    });
    const port = await started(t, server);
    assert.equal(await isWell("TCP", port, {}, "127.198.0.77"), true);
    assert.equal(await isWell("TCP", port, {}, "192.0.2.1"), true);
    assert.equal(sources[0], "127.198.0.77");
    assert.notEqual(sources[1], "192.0.2.1");
  });

  test("a check of one's own asks and wants an answer", async (t) => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined).on("data", (data) => socket.write(data.toString() === "PING" ? "PO" : "?"));
      socket.on("data", () => setImmediate(() => socket.write("NG")));
    });
    const port = await started(t, server);
    const custom = { CheckType: "CUSTOM", ContextType: "TEXT", SendContext: "PING", RecvContext: "PONG" };
    assert.equal(await isWell("TCP", port, custom), true);
    assert.equal(await isWell("TCP", port, { ...custom, SendContext: "else" }), false);
    assert.equal(await isWell("TCP", port, { ...custom, RecvContext: "PONG PONG" }), false, "silence after it");
  });
});

suite("HTTP", () => {
  test("method, path, host and version are as wanted, the agent is the service's", async (t) => {
    const seen: string[] = [];
    const server = createHttpServer(({ method, url, httpVersion, headers }, response) => {
      seen.push([method, url, httpVersion, headers.host, headers["user-agent"]].join(" "));
      response.writeHead(url === "/ill" ? 500 : 200).end();
    });
    const port = await started(t, server);
    const http = { CheckType: "HTTP", HttpCode: 2, HttpCheckDomain: "e.com" };
    assert.equal(await isWell("HTTP", port, http), true);
    assert.equal(await isWell("TCP", port, { ...http, HttpCheckMethod: "GET", HttpCheckPath: "/x", HttpVersion: "HTTP/1.0" }), true);
    assert.equal(await isWell("HTTP", port, { ...http, HttpCheckPath: "/ill" }), false);
    assert.deepEqual(seen.slice(0, 2), ["HEAD / 1.1 e.com clb-healthcheck", "GET /x 1.0 e.com clb-healthcheck"]);
  });

  test("silence, an end without an answer and another protocol mean ill", async (t) => {
    for (const answer of ["", "end", "what?\n".repeat(10)]) {
      const server = createServer((socket) => {
        socket.on("error", () => undefined).once("data", () => (answer === "end" ? socket.end() : socket.write(answer)));
      });
      assert.equal(await isWell("HTTP", await started(t, server), { CheckType: "HTTP" }), false, answer);
    }
  });

  test("HTTPS takes any certificate", async (t) => {
    const authority = await issueAuthority(Date.now());
    const { certPem, keyPem } = await issueServing(authority, ["e.com"], [], Date.now());
    const server = createHttpsServer({ cert: certPem, key: keyPem }, (_request, response) => void response.end());
    const port = await started(t, server);
    assert.equal(await isWell("HTTPS", port, { CheckType: "HTTPS", HttpCode: 2 }), true);
    assert.equal(await isWell("HTTPS", port, { CheckType: "HTTP", HttpCode: 2 }), false);
  });

  test("gRPC wants one of its codes", async (t) => {
    const paths: string[] = [];
    const server = createHttp2Server((request, response) => {
      paths.push(request.url);
      response.writeHead(200, { "content-type": "application/grpc", "grpc-status": request.url === "/health" ? "0" : "12" });
      response.end();
    });
    const port = await started(t, server);
    const grpc = { CheckType: "GRPC" };
    assert.equal(await isWell("HTTP", port, grpc), true);
    assert.equal(await isWell("HTTP", port, { ...grpc, HttpCheckPath: "/health", ExtendedCode: "0-2" }), true);
    assert.equal(await isWell("HTTP", port, { ...grpc, HttpCheckPath: "/health", ExtendedCode: "12" }), false);
    assert.deepEqual(paths, ["/", "/health", "/health"]);
    assert.equal(await isWell("HTTP", 1, grpc), false);
  });
});

suite("UDP", () => {
  const backend = async (t: TestContext, answer?: string): Promise<number> => {
    const socket = createSocket("udp4");
    if (answer !== undefined) socket.on("message", (_message, { address, port }) => socket.send(answer, port, address));
    await new Promise<void>((resolve) => void socket.bind({ address: IP, port: 0 }, resolve));
    t.after(() => socket.close());
    return socket.address().port;
  };

  test("silence means well, port unreachable means ill", async (t) => {
    assert.equal(await isWell("UDP", await backend(t), { CheckType: "PING" }), true);
    assert.equal(await isWell("UDP", 9, { CheckType: "PING" }), false);
  });

  test("with a check of one's own the answer must come", async (t) => {
    const custom = { CheckType: "CUSTOM", ContextType: "TEXT", SendContext: "PING", RecvContext: "PONG" };
    assert.equal(await isWell("UDP", await backend(t, "PONG"), custom), true);
    assert.equal(await isWell("UDP", await backend(t, "PANG"), custom), false);
    assert.equal(await isWell("UDP", await backend(t), custom), false);
  });
});
