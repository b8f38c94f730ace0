import assert from "node:assert/strict";
import { test } from "node:test";
import { Audit } from "../../coordinator/audit.ts";
import { auditRoute } from "../../coordinator/explain-routes.ts";

const WRITE = { atMs: 0, ms: 450, lane: "bind", items: 1, result: "ok", because: ["Pod shop/web-1 is ready"] } as const;
const url = (query = ""): URL => new URL(`http://ops/audit${query}`);

test("the audit is told as JSON or text, of all load balancers or of one, and only by the leader", () => {
  const audit = new Audit();
  for (const loadBalancerId of ["lb-1", "lb-2", "lb-1"]) audit.add({ ...WRITE, loadBalancerId });
  const all: unknown = JSON.parse(auditRoute(audit, url()).body);
  assert.ok(Array.isArray(all) && all.length === 3);
  assert.deepEqual(all[1], { seq: 2, ...WRITE, loadBalancerId: "lb-2" });
  const text = auditRoute(audit, url("?loadBalancer=lb-1&format=text"));
  assert.deepEqual([text.contentType, text.body.split("\n").length], ["text/plain; charset=utf-8", 3]);
  assert.equal(auditRoute(undefined, url()).status, 503);
});
