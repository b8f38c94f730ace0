/** Deletion: grace, a second DELETE, preconditions, finalizers, eviction, dependents, namespaces. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { until } from "../../cluster/process.ts";
import { aConfigMap, aPod, aService, at, type Behaviours, each, refusal, type Subject, versionOf, watchIn, within } from "./suite.ts";

export function registerDeleting({ both }: Behaviours): void {
  both("a bound Pod gets its grace; a second DELETE can only end it earlier; grace 0 removes it", grace);
  both("a Pod without node, over, or with grace 0 goes at once", atOnce);
  both("preconditions that do not hold are a conflict", preconditions);
  both("a finalizer keeps the object, which stays editable and takes no new finalizer; its end removes it", finalizers);
  both("a Pod whose grace has ended stays while it has a finalizer", podWithFinalizer);
  both("what DELETE answers with: the object, or a Status", answers);
  both("an eviction marks the Pod, then deletes it with its grace", eviction);
  both("the last owner's end removes a dependent in the background", dependents);
  both("a namespace empties its Pods first, refuses new content meanwhile, and goes last", namespaces);
}

const graceOf = (answer: unknown): { atMs: number; seconds: unknown } => ({
  atMs: Date.parse(String(at(answer, "body.metadata.deletionTimestamp"))),
  seconds: at(answer, "body.metadata.deletionGracePeriodSeconds"),
});

async function grace(subject: Subject, t: TestContext): Promise<void> {
  const { ask, namespace } = subject;
  const { pods } = within(await namespace());
  const pod = await ask("POST", pods, aPod("p"));
  const log = watchIn(subject, t, pods, { resourceVersion: versionOf(pod.body) });
  const end = async (gracePeriodSeconds?: number) =>
    graceOf(await ask("DELETE", `${pods}/p`, gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }));
  const beforeMs = Date.now();
  const first = await end();
  assert.equal(first.seconds, 30);
  assert.ok(Math.abs(first.atMs - beforeMs - 30_000) < 2_000);
  assert.deepEqual(await end(60), first, "a longer grace changes nothing");
  assert.deepEqual(await end(10), { atMs: first.atMs - 20_000, seconds: 10 });
  assert.equal((await ask("GET", `${pods}/p`)).code, 200);
  assert.equal((await end(0)).seconds, 0);
  assert.equal((await ask("GET", `${pods}/p`)).code, 404);
  await log.count(4);
  assert.deepEqual(
    log.events.map(({ type, object }) => [type, at(object, "metadata.deletionGracePeriodSeconds")]),
    [
      ["MODIFIED", 30],
      ["MODIFIED", 10],
      ["MODIFIED", 0],
      ["DELETED", 0],
    ],
  );
}

async function atOnce({ ask, namespace }: Subject): Promise<void> {
  const { pods } = within(await namespace());
  for (const [name, spec, phase] of [
    ["unbound", { nodeName: undefined, schedulerName: "nobody" }, "Pending"],
    ["over", {}, "Succeeded"],
    ["failed", {}, "Failed"],
    ["impatient", { terminationGracePeriodSeconds: 0 }, "Running"],
  ] as const) {
    await ask("POST", pods, aPod(name, spec));
    await ask("PATCH", `${pods}/${name}/status`, { status: { phase } }, { type: "strategic" });
    assert.equal((await ask("DELETE", `${pods}/${name}`)).code, 200);
    assert.equal((await ask("GET", `${pods}/${name}`)).code, 404, name);
  }
}

async function preconditions({ ask, namespace }: Subject): Promise<void> {
  const { pods, configMaps } = within(await namespace());
  await ask("POST", pods, aPod("p"));
  await ask("POST", configMaps, aConfigMap("c"));
  for (const path of [`${pods}/p`, `${configMaps}/c`]) {
    for (const wrong of [{ uid: "00000000-0000-0000-0000-000000000000" }, { resourceVersion: "1" }]) {
      assert.deepEqual(refusal(await ask("DELETE", path, { preconditions: wrong })), [409, "Conflict"]);
    }
    const { body } = await ask("GET", path);
    assert.equal((await ask("DELETE", path, { preconditions: { uid: at(body, "metadata.uid") } })).code, 200);
  }
}

async function finalizers(subject: Subject, t: TestContext): Promise<void> {
  const { ask, namespace } = subject;
  const { services } = within(await namespace());
  const mark = "clb-direct.io/load-balancer";
  const service = { ...aService("s"), metadata: { name: "s", finalizers: [mark] } };
  const created = await ask("POST", services, service);
  const log = watchIn(subject, t, services, { resourceVersion: versionOf(created.body) });
  const path = `${services}/s`;
  assert.equal((await ask("DELETE", path)).code, 200);
  assert.equal(typeof at(await ask("GET", path), "body.metadata.deletionTimestamp"), "string");
  const recreated = await ask("POST", services, service);
  assert.deepEqual(refusal(recreated), [409, "AlreadyExists"]);
  assert.match(String(at(recreated, "body.message")), /^object is being deleted: services "s" already exists$/);
  const more = { metadata: { finalizers: ["a.io/b"] } };
  for (const part of ["", "/status"]) {
    assert.deepEqual(refusal(await ask("PATCH", path + part, more, { type: "strategic" })), [422, "Invalid", "metadata.finalizers"]);
  }
  const ingress = { status: { loadBalancer: { ingress: [] } }, metadata: { annotations: { a: "b" } } };
  assert.equal((await ask("PATCH", `${path}/status`, ingress, { type: "strategic" })).code, 200);
  const last = await ask("PATCH", `${path}/status`, { metadata: { "$deleteFromPrimitiveList/finalizers": [mark] } }, { type: "strategic" });
  assert.equal(last.code, 200);
  assert.equal((await ask("GET", path)).code, 404);
  await log.count(3);
  assert.deepEqual(log.types(), ["MODIFIED", "MODIFIED", "DELETED"]);
  assert.equal(typeof at(log.events[2]?.object, "metadata.deletionTimestamp"), "string");
}

async function podWithFinalizer({ ask, namespace }: Subject): Promise<void> {
  const { pods } = within(await namespace());
  await ask("POST", pods, aPod("p", {}, { finalizers: ["a.io/b"] }));
  await ask("DELETE", `${pods}/p`);
  await ask("DELETE", `${pods}/p`, { gracePeriodSeconds: 0 });
  assert.equal(graceOf(await ask("GET", `${pods}/p`)).seconds, 0);
  await ask("PATCH", `${pods}/p`, { metadata: { finalizers: null } }, { type: "merge" });
  assert.equal((await ask("GET", `${pods}/p`)).code, 404);
}

async function answers({ ask, namespace }: Subject): Promise<void> {
  const { configMaps, services, leases } = within(await namespace());
  for (const [collection, body, kind] of [
    [configMaps, aConfigMap("o"), "Status"],
    [services, aService("o"), "Service"],
    [leases, { metadata: { name: "o" } }, "Status"],
  ] as const) {
    const uid = at(await ask("POST", collection, body), "body.metadata.uid");
    const answer = await ask("DELETE", `${collection}/o`);
    assert.deepEqual([answer.code, at(answer, "body.kind")], [200, kind]);
    if (kind === "Status") assert.deepEqual([at(answer, "body.status"), at(answer, "body.details.uid")], ["Success", uid]);
  }
}

async function eviction(subject: Subject, t: TestContext): Promise<void> {
  const { ask, namespace } = subject;
  const { pods } = within(await namespace());
  await ask("POST", pods, aPod("p"));
  const running = await ask("PATCH", `${pods}/p/status`, { status: { phase: "Running" } }, { type: "strategic" });
  const log = watchIn(subject, t, pods, { resourceVersion: versionOf(running.body) });
  const evict = (deleteOptions: object = {}) =>
    ask("POST", `${pods}/p/eviction`, { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "p" }, deleteOptions });
  assert.deepEqual(refusal(await evict({ preconditions: { uid: "00000000-0000-0000-0000-000000000000" } })), [409, "Conflict"]);
  const evicted = await evict({ gracePeriodSeconds: 7 });
  assert.deepEqual([evicted.code, at(evicted, "body.status")], [201, "Success"]);
  await log.count(2);
  const target = (object: unknown): unknown =>
    (at(object, "status.conditions") as { type: string; status: string; reason: string }[]).find(({ type }) => type === "DisruptionTarget")
      ?.reason;
  assert.deepEqual(
    log.events.map(({ type, object }) => [type, target(object), at(object, "metadata.deletionGracePeriodSeconds")]),
    [
      ["MODIFIED", "EvictionByEvictionAPI", undefined],
      ["MODIFIED", "EvictionByEvictionAPI", 7],
    ],
  );
}

async function dependents({ ask, namespace }: Subject): Promise<void> {
  const { configMaps } = within(await namespace());
  const owner = await ask("POST", configMaps, aConfigMap("owner"));
  const other = await ask("POST", configMaps, aConfigMap("other"));
  const reference = (body: unknown) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    name: at(body, "metadata.name"),
    uid: at(body, "metadata.uid"),
  });
  const owned = (name: string, owners: readonly unknown[]) => ({ metadata: { name, ownerReferences: owners.map(reference) } });
  await ask("POST", configMaps, owned("one", [owner.body]));
  await ask("POST", configMaps, owned("two", [owner.body, other.body]));
  await ask("DELETE", `${configMaps}/owner`, { propagationPolicy: "Background" });
  await until("the dependent of one owner is gone", async () => (await ask("GET", `${configMaps}/one`)).code === 404, 20_000);
  await until(
    "the other has lost one owner",
    async () => each(await ask("GET", `${configMaps}/two`), "body.metadata.ownerReferences", "name").join() === "other",
    20_000,
  );
}

async function namespaces({ ask, namespace }: Subject): Promise<void> {
  const name = await namespace();
  const { pods, services, events, configMaps } = within(name);
  await ask("POST", pods, aPod("p", { terminationGracePeriodSeconds: 2 })); // the controller looks again after half of it
  await ask("POST", services, aService("s"));
  const deleted = await ask("DELETE", `/api/v1/namespaces/${name}`);
  assert.deepEqual([deleted.code, at(deleted, "body.kind"), at(deleted, "body.status.phase")], [200, "Namespace", "Terminating"]);
  await until("the Pod terminates", async () => at(await ask("GET", `${pods}/p`), "body.metadata.deletionTimestamp"), 20_000);
  const event = { metadata: { name: "e" }, involvedObject: { namespace: name } };
  for (const refused of [await ask("POST", events, event), await ask("POST", configMaps, aConfigMap("late"))]) {
    assert.deepEqual(refusal(refused), [403, "Forbidden", "metadata.namespace"]);
    assert.equal(at(refused, "body.details.causes.0.reason"), "NamespaceTerminating");
    assert.match(String(at(refused, "body.message")), /unable to create new content in namespace \S+ because it is being terminated/);
  }
  const service = await ask("GET", `${services}/s`);
  assert.deepEqual([service.code, at(service, "body.metadata.deletionTimestamp")], [200, undefined], "the Service waits for the Pods");
  await ask("DELETE", `${pods}/p`, { gracePeriodSeconds: 0 });
  await until("the namespace is gone", async () => (await ask("GET", `/api/v1/namespaces/${name}`)).code === 404, 30_000);
  assert.equal((await ask("GET", `${services}/s`)).code, 404);
}
