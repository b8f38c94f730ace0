import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "./objects.ts";
import { Store } from "./store.ts";

const pod = (namespace: string, name: string, app = "web"): KubeObject => ({
  metadata: {
    namespace,
    name,
    uid: `${namespace}-${name}`,
    resourceVersion: "",
    creationTimestamp: "2026-01-01T00:00:00Z",
    labels: { app },
  },
});
const names = (pods: readonly KubeObject[]): string[] => pods.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);

test("a list keeps its order while objects come and go, and ends at its Namespace", () => {
  const store = new Store();
  for (const [namespace, name] of [
    ["b", "2"],
    ["a", "1"],
    ["a-b", "1"],
    ["b", "1"],
  ] as const)
    store.put("pods", pod(namespace, name));
  assert.deepEqual(names(store.list("pods")), ["a-b/1", "a/1", "b/1", "b/2"]);
  store.put("pods", pod("a", "0"));
  store.put("pods", pod("a", "1", "other"));
  store.remove("pods", pod("b", "1"));
  assert.deepEqual(names(store.list("pods")), ["a-b/1", "a/0", "a/1", "b/2"]);
  assert.deepEqual(names(store.list("pods", "a")), ["a/0", "a/1"]);
  assert.deepEqual(names(store.list("pods", "b")), ["b/2"]);
  assert.deepEqual(store.list("pods", "c"), []);
});

test("a list of a former version has what was there then, as it was", () => {
  const store = new Store();
  for (const name of ["1", "2", "3"]) store.put("pods", pod("a", name));
  const { version } = store;
  store.put("pods", pod("a", "0"));
  store.put("pods", pod("a", "2", "other"));
  store.put("pods", pod("a", "2", "third"));
  store.remove("pods", pod("a", "3"));
  store.remove("pods", pod("a", "1"));
  store.put("pods", pod("a", "1", "anew"));
  const then = store.at("pods", version, "a");
  assert.deepEqual(names(then), ["a/1", "a/2", "a/3"]);
  assert.deepEqual(
    then.map(({ metadata }) => metadata.labels?.["app"]),
    ["web", "web", "web"],
  ); // oxlint-disable-line typescript/dot-notation -- an index signature
  assert.deepEqual(names(store.at("pods", store.version)), ["a/0", "a/1", "a/2"]);
});

test("Pods are found by a label, before and after it changes", () => {
  const store = new Store();
  store.put("pods", pod("a", "2"));
  store.put("pods", pod("a", "1"));
  store.put("pods", pod("b", "1", "other"));
  assert.deepEqual(names(store.podsWith(["app=web"])), ["a/1", "a/2"]);
  store.put("pods", pod("a", "1", "other"));
  store.put("pods", pod("a", "3"));
  store.remove("pods", pod("a", "2"));
  assert.deepEqual(names(store.podsWith(["app=web"])), ["a/3"]);
  assert.deepEqual(names(store.podsWith(["app=other"])), ["a/1", "b/1"]);
  assert.deepEqual(names(store.podsWith(["app=web", "app=other", "app=none"])), ["a/1", "a/3", "b/1"]);
});
