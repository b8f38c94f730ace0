import assert from "node:assert/strict";
import { test } from "node:test";
import { CoreV1Api, PatchStrategy, setHeaderOptions } from "@kubernetes/client-node";
import { aPod, refused, serverFor, until } from "./testing.ts";

const namespace = "default";
const PODS = "/api/v1/namespaces/default/pods";
const merge = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);
const namesOf = (list: { items: { metadata?: { name?: string } }[] }) => list.items.map(({ metadata }) => metadata?.name);

test("selects by labels and fields, refuses fields it does not know", async (t) => {
  const core = (await serverFor(t)).api(CoreV1Api);
  for (const [name, labels, nodeName] of [
    ["a", { app: "x", tier: "1" }, "node-a"],
    ["b", { app: "x" }, "node-b"],
    ["c", { app: "y" }, "node-a"],
  ] as const) {
    await core.createNamespacedPod({ namespace, body: aPod(name, { nodeName }, { labels }) });
  }
  const by = async (labelSelector: string, fieldSelector = "") =>
    namesOf(await core.listPodForAllNamespaces({ labelSelector, fieldSelector })).join("");
  assert.deepEqual(
    await Promise.all(["app=x", "app!=x", "app in (x, y),tier", "!tier", "tier notin (1)", "app==y"].map((selector) => by(selector))),
    ["ab", "c", "a", "bc", "bc", "c"],
  );
  assert.deepEqual(
    await Promise.all(
      ["spec.nodeName=node-a", "metadata.name!=a", "status.phase=Pending,metadata.namespace=default", "spec.nodeName=none"].map((fields) =>
        by("", fields),
      ),
    ),
    ["ac", "bc", "abc", ""],
  );
  assert.equal((await refused(by("", "spec.foo=1"))).code, 400);
});

test("pages one consistent list, also while objects come and go; a compacted page is 410", async (t) => {
  const { api, cluster } = await serverFor(t);
  const core = api(CoreV1Api);
  for (const name of ["a", "b", "c"]) await core.createNamespacedConfigMap({ namespace, body: { metadata: { name } } });
  const first = await core.listNamespacedConfigMap({ namespace, limit: 2 });
  assert.deepEqual([namesOf(first), first.metadata?.remainingItemCount], [["a", "b"], 1]);
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "d" } } });
  await core.deleteNamespacedConfigMap({ namespace, name: "c" });
  const { _continue: token = "" } = first.metadata ?? {};
  const second = await core.listNamespacedConfigMap({ namespace, limit: 2, _continue: token });
  assert.deepEqual(
    [namesOf(second), second.metadata?.remainingItemCount, second.metadata?.resourceVersion],
    [["c"], undefined, first.metadata?.resourceVersion],
  );
  cluster.faults.inject({ kind: "compact" });
  assert.deepEqual((await refused(core.listNamespacedConfigMap({ namespace, limit: 2, _continue: token }))).reason, "Expired");
  assert.equal((await refused(core.listNamespacedConfigMap({ namespace, resourceVersion: "999999" }))).code, 504);
});

test("resumes a watch, shows an object that leaves or enters the selector as DELETED or ADDED", async (t) => {
  const { api, watch } = await serverFor(t);
  const core = api(CoreV1Api);
  const { metadata } = await core.createNamespacedPod({ namespace, body: aPod("a", {}, { labels: { app: "x" } }) });
  const resourceVersion = metadata?.resourceVersion ?? "";
  const label = (app: string) => core.patchNamespacedPod({ namespace, name: "a", body: { metadata: { labels: { app } } } }, merge);
  await label("y");
  await label("y");
  const log = await watch(PODS, { resourceVersion, labelSelector: "app=x" });
  const all = await watch("/api/v1/pods", { resourceVersion });
  await label("x");
  const { metadata: last } = await core.patchNamespacedPod(
    { namespace, name: "a", body: { metadata: { annotations: { a: "b" } } } },
    merge,
  );
  await core.deleteNamespacedPod({ namespace, name: "a", gracePeriodSeconds: 0 });
  await until("the Pod is gone", () => log.events.length === 5 && all.events.length === 5);
  assert.deepEqual(
    log.events.map(({ type }) => type),
    ["DELETED", "ADDED", "MODIFIED", "MODIFIED", "DELETED"],
  );
  assert.deepEqual(
    all.events.map(({ type }) => type),
    ["MODIFIED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"],
  );
  assert.deepEqual(log.events[0]?.object.metadata["labels"], { app: "x" });
  assert.equal(log.events[2]?.object.metadata["resourceVersion"], last?.resourceVersion);
  assert.deepEqual([log.events[3]?.object.metadata["deletionGracePeriodSeconds"], log.events[0]?.object.kind], [0, "Pod"]);
});

test("begins with the present objects, marks their end when asked, sends bookmarks, ends at its timeout", async (t) => {
  const { api, watch, cluster, raw } = await serverFor(t, { bookmarkMs: 20 });
  await api(CoreV1Api).createNamespacedPod({ namespace, body: aPod("a") });
  const plain = await watch(PODS, { timeoutSeconds: 1 });
  const initial = await watch(PODS, { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan", allowWatchBookmarks: true });
  await until("three events", () => initial.events.length > 2);
  const [added, end, bookmark] = initial.events;
  assert.deepEqual(
    [added?.type, end?.type, end?.object.metadata["annotations"]],
    ["ADDED", "BOOKMARK", { "k8s.io/initial-events-end": "true" }],
  );
  assert.deepEqual([bookmark?.type, bookmark?.object.metadata["resourceVersion"]], ["BOOKMARK", String(cluster.store.version)]);
  assert.equal(await plain.ended, null);
  assert.deepEqual(
    plain.events.map(({ type }) => type),
    ["ADDED"],
  );
  assert.equal((await raw("GET", `${PODS}?watch=true&sendInitialEvents=true`)).code, 422);
});

test("tells in the stream that a version is too old, stays silent for one from the future", async (t) => {
  const { api, watch, cluster } = await serverFor(t, { bookmarkMs: 5 });
  const future = await watch(PODS, { resourceVersion: String(cluster.store.version + 2), allowWatchBookmarks: true });
  const running = await watch(PODS, { resourceVersion: String(cluster.store.version) });
  await api(CoreV1Api).createNamespacedPod({ namespace, body: aPod("a") });
  cluster.store.compact();
  for (const resourceVersion of ["1", String(cluster.store.version - 1)]) {
    const old = await watch(PODS, { resourceVersion });
    assert.equal(await old.ended, null);
    assert.deepEqual(
      old.events.map(({ type, object }) => [type, object.code]),
      [["ERROR", 410]],
    );
  }
  await until("the running watch goes on", () => running.events.length === 1);
  const silent = future.events.filter(({ object }) => Number(object.metadata["resourceVersion"]) < cluster.store.version);
  assert.deepEqual(silent, []);
  await api(CoreV1Api).createNamespacedPod({ namespace, body: aPod("b") });
  await until("the future has come", () => future.events.some(({ type }) => type === "ADDED"));
});

test("breaks as it is told: gone, frozen, failing, cut watches, empty lists, vanished objects", async (t) => {
  const { api, watch, cluster, raw } = await serverFor(t);
  const core = api(CoreV1Api);
  for (const name of ["a", "b"]) await core.createNamespacedPod({ namespace, body: aPod(name) });
  const { faults } = cluster;
  faults.inject({ kind: "fail", code: 429, times: 1, resource: "pods", verb: "list" });
  const throttled = await raw("GET", PODS);
  assert.deepEqual([throttled.code, throttled.text], [429, "Too many requests, please try again later.\n"]);
  assert.equal((await raw("POST", "/_faults", { kind: "fail", code: 500, times: 1, resource: "pods" })).code, 200);
  assert.equal((await refused(core.listNamespacedPod({ namespace }))).code, 500);
  assert.equal((await raw("POST", "/_faults", { kind: "nonsense" })).code, 400);
  faults.inject({ kind: "empty-list", resource: "pods", times: 1 });
  const [empty, full] = [await core.listNamespacedPod({ namespace }), await core.listNamespacedPod({ namespace })];
  assert.deepEqual([empty.items.length, full.items.length], [0, 2]);

  const log = await watch(PODS, { resourceVersion: full.metadata?.resourceVersion ?? "" });
  faults.inject({ kind: "vanish", resource: "pods", namespace, name: "a" });
  faults.inject({ kind: "vanish", resource: "pods", namespace, name: "b", silent: true });
  await until("one DELETED", () => log.events.length === 1);
  assert.deepEqual([log.events[0]?.type, log.events[0]?.object.metadata["deletionTimestamp"]], ["DELETED", undefined]);
  assert.equal((await core.listNamespacedPod({ namespace })).items.length, 0);
  faults.inject({ kind: "reset-watches" });
  assert.ok((await log.ended) instanceof Error);
  const half = await watch(PODS);
  faults.inject({ kind: "half-line", resource: "pods" });
  assert.equal(await half.ended, null);

  const frozen = await watch(PODS);
  const start = performance.now();
  faults.inject({ kind: "freeze", ms: 200 });
  const slow = core.createNamespacedPod({ namespace, body: aPod("late") });
  await slow;
  assert.ok(performance.now() - start > 190);
  await until("the event that was held back", () => frozen.events.length === 1);
  const lost = await watch(PODS);
  faults.inject({ kind: "gone", ms: 100 });
  assert.ok((await lost.ended) instanceof Error);
  await assert.rejects(core.listNamespacedPod({ namespace }), (error: Error) =>
    /ECONNREFUSED/.test(String((error as { cause?: unknown }).cause)),
  );
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.equal((await core.listNamespacedPod({ namespace })).items.length, 1);
});
