import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AppsV1Api,
  CoordinationV1Api,
  CoreV1Api,
  CustomObjectsApi,
  DiscoveryV1Api,
  PatchStrategy,
  setHeaderOptions,
  V1MicroTime,
} from "@kubernetes/client-node";
import { aPod, refused, serverFor, until } from "./testing.ts";

const patchAs = (strategy: string) => setHeaderOptions("Content-Type", strategy);
const [smp, merge, json, apply] = [
  PatchStrategy.StrategicMergePatch,
  PatchStrategy.MergePatch,
  PatchStrategy.JsonPatch,
  PatchStrategy.ServerSideApply,
];
const GATE = "cloud.tencent.com/load-balancer-backendgroup-ready";
const custom = { group: "cloud.tencent.com", version: "v1alpha1", plural: "tkeserviceconfigs", namespace: "default" };
const namespace = "default";

for (const tls of [false, true]) {
  test(`creates, reads, replaces and deletes over ${tls ? "HTTPS" : "HTTP"}`, async (t) => {
    const core = (await serverFor(t, { tls })).api(CoreV1Api);
    const created = await core.createNamespacedConfigMap({ namespace, body: { metadata: { generateName: "c-" }, data: { a: "1" } } });
    const name = created.metadata?.name ?? "";
    assert.match(name, /^c-[a-z0-9]{5}$/);
    assert.ok(created.metadata?.uid && created.metadata.creationTimestamp && created.metadata.resourceVersion);
    const replaced = await core.replaceNamespacedConfigMap({
      namespace,
      name,
      body: { metadata: created.metadata ?? {}, data: { a: "2" } },
    });
    assert.notEqual(replaced.metadata?.resourceVersion, created.metadata.resourceVersion);
    assert.equal((await refused(core.replaceNamespacedConfigMap({ namespace, name, body: created }))).reason, "Conflict");
    assert.equal((await refused(core.createNamespacedConfigMap({ namespace, body: { metadata: { name } } }))).reason, "AlreadyExists");
    assert.equal((await core.deleteNamespacedConfigMap({ namespace, name })).status, "Success");
    const gone = await refused(core.readNamespacedConfigMap({ namespace, name }));
    assert.deepEqual([gone.code, gone.message], [404, `configmaps "${name}" not found`]);
  });
}

test("merges one condition by type, changes nothing for nothing, and refuses another Pod's UID with 422", async (t) => {
  const core = (await serverFor(t)).api(CoreV1Api);
  const { metadata } = await core.createNamespacedPod({ namespace, body: aPod("p") });
  const gate = (uid: string | undefined, status: string) =>
    core.patchNamespacedPodStatus(
      {
        namespace,
        name: "p",
        body: { metadata: { uid }, status: { conditions: [{ type: GATE, status, lastTransitionTime: "2026-01-01T00:00:00.123Z" }] } },
      },
      patchAs(smp),
    );
  const other = {
    status: { conditions: [{ type: "ContainersReady", status: "True" }], "$setElementOrder/conditions": [{ type: "ContainersReady" }] },
  };
  await core.patchNamespacedPodStatus({ namespace, name: "p", body: other }, patchAs(smp));
  const first = await gate(metadata?.uid, "True");
  assert.deepEqual(
    first.status?.conditions?.map(({ type }) => type),
    ["ContainersReady", GATE],
  );
  assert.equal(first.status?.conditions?.[1]?.lastTransitionTime?.toISOString(), "2026-01-01T00:00:00.000Z");
  assert.equal((await gate(metadata?.uid, "True")).metadata?.resourceVersion, first.metadata?.resourceVersion);
  const wrong = await refused(gate("0000", "True"));
  assert.deepEqual([wrong.code, wrong.reason, wrong.fields], [422, "Invalid", ["metadata.uid"]]);
  const stale = { metadata: { resourceVersion: metadata?.resourceVersion }, status: { phase: "Running" } };
  assert.equal((await refused(core.patchNamespacedPodStatus({ namespace, name: "p", body: stale }, patchAs(smp)))).code, 409);
  const replaced = await core.patchNamespacedPodStatus(
    { namespace, name: "p", body: { status: { conditions: [{ type: GATE, status: "False" }] } } },
    patchAs(merge),
  );
  assert.equal(replaced.status?.conditions?.length, 1);
  assert.equal((await refused(core.patchNamespacedPodStatus({ namespace, name: "q", body: {} }, patchAs(smp)))).code, 404);
});

test("keeps status and spec apart, but takes labels, annotations and finalizers of a Service through /status", async (t) => {
  const core = (await serverFor(t)).api(CoreV1Api);
  const service = {
    metadata: { name: "s" },
    spec: { type: "LoadBalancer", loadBalancerClass: "clb-direct.io/clb", ports: [{ port: 80 }] },
  };
  const created = await core.createNamespacedService({ namespace, body: service });
  assert.deepEqual([created.spec?.ports?.[0]?.targetPort, created.spec?.ports?.[0]?.protocol], [80, "TCP"]);
  const main = { metadata: { labels: { a: "b" } }, status: { loadBalancer: { ingress: [{ ip: "198.18.0.1" }] } } };
  assert.equal(
    (await core.patchNamespacedService({ namespace, name: "s", body: main }, patchAs(merge))).status?.loadBalancer?.ingress,
    undefined,
  );
  const viaStatus = { metadata: { finalizers: ["clb-direct.io/load-balancer"] }, spec: { type: "ClusterIP" }, status: main.status };
  const patched = await core.patchNamespacedServiceStatus({ namespace, name: "s", body: viaStatus }, patchAs(smp));
  assert.deepEqual(patched.metadata?.finalizers, ["clb-direct.io/load-balancer"]);
  assert.equal(patched.spec?.type, "LoadBalancer");
  const [ingress] = patched.status?.loadBalancer?.ingress ?? [];
  assert.deepEqual([ingress?.ip, ingress?.ipMode], ["198.18.0.1", "VIP"]);
  const reclass = await refused(
    core.patchNamespacedService({ namespace, name: "s", body: { spec: { loadBalancerClass: "x.io/y" } } }, patchAs(merge)),
  );
  assert.deepEqual([reclass.code, reclass.fields], [422, ["spec.loadBalancerClass"]]);
  const plain = await core.patchNamespacedService({ namespace, name: "s", body: { spec: { type: "ClusterIP" } } }, patchAs(merge));
  assert.deepEqual([plain.status?.loadBalancer?.ingress, plain.spec?.loadBalancerClass], [undefined, undefined]);

  await core.deleteNamespacedService({ namespace, name: "s" });
  assert.ok((await core.readNamespacedService({ namespace, name: "s" })).metadata?.deletionTimestamp);
  assert.match((await refused(core.createNamespacedService({ namespace, body: service }))).message, /^object is being deleted/);
  const late = { metadata: { finalizers: ["a.io/b"] } };
  assert.equal((await refused(core.patchNamespacedServiceStatus({ namespace, name: "s", body: late }, patchAs(smp)))).code, 422);
  const without = { metadata: { "$deleteFromPrimitiveList/finalizers": ["clb-direct.io/load-balancer"] } };
  await core.patchNamespacedServiceStatus({ namespace, name: "s", body: without }, patchAs(smp));
  assert.equal((await refused(core.readNamespacedService({ namespace, name: "s" }))).code, 404);
});

test("applies JSON, strategic and server-side patches, refuses what does not fit", async (t) => {
  const { api, raw } = await serverFor(t);
  const [core, objects] = [api(CoreV1Api), api(CustomObjectsApi)];
  await core.createNamespacedPod({ namespace, body: aPod("p", { readinessGates: [{ conditionType: GATE }] }) });
  const change = (body: unknown, strategy: string) =>
    core.patchNamespacedPod({ namespace, name: "p", body, fieldManager: "t", force: true }, patchAs(strategy));
  assert.deepEqual(
    (
      await change(
        [
          { op: "add", path: "/metadata/labels", value: { "a/b": "1" } },
          { op: "replace", path: "/metadata/labels/a~1b", value: "2" },
        ],
        json,
      )
    ).metadata?.labels,
    { "a/b": "2" },
  );
  const failed = await refused(change([{ op: "test", path: "/metadata/name", value: "q" }], json));
  assert.deepEqual([failed.code, failed.message], [422, "the server rejected our request due to an error in our request"]);
  assert.equal((await refused(change({}, json))).code, 400);
  assert.equal((await change({ spec: { containers: [{ name: "app", image: "app:2" }] } }, smp)).spec?.containers[0]?.image, "app:2");
  assert.deepEqual((await refused(change({ spec: { readinessGates: null } }, merge))).fields, ["spec"]);
  await objects.createNamespacedCustomObject({
    ...custom,
    body: { kind: "TkeServiceConfig", apiVersion: "cloud.tencent.com/v1alpha1", metadata: { name: "c" } },
  });
  assert.equal((await refused(objects.patchNamespacedCustomObject({ ...custom, name: "c", body: {} }, patchAs(smp)))).code, 415);
  const merged = (await objects.patchNamespacedCustomObject({ ...custom, name: "c", body: { spec: { a: [1] } } }, patchAs(merge))) as {
    spec: object;
  };
  assert.deepEqual(merged.spec, { a: [1] });
  const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "m" }, data: { a: "1" } };
  const applied = await core.patchNamespacedConfigMap({ namespace, name: "m", body, fieldManager: "t" }, patchAs(apply));
  const again = await core.patchNamespacedConfigMap({ namespace, name: "m", body, fieldManager: "t" }, patchAs(apply));
  assert.equal(again.metadata?.resourceVersion, applied.metadata?.resourceVersion);
  assert.equal(
    (
      await raw("PATCH", `/api/v1/namespaces/default/configmaps/m?fieldManager=t`, "data: {b: '2'}\n", {
        "content-type": "application/apply-patch+yaml",
      })
    ).code,
    200,
  );
  assert.deepEqual((await core.readNamespacedConfigMap({ namespace, name: "m" })).data, { a: "1", b: "2" });
});

test("validates what the product relies on, leaves nothing behind on a dry run", async (t) => {
  const { api, raw } = await serverFor(t);
  const [core, leases] = [api(CoreV1Api), api(CoordinationV1Api)];
  const slice = { addressType: "IPv4", metadata: { name: "e" }, endpoints: [{ addresses: ["127.0.0.1"] }], ports: [] };
  assert.deepEqual((await refused(api(DiscoveryV1Api).createNamespacedEndpointSlice({ namespace, body: slice }))).fields, [
    "endpoints[0].addresses[0]",
  ]);
  const lease = { metadata: { name: "l" }, spec: { holderIdentity: "", leaseDurationSeconds: 4, renewTime: new V1MicroTime() } };
  const put = await leases.replaceNamespacedLease({ namespace, name: "l", body: lease });
  assert.match(String(put.spec?.renewTime), /\.\d{6}Z$/);
  assert.deepEqual((await refused(leases.replaceNamespacedLease({ namespace, name: "l", body: lease }))).fields, [
    "metadata.resourceVersion",
  ]);
  const milli = await raw(
    "PATCH",
    "/apis/coordination.k8s.io/v1/namespaces/default/leases/l",
    { spec: { renewTime: "2026-01-01T00:00:00.821Z" } },
    { "content-type": merge },
  );
  assert.deepEqual([milli.code, /cannot parse ".821Z" as ".000000"/.test(String(milli.body["message"]))], [400, true]);
  const zero = { spec: { leaseDurationSeconds: 0 } };
  assert.equal((await refused(leases.patchNamespacedLease({ namespace, name: "l", body: zero }, patchAs(merge)))).code, 422);
  const event = { metadata: { name: "e" }, involvedObject: { namespace: "kube-system" } };
  assert.deepEqual((await refused(core.createNamespacedEvent({ namespace, body: event }))).fields, ["involvedObject.namespace"]);
  await core.createNamespacedPod({ namespace, body: aPod("dry"), dryRun: "All" });
  assert.equal((await refused(core.readNamespacedPod({ namespace, name: "dry" }))).code, 404);
  assert.equal(
    (await refused(core.createNamespacedPod({ namespace: "nowhere", body: aPod("p") }))).message,
    'namespaces "nowhere" not found',
  );
});

test("deletes Pods with grace, earlier on a second DELETE, at once where nothing runs", async (t) => {
  const core = (await serverFor(t)).api(CoreV1Api);
  const { metadata } = await core.createNamespacedPod({ namespace, body: aPod("p") });
  const end = async (gracePeriodSeconds?: number) => {
    const pod = (await core.deleteNamespacedPod({
      namespace,
      name: "p",
      body: gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds },
    })) as {
      metadata?: { deletionTimestamp?: unknown; deletionGracePeriodSeconds?: number };
    };
    return { at: new Date(String(pod.metadata?.deletionTimestamp)).getTime(), grace: pod.metadata?.deletionGracePeriodSeconds };
  };
  for (const preconditions of [{ uid: "0000" }, { resourceVersion: "1" }]) {
    assert.equal((await refused(core.deleteNamespacedPod({ namespace, name: "p", body: { preconditions } }))).code, 409);
  }
  const first = await end();
  assert.deepEqual([first.grace, Math.abs(first.at - Date.now() - 30_000) < 2_000], [30, true]);
  assert.deepEqual(await end(60), first);
  assert.deepEqual(await end(10), { at: first.at - 20_000, grace: 10 });
  assert.equal((await end(0)).grace, 0);
  assert.equal((await refused(core.readNamespacedPod({ namespace, name: "p" }))).code, 404);
  for (const [name, spec, phase] of [
    ["unscheduled", { nodeName: undefined }, "Pending"],
    ["over", {}, "Succeeded"],
  ] as const) {
    await core.createNamespacedPod({ namespace, body: aPod(name, spec) });
    await core.patchNamespacedPodStatus({ namespace, name, body: { status: { phase } } }, patchAs(merge));
    await core.deleteNamespacedPod({ namespace, name });
    assert.equal((await refused(core.readNamespacedPod({ namespace, name }))).code, 404);
  }
  assert.ok(metadata?.uid);
});

test("binds, evicts, scales, collects dependents in the background and empties a namespace Pods first", async (t) => {
  const { api, cluster } = await serverFor(t);
  const [core, apps] = [api(CoreV1Api), api(AppsV1Api)];
  await core.createNamespacedPod({ namespace, body: aPod("p", { nodeName: undefined }) });
  await core
    .createNamespacedPodBinding({ namespace, name: "p", body: { target: { kind: "Node", name: "node-a" } } })
    .catch(() => undefined);
  assert.equal((await core.readNamespacedPod({ namespace, name: "p" })).spec?.nodeName, "node-a");
  await core.createNamespacedPodEviction({ namespace, name: "p", body: { metadata: { name: "p" } } });
  const evicted = await core.readNamespacedPod({ namespace, name: "p" });
  assert.deepEqual(
    [evicted.status?.conditions?.find(({ type }) => type === "DisruptionTarget")?.reason, evicted.metadata?.deletionGracePeriodSeconds],
    ["EvictionByEvictionAPI", 30],
  );

  const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "app", image: "app:1" }] } };
  const deployment = await apps.createNamespacedDeployment({
    namespace,
    body: { metadata: { name: "d" }, spec: { selector: { matchLabels: { a: "b" } }, template } },
  });
  assert.deepEqual(
    [deployment.spec?.replicas, deployment.spec?.strategy?.rollingUpdate?.maxSurge, deployment.metadata?.generation],
    [1, "25%", 1],
  );
  await apps.patchNamespacedDeploymentScale({ namespace, name: "d", body: { spec: { replicas: 3 } } }, patchAs(merge));
  const scaled = await apps.readNamespacedDeployment({ namespace, name: "d" });
  assert.deepEqual([scaled.spec?.replicas, scaled.metadata?.generation], [3, 2]);
  const ownerReferences = [{ apiVersion: "apps/v1", kind: "Deployment", name: "d", uid: deployment.metadata?.uid ?? "" }];
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "owned", ownerReferences } } });
  await apps.deleteNamespacedDeployment({ namespace, name: "d" });
  await until("the dependent is gone", () => cluster.store.get("configmaps", namespace, "owned") === undefined);
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "late", ownerReferences } } });
  await until("one that came too late, too", () => cluster.store.get("configmaps", namespace, "late") === undefined);

  await core.createNamespace({ body: { metadata: { name: "n" } } });
  await core.createNamespacedPod({ namespace: "n", body: aPod("p") });
  await core.createNamespacedService({ namespace: "n", body: { metadata: { name: "s" }, spec: { ports: [{ port: 80 }] } } });
  await core.deleteNamespace({ name: "n" });
  await until("the Pod terminates", () => cluster.store.get("pods", "n", "p")?.metadata.deletionTimestamp !== undefined);
  assert.ok(cluster.store.get("services", "n", "s"));
  const late = await refused(
    core.createNamespacedEvent({ namespace: "n", body: { metadata: { name: "e" }, involvedObject: { namespace: "n" } } }),
  );
  assert.match(late.message, /unable to create new content in namespace n because it is being terminated/);
  await core.deleteNamespacedPod({ namespace: "n", name: "p", body: { gracePeriodSeconds: 0 } });
  await until("the namespace is gone", () => cluster.store.get("namespaces", undefined, "n") === undefined);
});

test("answers 404, 405, 415 and 400 as the real server does", async (t) => {
  const { raw } = await serverFor(t);
  const pods = "/api/v1/namespaces/default/pods";
  const code = async (method: string, path: string, body?: unknown, type = "application/json") =>
    (await raw(method, path, body, { "content-type": type })).code;
  assert.equal((await raw("GET", "/api/v1/namespaces/default/foos")).body["reason"], "NotFound");
  assert.equal((await raw("GET", "/apis/foo.io/v1/foos")).text, "404 page not found\n");
  assert.equal(await code("DELETE", pods), 405);
  assert.equal(await code("POST", `${pods}/x`), 405);
  assert.equal(await code("POST", pods, "x", "application/vnd.kubernetes.protobuf"), 415);
  assert.equal(await code("POST", pods, "{"), 400);
  assert.equal(await code("POST", pods, { kind: "Service", apiVersion: "v1", metadata: { name: "x" } }), 400);
  assert.equal(await code("POST", pods, { metadata: { name: "x", namespace: "other" } }), 400);
  assert.equal(await code("GET", `${pods}?fieldSelector=spec.foo=1`), 400);
  for (const path of ["/readyz", "/healthz", "/livez"]) assert.equal((await raw("GET", path)).text, "ok");
});

test("32 writers patch one Pod at once and every condition is there, without a conflict", async (t) => {
  const { raw } = await serverFor(t);
  const pods = "/api/v1/namespaces/default/pods";
  await raw("POST", pods, aPod("p"));
  const patch = (type: string) =>
    raw("PATCH", `${pods}/p/status`, { status: { conditions: [{ type, status: "True" }] } }, { "content-type": smp });
  const codes = await Promise.all(Array.from({ length: 32 }, async (_, index) => (await patch(`Type-${index}`)).code));
  assert.deepEqual(new Set(codes), new Set([200]));
  const { status } = (await raw("GET", `${pods}/p`)).body as { status: { conditions: object[] } };
  assert.equal(status.conditions.length, 32);
});

test("three hundred Pods created and patched at once: each has its own version, none is lost", async (t) => {
  const { raw } = await serverFor(t);
  const pods = "/api/v1/namespaces/default/pods";
  await Promise.all(
    Array.from({ length: 300 }, async (_, index) => {
      await raw("POST", pods, aPod(`p-${index}`));
      await raw(
        "PATCH",
        `${pods}/p-${index}/status`,
        { status: { conditions: [{ type: GATE, status: "True" }] } },
        { "content-type": smp },
      );
    }),
  );
  const { body } = await raw("GET", pods);
  const items = (body as { items: { metadata: { resourceVersion: string }; status: { conditions: unknown[] } }[] }).items;
  assert.equal(new Set(items.map(({ metadata }) => metadata.resourceVersion)).size, 300);
  assert.equal(items.filter(({ status }) => status.conditions.length === 1).length, 300);
});
