/** Who shares a load balancer is asked with every pass of each of its owners, of which there may be hundreds: it is worked out anew where something has changed. */
import assert from "node:assert/strict";
import { beforeEach, suite, test } from "node:test";
import type { OwnerIntent } from "../../../coordinator/domain/intent/owner-intent.ts";
import type { OwnerRecord } from "../../../coordinator/domain/intent/owner-record.ts";
import { Intents } from "../../../coordinator/state/intents.ts";
import { OwnerRecords } from "../../../coordinator/state/owner-records.ts";
import { makePodIndex } from "../../../coordinator/state/pod-index.ts";
import { aListener, anIntent, anOwner, aService, CLUSTER } from "../../builders.ts";
import { somePodFacts } from "../pod-facts.ts";
import { silentLog } from "../pods.ts";
import { memoryRecords } from "../stage.ts";

const SHOP = "shop.example.com /";
const BLOG = "blog.example.com /";
const KEY = "HTTP/80";
const { signal } = new AbortController();

/** A member of a group, whose age is its name; `asks` e.g. "shop.example.com /". */
function member(uid: string, asks: readonly string[], loadBalancerId = "lb-1"): OwnerIntent {
  const service = aService({ uid, name: uid });
  const rules = asks.map((rule) => {
    const [domain = "", url = ""] = rule.split(" ");
    return { domain, url, redirect: "none" as const };
  });
  const ports = [{ protocol: "HTTP" as const, port: 80, targetPort: 8080, rules }];
  return anOwner(service, { state: "served", intent: { ...anIntent(service), group: true, ports }, loadBalancerId }, uid);
}

/** What is on record of a member that has these rules. */
function recordOf(uid: string, rules: readonly string[]): OwnerRecord {
  const { healthCheck, scheduler } = aListener();
  const { ref, order } = member(uid, []);
  const listeners = { [KEY]: { id: "lbl-1", healthCheck, scheduler, rules } };
  return { ref, order, intent: { ...anIntent(), group: true }, formerSelectors: [], listeners };
}

suite("of a load balancer that Ingresses of a group share", () => {
  let records: OwnerRecords;
  let intents: Intents;
  const holder = (rule = SHOP, loadBalancerId = "lb-1"): string | undefined =>
    intents.shared(loadBalancerId)?.holders.get(KEY)?.get(rule)?.uid;
  const inVain = (): string[] => (intents.shared("lb-1")?.conflicts ?? []).map(({ owner, rule }) => `${owner.uid} ${rule}`);

  beforeEach(() => {
    records = new OwnerRecords(memoryRecords(), silentLog);
    intents = new Intents({
      clusterId: CLUSTER,
      pods: makePodIndex(somePodFacts().facts),
      wishes: () => new Map(),
      recorded: (id, uid) => records.get(id, uid),
      recordsVersion: (id) => records.version(id),
    });
    for (const one of [member("a", [SHOP]), member("b", [SHOP, BLOG]), member("c", [SHOP], "lb-2")]) intents.set(one);
  });

  test("nothing is worked out anew for what was known, nor for what changes at another one", async () => {
    const [shared, owners] = [intents.shared("lb-1"), intents.of("lb-1")];
    intents.set(member("b", [SHOP, BLOG]));
    intents.set(member("c", [BLOG], "lb-2"));
    await records.update("lb-2", "c", () => recordOf("c", [BLOG]), signal);
    intents.remove("c");
    assert.equal(intents.shared("lb-1"), shared);
    assert.equal(intents.of("lb-1"), owners);
  });

  test("a member that changes is looked at anew, the others are what they were", () => {
    const before = intents.shared("lb-1");
    assert.deepEqual(inVain(), [`b ${SHOP}`]);
    intents.set(member("b", [BLOG]));
    assert.deepEqual([inVain(), holder(BLOG)], [[], "b"]);
    assert.equal(intents.shared("lb-1")?.members[0], before?.members[0]);
  });

  test("one that comes, leaves for another load balancer, or goes is seen at both", () => {
    assert.deepEqual([holder(), holder(SHOP, "lb-2")], ["a", "c"]);
    intents.set(member("a", [SHOP], "lb-2"));
    assert.deepEqual([holder(), holder(SHOP, "lb-2"), inVain()], ["b", "a", []]);
    intents.remove("a");
    assert.deepEqual([holder(), holder(SHOP, "lb-2")], ["b", "c"]);
    intents.set(member("A", [SHOP]));
    assert.deepEqual([intents.of("lb-1").map(({ ref }) => ref.uid), holder()], [["A", "b"], "A"]);
  });

  test("one whose standing changes asks no more, though it says the same", () => {
    const [a] = intents.of("lb-1");
    assert.ok(a?.state === "served");
    intents.set({ ...a, state: "deleted" });
    assert.equal(holder(), "b");
  });

  test("what is on record of it counts from when it is stored, and no longer than until it is gone", async () => {
    assert.equal(holder(), "a");
    await records.update("lb-1", "b", () => recordOf("b", [SHOP]), signal);
    assert.deepEqual([holder(), inVain()], ["b", [`a ${SHOP}`]]);
    await records.update("lb-1", "b", () => recordOf("b", []), signal);
    assert.deepEqual([holder(), inVain()], ["a", [`b ${SHOP}`]]);
    await records.update("lb-1", "b", () => recordOf("b", [SHOP]), signal);
    assert.equal(holder(), "b");
    records.remove("lb-1", "b");
    assert.equal(holder(), "a");
    await records.update("lb-1", "b", () => recordOf("b", [SHOP]), signal);
    assert.equal(holder(), "b");
    records.forget("lb-1");
    assert.equal(holder(), "a");
  });

  test("what cannot be stored changes nothing", async () => {
    const failing = memoryRecords();
    failing.failing = new Error("no room");
    records = new OwnerRecords(failing, silentLog);
    const shared = intents.shared("lb-1");
    await assert.rejects(
      records.update("lb-1", "b", () => recordOf("b", [SHOP]), signal),
      /no room/,
    );
    assert.equal(intents.shared("lb-1"), shared);
  });
});
