import assert from "node:assert/strict";
import { test } from "node:test";
import { writeLogRoute } from "../../../coordinator/explain/routes.ts";
import { WriteLog } from "../../../coordinator/explain/write-log.ts";

const WRITE = { atMs: 0, ms: 450, lane: "bind", items: 1, result: "ok", because: ["Pod shop/web-1 is ready"] } as const;
const url = (query = ""): URL => new URL(`http://ops/write-log${query}`);

test("the write log is told as JSON or text, of all load balancers or of one, and only by the leader", () => {
  const writeLog = new WriteLog();
  for (const loadBalancerId of ["lb-1", "lb-2", "lb-1"]) writeLog.add({ ...WRITE, loadBalancerId });
  const leading = { writeLog, explain: { knows: (id: string) => id === "lb-quiet" } };
  const all: unknown = JSON.parse(writeLogRoute(leading, url()).body);
  assert.ok(Array.isArray(all) && all.length === 3);
  assert.deepEqual(all[1], { seq: 2, ...WRITE, loadBalancerId: "lb-2" });
  const text = writeLogRoute(leading, url("?loadBalancer=lb-1&format=text"));
  assert.deepEqual([text.contentType, text.body.split("\n").length], ["text/plain; charset=utf-8", 3]);
  assert.equal(writeLogRoute(undefined, url()).status, 503);
  assert.deepEqual(
    ["lb-quiet", "lb-typo"]
      .map((id) => writeLogRoute(leading, url(`?loadBalancer=${id}&format=text`)))
      .map(({ status, body }) => [status, body]),
    [
      [200, "nothing was written since this replica leads\n"],
      [404, "load balancer lb-typo is not known here\n"],
    ],
  );
});
