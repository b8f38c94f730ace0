import assert from "node:assert/strict";
import { test } from "node:test";
import { explainRoute, writeLogRoute } from "../../../coordinator/explain/routes.ts";
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

test("who asks for a Service as if it were a Pod hears what to give; a namespace without such Pods is an answer", () => {
  const overview = { loadBalancers: [], pods: 0, nodes: [], complete: true };
  const explain = { pod: () => undefined, podsOf: () => [], loadBalancer: () => undefined, overview };
  const ask = (query: string) => explainRoute(explain, new URL(`http://ops/explain?${query}&format=text`));
  const { status, body } = ask("pod=demo/web");
  assert.equal(status, 404);
  assert.match(body, /^Pod demo\/web is not known here\ngive <namespace>\/<pod>, .* annotation service\.kubernetes\.io\/loadbalance-id\n$/);
  assert.equal(ask("loadBalancer=lb-9").status, 404);
  assert.equal(ask("namespace=none").status, 200);
});
