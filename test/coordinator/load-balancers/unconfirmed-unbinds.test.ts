import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../coordinator/domain/call.ts";
import type { LoadBalancer, Target } from "../../../coordinator/domain/load-balancer.ts";
import { UnconfirmedUnbinds } from "../../../coordinator/load-balancers/unconfirmed-unbinds.ts";
import { aListener } from "../../builders.ts";
import { memoryClaims } from "../stage.ts";

const target = (ip: string, weight = 10): Target => ({ ip, port: 8080, weight });
const at = (listenerId: string, ip: string) => ({ listenerId, ip, port: 8080 });
/** `places`: targets by listener. */
const lb = (places: Readonly<Record<string, readonly Target[]>>): LoadBalancer => ({
  loadBalancerId: "lb-1",
  vips: [],
  domain: undefined,
  tags: {},
  listeners: Object.entries(places).map(([listenerId, targets]) => aListener({ listenerId, targets })),
});
const unbind = (...ips: string[]): Call => ({ lane: "unbind", slots: ips.map((ip) => at("lbl-1", ip)) });

/** Addresses claimed for "pod-<ip>"; the load balancer as it was `before` they were unbound from `lbl-1`. */
async function took(before: LoadBalancer, ...ips: string[]) {
  const addressClaims = memoryClaims();
  await addressClaims.claim("lb-1", new Map(ips.map((ip) => [ip, `pod-${ip}`])), new AbortController().signal);
  const unconfirmed = new UnconfirmedUnbinds(addressClaims);
  unconfirmed.ended("lb-1", unbind(...ips), before);
  return { addressClaims, unconfirmed };
}
const [A, B] = ["10.0.0.1", "10.0.0.2"];

test("an address loses its claim when a read shows that it is gone, not before", async () => {
  const { addressClaims, unconfirmed } = await took(lb({ "lbl-1": [target(A, 0), target(B, 0)] }), A, B);
  assert.equal(addressClaims.podOf("lb-1", A), `pod-${A}`);
  unconfirmed.confirm(lb({ "lbl-1": [target(B, 0)] }));
  assert.deepEqual([addressClaims.podOf("lb-1", A), addressClaims.podOf("lb-1", B)], [undefined, `pod-${B}`]); // the cloud had not done it for B
  unconfirmed.confirm(lb({ "lbl-1": [] }));
  assert.equal(addressClaims.podOf("lb-1", B), undefined);
});

test("one that somebody else bound anew meanwhile is theirs", async () => {
  const { addressClaims, unconfirmed } = await took(lb({ "lbl-1": [target(A, 0)] }), A);
  unconfirmed.confirm(lb({ "lbl-1": [target(A, 10)] }));
  assert.equal(addressClaims.podOf("lb-1", A), undefined);
});

test("one that we bound or weighted anew meanwhile is ours", async () => {
  for (const call of [
    { lane: "bind", targets: [{ ...at("lbl-1", A), weight: 10, podUid: `pod-${A}` }] },
    { lane: "tune", weights: [{ ...at("lbl-1", A), weight: 10 }] },
  ] as const satisfies readonly Call[]) {
    const { addressClaims, unconfirmed } = await took(lb({ "lbl-1": [target(A, 0)] }), A);
    unconfirmed.begins("lb-1", call);
    unconfirmed.confirm(lb({ "lbl-1": [target(A, 10)] }));
    assert.equal(addressClaims.podOf("lb-1", A), `pod-${A}`);
  }
});

test("one that is still bound elsewhere at this load balancer stays, and so does one that another Pod got", async () => {
  const { addressClaims, unconfirmed } = await took(lb({ "lbl-1": [target(A, 0), target(B, 0)], "lbl-2": [target(A)] }), A, B);
  await addressClaims.claim("lb-1", new Map([[B, "heir"]]), new AbortController().signal);
  unconfirmed.confirm(lb({ "lbl-1": [], "lbl-2": [target(A)] }));
  assert.deepEqual([addressClaims.podOf("lb-1", A), addressClaims.podOf("lb-1", B)], [`pod-${A}`, "heir"]);
});

test("of more than a thousand the oldest are not waited for", async () => {
  const ips = Array.from({ length: 1_001 }, (_, n) => `10.1.${Math.floor(n / 250)}.${n % 250}`);
  const { addressClaims } = await took(lb({ "lbl-1": ips.map((ip) => target(ip, 0)) }), ...ips);
  assert.deepEqual([addressClaims.podOf("lb-1", ips[0] ?? ""), addressClaims.podOf("lb-1", ips[1] ?? "")], [undefined, `pod-${ips[1]}`]);
});
