/** Whom a write concerns where several Ingresses share the listener. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { listenerName, sharedListenerName } from "../../../common/names.ts";
import type { Call } from "../../../coordinator/domain/call.ts";
import type { Listener } from "../../../coordinator/domain/load-balancer.ts";
import type { ObjectRef } from "../../../coordinator/domain/problem.ts";
import { makeCauses, reasonsOf } from "../../../coordinator/events/causes.ts";
import { describeFinding } from "../../../coordinator/events/wording.ts";
import { ListenerOwners } from "../../../coordinator/state/listener-owners.ts";
import { aListener, aLoadBalancer, aRule, aWantedHttpListener, CLUSTER } from "../../builders.ts";

const member = (name: string, mark: string): ObjectRef => ({ kind: "Ingress", namespace: "demo", name, uid: `${mark}-0000-0000` });
const SHOP = member("shop", "aaaaaaaa-0000");
const BLOG = member("blog", "bbbbbbbb-0000");
const NAME = sharedListenerName(CLUSTER, "HTTP", 80);
const view = ({ uid }: ObjectRef, ...rules: Listener["rules"]): Listener =>
  aListener({ name: listenerName(CLUSTER, uid, "HTTP", 80), sharedName: NAME, protocol: "HTTP", rules });
const LISTENERS = [
  view(SHOP, aRule({ locationId: "loc-1", domain: "shop.example.com", url: "/" })),
  view(BLOG, aRule({ locationId: "loc-2", domain: "blog.example.com", url: "/" })),
];
const asking = (ref: ObjectRef, ...asks: readonly string[]) => ({
  ref,
  state: "served" as const,
  asks: new Map(asks.map((key) => [key, new Set<string>()])),
  holds: new Map(),
  listenerIds: new Map(),
});
const holders = new Map([["HTTP/80", new Map([["blog.example.com /new", BLOG]])]]);
const shared = { members: [asking(SHOP, "HTTP/80"), asking(BLOG, "HTTP/80", "HTTPS/443")], holders, conflicts: [] };
const listenerOwners = new ListenerOwners({
  clusterId: CLUSTER,
  mirror: { read: () => aLoadBalancer({ listeners: LISTENERS }) },
  intents: {
    of: () => [SHOP, BLOG].map((ref, at) => ({ ref, state: "held", order: String(at), selector: {} }) as never), // only whose they are counts
    shared: () => shared,
  },
});
const causes = makeCauses({
  listenerOwners,
  mirror: { listeners: () => LISTENERS },
  addressClaims: { podOf: () => undefined },
  intents: { get: () => undefined },
  facts: { pods: new Map() },
  podName: (uid) => uid,
  whyLeaves: () => undefined,
})("lb-1");

const at = { listenerId: "lbl-1", locationId: "loc-2" };
const redirects = {
  listenerId: "lbl-1",
  targetListenerId: "lbl-2",
  rules: [{ locationId: "loc-2", targetLocationId: "loc-9", domain: "blog.example.com", code: 301, keepsPath: true }],
};
const rule = { domain: "Blog.example.com", url: "/new", healthCheck: {} };
const CALLS: readonly (readonly [what: string, Call, because: string])[] = [
  ["a rule that is to be made", { lane: "structure", createRules: { listenerId: "lbl-1", rules: [rule] } }, "Ingress demo/blog HTTP:80"],
  ["redirects", { lane: "structure", redirects }, "Ingress demo/blog HTTP:80"],
  ["the end of redirects", { lane: "delete", redirects }, "Ingress demo/blog HTTP:80"],
  ["the checks of a rule", { lane: "tune", ...at, healthCheck: aListener().healthCheck }, "Ingress demo/blog HTTP:80"],
  ["a weight", { lane: "tune", weights: [{ ...at, ip: "10.244.1.1", port: 8080, weight: 5 }] }, "Ingress demo/blog HTTP:80"],
  ["a domain", { lane: "tune", domain: { listenerId: "lbl-1", domain: "blog.example.com", http2: true } }, "Ingress demo/blog HTTP:80"],
  ["the listener", { lane: "tune", listener: { listenerId: "lbl-1", keepalive: true } }, "Ingress demo/shop HTTP:80"],
  [
    "a listener that only the younger one asks for",
    {
      lane: "structure",
      create: { protocol: "HTTPS", healthCheck: {}, listeners: [{ name: sharedListenerName(CLUSTER, "HTTPS", 443), port: 443 }] },
    },
    "Ingress demo/blog",
  ],
];
for (const [what, call, because] of CALLS)
  test(`in a group a write about ${what} names the member concerned: ${because}`, () =>
    assert.deepEqual(reasonsOf(call, causes), [because]));

test("whoever finds a port taken by a group's listener is told that it is a group's", () => {
  const [by] = LISTENERS;
  assert.ok(by !== undefined);
  const text = describeFinding({ kind: "port-taken", wanted: aWantedHttpListener({ port: 80 }), by }, SHOP);
  assert.equal(text, "port HTTP:80 is taken by listener lbl-1 of the group of Ingress demo/shop");
});
