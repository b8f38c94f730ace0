import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../coordinator/domain/call.ts";
import { RecentWrites } from "../../../coordinator/load-balancers/recent-writes.ts";
import { aListener, aTarget } from "../../builders.ts";
import { newListeners } from "../stage.ts";

const slot = { listenerId: "lbl-1", ip: "10.244.1.1", port: 8080 };
const BIND: Call = { lane: "bind", targets: [{ ...slot, weight: 10, podUid: "pod-1" }] };
const UNBIND: Call = { lane: "unbind", slots: [slot] };
const CREATE: Call = { lane: "structure", create: newListeners() };
const bound = [aListener({ targets: [aTarget()] })];
const empty = [aListener()];
const ips = (recent: RecentWrites, read: typeof bound, nowMs: number): string[] =>
  recent.over("lb-1", read, nowMs).flatMap(({ targets }) => targets.map(({ ip }) => ip));

test("what was written a minute ago is not contradicted by a read, what was written before is", () => {
  const recent = new RecentWrites();
  recent.note("lb-1", BIND, [], 1_000);
  assert.deepEqual(ips(recent, empty, 60_000), ["10.244.1.1"]);
  assert.deepEqual(ips(recent, empty, 61_001), []);
  recent.note("lb-1", UNBIND, [], 62_000);
  assert.deepEqual(ips(recent, bound, 63_000), []);
  recent.note("lb-1", BIND, [], 64_000);
  assert.deepEqual(ips(recent, empty, 65_000), ["10.244.1.1"]); // the last word counts
});

test("a second read that contradicts us, after a while, is believed; one that agrees ends the doubt", () => {
  const recent = new RecentWrites();
  recent.note("lb-1", BIND, [], 1_000);
  assert.deepEqual(ips(recent, empty, 2_000), ["10.244.1.1"]);
  assert.equal(recent.rereadAtMs("lb-1"), 14_000);
  assert.deepEqual(ips(recent, bound, 3_000), ["10.244.1.1"]);
  assert.equal(recent.rereadAtMs("lb-1"), undefined);
  assert.deepEqual(ips(recent, empty, 20_000), ["10.244.1.1"]);
  assert.deepEqual(ips(recent, empty, 25_000), ["10.244.1.1"]);
  assert.deepEqual(ips(recent, empty, 32_000), []);
});

test("a listener that was created is there once, whether the read shows it or not", () => {
  const recent = new RecentWrites();
  recent.note("lb-1", CREATE, ["lbl-1"], 1_000);
  recent.note("lb-1", BIND, [], 2_000);
  assert.deepEqual(ips(recent, [], 3_000), ["10.244.1.1"]);
  assert.deepEqual(ips(recent, empty, 3_000), ["10.244.1.1"]);
});

test("a write in doubt leaves it to the read to say what is there", () => {
  const recent = new RecentWrites();
  recent.note("lb-1", BIND, [], 1_000);
  recent.forget("lb-1");
  assert.deepEqual(ips(recent, empty, 2_000), []);
});

test("what is believed against an older write is not believed against a younger one", () => {
  const recent = new RecentWrites();
  const another: Call = { lane: "bind", targets: [{ ...slot, ip: "10.244.1.2", weight: 10, podUid: "pod-2" }] };
  recent.note("lb-1", BIND, [], 1_000);
  assert.deepEqual(ips(recent, empty, 2_000), ["10.244.1.1"]);
  recent.note("lb-1", another, [], 13_500);
  assert.deepEqual(ips(recent, bound, 14_500), ["10.244.1.1", "10.244.1.2"]); // as of a moment before the second write
  recent.note("lb-1", { lane: "structure", create: newListeners() }, ["lbl-2"], 14_600);
  assert.deepEqual(
    recent.over("lb-1", bound, 15_000).map(({ listenerId }) => listenerId),
    ["lbl-1", "lbl-2"],
  );
});

test("the order of targets is no contradiction", () => {
  const recent = new RecentWrites();
  recent.note("lb-1", { lane: "conflict", slots: [slot] }, [], 1_000);
  recent.note("lb-1", BIND, [], 2_000);
  recent.over("lb-1", [aListener({ targets: [aTarget(), aTarget({ ip: "10.244.1.2" })] })], 3_000);
  assert.equal(recent.rereadAtMs("lb-1"), undefined);
});

test("a second read that fails is tried again after a pause, and no earlier than it would have been", () => {
  const recent = new RecentWrites();
  recent.note("lb-1", BIND, [], 1_000);
  recent.rereadFailed("lb-1", 1_500);
  assert.equal(recent.rereadAtMs("lb-1"), undefined); // nothing is in doubt
  recent.over("lb-1", empty, 2_000);
  recent.rereadFailed("lb-1", 3_000);
  assert.equal(recent.rereadAtMs("lb-1"), 14_000);
  recent.rereadFailed("lb-1", 14_100);
  assert.equal(recent.rereadAtMs("lb-1"), 19_100);
});
