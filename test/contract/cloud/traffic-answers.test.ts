import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ResponseParser } from "../../cloud/data-plane/response-parser.ts";

/** What a parser makes of bytes that come in pieces of `size`, and then end: "status headers|body|reusable". */
function parsed(text: string, { method = "GET", size = 1_000_000, ends = false } = {}): string {
  let seen = "";
  const parser = new ResponseParser(method, {
    head: ({ status, rawHeaders }) => {
      seen += `${status} ${rawHeaders.join(",")}|`;
    },
    body: (data) => {
      seen += data.toString("latin1");
    },
    end: (isReusable) => {
      seen += `|${isReusable ? "kept" : "over"}`;
    },
  });
  try {
    const bytes = Buffer.from(text, "latin1");
    for (let at = 0; at < bytes.length; at += size) parser.push(bytes.subarray(at, at + size));
    if (ends) parser.ended();
  } catch (error) {
    if (error instanceof SyntaxError) return `${seen}!`;
    throw error;
  }
  return seen;
}

const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const KEPT = "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 5\r\n\r\n";

const rows: readonly [name: string, text: string, seen: string, options?: Parameters<typeof parsed>[1]][] = [
  ["a length", `${KEPT}hello`, "200 A,1,Content-Length,5|hello|kept"],
  ["a length of 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 Content-Length,0||kept"],
  ["chunks", `${CHUNKED}5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n`, "200 Transfer-Encoding,chunked|hello world|kept"],
  ["chunks and trailers", `${CHUNKED}1\r\na\r\n0\r\nX: y\r\nZ: w\r\n\r\n`, "200 Transfer-Encoding,chunked|a|kept"],
  ["until the end", "HTTP/1.1 200 OK\r\n\r\nabc", "200 |abc|over", { ends: true }],
  ["HTTP/1.0 is not kept", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "200 Content-Length,1|a|over"],
  ["Connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "200 Connection,close,Content-Length,0||over"],
  ["HEAD has no body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 Content-Length,5||kept", { method: "HEAD" }],
  ["204 and 304 have none", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 Content-Length,5||kept"],
  ["no reason phrase", "HTTP/1.1 204\r\n\r\n", "204 ||kept"],
  ["hints come before the answer", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n", "204 ||kept"],
  [
    "chunks win over a length",
    `HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`,
    "200 Content-Length,99,Transfer-Encoding,chunked|a|kept",
  ],
  ["broken off in the body", `${KEPT}hel`, "200 A,1,Content-Length,5|hel!", { ends: true }],
  ["broken off in the head", "HTTP/1.1 200 OK\r\nA: 1\r\n", "!", { ends: true }],
  ["bytes after the end", `${KEPT}hello!`, "200 A,1,Content-Length,5|hello|kept!"],
  ["another protocol", "SSH-2.0-OpenSSH\r\n\r\n", "!"],
  ["a header without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "!"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "!"],
  ["a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "!"],
  ["a chunk size that is none", `${CHUNKED}x\r\n`, "200 Transfer-Encoding,chunked|!"],
  ["an upgrade that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "!"],
];

suite("what a backend answers", () => {
  for (const [name, text, seen, options = {}] of rows)
    test(name, () => {
      assert.equal(parsed(text, options), seen);
      for (const size of [1, 2, 7]) assert.equal(parsed(text, { ...options, size }), seen, `in pieces of ${size}`);
    });

  test("a head without an end is refused", () => {
    assert.equal(parsed(`HTTP/1.1 200 OK\r\nA: ${"x".repeat(70_000)}`, { size: 4096 }), "!");
  });
});
