import assert from "node:assert/strict";
import { test } from "node:test";
import { namesOf } from "../../../../coordinator/domain/intent/former-rules.ts";

test("a rule without a host is known by the load balancer's address, be it an IP or the name that it has instead", () => {
  const rule = (domain: string) => ({ domain, url: "/" });
  const named = { vips: [], domain: "lb-1.clb.example.com" };
  assert.deepEqual(namesOf(rule("198.18.0.1"), { ...named, vips: ["198.18.0.1"] }), ["198.18.0.1 /", " /"]);
  assert.deepEqual(namesOf(rule("lb-1.clb.example.com"), named), ["lb-1.clb.example.com /", " /"]);
  assert.deepEqual(namesOf(rule("LB-1.clb.example.com"), named).at(-1), " /");
  assert.deepEqual(namesOf(rule("shop.example.com"), named), ["shop.example.com /"]);
  // With a VIP its name is a host like any other.
  assert.deepEqual(namesOf(rule("lb-1.clb.example.com"), { ...named, vips: ["198.18.0.1"] }), ["lb-1.clb.example.com /"]);
});
