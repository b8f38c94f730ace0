import assert from "node:assert/strict";
import { test } from "node:test";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { aPod } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";

const IP = "10.244.1.1";

test("finds Pods by namespace and by each of their addresses, also those that came later", () => {
  const known = somePodFacts(aPod({ uid: "a", ips: [IP, "fd00::1"] }));
  const index = makePodIndex(known.facts);
  known.set(aPod({ uid: "b", namespace: "shop", ips: ["10.244.1.2"] }));
  assert.deepEqual(
    [...index.inNamespace("demo")].map(({ uid }) => uid),
    ["a"],
  );
  assert.deepEqual(
    [...index.inNamespace("shop")].map(({ uid }) => uid),
    ["b"],
  );
  assert.deepEqual([...index.inNamespace("empty")], []);
  assert.deepEqual(
    [IP, "fd00::1", "10.244.1.2", "10.244.1.3"].map((ip) => index.byIp(ip)?.uid),
    ["a", "a", "b", undefined],
  );
});

test("follows a Pod whose address or fate changes, and forgets it at its end", () => {
  const known = somePodFacts(aPod({ uid: "a", ips: [] }));
  const index = makePodIndex(known.facts);
  known.set(aPod({ uid: "a", ips: [IP] }));
  assert.equal(index.byIp(IP)?.uid, "a");
  known.set(aPod({ uid: "a", ips: ["10.244.1.9"] }));
  assert.deepEqual([index.byIp(IP), index.byIp("10.244.1.9")?.uid], [undefined, "a"]);
  known.end("a");
  assert.deepEqual([index.byIp("10.244.1.9"), [...index.inNamespace("demo")]], [undefined, []]);
});

test("an address belongs to the living Pod before the ending one, to the younger before the older", () => {
  const old = aPod({ uid: "old", startedAtMs: 1 });
  const young = aPod({ uid: "young", startedAtMs: 2 });
  for (const order of [
    [old, young],
    [young, old],
  ])
    assert.equal(makePodIndex(somePodFacts(...order).facts).byIp(IP)?.uid, "young");
  const known = somePodFacts(old, { ...young, deletionAtMs: 3 });
  const index = makePodIndex(known.facts);
  assert.equal(index.byIp(IP)?.uid, "old");
  known.end("old");
  assert.equal(index.byIp(IP)?.uid, "young");
});

test("a Pod on the host's network has the node's address, not one of its own", () => {
  const index = makePodIndex(somePodFacts(aPod({ hostNetwork: true })).facts);
  assert.deepEqual([index.byIp(IP), [...index.inNamespace("demo")].length], [undefined, 1]);
});
