import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectRequest } from "../../proto/gen/clb/direct/v1/node_stream.ts";
import { makeReadRequest } from "../../proto/read-request.ts";
import { toPodReport } from "../../proto/wire.ts";
import { aPod } from "../builders.ts";

const bytesOf = (...labels: readonly Readonly<Record<string, string>>[]): Buffer => {
  const pods = labels.map((one, at) => toPodReport(aPod({ uid: `uid-${at}`, labels: one })));
  return Buffer.from(ConnectRequest.encode({ body: { $case: "snapshot", value: { sequence: 7n, pods, more: false } } }).finish());
};

test("a message is read as the generated code reads it, whatever its texts, again and again", () => {
  const read = makeReadRequest();
  const many = Array.from({ length: 6_000 }, (_, at) => ({ app: `web-${at}` }));
  const texts = ["", "a", "web", "ab\u0000c", "grün", "\ufefftext", "日本", "🎈", "x".repeat(64), "x".repeat(65), "x".repeat(300)];
  const bytes = bytesOf(...many, ...texts.map((text) => ({ app: "web", [text]: text })));
  const wanted = ConnectRequest.decode(bytes);
  assert.deepEqual([read(bytes), read(bytes)], [wanted, wanted]);
});

test("a message that ends too soon is refused, wherever it was cut", () => {
  const read = makeReadRequest();
  const bytes = bytesOf({ app: "web" });
  read(bytes); // its texts are known
  for (let length = 1; length < bytes.length; length++)
    assert.throws(() => read(bytes.subarray(0, length)), `${length} of ${bytes.length}`);
});

test("what was read does not change with the bytes that it was read from", () => {
  const bytes = bytesOf({ app: "web" });
  const message = makeReadRequest()(bytes);
  const wanted = ConnectRequest.decode(bytes);
  bytes.fill(0);
  assert.deepEqual(message, wanted);
});
