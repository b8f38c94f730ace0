/** Creating, replacing and patching: names, conflicts, patch types, status, finalizers, dry run. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import {
  aConfigMap,
  aPod,
  aService,
  at,
  type Behaviours,
  condition,
  each,
  GATE,
  refusal,
  type Subject,
  versionOf,
  within,
} from "./suite.ts";

export function registerWriting({ both }: Behaviours): void {
  both("generateName makes a name of five more letters; a name that is taken is AlreadyExists, none at all is invalid", names);
  both("a stale resourceVersion is a conflict for PUT and patch; another UID is one for PUT", conflicts);
  both("a strategic patch merges one condition by type and keeps the others", mergesConditions);
  both("a patch with another Pod's UID is 422 with the cause metadata.uid, of an absent Pod 404", otherUid);
  both("a patch that changes nothing keeps the resourceVersion", noOp);
  both("a merge patch replaces the list of conditions", mergeReplaces);
  both("a JSON patch applies its operations, and says nothing about the one that failed", jsonPatch);
  both("a patch of the wrong form is 400, of an unknown type 415, strategic for a custom resource 415", patchTypes);
  both("server-side apply creates and then changes what it names; the same again is no change", serverSideApply);
  both("status and the rest are written apart", statusApart);
  both("finalizers, labels and annotations of Services and Pods go through /status", viaStatus);
  both("a dry run answers as if, and leaves nothing behind", dryRun);
  both("writers of 16 conditions at once do not disturb each other", manyWriters);
  both("generation counts changes of the spec only", generation);
}

async function names({ ask, namespace }: Subject): Promise<void> {
  const { configMaps } = within(await namespace());
  const made = await ask("POST", configMaps, { metadata: { generateName: "c-" } });
  assert.equal(made.code, 201);
  const name = String(at(made, "body.metadata.name"));
  assert.match(name, /^c-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  assert.equal(at(made, "body.metadata.generateName"), "c-");
  assert.match(String(at(made, "body.metadata.creationTimestamp")), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.deepEqual(refusal(await ask("POST", configMaps, aConfigMap(name))), [409, "AlreadyExists"]);
  assert.deepEqual(refusal(await ask("POST", configMaps, { metadata: {} })), [422, "Invalid", "metadata.name"]);
  assert.deepEqual(refusal(await ask("POST", configMaps, aConfigMap("Not_a_name"))), [422, "Invalid", "metadata.name"]);
  assert.deepEqual(refusal(await ask("GET", `${configMaps}/absent`)), [404, "NotFound"]);
  assert.deepEqual(refusal(await ask("POST", within("nowhere").configMaps, aConfigMap("c"))), [404, "NotFound"]);
}

async function conflicts({ ask, namespace }: Subject): Promise<void> {
  const { configMaps } = within(await namespace());
  const first = await ask("POST", configMaps, aConfigMap("c"));
  const path = `${configMaps}/c`;
  const second = await ask("PUT", path, { ...(first.body as object), data: { a: "1" } });
  assert.equal(second.code, 200);
  assert.notEqual(versionOf(second.body), versionOf(first.body));
  assert.deepEqual(refusal(await ask("PUT", path, first.body)), [409, "Conflict"]);
  const { resourceVersion } = at(first, "body.metadata") as { resourceVersion: string };
  const stale = { metadata: { resourceVersion }, data: { a: "2" } };
  for (const type of ["merge", "strategic"] as const)
    assert.deepEqual(refusal(await ask("PATCH", path, stale, { type })), [409, "Conflict"]);
  assert.equal((await ask("PUT", path, aConfigMap("c", { a: "3" }))).code, 200, "without a resourceVersion the last one wins");
  const other = { metadata: { name: "c", uid: "00000000-0000-0000-0000-000000000000" } };
  assert.deepEqual(refusal(await ask("PUT", path, other)), [409, "Conflict"]);
}

async function mergesConditions({ ask, namespace }: Subject): Promise<void> {
  const { pods } = within(await namespace());
  const { body } = await ask("POST", pods, aPod("p"));
  const path = `${pods}/p/status`;
  const asKubelet = { ...condition("ContainersReady", "True") } as { status: object };
  await ask("PATCH", path, asKubelet, { type: "strategic" });
  const uid = at(body, "metadata.uid");
  const ours = { metadata: { uid }, ...condition(GATE, "True", { reason: "Bound", lastTransitionTime: "2026-01-01T00:00:00.123Z" }) };
  const patched = await ask("PATCH", path, ours, { type: "strategic" });
  assert.equal(patched.code, 200);
  assert.deepEqual(new Set(each(patched, "body.status.conditions", "type")), new Set(["ContainersReady", GATE]));
  const conditions = at(patched, "body.status.conditions") as { type: string; lastTransitionTime?: string; lastProbeTime: null }[];
  const gate = conditions.find(({ type }) => type === GATE);
  assert.deepEqual([gate?.lastTransitionTime, gate?.lastProbeTime], ["2026-01-01T00:00:00Z", null]);
  const ordered = {
    status: { conditions: [{ type: "ContainersReady", status: "False" }], "$setElementOrder/conditions": [{ type: "ContainersReady" }] },
  };
  const later = await ask("PATCH", path, ordered, { type: "strategic" });
  assert.deepEqual(new Set(each(later, "body.status.conditions", "type")), new Set(["ContainersReady", GATE]));
  const fault = await ask("PATCH", path, condition("not a name", "True"), { type: "strategic" });
  assert.deepEqual(refusal(fault).slice(0, 2), [422, "Invalid"]);
}

async function otherUid({ ask, namespace }: Subject): Promise<void> {
  const { pods } = within(await namespace());
  await ask("POST", pods, aPod("p"));
  const body = { metadata: { uid: "00000000-0000-0000-0000-000000000000" }, ...condition(GATE, "True") };
  for (const type of ["strategic", "merge"] as const) {
    assert.deepEqual(refusal(await ask("PATCH", `${pods}/p/status`, body, { type })), [422, "Invalid", "metadata.uid"]);
  }
  assert.deepEqual(refusal(await ask("PATCH", `${pods}/q/status`, body, { type: "strategic" })), [404, "NotFound"]);
}

async function noOp({ ask, namespace }: Subject): Promise<void> {
  const { pods, configMaps } = within(await namespace());
  await ask("POST", pods, aPod("p"));
  const gate = condition(GATE, "True", { lastTransitionTime: "2026-01-01T00:00:00Z" });
  const first = await ask("PATCH", `${pods}/p/status`, gate, { type: "strategic" });
  await sleep(1_100); // managedFields have times of whole seconds
  const again = await ask("PATCH", `${pods}/p/status`, gate, { type: "strategic" });
  assert.deepEqual([again.code, versionOf(again.body)], [200, versionOf(first.body)]);
  const map = await ask("POST", configMaps, aConfigMap("c", { a: "1" }));
  assert.equal(versionOf((await ask("PUT", `${configMaps}/c`, map.body)).body), versionOf(map.body));
  assert.equal(versionOf((await ask("PATCH", `${configMaps}/c`, { data: { a: "1" } }, { type: "merge" })).body), versionOf(map.body));
}

async function mergeReplaces({ ask, namespace }: Subject): Promise<void> {
  const { pods } = within(await namespace());
  await ask("POST", pods, aPod("p"));
  await ask("PATCH", `${pods}/p/status`, condition("ContainersReady", "True"), { type: "strategic" });
  const replaced = await ask("PATCH", `${pods}/p/status`, condition(GATE, "True"), { type: "merge" });
  assert.deepEqual(each(replaced, "body.status.conditions", "type"), [GATE]);
}

async function jsonPatch({ ask, namespace }: Subject): Promise<void> {
  const { configMaps } = within(await namespace());
  await ask("POST", configMaps, aConfigMap("c", { a: "1" }));
  const patch = (...operations: object[]) => ask("PATCH", `${configMaps}/c`, operations, { type: "json" });
  const add = { op: "add", path: "/metadata/labels", value: { "a.io/b": "1" } };
  const done = await patch(add, { op: "replace", path: "/metadata/labels/a.io~1b", value: "2" }, { op: "remove", path: "/data/a" });
  assert.deepEqual([at(done, "body.metadata.labels", "a.io/b"), at(done, "body.data.a")], ["2", undefined]);
  for (const wrong of [
    { op: "test", path: "/metadata/name", value: "d" },
    { op: "remove", path: "/data/absent" },
    { op: "add", path: "/spec/list/-", value: "x" },
  ]) {
    const refused = await patch(wrong);
    assert.deepEqual(refusal(refused), [422, "Invalid"]);
    assert.equal(at(refused, "body.message"), "the server rejected our request due to an error in our request");
  }
}

async function patchTypes({ ask, namespace }: Subject): Promise<void> {
  const { configMaps, configs } = within(await namespace());
  await ask("POST", configMaps, aConfigMap("c"));
  const path = `${configMaps}/c`;
  assert.deepEqual(refusal(await ask("PATCH", path, { data: {} }, { type: "json" })), [400, "BadRequest"]);
  assert.deepEqual(refusal(await ask("PATCH", path, "{", { type: "merge" })), [400, "BadRequest"]);
  assert.deepEqual(refusal(await ask("PATCH", path, {}, { type: "application/json" })), [415, "UnsupportedMediaType"]);
  const config = {
    apiVersion: "cloud.tencent.com/v1alpha1",
    kind: "TkeServiceConfig",
    metadata: { name: "c" },
    spec: { a: { list: [1, 2] } },
  };
  assert.equal((await ask("POST", configs, config)).code, 201);
  assert.deepEqual(refusal(await ask("PATCH", `${configs}/c`, {}, { type: "strategic" })), [415, "UnsupportedMediaType"]);
  const merged = await ask("PATCH", `${configs}/c`, { spec: { a: { list: [3] }, b: 1 } }, { type: "merge" });
  assert.deepEqual(at(merged, "body.spec"), { a: { list: [3] }, b: 1 });
}

async function serverSideApply({ ask, namespace }: Subject): Promise<void> {
  const { configMaps } = within(await namespace());
  const path = `${configMaps}/c`;
  const apply = (data: object, query: object = { fieldManager: "us", force: true }) =>
    ask("PATCH", path, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data }, { type: "apply", query: { ...query } });
  assert.deepEqual(refusal(await apply({ a: "1" }, {})), [422, "Invalid", "fieldManager"]);
  const created = await apply({ a: "1" });
  assert.equal(created.code, 201);
  const again = await apply({ a: "1" });
  assert.deepEqual([again.code, versionOf(again.body)], [200, versionOf(created.body)]);
  assert.deepEqual(at(await apply({ a: "2" }), "body.data"), { a: "2" });
  const yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '3'}\n";
  const text = await ask("PATCH", path, yaml, { type: "apply", query: { fieldManager: "us" } });
  assert.deepEqual(at(text, "body.data"), { a: "3" });
}

async function statusApart({ ask, namespace }: Subject): Promise<void> {
  const { services } = within(await namespace());
  const ingress = { status: { loadBalancer: { ingress: [{ ip: "198.18.0.1" }] } } };
  await ask("POST", services, { ...aService("s", { type: "LoadBalancer" }), ...ingress });
  const path = `${services}/s`;
  assert.deepEqual(at(await ask("GET", path), "body.status.loadBalancer"), {});
  const main = await ask("PATCH", path, { metadata: { labels: { a: "b" } }, ...ingress }, { type: "merge" });
  assert.deepEqual([at(main, "body.status.loadBalancer"), at(main, "body.metadata.labels.a")], [{}, "b"]);
  const status = await ask("PATCH", `${path}/status`, { spec: { sessionAffinity: "ClientIP" }, ...ingress }, { type: "strategic" });
  assert.deepEqual([status.code, at(status, "body.spec.sessionAffinity")], [200, "None"]);
  assert.deepEqual(at(status, "body.status.loadBalancer.ingress"), [{ ip: "198.18.0.1", ipMode: "VIP" }]);
  const put = await ask("PUT", `${path}/status`, { ...(status.body as object), spec: { ports: [] }, status: {} });
  assert.deepEqual([at(put, "body.spec.ports.0.port"), at(put, "body.status.loadBalancer")], [80, {}]);
}

async function viaStatus({ ask, namespace }: Subject): Promise<void> {
  const { services, pods } = within(await namespace());
  await ask("POST", services, aService("s"));
  await ask("POST", pods, aPod("p"));
  const metadata = { finalizers: ["a.io/one"], labels: { l: "1" }, annotations: { a: "1" } };
  for (const path of [`${services}/s`, `${pods}/p`]) {
    const patched = await ask("PATCH", `${path}/status`, { metadata }, { type: "strategic" });
    const { finalizers, labels, annotations } = at(patched, "body.metadata") as typeof metadata;
    assert.deepEqual([finalizers, labels, annotations], Object.values(metadata), path);
    const merged = await ask("PATCH", `${path}/status`, { metadata: { finalizers: ["a.io/two"] } }, { type: "strategic" });
    assert.deepEqual(new Set(at(merged, "body.metadata.finalizers") as string[]), new Set(["a.io/one", "a.io/two"]));
    const without = { metadata: { "$deleteFromPrimitiveList/finalizers": ["a.io/one"] } };
    assert.deepEqual(at(await ask("PATCH", `${path}/status`, without, { type: "strategic" }), "body.metadata.finalizers"), ["a.io/two"]);
    const unqualified = await ask("PATCH", `${path}/status`, { metadata: { finalizers: ["nope"] } }, { type: "merge" });
    assert.deepEqual(refusal(unqualified).slice(0, 2), [422, "Invalid"]);
  }
}

async function dryRun({ ask, namespace }: Subject): Promise<void> {
  const { configMaps } = within(await namespace());
  const query = { dryRun: "All" };
  const created = await ask("POST", configMaps, { metadata: { generateName: "c-" } }, { query });
  assert.deepEqual([created.code, typeof at(created, "body.metadata.uid")], [201, "string"]);
  assert.equal((await ask("GET", `${configMaps}/${String(at(created, "body.metadata.name"))}`)).code, 404);
  const { body } = await ask("POST", configMaps, aConfigMap("c", { a: "1" }));
  assert.equal(at(await ask("PATCH", `${configMaps}/c`, { data: { a: "2" } }, { type: "merge", query }), "body.data.a"), "2");
  assert.equal((await ask("DELETE", `${configMaps}/c`, undefined, { query })).code, 200);
  assert.equal(versionOf((await ask("GET", `${configMaps}/c`)).body), versionOf(body));
  assert.equal((await ask("POST", configMaps, aConfigMap("c"), { query })).code, 409);
}

async function manyWriters({ ask, namespace }: Subject): Promise<void> {
  const { pods } = within(await namespace());
  await ask("POST", pods, aPod("p"));
  const types = Array.from({ length: 16 }, (_, index) => `example.com/${index}`);
  const answers = await Promise.all(types.map((type) => ask("PATCH", `${pods}/p/status`, condition(type, "True"), { type: "strategic" })));
  assert.deepEqual(new Set(answers.map(({ code }) => code)), new Set([200]));
  assert.deepEqual(new Set(each(await ask("GET", `${pods}/p`), "body.status.conditions", "type")), new Set(types));
}

async function generation({ ask, namespace }: Subject): Promise<void> {
  const { pods, deployments } = within(await namespace());
  const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "app", image: "app:1" }] } };
  const spec = { replicas: 0, paused: true, selector: { matchLabels: { a: "b" } }, template };
  const generationOf = (answer: unknown): unknown => at(answer, "body.metadata.generation");
  assert.equal(generationOf(await ask("POST", deployments, { metadata: { name: "d" }, spec })), 1);
  assert.equal(generationOf(await ask("PATCH", `${deployments}/d`, { metadata: { labels: { a: "b" } } }, { type: "merge" })), 1);
  assert.equal(generationOf(await ask("PATCH", `${deployments}/d`, { spec: { minReadySeconds: 1 } }, { type: "merge" })), 2);
  const scale = await ask("PATCH", `${deployments}/d/scale`, { spec: { replicas: 0 } }, { type: "merge" });
  assert.deepEqual([scale.code, at(scale, "body.kind"), at(scale, "body.spec.replicas") ?? 0], [200, "Scale", 0]);
  assert.equal(generationOf(await ask("POST", pods, aPod("p"))), 1);
  await ask("PATCH", `${pods}/p/status`, condition(GATE, "True"), { type: "strategic" });
  assert.equal(generationOf(await ask("PATCH", `${pods}/p`, { metadata: { labels: { a: "b" } } }, { type: "merge" })), 1);
}
